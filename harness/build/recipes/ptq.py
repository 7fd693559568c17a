"""Post-training quantization by rounding to nearest: by llama.cpp's quantizer, or in the published scheme."""

from pathlib import Path

import msgspec

from harness.build.recipes import Compression, Kit, settings_of, sixteen_bit_of
from harness.build.recipes.packed import packed
from harness.errors import InputError, UnknownNameError
from harness.values import Positive, RandomSource, Value, Variant

SCHEME = "int4"
"""int4 in groups in the blocks, int8 by channel in embedding and output layer, apart from each other."""
TYPES = ("q4_0", "q8_0")
"""llama.cpp's own."""


class Published(Value, frozen=True):
    """Settings where `weights` is `int4`."""

    weights: str
    group: Positive = 32


def ptq(variant: Variant, kit: Kit, target: Path) -> None:
    """Settings: `weights` (type of the block linears), and with llama.cpp's types `embedding` (of the embedding table
    and the output layer), `untied` (whether the output layer is stored apart from the embedding table); with `int4`
    `group`.

    Raises:
        InputError: a setting is missing.
        UnknownNameError: a type nobody knows.
    """
    weights = _type(variant, "weights")
    if weights == SCHEME:
        packed(variant, kit, target)
        return
    if "group" in variant.settings:
        raise InputError(f"variant {variant.name!r}: `group` goes with weights: {SCHEME}, not with llama.cpp's types")
    embedding = _type(variant, "embedding") if "embedding" in variant.settings else weights
    source = _base(variant, kit)
    with kit.progress.bar(f"making {variant.name}"):
        kit.quantize(source, target, weights=weights, embedding=embedding)


def compression(variant: Variant) -> Compression | None:
    """How a checkpoint of it is made; None where its numbers are of a format of llama.cpp's own."""
    if variant.settings.get("weights") != SCHEME:
        return None
    settings = settings_of(variant, Published)
    return Compression("ptq", {"group": settings.group})


def _base(variant: Variant, kit: Kit) -> Path:
    base = base_of(variant)
    return kit.source(variant) if base is None else kit.artifact(base)


def base_of(variant: Variant) -> Variant | None:
    """The BF16 weights. None: random ones are BF16 as they are drawn; untying needs another file."""
    if variant.settings.get("weights") == SCHEME:
        return sixteen_bit_of(variant)
    if isinstance(variant.model.source, RandomSource) and not variant.settings.get("untied"):
        return None
    settings = {name: value for name, value in variant.settings.items() if name == "untied"}
    return msgspec.structs.replace(variant, name=f"{variant.name}-base", recipe="bf16", settings=settings, scheme="")


def _type(variant: Variant, setting: str) -> str:
    value = variant.settings.get(setting)
    known = (*TYPES, SCHEME) if setting == "weights" else TYPES
    if value is None:
        raise InputError(f"variant {variant.name!r}: recipe ptq needs the setting {setting!r}")
    if value not in known:
        raise UnknownNameError(f"type for {setting!r}", str(value), known, where=variant.name)
    return str(value)
