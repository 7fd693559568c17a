"""The two 16-bit baselines: the same weights, stored as BF16 or as F16."""

from pathlib import Path

from harness.build.gguf_files import write_16bit
from harness.build.recipes import Kit
from harness.values import Variant


def bf16(variant: Variant, kit: Kit, target: Path) -> None:
    with kit.progress.bar(f"making {variant.name}") as bar:
        write_16bit(kit.source(variant), target, "bf16", variant.model.label, bar)


def f16(variant: Variant, kit: Kit, target: Path) -> None:
    with kit.progress.bar(f"making {variant.name}") as bar:
        write_16bit(kit.source(variant), target, "f16", variant.model.label, bar)
