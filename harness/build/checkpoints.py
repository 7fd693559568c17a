"""Hugging Face checkpoints: a folder of the user's, taken where it is, or one made from 16-bit GGUF weights.

Only the layout is read here: JSON and the headers of safetensors. Weights are loaded by worker programs alone.
"""

import hashlib
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from harness.build import releases
from harness.build.cache import cache_folder, only_one, sha256_file, stamp_of, used
from harness.build.gguf_header import read_header as read_gguf_header
from harness.build.hub_models import has_file
from harness.build.programs import finish
from harness.build.recipes import compression_of
from harness.build.runners.hf import ARGV, find_hf
from harness.build.safetensors_files import COMPRESSED, INDEX, SINGLE, Tensor, read_header, read_json, weight_files
from harness.errors import BuildError, InputError
from harness.progress import Progress
from harness.values import Artifact, ArtifactFile, CheckpointSource, HubSource, Variant, digest

KEPT = ("*.json", "*.jinja", "*.model", "*.txt")
"""Files that make up a checkpoint beside its weights. Code and pickled weights are never loaded: no part of it."""
MANIFEST = "manifest.json"
"""How it was made, where it was made here: no part of it, since times differ."""
SUMS = "SHA256SUMS"
"""What the files of a made checkpoint were when they were made."""
OF_TOKENIZER = ("tokenizer", "special_tokens", "added_tokens", "chat_template", "vocab", "merges")
"""How the names of a tokenizer's files begin."""
DTYPES = {"bf16": "bfloat16", "f16": "float16"}
"""Recipe → how its weights are stored in a checkpoint."""
AS_IT_IS = "released"
"""The recipe that changes nothing."""
ROPE_FACTORS = "rope_freqs.weight"
"""llama.cpp's tensor for a RoPE as of Llama 3; transformers' reader of GGUF files passes it over."""
REVISION = 2
LONGEST_MAKING_S = 3600


class CheckpointText(msgspec.Struct, frozen=True):
    """What of a checkpoint's tokenizer requests depend on."""

    prefix_token: int
    """What stands before a text that has no context: the BOS token, else EOS."""
    chat_template: str | None
    bos: str
    eos: str


class Weighed(msgspec.Struct, frozen=True):
    """What a checkpoint's tensors come to."""

    parameters: int
    bytes: int
    types: dict[str, int]
    """How many are stored in each type; empty where no header says it."""


def is_checkpoint_of_its_own(variant: Variant) -> bool:
    """Whether its model's checkpoint is taken as it is, once it is there."""
    source = variant.model.source
    if isinstance(source, HubSource):
        return variant.recipe == AS_IT_IS and not has_file(source)
    return isinstance(source, CheckpointSource) and variant.recipe == AS_IT_IS


def holds_integers(variant: Variant) -> bool:
    """Whether its checkpoint is a compressed one: made by a recipe here, or taken as it is."""
    source = variant.model.source
    if isinstance(source, CheckpointSource) and variant.recipe == AS_IT_IS:
        folder = Path(source.path)
        if releases.is_release(folder):
            return releases.read_shape(folder).quantization_args is not None
        return (folder / COMPRESSED).is_file()
    return compression_of(variant) is not None


def makes_no_checkpoint(variant: Variant) -> str | None:
    """Why there is no checkpoint of the variant, or None."""
    if is_checkpoint_of_its_own(variant) or compression_of(variant) is not None:
        return None
    if variant.recipe in DTYPES and not isinstance(variant.model.source, CheckpointSource):
        return None
    if variant.recipe in DTYPES:
        return f"recipe {variant.recipe!r} rounds a checkpoint for llama.cpp only; {AS_IT_IS!r} takes it as it is"
    return f"the weights of recipe {variant.recipe!r} exist in llama.cpp's format only"


