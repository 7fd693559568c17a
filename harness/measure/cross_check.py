"""Some of a cell's answers against lm-eval's own model for checkpoints: an independent program on the same weights."""

import random
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from harness.build.checkpoints import DTYPES, holds_integers, makes_no_checkpoint, special_texts
from harness.build.releases import is_release
from harness.errors import BenchError
from harness.measure.floor import Floor
from harness.measure.parts import unit_of
from harness.measure.requests import CHAT, asked_texts
from harness.measure.runtimes import hf
from harness.store import read_lines
from harness.values import Cell, CheckpointSource, CrossChecked, Task, TrialRecord, Variant

FLOAT32_NATS = 1e-4
BATCH_SIZES = (1, 8)
OTHER_KERNELS = 2.0
"""How much further off than the reference's largest rounding error other kernels' may be: the largest of a few equally
rough numbers is now theirs, now ours."""
Answers = dict[tuple[int, int], float]
"""(batch size, request) → log-likelihood in nats."""


def cross_checked(floor: Floor, cell: Cell, record: TrialRecord, given: list[dict[str, Any]]) -> TrialRecord:
    """The record with what the check found; it has failed where a score is further off than the tolerance.

    A cell that cannot be checked says so among its noise.
    """
    ours = {line["id"]: line["logprob"] for line in given if "logprob" in line}
    why = _why_not(cell, floor.variants[str(cell.variant)])
    if why is None and not ours:
        why = "no log-likelihoods"
    if why is not None:
        return _unchecked(record, why)
    try:
        found = _checked(floor, cell, ours)
    except BenchError as error:  # the answers took hours: a resumed run takes them as they are, and checks again
        return _failed(record, f"the cross-check failed: {error}")
    if isinstance(found, str):
        return _unchecked(record, found)
    record = msgspec.structs.replace(record, observations=(*record.observations, found))
    return record if (wrong := too_far(found)) is None else _failed(record, wrong)


def _checked(floor: Floor, cell: Cell, ours: dict[int, float]) -> CrossChecked | str:
    """A text: why no request is fit for it. Raises BenchError: the reference could not be asked."""
    variant, requests = floor.variants[str(cell.variant)], floor.requests[cell.key]
    assert cell.runtime is not None
    same, lower = cell.runtime.name == "hf", _lower_precision(cell, variant)
    asked = [line for line in asked_texts(requests.path) if line["id"] in ours]
    if not asked:
        return "rolling text"  # said before a checkpoint is made
    model = floor.ready.workshop.ensure(variant, "checkpoint").path
    if CHAT not in requests.versions:  # a chat prompt's special texts are tokens for both
        asked = plain_texts(asked, special_texts(Path(model)))
    if not asked:
        return "every prompt holds the text of a special token"
    asked = drawn(asked, floor.plan.cross_check, floor.plan.suite.seed)
    exact: Answers = {}
    own: Answers = {}
    if lower is None or not same:
        exact = _ask(floor, cell, model, asked, "float32", (1,))
    if lower is not None:
        own = _ask(floor, cell, model, asked, lower, BATCH_SIZES)
    return compared(ours, exact, own, lower, same_library=same)


def compared(
    ours: dict[int, float], exact: Answers, own: Answers, lower: str | None, *, same_library: bool
) -> CrossChecked:
    """Our scores against the reference's; `exact` are its own in float32, `own` in lower precision at two batch sizes.

    In lower precision, where the same library computes, a score is held against the reference's in that precision
    at batch size 1, and may be as far from it as the reference differs from itself between the two batch sizes.
    Other kernels round at other places: their scores are held against float32, and may be OTHER_KERNELS times as far
    from it as the reference's in that precision are.
    """
    against = own if lower is not None and same_library else exact
    scores = {request: value for (size, request), value in against.items() if size == 1}
    differences = [abs(ours[request] - value) for request, value in scores.items()]
    tolerance, rule, itself = FLOAT32_NATS, "both compute in float32", None
    if lower is not None:
        first, second = BATCH_SIZES
        itself = max(abs(own[first, request] - own[second, request]) for request in scores)
        of_precision = max(abs(value - scores[request]) for (_, request), value in own.items())
        tolerance = max(FLOAT32_NATS, itself if same_library else OTHER_KERNELS * of_precision)
        rule = f"as far as lm-eval's own scores in {lower} differ between batch sizes {first} and {second}"
        if not same_library:
            rule = f"{OTHER_KERNELS:g} times as far as lm-eval's own scores in {lower} are from those in float32"
    precision = lower if lower is not None and same_library else "float32"
    return CrossChecked(
        requests=len(differences),
        largest_nats=max(differences),
        mean_nats=fmean(differences),
        tolerance_nats=tolerance,
        itself_nats=itself,
        rule=rule,
        reference=f"lm-eval {version('lm-eval')}, model hf, {precision} with its softmax in float64, batch size 1",
    )


