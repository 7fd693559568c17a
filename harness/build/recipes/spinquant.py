"""Rotations learned so that rounding hurts less, then GPTQ; made by bench-compress."""

from typing import Annotated

import msgspec
from msgspec import Meta

from harness.build.recipes import Compression, settings_of, text_path
from harness.values import Count, Positive, Value, Variant


class Settings(Value, frozen=True):
    """Those of the paper are 100 steps of 800 samples of 2,048 tokens, and 128 samples for GPTQ."""

    steps: Count = 100
    """Of learning rotations; 0: random Hadamard matrices."""
    samples: Positive = 64
    """Pieces of the text, for learning and for GPTQ."""
    sample_tokens: Annotated[int, Meta(ge=2, le=1 << 20)] = 512
    batch: Positive = 1
    """Pieces a step."""
    learning_rate: Annotated[float, Meta(gt=0, le=100)] = 1.5
    r4: bool = False
    """Whether down projections are rotated too; a runtime must have it: torch has, llama.cpp has not."""
    damping: Annotated[float, Meta(ge=0, lt=1)] = 0.01
    group: Positive = 32
    seed: Count = 1
    text: str = ""
    """A file of UTF-8 text; empty: the project's own."""


def compression(variant: Variant) -> Compression:
    """Raises InputError: a setting that cannot be."""
    wish = settings_of(variant, Settings)
    settings = msgspec.to_builtins(wish)
    del settings["text"]
    settings["rotates_down"] = settings.pop("r4")
    return Compression("spinquant", settings, text_path(wish.text))
