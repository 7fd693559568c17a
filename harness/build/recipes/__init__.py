"""Recipes: how a variant is made from its base model.

A recipe is a function `(variant, kit, target) -> None` that writes one GGUF file. Adding one is one
function and one line in RECIPES (name → "module:function", loaded late).
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol

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
    module, function = RECIPES[name].split(":")
    recipe: Recipe = getattr(import_module(module), function)
    return recipe