def find_checkpoint(name: str, path: str) -> Path:
    """The folder of a user's checkpoint, or the one that completes it by a tokenizer.

    Raises:
        InputError: no such folder, or files are missing in it; they are named.
        BuildError: the tokenizer of a release is damaged.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"model {name!r}: no folder at {path}")
    if releases.is_release(folder):
        return releases.complete(name, folder)
    missing = [file for file in ("config.json", "tokenizer.json") if not (folder / file).is_file()]
    if missing:
        raise InputError(f"model {name!r}: {path} has no {' and no '.join(missing)}: no Hugging Face checkpoint")
    if not any((folder / file).is_file() for file in (SINGLE, INDEX, COMPRESSED)):
        raise InputError(f"model {name!r}: {path} has no {SINGLE} and no {INDEX} (pickled weights are never loaded)")
    return folder


def made_checkpoint(variant: Variant, gguf: Artifact, progress: Progress) -> Path:
    """A checkpoint with the weights of a 16-bit GGUF artifact, from the cache or made now (needs torch).

    Raises:
        BuildError: the program that makes it failed.
    """
    if any(tensor.name == ROPE_FACTORS for tensor in read_gguf_header(Path(gguf.path)).tensors):
        raise BuildError(
            f"{variant.name}: its RoPE is scaled ({ROPE_FACTORS}), which is lost on the way from GGUF to a checkpoint:"
            " name the checkpoint itself (from: checkpoint)"
        )
    folder = checkpoint_folder(gguf.sha256)
    with only_one(f"checkpoint-{folder.name}"):
        if not folder.is_dir():
            _make(Path(gguf.path), folder, DTYPES[variant.recipe], f"checkpoint of {variant.name}", progress)
        used(folder)
    return folder


def checkpoint_folder(gguf_sha256: str) -> Path:
    """Where the checkpoint of a GGUF file is kept, made or not."""
    wish = [gguf_sha256, REVISION, _version("transformers"), _version("gguf")]
    return cache_folder("checkpoints") / digest(wish)[:16]


def describe(variant: str, folder: Path) -> tuple[Artifact, dict[str, Any]]:
    """The folder as an artifact, and the stamp of each of its files by path.

    Raises:
        BuildError: a damaged file, or weights that are named and missing.
    """
    release = releases.is_release(folder)
    weights = (folder / releases.WEIGHTS,) if release else weight_files(folder)
    beside = (path for pattern in KEPT for path in folder.glob(pattern) if path.is_file() and path.name != MANIFEST)
    paths = sorted({*weights, *beside})
    stamps = {str(path): stamp_of(path) for path in paths}
    files = tuple(ArtifactFile(name=p.name, bytes=p.stat().st_size, sha256=sha256_file(p)) for p in paths)
    if release:
        stored = releases.tensor_bytes(folder)
        weighed = Weighed(releases.parameters(releases.read_shape(folder), stored), stored, {})
    else:
        weighed = _weighed(weights)
    artifact = Artifact(
        variant=variant,
        format="checkpoint",
        sha256=sha256_of(files),
        files=files,
        parameters=weighed.parameters or None,
        tensor_bytes=weighed.bytes or None,
        decode_bytes=None,
        tensor_types=weighed.types,
        path=str(folder),
    )
    return artifact, stamps


def _weighed(files: tuple[Path, ...]) -> Weighed:
    named = [pair for path in files for pair in read_header(path)[0].items()]
    types: dict[str, int] = {}
    for _, tensor in named:
        types[tensor.dtype] = types.get(tensor.dtype, 0) + 1
    return Weighed(
        parameters=sum(weights_of(name, tensor) for name, tensor in named),
        bytes=sum(t.data_offsets[1] - t.data_offsets[0] for _, t in named),
        types=types,
    )


def weights_of(name: str, tensor: Tensor) -> int:
    """How many weights a tensor holds: two a byte where a compressed checkpoint packs them, none in its scales."""
    if name.endswith(".weight_scale"):
        return 0
    return tensor.elements * (2 if name.endswith(".weight_int4") else 1)


def describe_made(variant: str, folder: Path) -> tuple[Artifact, dict[str, Any]]:
    """The same of a checkpoint that was made here.

    Raises:
        BuildError: it is no longer as it was made.
    """
    try:
        artifact, stamps = describe(variant, folder)
        same = (folder / SUMS).read_bytes() == sums_of(artifact.files)
    except (BuildError, OSError) as error:
        raise BuildError(f"the stored checkpoint of {variant!r} is damaged: remove {folder} ({error})") from error
    if not same:
        raise BuildError(f"the stored checkpoint of {variant!r} has changed on disk: remove {folder}")
    return artifact, stamps


def sums_of(files: tuple[ArtifactFile, ...]) -> bytes:
    """Sorted `sha256  name` lines."""
    return "".join(sorted(f"{file.sha256}  {file.name}\n" for file in files)).encode()


def sha256_of(files: tuple[ArtifactFile, ...]) -> str:
    return hashlib.sha256(sums_of(files)).hexdigest()


def checkpoint_text(folder: Path) -> CheckpointText:
    """Special tokens and chat template of a checkpoint.

    Raises:
        BuildError: a damaged file, or no token that could stand before an empty context.
    """
    config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    tokens = _token_ids(read_json(folder / "tokenizer.json"))
    bos, eos = _token_text(config.get("bos_token")), _token_text(config.get("eos_token"))
    first = next((tokens[text] for text in (bos, eos) if text in tokens), None)
    if first is None:
        raise BuildError(f"{folder} names neither a BOS nor an EOS token")
    template = _default_template(config.get("chat_template"))
    if (file := folder / "chat_template.jinja").is_file():
        try:
            template = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BuildError(f"{file} is not UTF-8 text: byte {error.start + 1}") from None
    return CheckpointText(prefix_token=first, chat_template=template, bos=bos, eos=eos)


def special_texts(folder: Path) -> tuple[str, ...]:
    """Texts that mean special tokens to the checkpoint's tokenizer.

    Raises:
        BuildError: a damaged file.
    """
    added = _added_tokens(read_json(folder / "tokenizer.json"))
    return tuple(text for token in added if token.get("special") and (text := _token_text(token)))


def tokenizer_sha256(artifact: Artifact) -> str:
    """Of the files that make up its tokenizer: the same for all variants of a model."""
    return sha256_of(tuple(f for f in artifact.files if f.name.startswith(OF_TOKENIZER)))


def _make(gguf: Path, folder: Path, dtype: str, what: str, progress: Progress) -> None:
    target = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="bench-checkpoint-") as work, progress.bar(f"making {what}"):
        job, events = Path(work, "job.json"), Path(work, "events.jsonl")
        wish = {
            "kind": "checkpoint",
            "model": str(gguf),
            "output": str(target),
            "dtype": dtype,
            "program_sha256": find_hf().sha256,
        }
        job.write_bytes(msgspec.json.encode(wish))
        finish([*ARGV, str(job), str(events)], f"making the {what}", LONGEST_MAKING_S)
    artifact, _ = describe(what, target)
    (target / SUMS).write_bytes(sums_of(artifact.files))
    target.rename(folder)


def _token_ids(tokenizer: dict[str, Any]) -> dict[str, int]:
    """Text → id of the tokens that were added to the vocabulary, and of the vocabulary itself."""
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    found = {k: v for k, v in vocabulary.items() if isinstance(v, int)} if isinstance(vocabulary, dict) else {}
    for token in _added_tokens(tokenizer):
        if isinstance(token.get("content"), str) and isinstance(token.get("id"), int):
            found[token["content"]] = token["id"]
    return found


def _added_tokens(tokenizer: dict[str, Any]) -> list[dict[str, Any]]:
    added = tokenizer.get("added_tokens")
    return [token for token in added if isinstance(token, dict)] if isinstance(added, list) else []


def _token_text(token: object) -> str:
    """A special token is written as text, or as an object that has it."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""


def _default_template(found: object) -> str | None:
    """A template is written as text, or as a list of named ones, of which transformers takes `default`."""
    if isinstance(found, list):
        named = [one for one in found if isinstance(one, dict) and one.get("name") == "default"]
        found = named[0].get("template") if named else None
    return found if isinstance(found, str) else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
