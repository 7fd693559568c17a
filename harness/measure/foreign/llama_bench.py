"""`llama-bench -o jsonl` (or `-o json`): one entry a test, its repetitions in nanoseconds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, count
from pathlib import PurePosixPath, PureWindowsPath
from statistics import median
from typing import Any

import msgspec

from harness.errors import InputError
from harness.measure.foreign.told import LONGEST_WORD, Machine, Told, ToldTrial, name_of, number, text, whole, words
from harness.values import Reported, Runtime, Size, Speed

TOOL = "llama-bench"
KEYS = ("build_commit", "model_filename", "n_prompt", "n_gen", "samples_ns")
"""By which an entry is known."""
MOST_REPETITIONS = 10_000
CACHES = ("f16", "f32", "q8_0")
NO_SETTINGS = frozenset(
    (
        *("model_filename", "model_type", "model_size", "model_n_params", "n_prompt", "n_gen", "n_depth", "test_time"),
        *("avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns", "samples_ts", "cpu_info", "gpu_info"),
    )
)
"""What an entry says of its model, its test and its times; all else is how it was run."""
SIXTEEN_BIT = ("F16", "BF16", "all F32")
PLAIN = {"-1": "auto", "0": "off", "1": "on", "false": "off", "true": "on"}


def is_entry(entry: dict[str, Any]) -> bool:
    return all(key in entry for key in KEYS)


def read(entries: Iterable[dict[str, Any]], file: str) -> Told:
    """Tests of prompts alone and of generation alone have a metric here; what times both together is only kept.

    Raises:
        InputError: an entry lacks something, or is of a KV cache that is not known here.
    """
    entries = list(entries)
    names = _names(text(one, "model_filename", f"{file}: entry {place}") for place, one in enumerate(entries, 1))
    trials: list[ToldTrial] = []
    sized: set[str] = set()
    together = 0
    for place, (entry, settings) in enumerate(zip(entries, _settings(entries), strict=True), 1):
        where = f"{file}: entry {place}"
        one = _trial(entry, names[entry["model_filename"]], settings, where)
        together += not one.reported.values
        trials.append(one)
        if one.variant not in sized:
            sized.add(one.variant)
            trials.append(_size(one, entry, where))
    said = f"{together} tests time prompt and generation together, of which neither is known: kept without a metric"
    return Told(tool=TOOL, trials=tuple(trials), remarks=(said,) if together else ())


def _trial(entry: dict[str, Any], variant: str, settings: str, where: str) -> ToldTrial:
    prompt, generated = whole(entry, "n_prompt", where), whole(entry, "n_gen", where)
    depth = whole(entry, "n_depth", where) if "n_depth" in entry else 0
    if not prompt and not generated:
        raise InputError(f"{where}: neither a prompt nor generated tokens")
    kind = str(entry.get("model_type", ""))[:LONGEST_WORD]
    load = Speed(
        prompt_tokens=prompt or 1,  # generation alone begins with one token
        generated_tokens=generated or 1,
        depth=depth,
        context=depth + (prompt or 1) + generated + 1,
    )
    return ToldTrial(
        variant=variant,
        model_file=_file(entry["model_filename"]),
        scheme=kind,
        sixteen_bit=kind.endswith(SIXTEEN_BIT),
        runtime=_runtime(entry, settings, where),
        machine=Machine(cpu=str(entry.get("cpu_info") or "")[:LONGEST_WORD] or None),
        workload=load,
        reported=_reported(entry, prompt, generated, where),
        started=_started(entry, where),
    )


def _reported(entry: dict[str, Any], prompt: int, generated: int, where: str) -> Reported:
    samples = entry["samples_ns"]
    if not isinstance(samples, list) or not 0 < len(samples) <= MOST_REPETITIONS:
        raise InputError(f"{where}: `samples_ns` is no list of times")
    seconds = [number({"samples_ns": one}, "samples_ns", where, least=1) / 1e9 for one in samples]
    repetitions: dict[str, tuple[float, ...]] = {}
    if not generated:
        repetitions["prefill_tok_s"] = tuple(prompt / one for one in seconds)
    elif not prompt:
        repetitions["decode_tok_s"] = tuple(generated / one for one in seconds)
    return Reported(
        tool=f"{TOOL} {entry.get('build_number', '')} ({entry['build_commit']})"[:100],
        values={name: median(values) for name, values in repetitions.items()},
        repetitions=repetitions,
        conditions=_conditions(entry),
        told=words(entry),
    )


def _conditions(entry: dict[str, Any]) -> dict[str, str]:
    """By the names that runs of bench have for them."""
    names = {
        "n_batch": "batch",
        "n_ubatch": "micro-batch",
        "type_k": "KV cache type",
        "backends": "backends",
        "gpu_info": "GPU",
        "n_gpu_layers": "layers on the GPU",
        "load_mode": "load mode",
        "repack": "weights repacked",
    }
    found = {name: _word(entry[key]) for key, name in names.items() if entry.get(key) not in (None, "")}
    threads = _word(entry.get("n_threads", ""))
    return found | {
        "llama.cpp version": str(entry["build_commit"]),
        "decode threads": threads,
        "prefill threads": threads,
    }


def _word(value: object) -> str:
    """As pages write the conditions of runs of bench."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _maps(entry: dict[str, Any]) -> bool:
    """`auto` maps a file where that can be done; older versions have `use_mmap`."""
    return entry.get("load_mode") in ("auto", "mmap") or bool(entry.get("use_mmap"))