def too_far(found: CrossChecked) -> str | None:
    """Why the check has failed, or None."""
    if found.largest_nats <= found.tolerance_nats:
        return None
    return (
        f"cross-check: a log-likelihood is {found.largest_nats:.3g} nats from that of {found.reference}; "
        f"allowed are {found.tolerance_nats:.3g} ({found.rule})"
    )


def _unchecked(record: TrialRecord, why: str) -> TrialRecord:
    return msgspec.structs.replace(record, noise=(*record.noise, f"not cross-checked: {why}"))


def _failed(record: TrialRecord, why: str) -> TrialRecord:
    return msgspec.structs.replace(record, status="failed", reason=why)


def _why_not(cell: Cell, variant: Variant) -> str | None:
    if not isinstance(cell.workload, Task) or cell.runtime is None:
        return "it is no task"
    if cell.runtime.name == "llama.cpp" and cell.runtime.kv_type == "q8_0":
        return "q8_0 KV cache"  # it rounds more than 16-bit weights do, which is all that the reference knows of
    if cell.runtime.name == "executorch":
        return "its files round what the checkpoint's floats do not"
    if holds_integers(variant):
        return "lm-eval's own model knows nothing of the scheme's integers"
    source = variant.model.source
    if isinstance(source, CheckpointSource) and is_release(Path(source.path)):
        return "lm-eval's own model does not read Meta's layout"
    if cell.runtime.name == "llama.cpp" and variant.recipe not in DTYPES:
        return f"the weights of recipe {variant.recipe!r} exist in llama.cpp's format only, or are rounded for it"
    return makes_no_checkpoint(variant)


def _lower_precision(cell: Cell, variant: Variant) -> str | None:
    """What the cell computes in, if that is less than float32."""
    assert cell.runtime is not None
    if cell.runtime.name == "hf":
        return None if cell.runtime.dtype == "float32" else cell.runtime.dtype
    return DTYPES[variant.recipe]


def drawn(asked: list[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """All requests of so many questions, drawn by the seed."""
    units = list(dict.fromkeys(map(unit_of, asked)))
    draw = random.Random(f"{seed}:cross-check")  # noqa: S311 - a repeatable draw, no secret
    chosen = set(draw.sample(units, min(count, len(units))))
    return [line for line in asked if unit_of(line) in chosen]


def plain_texts(asked: list[dict[str, Any]], special: tuple[str, ...]) -> list[dict[str, Any]]:
    """Without texts that hold the text of a special token: for the reference it is that token, here plain text."""
    return [line for line in asked if not any(text in line["context"] + line["continuation"] for text in special)]


def _ask(
    floor: Floor,
    cell: Cell,
    model: str,
    asked: list[dict[str, Any]],
    dtype: str,
    batch_sizes: tuple[int, ...],
) -> Answers:
    assert isinstance(cell.workload, Task)
    with tempfile.TemporaryDirectory(prefix="bench-cross-check-") as folder:
        requests, answers = Path(folder, "requests.jsonl"), Path(folder, "answers.jsonl")
        pairs = ({key: line[key] for key in ("id", "context", "continuation")} for line in asked)
        requests.write_bytes(b"".join(msgspec.json.encode(pair) + b"\n" for pair in pairs))
        job = hf.cross_check_job(
            model,
            str(requests),
            str(answers),
            dtype=dtype,
            batch_sizes=batch_sizes,
            threads=floor.facts[cell.device].cores,
            context=cell.workload.context or floor.variants[str(cell.variant)].model.context,
        )
        floor.preparation(cell).run(job, Path(folder), f"cross-check of {cell.variant} in {dtype}")
        lines = list(read_lines(answers))
    return {(line["batch_size"], line["id"]): line["logprob"] for line in lines}
