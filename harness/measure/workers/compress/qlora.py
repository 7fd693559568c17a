"""Quantization-aware training, then low-rank adaptors on frozen integers; both distilled from the 16-bit model."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn
from torchao.quantization import (
    Int8DynamicActivationIntxWeightConfig,
    IntxWeightOnlyConfig,
    PerAxis,
    PerGroup,
    quantize_,
)
from torchao.quantization.qat import QATConfig

from harness.measure.workers.compress.decoder import EMBEDDING, OUTPUT, Decoder, open_decoder
from harness.measure.workers.compress.distil import Plan, distil
from harness.measure.workers.compress.jobs import QloraJob
from harness.measure.workers.compress.made import Made, Report
from harness.measure.workers.compress.rounding import blocks, ends
from harness.measure.workers.compress.state import State
from harness.measure.workers.compress.text import token_rows
from harness.measure.workers.scheme.layers import Adaptor, QuantizedEmbedding, QuantizedLinear, put
from harness.measure.workers.scheme.layout import ADAPTOR_DTYPE, Matrix, Scheme

INT4 = getattr(torch, "int4")  # noqa: B009 - torch has it, its type stubs do not
TRAINING, ADAPTORS = "quantization-aware training", "adaptors"
SCALE = 1.0
"""Of the adaptors' output: LoRA's alpha over its rank."""


def qlora(job: QloraJob, report: Report) -> Made:
    """Raises ModelError: see open_decoder; JobFailedError: a loss that is no number."""
    generator = torch.Generator().manual_seed(job.seed)
    decoder = open_decoder(Path(job.model), job.group)
    rows = token_rows(Path(job.text), Path(job.model), job.samples, job.sample_tokens, generator)
    teacher = decoder.model.requires_grad_(False)
    trained = train(decoder, teacher, rows, job, report) if job.steps else decoder
    frozen = ends(trained) | blocks(trained, job.group)
    adaptors = adapt(trained, frozen, teacher, rows, job, report, generator) if job.lora_steps else {}
    scheme = Scheme(group=job.group, lora_rank=job.lora_rank if adaptors else 0, lora_scale=SCALE if adaptors else 0.0)
    return Made(trained, scheme, frozen, adaptors)


def train(decoder: Decoder, teacher: Any, rows: torch.Tensor, job: QloraJob, report: Report) -> Decoder:
    """A decoder whose blocks were trained to compute well once they are rounded.

    The embedding and the output layer are rounded, not trained.
    """
    student = copy.deepcopy(decoder.model)
    prepare(student, job.group)
    trained = {name: p for name, p in student.named_parameters() if not name.startswith((EMBEDDING, OUTPUT))}
    for name, parameter in student.named_parameters():
        parameter.requires_grad_(name in trained)
    plan = Plan(TRAINING, trained, job.steps, job.batch, job.learning_rate)
    distil(plan, student, teacher, rows, report, State(Path(job.state, "training.safetensors")))
    return msgspec.structs.replace(decoder, model=student.requires_grad_(False))


def prepare(model: Any, group: int) -> None:
    """Put torchao's fake quantizers of the scheme into a model."""
    block = Int8DynamicActivationIntxWeightConfig(weight_dtype=INT4, weight_granularity=PerGroup(group))
    output = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0))
    table = IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))
    quantize_(model, QATConfig(block, step="prepare"), lambda m, name: isinstance(m, nn.Linear) and name != OUTPUT)
    quantize_(model, QATConfig(output, step="prepare"), lambda _, name: name == OUTPUT)
    quantize_(model, QATConfig(table, step="prepare"), lambda _, name: name == EMBEDDING)


def adapt(
    decoder: Decoder,
    frozen: dict[str, Matrix],
    teacher: Any,
    rows: torch.Tensor,
    job: QloraJob,
    report: Report,
    generator: torch.Generator,
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Adaptors (a [rank, columns], b [rows, rank]) of every linear of the blocks, as they are stored.

    They begin with b = 0, so that the first step sees the integers alone.
    """
    student = copy.deepcopy(decoder.model)
    put(student, EMBEDDING, QuantizedEmbedding(frozen[EMBEDDING].weight))
    put(student, OUTPUT, QuantizedLinear(frozen[OUTPUT].weight))
    adaptors: dict[str, Adaptor] = {}
    for name in decoder.block_linears():
        height, width = frozen[name].integers.shape
        a = torch.randn(job.lora_rank, width, generator=generator) / width**0.5
        adaptors[name] = Adaptor(a, torch.zeros(height, job.lora_rank), SCALE)
        put(student, name, QuantizedLinear(frozen[name].weight, adaptor=adaptors[name]))
    trained = {f"{name}.{half}": getattr(adaptors[name], half) for name in adaptors for half in ("a", "b")}
    plan = Plan(ADAPTORS, trained, job.lora_steps, job.batch, job.lora_learning_rate)
    distil(plan, student, teacher, rows, report, State(Path(job.state, "adaptors.safetensors")))
    return {
        name: (one.a.detach().to(ADAPTOR_DTYPE), one.b.detach().to(ADAPTOR_DTYPE)) for name, one in adaptors.items()
    }