def _runtime(entry: dict[str, Any], settings: str, where: str) -> Runtime:
    caches = {str(entry.get(key, "f16")) for key in ("type_k", "type_v")}
    if len(caches) > 1 or not caches <= set(CACHES):
        raise InputError(f"{where}: a KV cache of {' and '.join(sorted(caches))}; known is one of {', '.join(CACHES)}")
    threads = whole(entry, "n_threads", where, least=1)
    flash = PLAIN.get(str(entry.get("flash_attn", "auto")).lower(), "auto")
    return Runtime(
        name=name_of(f"{TOOL}{settings}"),
        threads=threads,
        threads_batch=threads,
        load_mode="mmap" if _maps(entry) else "none",
        repack=entry.get("repack") is not False,
        kv_type=next(iter(caches)),  # type: ignore[arg-type]
        flash_attn=flash,  # type: ignore[arg-type]
        batch=whole(entry, "n_batch", where, least=1),
        ubatch=whole(entry, "n_ubatch", where, least=1),
    )


def _size(one: ToldTrial, entry: dict[str, Any], where: str) -> ToldTrial:
    """llama-bench tells the bytes of the tensors, which are a file's but for its metadata."""
    tensors, weights = number(entry, "model_size", where, least=1), number(entry, "model_n_params", where, least=1)
    reported = Reported(
        tool=one.reported.tool,
        values={"bits_per_weight": 8 * tensors / weights},
        told=words({key: entry.get(key) for key in ("model_size", "model_n_params", "model_type")}),
    )
    return msgspec.structs.replace(one, workload=Size(), reported=reported)


def _names(paths: Iterable[str]) -> dict[str, str]:
    """Path → variant. Files of one name in several folders are not one variant; a number tells them apart."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    wanted = {path: name_of(_file(path).removesuffix(".gguf")) for path in paths}
    alike = Counter(wanted.values())
    for path, name in wanted.items():
        numbers = (f"{name[:56]}-{number_}" for number_ in count(1))
        free = (one for one in chain([name] if alike[name] == 1 else [], numbers) if one not in taken)
        found[path] = next(free)
        taken.add(found[path])
    return found


def _settings(entries: Sequence[dict[str, Any]]) -> list[str]:
    """For each entry what tells its settings from others of the file, such as `-n_threads2`; empty where all are alike.

    Only entries of one test with the same settings are rounds of it.
    """
    keys = sorted({key for entry in entries for key in entry} - NO_SETTINGS)
    told = [{key: words({key: entry.get(key)}).get(key, "") for key in keys} for entry in entries]
    vary = [key for key in keys if len({one[key] for one in told}) > 1]
    return ["".join(f"-{key}{one[key]}" for key in vary) for one in told]


def _file(path: str) -> str:
    """Its name alone: where it lay is nobody's matter."""
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name


def _started(entry: dict[str, Any], where: str) -> str:
    told = entry.get("test_time")
    if told is None:
        return ""
    try:
        datetime.fromisoformat(str(told))
    except ValueError as error:
        raise InputError(f"{where}: `test_time` is no time: {error}") from error
    return str(told)
