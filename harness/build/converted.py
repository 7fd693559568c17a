"""A Hugging Face checkpoint as a BF16 GGUF file, by llama.cpp's own converter, of the pinned sources."""

import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from harness.build.cache import cache_folder, only_one, used
from harness.build.checkpoints import describe, find_checkpoint
from harness.build.programs import finish
from harness.build.runners.hf import INSTALL
from harness.build.runners.llama_cpp_sources import SDIST_SHA256, llama_sources
from harness.build.safetensors_files import INDEX, SINGLE, read_json, weight_files
from harness.errors import BuildError
from harness.progress import Progress
from harness.values import Artifact, CheckpointSource, Model, digest

CONVERTER = "convert_hf_to_gguf.py"
KNOWN = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}
"""`model_type` → the only `architectures` that it may have: what recipes take too."""
LINKED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
"""What the converter sees of a checkpoint, beside its weights."""
CODE = ("auto_map", "configuration_files")
"""Keys by which a checkpoint names code, or another file that may."""
TYPES = {"BF16": "bf16", "F16": "f16"}
"""Type of the weights → the converter's name for it; others become F32."""
LONGEST_S = 3600
REVISION = 1
NEEDS = ("torch", "transformers", "safetensors", "sentencepiece")


def converted_gguf(model: Model, source: CheckpointSource, progress: Progress) -> Path:
    """The file with the checkpoint's own floats, from the cache or made now.

    Raises:
        InputError: no checkpoint is there.
        BuildError: the checkpoint is of another kind, a library is not installed, or the converter failed.
    """
    folder = find_checkpoint(model.name, source.path)
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind not in KNOWN or config.get("architectures") != [KNOWN[kind]]:
        raise BuildError(f"{folder} is a {kind!r}; checkpoints made GGUF files here are: {', '.join(KNOWN)}")
    if lacking := [name for name in NEEDS if find_spec(name) is None]:
        raise BuildError(f"{model.name}: a GGUF file of a checkpoint is made with {', '.join(lacking)}: {INSTALL}")
    artifact, _ = describe(model.name, folder)
    target = converted_place(artifact)
    with only_one(f"member-{target.name}"):
        if not target.is_file():
            types = [kind for kind in artifact.tensor_types if kind != "F32"] or ["F32"]
            convert(folder, target, model.name, TYPES.get(types[0], "f32") if len(types) == 1 else "f32", progress)
        used(target)
    return target


def converted_place(checkpoint: Artifact) -> Path:
    """Where the GGUF file of a checkpoint is kept, made or not."""
    return cache_folder("members") / f"{digest([checkpoint.sha256, SDIST_SHA256, REVISION])[:16]}.gguf"


def convert(folder: Path, target: Path, name: str, kind: str, progress: Progress) -> None:
    """Write the GGUF file of a folder in transformers' layout. The converter trusts what it finds: it sees links to
    known files, none of which names code.

    Raises:
        BuildError: a file names code, or the converter failed.
    """
    converter = llama_sources(progress) / CONVERTER
    part = target.with_name(f"{target.name}.part")
    with tempfile.TemporaryDirectory(prefix="bench-convert-") as work, progress.bar(f"GGUF of {name}"):
        seen = Path(work, "model")
        seen.mkdir()
        weights = weight_files(folder)
        names = (*LINKED, *(path.name for path in weights), *((INDEX,) if weights[0].name != SINGLE else ()))
        for path in (folder / file for file in names):
            if path.is_file():
                (seen / path.name).symlink_to(path.resolve())
        refuse_code(seen)
        argv = [sys.executable, str(converter), str(seen), "--outtype", kind, "--outfile", str(part)]
        offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(Path(work, "home"))}
        finish(argv, f"making a GGUF file of {name}", LONGEST_S, {**os.environ, **offline})
    part.rename(target)


def refuse_code(folder: Path) -> None:
    """Raises BuildError: a file names code of its own, which the converter would trust."""
    for path in sorted(folder.glob("*config*.json")):
        if found := next((key for key in _keys(read_json(path)) if key in CODE), None):
            raise BuildError(f"{path.name} names code of its own ({found}), which is never run here: remove the key")


def _keys(value: object) -> Iterator[str]:
    """Every key, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
