"""Text that a 16-bit checkpoint writes itself, for recipes to learn from: made by `bench-compress`, kept by its key."""

from pathlib import Path

from harness.build.cache import cache_folder, only_one, used
from harness.build.compressing import compress, threads_of
from harness.build.runners.compress import find_compress
from harness.progress import Progress
from harness.values import Artifact, digest

REVISION = 1
"""Raised when the same inputs give another text and the program's hash does not say so."""
FILE = "text.txt"


def drawn_text(base: Artifact, tokens: int, seed: int, wants: dict[str, object], progress: Progress) -> Path:
    """A UTF-8 file of at least so many tokens, from the cache or drawn now from the checkpoint `base`.

    `wants`: what the recipe wants of the model, which is looked at before anything is drawn.

    Raises:
        BuildError: a library is not installed, or the program failed.
    """
    name = drawn_name(base.sha256, tokens, seed)
    with only_one(f"text-{name}"):
        folder = cache_folder("texts", name)
        path = folder / FILE
        if not path.is_file():
            job: dict[str, object] = {"kind": "draw", "model": base.path, "output": str(path), "tokens": tokens}
            job |= {"seed": seed, "threads": threads_of(folder), "program_sha256": find_compress(), **wants}
            compress(job, folder, f"text of {base.variant}", progress)
        used(folder)
    return path


def drawn_name(base_sha256: str, tokens: int, seed: int) -> str:
    """Its entry of the cache.

    Raises:
        BuildError: a library is not installed.
    """
    return digest([base_sha256, tokens, seed, find_compress(), REVISION])[:16]
