"""Recipes: how a variant is made from its base model.

A recipe is a function `(variant, kit, target) -> None` that writes one GGUF file. Adding one is one
function and one line in RECIPES (name → "module:function", loaded late). One that compresses a checkpoint has a line
in COMPRESSIONS too.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from harness.errors import InputError, UnknownNameError
from harness.progress import Progress
from harness.values import CheckpointSource, Model, Variant

RECIPES: dict[str, str] = {
    "bf16": "harness.build.recipes.sixteen_bit:bf16",
    "f16": "harness.build.recipes.sixteen_bit:f16",
    "ptq": "harness.build.recipes.ptq:ptq",
    "qlora": "harness.build.recipes.packed:packed",
    "random": "harness.build.recipes.random:random",
    "released": "harness.build.recipes.released:released",
    "spinquant": "harness.build.recipes.packed:packed",
    "stored": "harness.build.recipes.stored:stored",
}
SETTINGS: dict[str, tuple[str, ...]] = {
    "bf16": ("untied",),
    "f16": ("untied",),
    "ptq": ("weights", "embedding", "untied", "group"),
    "qlora": (
        "steps",
        "lora_steps",
        "lora_rank",
        "samples",
        "sample_tokens",
        "batch",
        "learning_rate",
        "lora_learning_rate",
        "damping",
        "group",
        "seed",
        "text",
    ),
    "spinquant": (
        "steps",
        "samples",
        "sample_tokens",
        "learning_rate",
        "r4",
        "damping",
        "group",
        "seed",
        "text",
    ),
    "stored": ("artifact", "runner"),
}
"""The settings that a recipe knows; none where it is not named."""

BASES: dict[str, str] = {
    "ptq": "harness.build.recipes.ptq:base_of",
    "qlora": "harness.build.recipes:sixteen_bit_of",
    "spinquant": "harness.build.recipes:sixteen_bit_of",
}
"""Recipe → the function that says which other artifact it takes: `bench gc` keeps that one too."""

COMPRESSIONS: dict[str, str] = {
    "ptq": "harness.build.recipes.ptq:compression",
    "qlora": "harness.build.recipes.qlora:compression",
    "spinquant": "harness.build.recipes.spinquant:compression",
}
"""Recipe → the function that says how bench-compress makes a checkpoint of a variant, or None where it does not."""
S = TypeVar("S")


class Compression(msgspec.Struct, frozen=True):
    """What bench-compress is told."""

    kind: str
    settings: dict[str, str | int | float | bool]
    """All of them, with those that the suite leaves out."""
    text: str | None = None
    """A file that it may learn from."""
    drawn_tokens: int = 0
    """Where it learns from a text that the 16-bit model itself writes: at least so many tokens."""


class Kit(Protocol):
    """What a recipe may use."""

    progress: Progress

    def source(self, variant: Variant) -> Path:
        """The base model's GGUF file."""
        ...

    def artifact(self, variant: Variant) -> Path:
        """Another variant's file, made first if it is missing."""
        ...

    def draw(self, model: Model, target: Path) -> None:
        """Random weights of the model's shape."""
        ...

    def checkpoint(self, variant: Variant) -> Path:
        """The variant's compressed checkpoint, made first if it is missing."""
        ...

    def pack_compressed(self, variant: Variant, target: Path) -> bool:
        """Of a compressed checkpoint that is taken as it is: write its integers; False where it is no such one."""
        ...

    def quantize(self, source: Path, target: Path, *, weights: str, embedding: str) -> None:
        """llama.cpp's quantizer, as a program."""
        ...


Recipe = Callable[[Variant, Kit, Path], None]


def load_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UnknownNameError: with the nearest known name.
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    recipe: Recipe = _loaded(RECIPES[name])
    return recipe


def base_of(variant: Variant) -> Variant | None:
    """The other artifact that a variant is made from; None where it is made from its model's file."""
    base: Variant | None = _loaded(BASES[variant.recipe])(variant) if variant.recipe in BASES else None
    return base


def compression_of(variant: Variant) -> Compression | None:
    """How bench-compress makes a checkpoint of the variant; None where it does not.

    Raises:
        InputError: a setting that cannot be.
    """
    if variant.recipe not in COMPRESSIONS:
        return None
    found: Compression | None = _loaded(COMPRESSIONS[variant.recipe])(variant)
    return found


def sixteen_bit_of(variant: Variant) -> Variant:
    """The 16-bit weights that a compressed variant is made from, as a GGUF file."""
    return msgspec.structs.replace(variant, name=f"{variant.name}-base", recipe="bf16", settings={}, scheme="")


def checkpoint_base_of(variant: Variant) -> Variant:
    """The same as a checkpoint: the user's own as it is, where the model is one."""
    recipe = "released" if isinstance(variant.model.source, CheckpointSource) else "bf16"
    return msgspec.structs.replace(sixteen_bit_of(variant), recipe=recipe)


def settings_of(variant: Variant, kind: type[S]) -> S:
    """The variant's settings as values.

    Raises:
        InputError: one that cannot be.
    """
    try:
        return msgspec.convert(variant.settings, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"variant {variant.name!r}: recipe {variant.recipe}: {error}") from None


def learning(kind: str, settings: dict[str, Any]) -> Compression:
    """A recipe that learns from `settings["text"]`, or, where that is empty, from what the model itself writes."""
    told = {name: value for name, value in settings.items() if name != "text"}
    if settings["text"]:
        return Compression(kind, told, text=settings["text"])
    return Compression(kind, told, drawn_tokens=settings["samples"] * settings["sample_tokens"])


def _loaded(place: str) -> Any:
    module, function = place.split(":")
    return getattr(import_module(module), function)
