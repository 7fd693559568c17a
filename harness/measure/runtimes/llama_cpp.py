"""llama.cpp through `bench-llama`: cell → job, events → observations. Pure; see docs/runner-protocol.md."""

import math
from typing import Any

import msgspec

from harness.build.gguf_packing import has_no_gguf
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.measure.jobs import Inputs, Job
from harness.progress import Progress
from harness.values import (
    Artifact,
    Bandwidth,
    Cell,
    DeviceFacts,
    Format,
    Load,
    Memory,
    Prompted,
    Runtime,
    Size,
    Speed,
    Sustained,
    Task,
    Text,
    Variant,
    Warmed,
    Workload,
)

READ = ("model", "adaptor", "requests", "reference")
APPENDED = ("answers",)
"""Keys of a job that name files."""
POWERCAP = "/sys/class/powercap"
SMALLEST_BUFFER = 256 << 20
MOST_THREADS = 512
"""llama.cpp's GGML_MAX_N_THREADS."""
# The V cache can only be quantized together with flash attention.
NEEDS_FLASH_ATTENTION = ("q8_0",)


FORMAT: Format = "gguf"
RUNNER_BYTES = 64 << 20
"""What a runner needs beside weights and cache; a guess that only guards against certain failure."""
SETTINGS = ("threads", "threads_batch", "load_mode", "repack", "kv_type", "flash_attn", "batch", "ubatch")


def program(progress: Progress) -> Runner:
    """bench-llama, from the cache or built now.

    Raises:
        SetupError: no compiler, or llama.cpp's sources cannot be downloaded.
        BuildError: the build failed.
    """
    return ensure_runner(progress)


def beside_bytes(artifact: Artifact) -> int:
    """Memory beside the artifact's own bytes."""
    del artifact
    return RUNNER_BYTES


def supports(cell: Cell, variant: Variant | None) -> str | None:
    """Why this runtime cannot do this cell, or None."""
    load, runtime = cell.workload, cell.runtime
    model = variant.model if variant else None
    assert runtime is not None
    if variant is not None and (why := has_no_gguf(variant)) is not None:
        return why
    if runtime.kv_type in NEEDS_FLASH_ATTENTION and runtime.flash_attn == "off":
        return f"llama.cpp keeps a {runtime.kv_type} KV cache only with flash attention"
    most = max((t for t in (runtime.threads, runtime.threads_batch) if isinstance(t, int)), default=0)
    if most > MOST_THREADS:
        return f"{most} threads are more than the {MOST_THREADS} that llama.cpp takes"
    if isinstance(load, Prompted):
        need = load.prompt_tokens + load.generated_tokens + (load.depth if isinstance(load, Speed) else 0)
        if need > load.context:
            return f"{need} tokens do not fit a context of {load.context}"
    context = load.context if isinstance(load, Prompted | Load | Task) else None
    if model is not None and context is not None and context > model.context:
        return f"context {context} is more than the {model.context} tokens the model was trained for"
    return None


