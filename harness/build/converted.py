"""A Hugging Face checkpoint as a BF16 GGUF file, by llama.cpp's own converter, of the pinned sources."""

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from harness.build.cache import cache_folder, only_one, used
from harness.build.checkpoints import CODE_LISTS, KEPT, describe, find_checkpoint
from harness.build.programs import finish
from harness.build.runners.hf import INSTALL
from harness.build.runners.llama_cpp_sources import SDIST_SHA256, llama_sources
from harness.build.safetensors_files import read_json
from harness.errors import BuildError
from harness.progress import Progress
from harness.values import CheckpointSource, Model, digest

CONVERTER = "convert_hf_to_gguf.py"
KNOWN = ("llama", "mistral")
"""`model_type`s: what recipes take too."""
LONGEST_S = 3600
NEEDS = ("torch", "transformers", "safetensors")


def converted_gguf(model: Model, source: CheckpointSource, progress: Progress) -> Path:
    """The BF16 file, from the cache or made now.

    Raises:
        InputError: no checkpoint is there.
        BuildError: the checkpoint is of another kind, a library is not installed, or the converter failed.
    """
    folder = find_checkpoint(model.name, source.path)
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in KNOWN:
        raise BuildError(f"{folder} is a {kind!r}; checkpoints made GGUF files here are: {', '.join(KNOWN)}")
    if lacking := [name for name in NEEDS if find_spec(name) is None]:
        raise BuildError(f"{model.name}: a GGUF file of a checkpoint is made with {', '.join(lacking)}: {INSTALL}")
    artifact, _ = describe(model.name, folder)
    target = cache_folder("members") / f"{digest([artifact.sha256, SDIST_SHA256])[:16]}.gguf"
    with only_one(f"member-{target.name}"):
        if not target.is_file():
            _convert(folder, target, model.name, progress)
        used(target)
    return target


def _convert(folder: Path, target: Path, name: str, progress: Progress) -> None:
    """The converter sees a folder of links without the checkpoint's code: it would run that."""
    converter = llama_sources(progress) / CONVERTER
    part = target.with_name(f"{target.name}.part")
    with tempfile.TemporaryDirectory(prefix="bench-convert-") as work, progress.bar(f"GGUF of {name}"):
        seen = Path(work, "model")
        seen.mkdir()
        for pattern in (*KEPT, "*.safetensors"):
            for path in folder.glob(pattern):
                (seen / path.name).symlink_to(path.resolve())
        refuse_code(seen)
        argv = [sys.executable, str(converter), str(seen), "--outtype", "bf16", "--outfile", str(part)]
        offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(Path(work, "home"))}
        finish(argv, f"making a GGUF file of {name}", LONGEST_S, {**os.environ, **offline})
    part.rename(target)


def refuse_code(folder: Path) -> None:
    """Raises BuildError: a file names code of its own, which the converter would trust."""
    for path in folder.glob("*.json"):
        if path.name in CODE_LISTS and "auto_map" in read_json(path):
            raise BuildError(f"{path.name} names code of its own (auto_map), which is never run here: remove the key")
