"""The two 16-bit baselines: the same weights, stored as BF16 or as F16.

Setting `untied`: a tied embedding table is stored a second time as the output layer.
"""

from pathlib import Path
from typing import Literal

from harness.build.gguf_files import write_16bit
from harness.build.recipes import Kit
from harness.values import Variant


def bf16(variant: Variant, kit: Kit, target: Path) -> None:
    _write(variant, kit, target, "bf16")


def f16(variant: Variant, kit: Kit, target: Path) -> None:
    _write(variant, kit, target, "f16")


def _write(variant: Variant, kit: Kit, target: Path, to: Literal["bf16", "f16"]) -> None:
    source, untied = kit.source(variant), bool(variant.settings.get("untied", False))
    with kit.progress.bar(f"making {variant.name}") as bar:
        write_16bit(source, target, to, variant.model.label, bar, untied=untied)
