"""Which entries of the cache a suite needs, found without making anything."""

from contextlib import suppress
from pathlib import Path

import msgspec

from harness.build.artifacts import MANIFEST, Manifest, artifact_folder, base_variant
from harness.build.cache import cache_folder, sha256_file
from harness.build.checkpoints import (
    DTYPES,
    SUMS,
    checkpoint_folder,
    describe,
    find_checkpoint,
    is_checkpoint_of_its_own,
)
from harness.build.compressed import compressed_folder
from harness.build.converted import converted_place
from harness.build.downloads import member_key
from harness.build.drawn_text import drawn_name
from harness.build.exported import RUNTIME, Wish, numbers_of, pte_folder, wish_of
from harness.build.recipes import base_of, checkpoint_base_of, compression_of
from harness.build.recipes.stored import runner_of
from harness.build.releases import completed_place, is_release
from harness.build.runners.llama_cpp_build import build_key, runner_hash
from harness.build.runners.llama_cpp_sources import SDIST_SHA256
from harness.build.runners.targets import TARGETS
from harness.build.unreleased import unreleased_place
from harness.errors import BuildError, InputError, SetupError
from harness.values import CheckpointSource, FileSource, HubSource, Model, RandomSource, Suite, Variant, WheelSource


def needed(suite: Suite) -> set[str]:
    """Entries (`kind/name`) that a run of the suite would look for."""
    found: set[str] = set()
    for variant in suite.variants:
        found |= _of_variant(variant)
        if any(runtime.name == RUNTIME for runtime in suite.runtimes):
            found |= _of_export(variant, wish_of(suite))
    return found


def needed_tools() -> set[str]:
    """The runners as they would be built here now, for this machine and for phones, and what they are built from."""
    found = {f"downloads/{SDIST_SHA256}", f"sources/{SDIST_SHA256[:16]}"}
    for target in TARGETS:
        with suppress(SetupError):  # no compiler for it: which runner would be built is not known
            found |= {f"runners/{runner_hash(target)[:16]}", f"build/{build_key(target)}"}
    return found


def _of_variant(variant: Variant) -> set[str]:
    found = _of_artifact(variant) | _of_model(variant.model)
    with suppress(BuildError):  # a runner that is gone is not needed
        if (runner := runner_of(variant)) is not None:
            found.add(f"runners/{Path(runner.path).parent.name}")
    base = base_of(variant)
    return (found if base is None else found | _of_artifact(base)) | _of_compression(variant)


def _of_compression(variant: Variant) -> set[str]:
    """The compressed checkpoint, made or half learned, and what it learns from."""
    compression = compression_of(variant)
    if compression is None:
        return set()
    found: set[str] = set()
    with suppress(InputError, BuildError):  # else what it is made with is not there
        base = _base_sha256(checkpoint_base_of(variant))
        if base is None:
            return found
        name = compressed_folder(variant, compression, base).name
        found |= {f"checkpoints/{name}", f"training/{name}"}
        if compression.drawn_tokens:
            found.add(f"texts/{drawn_name(base, compression.drawn_tokens, int(compression.settings['seed']))}")
    return found


def _of_export(variant: Variant, wish: Wish) -> set[str]:
    """The `.pte` file of a variant whose checkpoint is there."""
    with suppress(InputError, BuildError, SetupError):
        folder = _checkpoint(variant)
        if folder is not None and folder.is_dir():
            checkpoint, _ = describe(variant.name, folder)
            return {f"exported/{pte_folder(numbers_of(variant, checkpoint), checkpoint.sha256, wish).name}"}
    return set()


def _checkpoint(variant: Variant) -> Path | None:
    """Where the variant's checkpoint is kept, made or not; None where that is not known yet."""
    source, compression = variant.model.source, compression_of(variant)
    if isinstance(source, CheckpointSource) and is_checkpoint_of_its_own(variant):
        return find_checkpoint(variant.model.name, source.path)
    if compression is not None:
        base = _base_sha256(checkpoint_base_of(variant))
        return None if base is None else compressed_folder(variant, compression, base)
    names = [name for name in _of_artifact(variant) if name.startswith("checkpoints/")]
    return cache_folder() / names[0] if names else None


def _base_sha256(base: Variant) -> str | None:
    """Of the checkpoint that a variant is compressed from; None where it is not made yet."""
    if isinstance(base.model.source, CheckpointSource):
        return describe(base.name, find_checkpoint(base.model.name, base.model.source.path))[0].sha256
    for name in _of_artifact(base):
        sums = cache_folder() / name / SUMS
        if sums.is_file():
            return sha256_file(sums)
    return None


def _of_artifact(variant: Variant) -> set[str]:
    try:
        folder = artifact_folder(variant)
    except (
        InputError,
        BuildError,
    ):  # its model's file, or what makes it, is not there: no artifact of it can be found by a run either
        return set()
    found = {f"artifacts/{folder.name}"}
    manifest = folder / MANIFEST
    if variant.recipe in DTYPES and manifest.is_file():
        made = msgspec.json.decode(manifest.read_bytes(), type=Manifest)
        found.add(f"checkpoints/{checkpoint_folder(made.file.sha256).name}")
    return found


def _of_model(model: Model) -> set[str]:
    source = model.source
    if isinstance(source, CheckpointSource):
        with suppress(InputError, BuildError, SetupError):  # it is not there: nothing is made of it
            return _of_checkpoint(model.name, source.path)
    if isinstance(source, RandomSource):
        return _of_artifact(base_variant(model)) | _of_source(source.tokenizer)
    return _of_source(source)


def _of_checkpoint(name: str, path: str) -> set[str]:
    """What is made of a user's checkpoint: a GGUF file, and of a release a folder with a tokenizer and one in
    transformers' layout."""
    folder = find_checkpoint(name, path)
    own, _ = describe(name, folder)
    if not is_release(folder):
        return {f"members/{converted_place(own).name}"}
    plain = unreleased_place(name, folder)
    found = {f"checkpoints/{plain.name}", f"releases/{completed_place(Path(path)).name}"}
    if plain.is_dir():
        found.add(f"members/{converted_place(describe(name, plain)[0]).name}")
    return found


def _of_source(source: WheelSource | FileSource | CheckpointSource | HubSource) -> set[str]:
    if isinstance(source, FileSource | CheckpointSource | HubSource):
        return set()
    return {f"downloads/{source.sha256}", f"members/{member_key(source.sha256, source.member)}"}