def job(cell: Cell, inputs: Inputs, facts: DeviceFacts) -> Job:
    """The program call for one trial of this cell."""
    spec: dict[str, Any]
    match cell.workload:
        case Bandwidth() as load:
            assert cell.runtime is not None
            spec = {
                "kind": "bandwidth",
                "threads": _threads(cell.runtime.threads, facts),
                "buffer": buffer_bytes(load, facts),
                "repetitions": load.repetitions,
                "warmups": load.warmups,
            }
        case Speed() as load:
            spec = {
                "kind": "speed",
                **_common(cell, inputs, facts, load.context),
                "prompt": list(inputs.prompt),
                "prefix": list(inputs.prefix),
                "generated": load.generated_tokens,
                "repetitions": load.repetitions,
                "warmups": load.warmups,
                "canary": load.canary,
                "discards": load.discards if load.canary else 0,
                "idle_ms": math.ceil(load.idle_s * 1000),
            }
        case Load() as load:
            common = _common(cell, inputs, facts, load.context)
            spec = {"kind": "load", **common, "load_mode": load.load_mode, "cold": load.cold}
        case Sustained() as load:
            spec = {
                "kind": "sustained",
                **_common(cell, inputs, facts, load.context),
                "prompt": list(inputs.prompt),
                "generated": load.generated_tokens,
                "work_ms": round(load.seconds * 1000),
                "idle_ms": math.ceil(load.idle_s * 1000),
                "powercap": POWERCAP,
            }
        case Memory() as load:
            spec = {
                "kind": "memory",
                **_common(cell, inputs, facts, load.context),
                "load_mode": load.load_mode,
                "prompt": list(inputs.prompt),
                "generated": load.generated_tokens,
            }
        case Task() as load:
            spec = _asking(cell, inputs, facts, load.context or inputs.context)
        case Text() as load:
            spec = _asking(cell, inputs, facts, max(load.window, 512))
        case Size():
            raise AssertionError("a size cell runs no program")
    patience = inputs.timeout_s + _asked_to_last_s(cell.workload)
    return Job(
        argv=(inputs.program, "{job}", "{events}"),
        spec=spec,
        timeout_s=patience,
        timed=isinstance(cell.workload, Warmed),
        reads=tuple(key for key in READ if spec.get(key)),
        appends=tuple(key for key in APPENDED if spec.get(key)),
    )


def _asked_to_last_s(load: Workload) -> float:
    """How long the job works or sleeps because it is told to."""
    match load:
        case Sustained():
            return load.seconds + load.idle_s
        case Speed():
            return load.idle_s * load.repetitions
        case _:
            return 0.0


def reference_job(cell: Cell, inputs: Inputs, output: str, window: int, facts: DeviceFacts) -> Job:
    """The call that keeps a variant's distributions as a reference file."""
    spec = {
        "kind": "reference",
        **_common(cell, inputs, facts, max(window, 512)),
        "requests": inputs.requests,
        "output": output,
    }
    return Job(argv=(inputs.program, "{job}", "{events}"), spec=spec, timeout_s=inputs.timeout_s)


def tokenize_job(runner: Runner, model: str, requests: str, answers: str) -> Job:
    spec = {"kind": "tokenize", "model": model, "requests": requests, "answers": answers}
    return Job(argv=(runner.path, "{job}", "{events}"), spec=spec, timeout_s=600)


def buffer_bytes(load: Bandwidth, facts: DeviceFacts) -> int:
    """At least 4 × the last-level cache, so that reads come from memory."""
    if load.buffer != "auto":
        return load.buffer
    return max(SMALLEST_BUFFER, 4 * (facts.llc_bytes or 0))


def _asking(cell: Cell, inputs: Inputs, facts: DeviceFacts, context: int) -> dict[str, Any]:
    spec = {
        "kind": "generate" if inputs.generates else "score",
        **_common(cell, inputs, facts, context),
        "requests": inputs.requests,
        "answers": inputs.answers,
    }
    if not inputs.generates:
        spec["reference"] = inputs.reference
    return spec


def _common(cell: Cell, inputs: Inputs, facts: DeviceFacts, context: int) -> dict[str, Any]:
    runtime = cell.runtime
    assert runtime is not None
    return {
        "model": inputs.model,
        **({} if inputs.adaptor is None else {"adaptor": inputs.adaptor}),
        "threads": _threads(runtime.threads, facts),
        "threads_batch": _threads(runtime.threads_batch, facts),
        "context": context,
        "batch": runtime.batch,
        "ubatch": runtime.ubatch,
        "load_mode": runtime.load_mode,
        "repack": runtime.repack,
        "kv_type": runtime.kv_type,
        "flash_attn": runtime.flash_attn,
    }


def _threads(wish: int | str, facts: DeviceFacts) -> int:
    return facts.cores if wish == "auto" else int(wish)


def resolved(runtime: Runtime, facts: DeviceFacts) -> Runtime:
    """The runtime with `auto` thread counts replaced by what they mean on this device."""
    return msgspec.structs.replace(
        runtime,
        threads=_threads(runtime.threads, facts),
        threads_batch=_threads(runtime.threads_batch, facts),
    )
