"""What a night measured, measured again: an artifact of the store by its sha256, and the runner that ran it."""

from pathlib import Path

import msgspec

from harness.build.cache import cache_folder, used
from harness.build.recipes import Kit, settings_of
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import PROGRAM
from harness.errors import BuildError
from harness.values import Sha256, Variant

RECIPE = "stored"


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the recipe."""

    artifact: Sha256
    """As records have it: of the file, or of several files' sums."""
    runner: Sha256 | None = None
    """As records have it: of all that went into the program. None: the program that would be built now."""


def stored(variant: Variant, kit: Kit, target: Path) -> None:
    """Nothing is made: what is in the store was found before a recipe is asked."""
    del kit, target
    raise gone(variant)


def artifact_of(variant: Variant) -> str | None:
    """The sha256 that the variant names; None for every other recipe.

    Raises:
        InputError: a setting that cannot be.
    """
    return settings_of(variant, Stored).artifact if variant.recipe == RECIPE else None


def runner_of(variant: Variant) -> Runner | None:
    """The program that the variant is measured with; None where it names none.

    Raises:
        InputError: a setting that cannot be.
        BuildError: it is no longer in the store.
    """
    wanted = settings_of(variant, Stored).runner if variant.recipe == RECIPE else None
    return None if wanted is None else stored_runner(wanted)


def stored_runner(sha256: str) -> Runner:
    """The llama.cpp runner that calls itself so.

    Raises:
        BuildError: it is no longer in the store.
    """
    path = runner_folder(sha256) / PROGRAM
    if not path.is_file():
        raise BuildError(f"the runner {sha256[:16]} is no longer in the store")
    used(path.parent)
    return Runner(path=str(path), sha256=sha256)


def runner_folder(sha256: str) -> Path:
    """Where the runner is kept, made or not."""
    return cache_folder("runners") / sha256[:16]


def gone(variant: Variant) -> BuildError:
    """What to say of an artifact that nobody kept."""
    return BuildError(f"{variant.name}: the artifact {str(artifact_of(variant))[:16]} is no longer in the store")
