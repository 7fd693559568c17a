"""A release in transformers' layout, and what a GGUF file of a compressed checkpoint takes from its config alone."""

import json
import shutil
import struct
import tempfile
from pathlib import Path

import msgspec

from harness.build.cache import cache_folder, only_one, used
from harness.build.checkpoints import SUMS, describe, describe_made, find_checkpoint, sums_of
from harness.build.converted import convert
from harness.build.gguf_packing import pack
from harness.build.programs import finish
from harness.build.releases import is_release
from harness.build.runners.hf import ARGV, find_hf
from harness.build.safetensors_files import COMPRESSED, SINGLE, read_json
from harness.progress import Progress
from harness.values import CheckpointSource, Model, digest

LONGEST_S = 3600
REVISION = 1


def plain_layout(name: str, path: str, progress: Progress) -> Path:
    """The checkpoint's folder; of a release one in transformers' layout, from the cache or made now.

    Raises:
        InputError: no checkpoint is there.
        BuildError: its files contradict each other, or the program failed.
    """
    folder = find_checkpoint(name, path)
    if not is_release(folder):
        return folder
    made = unreleased_place(name, folder)
    with only_one(f"checkpoint-{made.name}"):
        if not made.is_dir():
            _make(name, folder, made, progress)
        used(made)
    describe_made(name, made)
    return made


def unreleased_place(name: str, folder: Path) -> Path:
    """Where a release is kept in transformers' layout, made or not.

    Raises:
        BuildError: a damaged file.
        SetupError: a library is not installed.
    """
    release, _ = describe(name, folder)
    return cache_folder("checkpoints") / digest([release.sha256, find_hf().sha256, REVISION])[:16]


def pack_compressed(model: Model, source: CheckpointSource, target: Path, progress: Progress) -> bool:
    """Write the GGUF file of a compressed checkpoint that is taken as it is; False where it is no compressed one.

    Raises:
        InputError: no checkpoint is there.
        BuildError: a library is not installed, or a program failed.
    """
    folder = plain_layout(model.name, source.path, progress)
    if not (folder / COMPRESSED).is_file():
        return False
    with tempfile.TemporaryDirectory(prefix="bench-base-") as work, progress.bar(f"packing {model.name}") as bar:
        base = Path(work, "base.gguf")
        convert(_without_weights(folder, Path(work, "base")), base, model.name, "f32", progress)
        pack(base, folder, target, model.label, bar)
    return True


def _without_weights(folder: Path, place: Path) -> Path:
    """A checkpoint of the same config and tokenizer with one vector: what the converter writes beside weights is all
    that packing takes of it."""
    place.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name != "config.json":
            (place / path.name).symlink_to(path.resolve())
    config = read_json(folder / "config.json")
    config.pop("quantization_config", None)
    (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
    size = 4 * int(config["hidden_size"])
    header = {"model.norm.weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    (place / SINGLE).write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
    return place


def _make(name: str, folder: Path, made: Path, progress: Progress) -> None:
    target = made.with_name(f".{made.name}.part")
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="bench-release-") as work, progress.bar(f"reading {name}"):
        job, events = Path(work, "job.json"), Path(work, "events.jsonl")
        wish = {"kind": "layout", "model": str(folder), "output": str(target), "program_sha256": find_hf().sha256}
        job.write_bytes(msgspec.json.encode(wish))
        finish([*ARGV, str(job), str(events)], f"reading {name}", LONGEST_S)
    artifact, _ = describe(name, target)
    (target / SUMS).write_bytes(sums_of(artifact.files))
    target.rename(made)
