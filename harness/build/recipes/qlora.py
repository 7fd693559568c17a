"""Integers beside low-rank adaptors, trained by distillation; made by bench-compress."""

from typing import Annotated

import msgspec
from msgspec import Meta

from harness.build.recipes import Compression, learning, settings_of
from harness.values import Count, Positive, Value, Variant

Rate = Annotated[float, Meta(gt=0, le=100)]


class Settings(Value, frozen=True):
    """Steps are of `batch` pieces of `sample_tokens` tokens; integers and adaptors begin as all pieces have it."""

    steps: Count = 50
    """Of quantization-aware training."""
    lora_steps: Count = 100
    """Of training the adaptors; 0 leaves them as they began."""
    lora_rank: Positive = 16
    samples: Positive = 128
    sample_tokens: Annotated[int, Meta(ge=2, le=1 << 20)] = 256
    batch: Positive = 2
    learning_rate: Rate = 3e-5
    lora_learning_rate: Rate = 1e-4
    damping: Annotated[float, Meta(ge=0, lt=1)] = 0.01
    """Of GPTQ."""
    group: Positive = 32
    seed: Count = 1
    text: str = ""
    """A file of UTF-8 text; empty: the 16-bit model writes one."""


def compression(variant: Variant) -> Compression:
    """Raises InputError: a setting that cannot be."""
    return learning("qlora", msgspec.to_builtins(settings_of(variant, Settings)))
