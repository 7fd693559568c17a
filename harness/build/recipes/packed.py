"""The GGUF file of a compressed checkpoint: the same integers, packed as llama.cpp stores them."""

from pathlib import Path

from harness.build.gguf_packing import has_no_gguf, pack
from harness.build.recipes import Kit, sixteen_bit_of
from harness.errors import BuildError
from harness.values import Variant


def packed(variant: Variant, kit: Kit, target: Path) -> None:
    """Metadata and tokenizer are those of the 16-bit GGUF file. Adaptors become a file of their own, beside `target`.

    Raises:
        BuildError: the scheme has what no GGUF file can say: R4, or groups that are no blocks of 32.
    """
    if (why := has_no_gguf(variant)) is not None:
        raise BuildError(f"{variant.name}: {why}")
    checkpoint = kit.checkpoint(variant)
    base = kit.artifact(sixteen_bit_of(variant))
    with kit.progress.bar(f"packing {variant.name}") as bar:
        pack(base, checkpoint, target, variant.model.label, bar)
