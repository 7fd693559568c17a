"""Checkpoints through torch: cell → job. Accuracy only, since what torch runs is not what a device runs. Pure.

The program is `harness/measure/workers/hf/`; it speaks the same protocol as the native runners.
"""

from typing import Any

import msgspec

from harness.build.checkpoints import holds_integers, makes_no_checkpoint
from harness.build.runners import Runner
from harness.build.runners.hf import ARGV, find_hf
from harness.measure.jobs import Inputs, Job
from harness.progress import Progress
from harness.values import Artifact, Cell, DeviceFacts, Format, Runtime, Task, Text, Variant

FORMAT: Format = "checkpoint"
SETTINGS = ("threads", "dtype", "processor")
LIBRARY_BYTES = 600 << 20
"""What torch and transformers hold once they are imported, with room for activations."""
CALL = (*ARGV, "{job}", "{events}")


def program(progress: Progress) -> Runner:
    """The worker program.

    Raises:
        SetupError: a library is not installed.
    """
    del progress
    return find_hf()


def beside_bytes(artifact: Artifact) -> int:
    """Weights are widened to 32 bits as they are loaded, those of a compressed checkpoint as well."""
    stored = artifact.tensor_bytes or 0
    return LIBRARY_BYTES + max(stored, 4 * (artifact.parameters or 0) - stored)


def supports(cell: Cell, variant: Variant | None) -> str | None:
    """Why this runtime cannot do this cell, or None."""
    load = cell.workload
    if not isinstance(load, Task | Text):
        return "torch is measured for accuracy only: its speed and memory are not those of a device's runtime"
    assert variant is not None
    if (why := makes_no_checkpoint(variant)) is not None:
        return f"torch runs checkpoints; {why}"
    if cell.runtime is not None and cell.runtime.dtype != "float32" and holds_integers(variant):
        return f"the scheme's numbers are computed in float32, not in {cell.runtime.dtype}"
    if isinstance(load, Task) and load.context is not None and load.context > variant.model.context:
        return f"context {load.context} is more than the {variant.model.context} tokens the model was trained for"
    return None


def not_on_phones(cell: Cell) -> str:
    """Why no phone runs this cell."""
    del cell
    return "torch runs on this machine alone"


def resolved(runtime: Runtime, facts: DeviceFacts) -> Runtime:
    """The runtime with `auto` thread counts replaced by what they mean on this device."""
    threads = facts.cores if runtime.threads == "auto" else runtime.threads
    return msgspec.structs.replace(runtime, threads=threads, threads_batch=threads)


def job(cell: Cell, inputs: Inputs, facts: DeviceFacts) -> Job:
    """The program call for one trial of this cell."""
    load = cell.workload
    assert isinstance(load, Task | Text)
    context = load.window if isinstance(load, Text) else load.context or inputs.context
    spec: dict[str, Any] = {
        "kind": "generate" if inputs.generates else "score",
        **_common(cell, inputs, facts, context),
        "answers": inputs.answers,
    }
    if inputs.reference is not None:
        spec["reference"] = inputs.reference
    return Job(argv=CALL, spec=spec, timeout_s=inputs.timeout_s)


def reference_job(cell: Cell, inputs: Inputs, output: str, window: int, facts: DeviceFacts) -> Job:
    """The program call that writes the distributions which distances are taken to."""
    spec = {"kind": "reference", **_common(cell, inputs, facts, window), "output": output}
    return Job(argv=CALL, spec=spec, timeout_s=inputs.timeout_s)


def _common(cell: Cell, inputs: Inputs, facts: DeviceFacts, context: int) -> dict[str, Any]:
    runtime = cell.runtime
    assert runtime is not None
    return {
        "model": inputs.model,
        "threads": resolved(runtime, facts).threads,
        "context": context,
        "dtype": runtime.dtype,
        "device": runtime.processor,
        "program_sha256": find_hf().sha256,
        "requests": inputs.requests,
    }


def tokenize_job(runner: Runner, model: str, requests: str, answers: str) -> Job:
    spec = {
        "kind": "tokenize",
        "model": model,
        "program_sha256": runner.sha256,
        "requests": requests,
        "answers": answers,
    }
    return Job(argv=CALL, spec=spec, timeout_s=600)


def cross_check_job(
    model: str, requests: str, answers: str, *, dtype: str, batch_sizes: tuple[int, ...], threads: int, context: int
) -> Job:
    """lm-eval's own model for checkpoints over the same requests, as texts."""
    spec = {
        "kind": "cross_check",
        "model": model,
        "threads": threads,
        "context": context,
        "dtype": dtype,
        "device": "cpu",
        "program_sha256": find_hf().sha256,
        "requests": requests,
        "answers": answers,
        "batch_sizes": list(batch_sizes),
    }
    return Job(argv=CALL, spec=spec, timeout_s=6 * 3600.0)
