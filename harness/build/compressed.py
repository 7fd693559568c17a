"""Compressed checkpoints: made by `bench-compress`, kept by what went into them, with a manifest beside."""

import os
import shutil
import signal
import time
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from harness.build.cache import cache_folder, only_one, sha256_file, used
from harness.build.checkpoints import MANIFEST, SUMS, describe, sums_of
from harness.build.programs import lines_of, running
from harness.build.recipes import Compression
from harness.build.runners.compress import ARGV, NEEDS, find_compress
from harness.errors import BuildError, InputError, one_line
from harness.progress import Progress
from harness.store import write_durably
from harness.values import ArtifactFile, Positive, Sha256, Value, Variant, digest

REVISION = 1
"""Raised when the same inputs give another checkpoint and the program's hash does not say so."""
EVENTS = "events.jsonl"


class TextUsed(Value, frozen=True):
    """What a recipe learned from."""

    name: str
    sha256: Sha256


class Loss(Value, frozen=True):
    stage: str
    step: int
    loss: float


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


def compressed_checkpoint(
    variant: Variant, compression: Compression, base: Path, base_sha256: str, progress: Progress
) -> Path:
    """The folder of a variant's checkpoint, from the cache or made now from the checkpoint `base`.

    Raises:
        BuildError: a library is not installed, or the program failed.
        InputError: the text is not there.
    """
    text, program = _text(variant, compression), find_compress()
    folder = compressed_folder(variant, compression, base_sha256)
    with only_one(f"checkpoint-{folder.name}"):
        if not folder.is_dir():
            _make(variant, compression, base, base_sha256, text, program, folder, progress)
            shutil.rmtree(_state(folder), ignore_errors=True)
        used(folder)
    return folder


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
    text = _text(variant, compression)
    return [compression.kind, compression.settings, text and text.sha256, find_compress(), REVISION]


def read_manifest(folder: Path) -> Manifest:
    """Raises BuildError: it is damaged."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BuildError(f"the manifest in {folder} is damaged: remove the folder ({error})") from error


def _text(variant: Variant, compression: Compression) -> TextUsed | None:
    if compression.text is None:
        return None
    path = Path(compression.text)
    if not path.is_file():
        raise InputError(f"variant {variant.name!r}: no text at {path}")
    return TextUsed(name=path.name, sha256=sha256_file(path))


def _state(folder: Path) -> Path:
    """What an interrupted program leaves for the next one."""
    return cache_folder("training") / folder.name


def _make(
    variant: Variant,
    compression: Compression,
    base: Path,
    base_sha256: str,
    text: TextUsed | None,
    program: str,
    folder: Path,
    progress: Progress,
) -> None:
    state = _state(folder)
    state.mkdir(parents=True, exist_ok=True)
    threads = _threads(state)
    target = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(target, ignore_errors=True)
    spec = {
        "kind": compression.kind,
        "model": str(base),
        "output": str(target),
        "threads": threads,
        "program_sha256": program,
        **compression.settings,
    }
    if compression.text is not None:
        spec |= {"text": compression.text, "state": str(state)}
    (state / "job.json").write_bytes(msgspec.json.encode(spec))
    (state / EVENTS).unlink(missing_ok=True)
    begun_s = time.monotonic()
    done = _run(state, variant.name, progress)
    artifact, _ = describe(variant.name, target)
    manifest = Manifest(
        key=folder.name,
        recipe=variant.recipe,
        settings=compression.settings,
        base_sha256=base_sha256,
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
    target.rename(folder)


def _threads(state: Path) -> int:
    """As many as the job had that is gone on with: with others, it would end with other bytes."""
    try:
        return msgspec.json.decode((state / "job.json").read_bytes(), type=_Begun).threads
    except (OSError, msgspec.MsgspecError):
        return len(os.sched_getaffinity(0))


class _Begun(msgspec.Struct):
    threads: Positive


def _run(state: Path, name: str, progress: Progress) -> "_Done":
    """Run the program and show how far it is."""
    last = "no message"
    argv = [*ARGV, str(state / "job.json"), str(state / EVENTS)]
    with progress.bar(f"making {name}") as bar, running(argv, {"BENCH_DIE_WITH_PARENT": "1"}) as process:
        told = ""
        for line in lines_of(process):
            words = line.strip().split(maxsplit=3)
            if words[:1] != ["progress"] or len(words) < 4:
                last = line.strip() or last
                continue
            done, of = int(words[1]), int(words[2])
            bar.update(done, of)
            quarter = f"{words[3].split(',')[0]} {4 * done // of}"
            if quarter != told:
                told = quarter
                progress.say(f"{name}: {words[3]}, {done} of {of}")
    if process.returncode < 0:
        raise BuildError(f"making {name} failed: ended by {signal.Signals(-process.returncode).name} (memory?)")
    if process.returncode != 0:
        raise BuildError(f"making {name} failed: {one_line(last)}")
    return _done(state / EVENTS)


class _Done(msgspec.Struct):
    """The program's last event."""

    event: Literal["done"]
    peak_rss_bytes: int | None
    losses: tuple[Loss, ...]


def _done(events: Path) -> _Done:
    try:
        return msgspec.json.decode(events.read_bytes().splitlines()[-1], type=_Done)
    except (OSError, IndexError, msgspec.MsgspecError) as error:
        raise BuildError(f"bench-compress ended without its last event: {error}") from error
