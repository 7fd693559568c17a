"""GPTQ (arXiv 2210.17323): columns are rounded one after another, and what is left of each error is taken over by
the columns that come later, weighted by the second moments of what the layer reads.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from harness.measure.workers.compress.decoder import Decoder
from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.scheme.hadamard import rotate_last
from harness.measure.workers.scheme.layers import QuantizedLinear, put
from harness.measure.workers.scheme.layout import Matrix
from harness.measure.workers.scheme.numerics import (
    INT4,
    Bounds,
    dequantized,
    fake_quantized_tokens,
    quantized,
    scales_of,
)

BLOCK = 96
"""Columns whose errors are handed on together."""
SHRUNK = tuple(1 - 0.03 * step for step in range(11))
"""Scales that are tried, as shares of the largest magnitude's."""


class _SeenError(Exception):
    """Ends a pass once the wanted input was seen."""


@torch.no_grad()
def gptq_blocks(
    decoder: Decoder,
    rows: torch.Tensor,
    *,
    group: int,
    damping: float,
    rotates_down: bool,
    done: Callable[[int, int], None],
) -> dict[str, Matrix]:
    """Round every linear of the blocks, the layers in order; each is replaced by its rounded one.

    rows [samples, tokens]. `done` is told how many layers of how many.

    Raises:
        ModelError: activations that are no numbers.
    """
    hidden, how = _first_inputs(decoder, rows)
    found: dict[str, Matrix] = {}

    def settle(place: str, parts: tuple[str, ...], inputs: Iterable[torch.Tensor], rotates: bool = False) -> None:
        moments = _moments(inputs, rotates=rotates)
        if not bool(torch.isfinite(moments).all()):
            raise ModelError(f"{place}.{parts[0]} reads activations that are no numbers")
        for name in (f"{place}.{part}" for part in parts):
            found[name] = gptq(decoder.weight(name), moments, group, INT4, damping)
            put(decoder.model, name, QuantizedLinear(found[name].weight, rotates=rotates))

    for layer in range(decoder.layers):
        place = f"model.layers.{layer}"
        block = decoder.model.get_submodule(place)

        # Each part sees what the parts before it, already rounded, put out; of a block, only gate and up run twice.
        settle(f"{place}.self_attn", ("q_proj", "k_proj", "v_proj"), (block.input_layernorm(one) for one in hidden))
        mixed = [_attended(block, one, how) for one in hidden]
        settle(f"{place}.self_attn", ("o_proj",), mixed)
        hidden = [one + block.self_attn.o_proj(x) for one, x in zip(hidden, mixed, strict=True)]
        del mixed
        settle(f"{place}.mlp", ("gate_proj", "up_proj"), (block.post_attention_layernorm(one) for one in hidden))
        settle(f"{place}.mlp", ("down_proj",), (_gated(block, one) for one in hidden), rotates_down)
        hidden = [one + block.mlp.down_proj(_gated(block, one)) for one in hidden]
        done(layer + 1, decoder.layers)
    return found


def gptq(weight: torch.Tensor, moments: torch.Tensor, group: int, bounds: Bounds, damping: float) -> Matrix:
    """weight [rows, columns], moments [columns, columns] = mean of xᵀx over tokens.

    Columns go in the order of their second moment, largest first; scales belong to the groups of the file.
    """
    moments = moments.double()
    weights = moments.diagonal().clone()
    scales = fitted_scales(weight, weights.float(), group, bounds)
    order = weights.argsort(descending=True, stable=True)
    factor = _inverse_factor(moments[order][:, order], damping).float()
    left, group_of = weight.float()[:, order].clone(), order // group
    integers = torch.empty_like(left)
    for start in range(0, left.shape[1], BLOCK):
        stop = min(start + BLOCK, left.shape[1])
        errors = torch.zeros(len(left), stop - start)
        for column in range(start, stop):
            scale = scales[:, group_of[column]]
            integers[:, column] = (left[:, column] * (1.0 / scale)).round().clamp(*bounds)
            error = (left[:, column] - integers[:, column] * scale) / factor[column, column]
            left[:, column + 1 : stop] -= error[:, None] * factor[column, column + 1 : stop]
            errors[:, column - start] = error
        left[:, stop:] -= errors @ factor[start:stop, stop:]
    return Matrix(integers[:, order.argsort()].to(torch.int8), scales, bounds)


def fitted_scales(weight: torch.Tensor, weights: torch.Tensor, group: int, bounds: Bounds) -> torch.Tensor:
    """Of the scales tried, those whose rounding errors, weighted by the columns' second moments, are least."""
    largest = scales_of(weight, group, bounds)
    best, least = largest, torch.full_like(largest, float("inf"))
    for share in SHRUNK:
        scales = largest * share
        errors = (dequantized(quantized(weight, scales, bounds), scales) - weight).square() * weights
        total = errors.unflatten(-1, (-1, group)).sum(-1)
        best, least = torch.where(total < least, scales, best), torch.minimum(total, least)
    return best


def _inverse_factor(moments: torch.Tensor, damping: float) -> torch.Tensor:
    """The upper Cholesky factor of the inverse of the damped moments."""
    diagonal = moments.diagonal()
    diagonal[diagonal == 0] = 1.0
    diagonal += damping * diagonal.mean()
    lower, failed = torch.linalg.cholesky_ex(moments)
    upper, failed_too = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
    if int(failed) or int(failed_too):
        raise ModelError("second moments of what a layer reads cannot be inverted: raise `damping`")
    found: torch.Tensor = upper
    return found


def _moments(inputs: Iterable[torch.Tensor], *, rotates: bool) -> torch.Tensor:
    """[columns, columns]: the mean of xᵀx of what a linear reads, as its integers will meet it."""
    total, count = torch.zeros(()), 0
    for one in inputs:
        x = one.flatten(0, -2)
        x = fake_quantized_tokens(rotate_last(x) if rotates else x)
        total, count = total + x.T @ x, count + len(x)
    return total / count


def _attended(block: Any, hidden: torch.Tensor, how: dict[str, Any]) -> torch.Tensor:
    """What the output projection of a block's attention reads."""
    seen: list[torch.Tensor] = []

    def look(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])
        raise _SeenError

    hook = block.self_attn.o_proj.register_forward_pre_hook(look)
    try:
        block.self_attn(hidden_states=block.input_layernorm(hidden), **how)
    except _SeenError:
        return seen[0]
    finally:
        hook.remove()
    raise AssertionError("attention ended without its output projection")


def _gated(block: Any, hidden: torch.Tensor) -> torch.Tensor:
    """What a block's down projection reads."""
    mlp, x = block.mlp, block.post_attention_layernorm(hidden)
    found: torch.Tensor = mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x)
    return found


def _first_inputs(decoder: Decoder, rows: torch.Tensor) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """What the first block reads of each row, and how transformers calls a block."""
    seen: list[torch.Tensor] = []
    how: dict[str, Any] = {}

    def look(_: nn.Module, inputs: tuple[torch.Tensor, ...], named: dict[str, Any]) -> None:
        seen.append(inputs[0])
        how.update(named)
        raise _SeenError

    hook = decoder.model.get_submodule("model.layers.0").register_forward_pre_hook(look, with_kwargs=True)
    try:
        for row in rows:
            try:
                decoder.model(row[None], use_cache=False)
            except _SeenError:
                continue
    finally:
        hook.remove()
    return seen, how
