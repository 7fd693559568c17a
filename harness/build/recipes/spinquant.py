"""Rotations learned so that rounding hurts less, then GPTQ; made by bench-compress."""

from typing import Annotated

import msgspec
from msgspec import Meta

from harness.build.recipes import Compression, learning, settings_of
from harness.values import Count, Positive, Value, Variant


class Settings(Value, frozen=True):
    """Pieces of text are for GPTQ, and what rotations are learned from is seen on the first of them."""

    steps: Count = 200
    """Of learning rotations; 0: random Hadamard matrices."""
    samples: Positive = 64
    """Pieces of the text."""
    sample_tokens: Annotated[int, Meta(ge=2, le=1 << 20)] = 512
    learning_rate: Annotated[float, Meta(gt=0, le=100)] = 3.0
    r4: bool = False
    """Whether down projections are rotated too; a runtime must have it: torch has, llama.cpp has not."""
    damping: Annotated[float, Meta(ge=0, lt=1)] = 0.01
    group: Positive = 32
    seed: Count = 1
    text: str = ""
    """A file of UTF-8 text; empty: the 16-bit model writes one."""


def compression(variant: Variant) -> Compression:
    """Raises InputError: a setting that cannot be."""
    settings = msgspec.to_builtins(settings_of(variant, Settings))
    settings["rotates_down"] = settings.pop("r4")
    return learning("spinquant", settings)
