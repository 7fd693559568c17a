"""Integers with low-rank adaptors beside them, then quantization-aware training, then the adaptors alone on the frozen
integers; both distilled from the 16-bit model."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn
from torchao.quantization.granularity import PerGroup
from torchao.quantization.qat import FakeQuantizedLinear, IntxFakeQuantizeConfig

from harness.measure.workers.compress.blockwise import round_blocks
from harness.measure.workers.compress.decoder import Decoder, open_decoder
from harness.measure.workers.compress.distil import Plan, Teacher, distil
from harness.measure.workers.compress.jobs import QloraJob
from harness.measure.workers.compress.low_rank import Part, parts_of
from harness.measure.workers.compress.made import Made, Report
from harness.measure.workers.compress.rounding import round_ends
from harness.measure.workers.compress.state import State
from harness.measure.workers.compress.text import token_rows
from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.scheme.layers import Adaptor, QuantizedLinear, put
from harness.measure.workers.scheme.layout import ADAPTOR_DTYPE, Matrix, Scheme
from harness.measure.workers.scheme.numerics import INT4, quantized

TORCH_INT4 = getattr(torch, "int4")  # noqa: B009 - torch has it, its type stubs do not
ROUNDING, TRAINING, ADAPTORS = "GPTQ beside adaptors", "quantization-aware training", "adaptors"
SCALE = 1.0
"""Of the adaptors' output: LoRA's alpha over its rank."""


class TrainedLinear(nn.Module):
    """A linear whose weights are trained as torchao rounds them, to scales that stay, with its adaptor beside it."""

    def __init__(self, part: Part, adaptor: Adaptor) -> None:
        super().__init__()
        assert part.aimed is not None
        self.scales, self.adaptor = part.matrix.scales, adaptor
        rows, columns = part.aimed.shape
        tokens = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
        group = PerGroup(columns // self.scales.shape[-1])
        weights = IntxFakeQuantizeConfig(TORCH_INT4, group, is_symmetric=True, is_dynamic=False)
        self.linear = FakeQuantizedLinear(columns, rows, False, tokens, weights, device="meta")
        self.linear.weight = nn.Parameter(part.aimed)
        rounding: Any = self.linear.weight_fake_quantizer
        rounding.scale, rounding.zero_point = self.scales, torch.zeros_like(self.scales, dtype=torch.int32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.linear(x) + self.adaptor(x)
        return found

    def matrix(self) -> Matrix:
        """What it computes with now."""
        return Matrix(quantized(self.linear.weight.detach(), self.scales, INT4).to(torch.int8), self.scales, INT4)


def qlora(job: QloraJob, report: Report) -> Made:
    """Raises ModelError: see open_decoder, or a rank beyond a linear's columns; JobFailedError: a loss that is no
    number."""
    generator = torch.Generator().manual_seed(job.seed)
    decoder = open_decoder(Path(job.model), job.group)
    rows = token_rows(Path(job.text), Path(job.model), job.samples, job.sample_tokens, generator)
    used = rows[: job.batch * max(job.steps, job.lora_steps)]
    teacher = Teacher(decoder.model.requires_grad_(False), used)
    matrices = round_ends(decoder)
    parts = begin(decoder, rows, job, report, generator)
    adaptors = {name: Adaptor(part.a, part.b, SCALE).requires_grad_(False) for name, part in parts.items()}
    integers = {name: part.matrix for name, part in parts.items()}
    beginning = digest(parts)
    if job.steps:
        integers = train(decoder, parts, adaptors, teacher, job, report, beginning)
    adapt(decoder, integers, adaptors, teacher, job, report, beginning)
    stored = {
        name: (one.a.detach().to(ADAPTOR_DTYPE), one.b.detach().to(ADAPTOR_DTYPE)) for name, one in adaptors.items()
    }
    return Made(
        decoder, Scheme(group=job.group, lora_rank=job.lora_rank, lora_scale=SCALE), matrices | integers, stored
    )


def begin(
    decoder: Decoder, rows: torch.Tensor, job: QloraJob, report: Report, generator: torch.Generator
) -> dict[str, Part]:
    """Round every linear of the blocks beside its adaptor; the model holds both afterwards."""
    found: dict[str, Part] = {}

    def replace(names: list[str], moments: torch.Tensor) -> None:
        if job.lora_rank > len(moments):
            raise ModelError(f"{names[0]} has {len(moments)} columns: too few for adaptors of rank {job.lora_rank}")
        weights = [decoder.weight(name) for name in names]
        parts = parts_of(
            weights, moments, rank=job.lora_rank, group=job.group, damping=job.damping, generator=generator
        )
        for name, part in zip(names, parts, strict=True):
            found[name] = part if job.steps else msgspec.structs.replace(part, aimed=None)
            adaptor = Adaptor(part.a, part.b, SCALE)
            put(decoder.model, name, QuantizedLinear(part.matrix.weight, adaptor=adaptor))

    round_blocks(decoder, rows, replace, lambda done, of: report.step(ROUNDING, done, of))
    return found


def digest(parts: dict[str, Part]) -> str:
    """Of what training goes on from."""
    found = hashlib.sha256()
    for part in parts.values():
        for tensor in (part.matrix.integers, part.matrix.scales, part.a, part.b):
            found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def train(
    decoder: Decoder,
    parts: dict[str, Part],
    adaptors: dict[str, Adaptor],
    teacher: Teacher,
    job: QloraJob,
    report: Report,
    beginning: str,
) -> dict[str, Matrix]:
    """The integers after training, to the scales that GPTQ took; `parts` is emptied."""
    layers: dict[str, TrainedLinear] = {}
    for name in tuple(parts):
        layers[name] = TrainedLinear(parts.pop(name), adaptors[name])
        put(decoder.model, name, layers[name])
    plan = Plan(TRAINING, {n: one.linear.weight for n, one in layers.items()}, job.steps, job.batch, job.learning_rate)
    distil(plan, decoder.model, teacher, report, State(Path(job.state, "training.safetensors"), beginning))
    return {name: layer.matrix() for name, layer in layers.items()}


def adapt(
    decoder: Decoder,
    integers: dict[str, Matrix],
    adaptors: dict[str, Adaptor],
    teacher: Teacher,
    job: QloraJob,
    report: Report,
    beginning: str,
) -> None:
    """Train the adaptors on integers that stay as they are."""
    trained: dict[str, nn.Parameter] = {}
    for name, matrix in integers.items():
        put(decoder.model, name, QuantizedLinear(matrix.weight, adaptor=adaptors[name].requires_grad_(True)))
        trained |= {f"{name}.a": adaptors[name].a, f"{name}.b": adaptors[name].b}
    plan = Plan(ADAPTORS, trained, job.lora_steps, job.batch, job.lora_learning_rate)
    distil(plan, decoder.model, teacher, report, State(Path(job.state, "adaptors.safetensors"), beginning))
