"""A release in transformers' layout: the same integers, scales and floats."""

import json
import shutil
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file

from harness.measure.workers.hf.errors import JobFailedError
from harness.measure.workers.released.names import is_norm, modules
from harness.measure.workers.released.params import config_of
from harness.measure.workers.released.reading import LORA, Released
from harness.measure.workers.released.writing import BESIDE
from harness.measure.workers.scheme.layout import Matrix, write

SINGLE = "model.safetensors"


def write_unreleased(source: Path, output: Path) -> None:
    """Write the folder; whole under its name, or not there. A compressed one is as `scheme.layout` has it.

    Raises:
        ModelError: the files of the release cannot be read, or contradict each other.
        JobFailedError: the folder is there already, or cannot be written.
    """
    if output.exists():
        raise JobFailedError(f"{output} is there already")
    weights = Released(source)
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        config = json.loads(config_of(weights.params).to_json_string(use_diff=False))
        config["architectures"] = ["LlamaForCausalLM"]
        if weights.scheme is not None:
            config["quantization_config"] = msgspec.to_builtins(weights.scheme)
        config.pop("_name_or_path", None)
        (partial / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        for path in sorted({path for pattern in BESIDE for path in source.glob(pattern) if path.is_file()}):
            shutil.copyfile(path, partial / path.name)
        if weights.scheme is not None:
            _write_compressed(weights, partial)
        else:
            floats = {name: weights.tensor(name).contiguous().clone() for name in sorted(weights.names)}
            save_file(floats, partial / SINGLE, {"format": "pt"})
        partial.rename(output)
    except OSError as error:
        raise JobFailedError(f"cannot write {output}: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_compressed(weights: Released, folder: Path) -> None:
    matrices: list[tuple[str, Matrix]] = []
    vectors: dict[str, torch.Tensor] = {}
    adaptors: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for meta, hf in modules(weights.params.n_layers).items():
        if is_norm(meta):
            vectors[hf] = weights.tensor(f"{hf}.weight")
            continue
        matrices.append((hf, weights.matrix(hf, *weights.shape_of(hf))))
        if f"{hf}.lora_a" in weights.names:
            first, second = (weights.tensor(f"{hf}.{half}") for half in LORA)
            adaptors[hf] = first, second
    write(folder, matrices, vectors, adaptors)
