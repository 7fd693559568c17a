"""Post-training quantization by rounding to nearest, from the BF16 baseline, by llama.cpp's quantizer."""

from pathlib import Path

import msgspec

from harness.build.recipes import Kit
from harness.errors import InputError, UnknownNameError
from harness.values import RandomSource, Variant

TYPES = ("q4_0", "q8_0")


def ptq(variant: Variant, kit: Kit, target: Path) -> None:
    """Settings: `weights` (type of the block linears), `embedding` (of the embedding table and the output
    layer), `untied` (whether the output layer is stored apart from the embedding table).

    Raises:
        InputError: a setting is missing.
        UnknownNameError: a type nobody knows.
    """
    weights = _type(variant, "weights")
    embedding = _type(variant, "embedding") if "embedding" in variant.settings else weights
    source = _base(variant, kit)
    with kit.progress.bar(f"making {variant.name}"):
        kit.quantize(source, target, weights=weights, embedding=embedding)


def _base(variant: Variant, kit: Kit) -> Path:
    base = base_of(variant)
    return kit.source(variant) if base is None else kit.artifact(base)


def base_of(variant: Variant) -> Variant | None:
    """The BF16 weights. None: random ones are BF16 as they are drawn; untying needs another file."""
    if isinstance(variant.model.source, RandomSource) and not variant.settings.get("untied"):
        return None
    settings = {name: value for name, value in variant.settings.items() if name == "untied"}
    return msgspec.structs.replace(variant, name=f"{variant.name}-base", recipe="bf16", settings=settings, scheme="")


def _type(variant: Variant, setting: str) -> str:
    value = variant.settings.get(setting)
    if value is None:
        raise InputError(f"variant {variant.name!r}: recipe ptq needs the setting {setting!r}")
    if value not in TYPES:
        raise UnknownNameError(f"type for {setting!r}", str(value), TYPES, where=variant.name)
    return str(value)
