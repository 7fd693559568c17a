"""optimum-benchmark's report: `benchmark.json`, or `benchmark_report.json` with `benchmark_config.json` beside."""

from statistics import median
from typing import Any

from harness.errors import InputError
from harness.measure.foreign.told import (
    LONGEST_WORD,
    Machine,
    Told,
    ToldTrial,
    mapping,
    name_of,
    number,
    whole,
    words,
)
from harness.values import Reported, Runtime, Speed, Workload

TOOL = "optimum-benchmark"
DEFAULT_TOKENS = 100
"""Its own `max_new_tokens` where none are named."""
MEGABYTE = 1_000_000
"""Its megabytes are 10⁶ bytes."""


def is_report(told: Any) -> bool:
    return isinstance(told, dict) and all(isinstance(told.get(key), dict) for key in ("config", "report"))


def read(told: dict[str, Any], file: str) -> Told:
    """One run: its prefill and decode as a speed trial. Its peaks of memory are each of one part, and are only kept.

    Raises:
        InputError: no text generation, or a number is missing.
    """
    config, report = told["config"], told["report"]
    scenario, backend = _part(config, "scenario", file), _part(config, "backend", file)
    if not isinstance(report.get("prefill"), dict):
        raise InputError(f"{file}: it times no prefill: only text generation can be read")
    shapes = _part(scenario, "input_shapes", file)
    batch = whole(shapes, "batch_size", file, least=1)
    prompt = whole(shapes, "sequence_length", file, least=1)
    asked = {
        "max_new_tokens": DEFAULT_TOKENS,
        **mapping(scenario.get("generate_kwargs") or {}, f"{file}: generate_kwargs"),
    }
    generated = whole(asked, "max_new_tokens", file, least=1)
    environment = mapping(config.get("environment") or {}, f"{file}: `environment`")
    tool = f"{TOOL} {environment.get('optimum_benchmark_version', '')}".strip()[:100]
    remarks = []
    values: dict[str, tuple[float, ...]] = {}
    if batch > 1:
        remarks.append(f"{batch} texts at once: their rates are none of one text, and are kept without a metric")
    else:
        values = _rates(report, prompt, generated, file)
    speed = Speed(prompt_tokens=prompt, generated_tokens=generated, context=prompt + generated)
    trial = _trial(config, backend, environment, tool, speed, values, report)
    return Told(tool=TOOL, trials=(trial,), remarks=tuple(remarks))


def _rates(report: dict[str, Any], prompt: int, generated: int, file: str) -> dict[str, tuple[float, ...]]:
    prefill = _seconds(report, "prefill", file)
    found = {"prefill_tok_s": tuple(prompt / one for one in prefill), "ttft_s": prefill}
    decode = _seconds(report, "decode", file)
    if generated > 1 and decode:
        found["decode_tok_s"] = tuple((generated - 1) / one for one in decode)
    return {name: values for name, values in found.items() if values}


def _seconds(report: dict[str, Any], part: str, file: str) -> tuple[float, ...]:
    latency = mapping(report.get(part) or {}, f"{file}: `{part}`").get("latency")
    if latency is None:
        return ()
    latency = mapping(latency, f"{file}: the latency of {part}")
    if latency.get("unit") != "s" or not isinstance(latency.get("values"), list):
        raise InputError(f"{file}: the latency of {part} is not a list of seconds")
    return tuple(number({part: one}, part, file, least=1e-9) for one in latency["values"])


def _trial(
    config: dict[str, Any],
    backend: dict[str, Any],
    environment: dict[str, Any],
    tool: str,
    workload: Workload,
    values: dict[str, tuple[float, ...]],
    report: dict[str, Any],
) -> ToldTrial:
    model = str(backend.get("model") or "unnamed")
    kind = str(backend.get("torch_dtype") or backend.get("dtype") or "")
    ram = environment.get("cpu_ram_mb")
    conditions = {
        "backend": str(backend.get("name", "")),
        "processor": str(backend.get("device", "")),
        "computed in": kind,
        "torch version": str(backend.get("version", "")),
        "transformers version": str(environment.get("transformers_version", "")),
    }
    return ToldTrial(
        variant=name_of(f"{config.get('name', '')}-{model.rstrip('/').rpartition('/')[2]}"),
        model_file=model.rstrip("/").rpartition("/")[2],
        scheme=str(backend.get("quantization_scheme") or kind)[:LONGEST_WORD],
        runtime=Runtime(name=name_of(f"optimum-{backend.get('name', 'unknown')}")),
        machine=Machine(
            os=_known(environment, "platform"),
            arch=_known(environment, "machine"),
            cpu=(_known(environment, "cpu") or "").strip() or None,
            logical_cpus=_count(environment, "cpu_count"),
            memory_bytes=None if ram is None else int(number(environment, "cpu_ram_mb", tool, least=1) * MEGABYTE),
        ),
        workload=workload,
        reported=Reported(
            tool=tool,
            values={name: median(found) for name, found in values.items()},
            repetitions=values,
            conditions=words(conditions),
            told=words({**_flat("backend", backend), **_flat("report", report)}),
        ),
    )


def _count(told: dict[str, Any], key: str) -> int | None:
    return None if told.get(key) is None else whole(told, key, TOOL, least=1)


def _known(told: dict[str, Any], key: str) -> str | None:
    return str(told[key])[:LONGEST_WORD] if told.get(key) else None


def _flat(name: str, told: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in told.items():
        if isinstance(value, dict):
            found |= _flat(f"{name}.{key}", value)
        else:
            found[f"{name}.{key}"] = value
    return found


def _part(told: dict[str, Any], key: str, file: str) -> dict[str, Any]:
    found = told.get(key)
    if not isinstance(found, dict):
        raise InputError(f"{file}: it has no `{key}`: no report of {TOOL}")
    return found
