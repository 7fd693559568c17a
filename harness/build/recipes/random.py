"""Random weights of a given shape: for size, memory and speed, which do not depend on values."""

from pathlib import Path

from harness.build.recipes import Kit
from harness.values import Variant


def random(variant: Variant, kit: Kit, target: Path) -> None:
    """BF16, as the other recipes take them for their base."""
    kit.draw(variant.model, target)
