"""Quantization-aware training, then low-rank adaptors on frozen integers; made by bench-compress."""

from typing import Annotated

import msgspec
from msgspec import Meta

from harness.build.recipes import Compression, learning, settings_of
from harness.values import Count, Positive, Value, Variant

Rate = Annotated[float, Meta(gt=0, le=100)]


class Settings(Value, frozen=True):
    """Steps are of `batch` pieces of `sample_tokens` tokens."""

    steps: Count = 200
    """Of quantization-aware training."""
    lora_steps: Count = 50
    """Of training the adaptors; 0: none."""
    lora_rank: Positive = 16
    samples: Positive = 256
    sample_tokens: Annotated[int, Meta(ge=2, le=1 << 20)] = 128
    batch: Positive = 4
    learning_rate: Rate = 1e-4
    lora_learning_rate: Rate = 5e-4
    group: Positive = 32
    seed: Count = 1
    text: str = ""
    """A file of UTF-8 text; empty: the 16-bit model writes one."""


def compression(variant: Variant) -> Compression:
    """Raises InputError: a setting that cannot be."""
    return learning("qlora", msgspec.to_builtins(settings_of(variant, Settings)))
