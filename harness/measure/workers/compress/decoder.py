"""A Llama-like decoder by its parts, and what is refused."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.hf.weights import open_model

KNOWN = ("llama", "mistral")
"""`model_type`s whose layers are these parts and nothing between them."""
READS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
"""Linears that read the residual stream, behind a norm."""
DOWN = "mlp.down_proj"
WRITES = ("self_attn.o_proj", DOWN)
NORMS = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}
"""Norm of a block → the linears that read it."""
EMBEDDING, OUTPUT, LAST_NORM = "model.embed_tokens", "lm_head", "model.norm"


class Decoder(msgspec.Struct, frozen=True):
    """A model of transformers in float32 whose embedding and output layer are apart."""

    model: Any
    layers: int
    heads: int
    key_heads: int
    head: int
    hidden: int
    inner: int

    def linear(self, name: str) -> nn.Linear:
        found = self.model.get_submodule(name)
        assert isinstance(found, nn.Linear)
        return found

    def weight(self, name: str) -> torch.Tensor:
        found = self.model.get_submodule(name).weight
        assert isinstance(found, torch.Tensor)
        return found

    def block_linears(self) -> Iterator[str]:
        for layer in range(self.layers):
            yield from (f"model.layers.{layer}.{part}" for part in (*READS, *WRITES))

    def norms(self) -> Iterator[str]:
        for layer in range(self.layers):
            yield from (f"model.layers.{layer}.{norm}" for norm in NORMS)
        yield LAST_NORM


def open_decoder(folder: Path, group: int) -> Decoder:
    """Open a checkpoint for compressing.

    Raises:
        ModelError: it cannot be read, is no Llama-like decoder, has biases, or its sizes do not fit the group.
    """
    model = open_model(folder, folder, dtype=torch.float32, use_safetensors=True, attn_implementation="sdpa")
    config = model.config
    if config.model_type not in KNOWN:
        raise ModelError(f"{folder} is a {config.model_type!r}; Llama-like decoders are compressed: {', '.join(KNOWN)}")
    if getattr(config, "quantization_config", None) is not None:
        raise ModelError(f"{folder} is compressed already; a 16-bit checkpoint is wanted")
    hidden, heads = int(config.hidden_size), int(config.num_attention_heads)
    decoder = Decoder(
        model=model,
        layers=int(config.num_hidden_layers),
        heads=heads,
        key_heads=int(config.num_key_value_heads),
        head=int(getattr(config, "head_dim", None) or hidden // heads),
        hidden=hidden,
        inner=int(config.intermediate_size),
    )
    _check(decoder, folder, group)
    untie(model)
    return decoder


def untie(model: Any) -> None:
    """Give the output layer weights of its own."""
    if model.config.tie_word_embeddings:
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
        model.config.tie_word_embeddings = False


def _check(decoder: Decoder, folder: Path, group: int) -> None:
    for name, module in decoder.model.named_modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            raise ModelError(f"{folder}: {name} has a bias; only layers without one are compressed")
    for name in decoder.block_linears():
        columns = decoder.linear(name).in_features
        if columns % group or columns % 2:
            raise ModelError(f"{folder}: groups of {group} do not divide the {columns} columns of {name}")
    for name, parameter in decoder.model.named_parameters():
        if not math.isfinite(float(parameter.detach().abs().max())):
            raise ModelError(f"{folder}: {name} has values that are no numbers")
