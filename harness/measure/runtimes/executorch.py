"""ExecuTorch on this machine, by its Python runtime: cell → job. Pure.

The program is `harness/measure/workers/pte/`; what it runs is exported by `harness/build/exported.py`.
"""

import math
from typing import Any

import msgspec
from msgspec import UNSET

from harness.build.checkpoints import makes_no_checkpoint
from harness.build.exported import CONTEXT
from harness.build.gguf_packing import scheme_of_variant
from harness.build.runners import Runner
from harness.build.runners.executorch import RUN_ARGV, find_executorch, lacking
from harness.measure.jobs import Inputs, Job
from harness.progress import Progress
from harness.values import (
    Artifact,
    Cell,
    DeviceFacts,
    Format,
    Memory,
    Prompted,
    Runtime,
    Speed,
    Sustained,
    Task,
    Text,
    Variant,
)

FORMAT: Format = "pte"
SETTINGS = ("threads", "load_mode", "export_context", "full_logits")
GROUPS = (32, 64, 128, 256)
"""Weights that may share a scale."""
LIBRARY_BYTES = 700 << 20
"""What the interpreter, torch and ExecuTorch hold, with room for activations and a KV cache."""
CALL = (*RUN_ARGV, "{job}", "{events}")


def program(progress: Progress) -> Runner:
    """The worker program.

    Raises:
        SetupError: a library is not installed.
    """
    del progress
    return find_executorch()


def beside_bytes(artifact: Artifact) -> int:
    """The file may be mapped, and its weights are packed anew when it is loaded."""
    return LIBRARY_BYTES + sum(file.bytes for file in artifact.files)


def supports(cell: Cell, variant: Variant | None) -> str | None:
    """Why this runtime cannot do this cell, or None."""
    load = cell.workload
    if variant is None or not isinstance(load, Memory | Speed | Task | Text):
        return f"ExecuTorch is not asked for {type(load).__name__.lower()}"
    if (why := lacking()) is not None:
        return why
    if (why := makes_no_checkpoint(variant)) is not None:
        return f"ExecuTorch exports checkpoints; {why}"
    scheme = scheme_of_variant(variant)
    if scheme is not None and scheme.group not in GROUPS:
        return f"ExecuTorch reads groups of {', '.join(map(str, GROUPS))}, not of {scheme.group}"
    return _too_long(cell, variant)


def not_on_phones(cell: Cell) -> str:
    """Why no phone runs this cell."""
    if isinstance(cell.workload, Task | Text):
        return "a phone's llama_main gives no log-likelihoods: the same file (its sha256) is scored on the host"
    return "ExecuTorch's llama_main is not started on phones from here; `bench import` takes its logs"


def _too_long(cell: Cell, variant: Variant) -> str | None:
    load, most = cell.workload, exported_context(cell.runtime)
    if most > variant.model.context:
        return f"a context of {most} is more than the {variant.model.context} tokens the model was trained for"
    if isinstance(load, Prompted):
        assert not isinstance(load, Sustained)
        need = load.prompt_tokens + load.generated_tokens + (load.depth if isinstance(load, Speed) else 0)
        if need > load.context:
            return f"{need} tokens do not fit a context of {load.context}"
    context = load.window if isinstance(load, Text) else load.context if isinstance(load, Memory | Speed | Task) else 0
    if context is not None and context > most:
        return f"context {context} is more than the {most} tokens that files are exported for (`export_context`)"
    return None


def exported_context(runtime: Runtime | None) -> int:
    """Tokens of KV cache that files are exported for."""
    found = UNSET if runtime is None else runtime.export_context
    return CONTEXT if found is UNSET else found


def resolved(runtime: Runtime, facts: DeviceFacts) -> Runtime:
    """The runtime with `auto` thread counts replaced by what they mean on this device."""
    threads = facts.cores if runtime.threads == "auto" else runtime.threads
    return msgspec.structs.replace(runtime, threads=threads, threads_batch=threads)


def job(cell: Cell, inputs: Inputs, facts: DeviceFacts) -> Job:
    """The program call for one trial of this cell."""
    match cell.workload:
        case Speed() as load:
            spec: dict[str, Any] = {
                "kind": "speed",
                **_common(cell, inputs, facts, load.context),
                "prompt": list(inputs.prompt),
                "prefix": list(inputs.prefix),
                "generated": load.generated_tokens,
                "repetitions": load.repetitions,
                "warmups": load.warmups,
                "idle_ms": math.ceil(load.idle_s * 1000),
            }
            patience = inputs.timeout_s + load.idle_s * load.repetitions
            return Job(argv=CALL, spec=spec, timeout_s=patience, timed=True)
        case Memory() as load:
            spec = {
                "kind": "memory",
                **_common(cell, inputs, facts, load.context),
                "load_mode": load.load_mode,
                "prompt": list(inputs.prompt),
                "generated": load.generated_tokens,
            }
            return Job(argv=CALL, spec=spec, timeout_s=inputs.timeout_s)
        case Task() as load:
            return _asking(cell, inputs, facts, load.context or min(inputs.context, exported_context(cell.runtime)))
        case Text() as load:
            return _asking(cell, inputs, facts, load.window)
        case _:
            raise AssertionError("supports() refuses it")


def _asking(cell: Cell, inputs: Inputs, facts: DeviceFacts, context: int) -> Job:
    spec = {
        "kind": "generate" if inputs.generates else "score",
        **_common(cell, inputs, facts, context),
        "requests": inputs.requests,
        "answers": inputs.answers,
    }
    if inputs.reference is not None:
        spec["reference"] = inputs.reference
    return Job(argv=CALL, spec=spec, timeout_s=inputs.timeout_s)


def reference_job(cell: Cell, inputs: Inputs, output: str, window: int, facts: DeviceFacts) -> Job:
    """The program call that writes the distributions which distances are taken to."""
    common = _common(cell, inputs, facts, window)
    spec = {"kind": "reference", **common, "requests": inputs.requests, "output": output}
    return Job(argv=CALL, spec=spec, timeout_s=inputs.timeout_s)


def tokenize_job(runner: Runner, model: str, requests: str, answers: str) -> Job:
    """`model` is the folder of the tokenizer."""
    spec = {
        "kind": "tokenize",
        "model": model,
        "program_sha256": runner.sha256,
        "requests": requests,
        "answers": answers,
    }
    return Job(argv=CALL, spec=spec, timeout_s=600)


def _common(cell: Cell, inputs: Inputs, facts: DeviceFacts, context: int) -> dict[str, Any]:
    runtime = cell.runtime
    assert runtime is not None
    return {
        "model": inputs.model,
        "threads": resolved(runtime, facts).threads,
        "context": context,
        "load_mode": runtime.load_mode,
        "program_sha256": find_executorch().sha256,
    }
