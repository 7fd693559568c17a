"""What a model reads and what its outputs matter, seen on some text: what an expected loss is reckoned from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import torch
from torch.nn.functional import cross_entropy

from harness.measure.workers.compress.decoder import Decoder
from harness.measure.workers.hf.errors import ModelError

READERS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
"""One of the linears that read the same, for each such input of a block."""


class Seen(msgspec.Struct, frozen=True):
    """By the names of linears."""

    moments: dict[str, torch.Tensor]
    """[columns, columns] of each of READERS: mean over tokens of xᵀx."""
    weights: dict[str, torch.Tensor]
    """[rows] of every linear of the blocks: mean over tokens of the squared gradient of a drawn next token's negative
    log-likelihood with respect to the output, which is the diagonal of its Fisher information."""


def look(decoder: Decoder, rows: torch.Tensor, graded: torch.Tensor, generator: torch.Generator) -> Seen:
    """rows and graded [samples, tokens]: for moments, and for gradients.

    Raises:
        ModelError: activations or gradients that are no numbers.
    """
    decoder.model.requires_grad_(False)
    found = Seen(_moments(decoder, rows), _weights(decoder, graded, generator))
    for name, tensor in (*found.moments.items(), *found.weights.items()):
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{name} reads or receives numbers that are none")
    return found


@torch.no_grad()
def _moments(decoder: Decoder, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    def adds(name: str) -> Callable[[Any, Any, Any], None]:
        def add(_: Any, inputs: Any, __: Any) -> None:
            x = inputs[0].flatten(0, -2)
            found[name] = found[name] + x.T @ x if name in found else x.T @ x

        return add

    names = [name for name in decoder.block_linears() if name.endswith(READERS)]
    hooks = [decoder.linear(name).register_forward_hook(adds(name)) for name in names]
    with _removed(hooks):
        for row in rows:
            decoder.model(row[None], use_cache=False)
    return {name: total / rows.numel() for name, total in found.items()}


def _weights(decoder: Decoder, rows: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    def adds(name: str) -> Callable[[Any, Any, Any], None]:
        def add(_: Any, __: Any, gradients: Any) -> None:
            squares = gradients[0].flatten(0, -2).square().sum(0)
            found[name] = found[name] + squares if name in found else squares

        return add

    hooks = [decoder.linear(name).register_full_backward_hook(adds(name)) for name in decoder.block_linears()]
    with _removed(hooks):
        for row in rows:
            inputs = decoder.model.get_input_embeddings()(row[None]).requires_grad_(True)
            logits = decoder.model(inputs_embeds=inputs, use_cache=False).logits[0]
            drawn = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
            cross_entropy(logits, drawn, reduction="sum").backward()
    return {name: total / rows.numel() for name, total in found.items()}


@contextmanager
def _removed(hooks: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
