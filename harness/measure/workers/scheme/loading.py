"""A compressed checkpoint as a model that computes with the scheme's numerics."""

from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.hf.weights import UNREADABLE
from harness.measure.workers.scheme.layers import Adaptor, QuantizedEmbedding, QuantizedLinear, put
from harness.measure.workers.scheme.layout import FILE, Matrix, Scheme, Weights

OUTPUT = "lm_head"


class HasWeights(Protocol):
    """Compressed weights by transformers' names, whatever files they lie in."""

    path: Path
    names: set[str]
    read: set[str]
    """Those that were asked for."""

    def tensor(self, name: str) -> torch.Tensor: ...

    def matrix(self, name: str, rows: int, columns: int) -> Matrix: ...


def open_compressed(folder: Path, scheme: Scheme, dtype: torch.dtype, attention: str) -> Any:
    """The model; activations and weights are widened to `dtype` after they were read back from integers.

    Raises:
        ModelError: the files hold no such model, or hold more or less than it has.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        del config.quantization_config
        with init_empty_weights(include_buffers=False):
            model: Any = AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=attention, trust_remote_code=False
            )
    except UNREADABLE as error:
        raise ModelError(f"cannot load {folder}: {error}") from error
    fill(model, Weights(folder / FILE), scheme, dtype)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.eval()


def fill(model: Any, weights: HasWeights, scheme: Scheme, dtype: torch.dtype) -> None:
    """Puts layers of the scheme's numerics into a model without weights.

    Raises:
        ModelError: the files hold more or less than the model has.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            put(model, name, _linear(name, module, weights, scheme, dtype))
        elif isinstance(module, nn.Embedding):
            matrix = weights.matrix(name, module.num_embeddings, module.embedding_dim)
            put(model, name, QuantizedEmbedding(matrix.weight.to(dtype)))
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            put(model, name, nn.Parameter(_vector(name, parameter, weights).to(dtype), requires_grad=False))
    if more := sorted(weights.names - weights.read):
        raise ModelError(f"cannot load {weights.path}: the model has no place for {more[0]}")


def _linear(name: str, module: nn.Linear, weights: HasWeights, scheme: Scheme, dtype: torch.dtype) -> QuantizedLinear:
    if module.bias is not None:
        raise ModelError(f"{name} has a bias: no such layer is compressed here")
    adaptor = None
    if f"{name}.lora_a" in weights.names:
        a, b = weights.tensor(f"{name}.lora_a"), weights.tensor(f"{name}.lora_b")
        if a.shape != (scheme.lora_rank, module.in_features) or b.shape != (module.out_features, scheme.lora_rank):
            raise ModelError(f"cannot load {weights.path}: the adaptor of {name} is of another shape")
        adaptor = Adaptor(a.to(dtype), b.to(dtype), scheme.lora_scale)
    elif scheme.lora_rank and name != OUTPUT:
        raise ModelError(f"cannot load {weights.path}: it lacks the adaptor of {name}")
    matrix = weights.matrix(name, module.out_features, module.in_features)
    rotates = scheme.rotates_down and name.endswith(".down_proj")
    return QuantizedLinear(matrix.weight.to(dtype), rotates=rotates, adaptor=adaptor)


def _vector(name: str, parameter: torch.Tensor, weights: HasWeights) -> torch.Tensor:
    found = weights.tensor(name)
    if found.shape != parameter.shape:
        raise ModelError(f"cannot load {weights.path}: {name} is {list(found.shape)}, not {list(parameter.shape)}")
    return found
