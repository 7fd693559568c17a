"""SpinQuant (arXiv 2405.16406): rotations that make the rounded model's outputs like the float one's, then GPTQ."""

from pathlib import Path

import torch

from harness.measure.workers.compress.blockwise import round_blocks
from harness.measure.workers.compress.cayley import CayleySgd
from harness.measure.workers.compress.decoder import DOWN, Decoder, open_decoder
from harness.measure.workers.compress.expected import Expected
from harness.measure.workers.compress.gptq import gptq
from harness.measure.workers.compress.jobs import SpinQuantJob
from harness.measure.workers.compress.made import Made, Report
from harness.measure.workers.compress.rotations import (
    Rotations,
    fold_norms,
    random_rotations,
    rotate,
    rotate_down,
)
from harness.measure.workers.compress.rounding import round_ends
from harness.measure.workers.compress.seen import look
from harness.measure.workers.compress.state import Progress, State
from harness.measure.workers.compress.text import token_rows
from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.scheme.layers import QuantizedLinear, put
from harness.measure.workers.scheme.layout import Scheme
from harness.measure.workers.scheme.numerics import INT4

LARGEST_CHANGE = 1e-5
"""Of the rotated float model's logits, relative to their norm."""
CHECKED_TOKENS = 64
ROTATION = "rotation"
MOMENT_TOKENS, GRADED_TOKENS = 12_288, 3_072
"""Of text that is looked at before rotations are learned."""
LAYERS = 6
"""That a step looks at, drawn anew each time."""


def spinquant(job: SpinQuantJob, report: Report) -> Made:
    """Raises ModelError: see open_decoder, or R1 and R2 fit no such model; JobFailedError: a loss that is no number."""
    generator = torch.Generator().manual_seed(job.seed)
    decoder = open_decoder(Path(job.model), job.group)
    rows = token_rows(Path(job.text), Path(job.model), job.samples, job.sample_tokens, generator)
    before = _logits(decoder, rows[:1, :CHECKED_TOKENS])
    fold_norms(decoder)
    rotations = random_rotations(decoder, generator, rotates_down=job.rotates_down)
    if job.steps:
        rotations = learned(decoder, rotations, rows, job, report)
    rotate(decoder, rotations)
    check_rotated(decoder, before, rows[:1, :CHECKED_TOKENS])
    if job.rotates_down:
        rotate_down(decoder)
    matrices = round_ends(decoder)

    def replace(names: list[str], moments: torch.Tensor) -> None:
        for name in names:
            matrices[name] = gptq(decoder.weight(name), moments, job.group, INT4, job.damping).matrix
            rotates = job.rotates_down and name.endswith(DOWN)
            put(decoder.model, name, QuantizedLinear(matrices[name].weight, rotates=rotates))

    round_blocks(decoder, rows, replace, lambda done, of: report.step("GPTQ", done, of), rotates_down=job.rotates_down)
    return Made(decoder, Scheme(group=job.group, rotates_down=job.rotates_down), matrices)


def learned(decoder: Decoder, rotations: Rotations, rows: torch.Tensor, job: SpinQuantJob, report: Report) -> Rotations:
    """Rotations after `job.steps` steps whose rate falls to 0; goes on where an earlier job was ended."""
    generator = torch.Generator().manual_seed(job.seed)
    texts = _first(rows, MOMENT_TOKENS), _first(rows.flip(0), GRADED_TOKENS)
    expected = Expected(decoder, look(decoder, *texts, generator), job.group, rotates_down=job.rotates_down)
    with torch.no_grad():
        whole = float(expected.loss(rotations.floats(), range(decoder.layers), None))
    state = State(Path(job.state, "rotations.safetensors"))
    r1, r2 = CayleySgd(rotations.r1), CayleySgd(rotations.r2)
    for step in range(_restore(state, r1, r2, report), job.steps):
        draws = torch.Generator().manual_seed(job.seed + step)
        layers = torch.randperm(decoder.layers, generator=draws)[:LAYERS].tolist()
        now = Rotations(r1.matrices.float().requires_grad_(), r2.matrices.float().requires_grad_())
        loss = expected.loss(now, layers, draws) * decoder.layers / len(layers)
        report.loss(ROTATION, step, loss.item())
        (loss / whole).backward()
        assert now.r1.grad is not None and now.r2.grad is not None
        rate = job.learning_rate * (1 - step / job.steps)
        r1.step(now.r1.grad, rate)
        r2.step(now.r2.grad, rate)
        report.step(ROTATION, step + 1, job.steps)
        state.keep(Progress(ROTATION, step + 1, report.losses), _tensors(r1, r2))
    return Rotations(r1.matrices, r2.matrices)


def _first(rows: torch.Tensor, tokens: int) -> torch.Tensor:
    return rows[: max(1, tokens // rows.shape[1])]


@torch.no_grad()
def check_rotated(decoder: Decoder, before: torch.Tensor, row: torch.Tensor) -> None:
    """Raises ModelError: R1 and R2 changed what the float model computes."""
    change = relative_change(before, _logits(decoder, row))
    if not change <= LARGEST_CHANGE:
        raise ModelError(f"the rotated model's logits differ by {change:.1e} of their norm: not a decoder that R1 fits")


def relative_change(before: torch.Tensor, after: torch.Tensor) -> float:
    """Norm of the difference over the norm."""
    return float((after - before).norm() / before.norm())


@torch.no_grad()
def _logits(decoder: Decoder, rows: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = decoder.model(rows, use_cache=False).logits
    return found


def _restore(state: State, r1: CayleySgd, r2: CayleySgd, report: Report) -> int:
    kept = state.read()
    if kept is None:
        return 0
    progress, tensors = kept
    r1.matrices, r1.momentum = tensors["r1"], tensors["r1_momentum"]
    r2.matrices, r2.momentum = tensors["r2"], tensors["r2_momentum"]
    report.restore(progress.losses)
    return progress.step


def _tensors(r1: CayleySgd, r2: CayleySgd) -> dict[str, torch.Tensor]:
    return {"r1": r1.matrices, "r1_momentum": r1.momentum, "r2": r2.matrices, "r2_momentum": r2.momentum}
