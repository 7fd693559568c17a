"""Recipes: how a variant is made from its base model.

A recipe is a function `(variant, kit, target) -> None` that writes one GGUF file. Adding one is one
function and one line in RECIPES (name → "module:function", loaded late).
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from harness.errors import UnknownNameError
from harness.progress import Progress
from harness.values import Model, Variant

RECIPES: dict[str, str] = {
    "bf16": "harness.build.recipes.sixteen_bit:bf16",
    "f16": "harness.build.recipes.sixteen_bit:f16",
    "ptq": "harness.build.recipes.ptq:ptq",
    "random": "harness.build.recipes.random:random",
    "released": "harness.build.recipes.released:released",
}
SETTINGS: dict[str, tuple[str, ...]] = {
    "bf16": ("untied",),
    "f16": ("untied",),
    "ptq": ("weights", "embedding", "untied"),
}
"""The settings that a recipe knows; none where it is not named."""

BASES: dict[str, str] = {"ptq": "harness.build.recipes.ptq:base_of"}
"""Recipe → the function that says which other artifact it takes: `bench gc` keeps that one too."""


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


def _loaded(place: str) -> Any:
    module, function = place.split(":")
    return getattr(import_module(module), function)
