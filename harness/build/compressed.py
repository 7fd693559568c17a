"""Compressed checkpoints: made by `bench-compress`, kept by what went into them, with a manifest beside."""

import shutil
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import msgspec

from harness.build.cache import cache_folder, only_one, sha256_file, used
from harness.build.checkpoints import MANIFEST, SUMS, describe, sums_of
from harness.build.compressing import Loss, compress, threads_of
from harness.build.drawn_text import REVISION as DRAWING
from harness.build.drawn_text import drawn_text
from harness.build.recipes import Compression, compression_of
from harness.build.runners.compress import NEEDS, find_compress
from harness.errors import BuildError, InputError
from harness.progress import Progress
from harness.store import write_durably
from harness.values import Artifact, ArtifactFile, Sha256, Value, Variant, digest

LEARNED = "learned.text"
"""What it learned from; lies in its folder and is no part of it: no file name that a checkpoint may have."""
REVISION = 3
"""Raised when the same inputs give another checkpoint and the program's hash does not say so."""


class TextUsed(Value, frozen=True):
    """What a recipe learned from."""

    name: str
    sha256: Sha256


class Manifest(Value, frozen=True, kw_only=True):
    """How a compressed checkpoint was made; lies in its folder and is no part of it."""

    key: str
    recipe: str
    settings: dict[str, str | int | float | bool]
    """All of them, those that the suite leaves out as well."""
    base_sha256: Sha256
    """Of the 16-bit checkpoint."""
    program_sha256: Sha256
    text: TextUsed | None
    threads: int
    versions: dict[str, str]
    wall_s: float
    """Of the program that ended it; one that was interrupted before is not in it."""
    peak_rss_bytes: int | None
    losses: tuple[Loss, ...]
    files: tuple[ArtifactFile, ...]


def compressed_checkpoint(variant: Variant, compression: Compression, base: Artifact, progress: Progress) -> Path:
    """The folder of a variant's checkpoint, from the cache or made now from the checkpoint `base`.

    Raises:
        BuildError: a library is not installed, or the program failed.
        InputError: the text is not there.
    """
    folder = compressed_folder(variant, compression, base.sha256)
    with only_one(f"checkpoint-{folder.name}"):
        if not folder.is_dir():
            _make(variant, compression, base, folder, progress)
        used(folder)
    return folder


def learned_text(compression: Compression, base: Artifact, progress: Progress) -> Path | None:
    """What a recipe learns from: the user's text, or the one that the checkpoint `base` writes, made first if it is
    missing; None where it reads none.

    Raises:
        BuildError: a library is not installed, or the program failed.
    """
    if compression.text is not None:
        return Path(compression.text)
    if not compression.drawn_tokens:
        return None
    settings = compression.settings
    wants: dict[str, object] = {key: settings[key] for key in ("group", "rotates_down") if key in settings}
    wants["turned"] = "rotates_down" in settings
    return drawn_text(base, compression.drawn_tokens, int(settings["seed"]), wants, progress)


def name_of(compression: Compression) -> str:
    """Of the text, for people."""
    return (
        Path(compression.text).name if compression.text else f"{compression.drawn_tokens:,} tokens of the model's own"
    )


def compressed_folder(variant: Variant, compression: Compression, base_sha256: str) -> Path:
    """Where the checkpoint is kept, made or not.

    Raises:
        BuildError: a library is not installed.
        InputError: the text is not there.
    """
    return cache_folder("checkpoints") / digest([base_sha256, compression_key(variant, compression)])[:16]


def compression_key(variant: Variant, compression: Compression) -> list[object]:
    """What a compressed checkpoint follows from, beside its base.

    Raises:
        BuildError: a library is not installed.
        InputError: the text is not there.
    """
    text: object = None
    if compression.text is not None:
        path = Path(compression.text)
        if not path.is_file():
            raise InputError(f"variant {variant.name!r}: no text at {path}")
        text = sha256_file(path)
    elif compression.drawn_tokens:
        text = [compression.drawn_tokens, DRAWING]
    return [compression.kind, compression.settings, text, find_compress(), REVISION]


def unmade(variants: Iterable[Variant]) -> dict[str, str]:
    """Those that cannot be made here, by name: a library is not installed."""
    try:
        find_compress()
    except BuildError as error:
        return {
            variant.name: f"{error}; then start a new run"
            for variant in variants
            if compression_of(variant) is not None
        }
    return {}


def read_manifest(folder: Path) -> Manifest:
    """Raises BuildError: it is damaged."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BuildError(f"the manifest in {folder} is damaged: remove the folder ({error})") from error


def _state(name: str, text_sha256: str) -> Path:
    """What an interrupted program left for the next one, unless it learned from another text."""
    state = cache_folder("training", name)
    marker = state / "text.sha256"
    if marker.is_file() and marker.read_text(encoding="ascii") != text_sha256:
        shutil.rmtree(state)
        state.mkdir()
    marker.write_text(text_sha256, encoding="ascii")
    return state


def _make(variant: Variant, compression: Compression, base: Artifact, folder: Path, progress: Progress) -> None:
    path = learned_text(compression, base, progress)
    text = None if path is None else TextUsed(name=name_of(compression), sha256=sha256_file(path))
    state = _state(folder.name, text.sha256 if text else "")
    threads, program = threads_of(state), find_compress()
    target = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(target, ignore_errors=True)
    job: dict[str, object] = {"kind": compression.kind, "model": base.path, "output": str(target), "threads": threads}
    job |= {"program_sha256": program, **compression.settings}
    job |= {} if path is None else {"text": str(path), "state": str(state)}
    begun_s = time.monotonic()
    try:
        done = compress(job, state, variant.name, progress)
        artifact, _ = describe(variant.name, target)
        manifest = Manifest(
            key=folder.name,
            recipe=variant.recipe,
            settings=compression.settings,
            base_sha256=base.sha256,
            program_sha256=program,
            text=text,
            threads=threads,
            versions={name: version(name) for name in NEEDS},
            wall_s=round(time.monotonic() - begun_s, 3),
            peak_rss_bytes=done.peak_rss_bytes,
            losses=done.losses,
            files=artifact.files,
        )
        write_durably(target / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        (target / SUMS).write_bytes(sums_of(artifact.files))
        if path is not None:
            shutil.copyfile(path, target / LEARNED)
        target.rename(folder)
    finally:
        shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(state, ignore_errors=True)
