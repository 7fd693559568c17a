"""GPTQ (arXiv 2210.17323): columns are rounded one after another, and what is left of each error is taken over by
the columns that come later, weighted by the second moments of what the layer reads.
"""

from collections.abc import Callable, Sequence
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

STAGES: tuple[tuple[str, ...], ...] = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
"""Linears of a block that read the same; each stage sees what the stages before it, already rounded, put out."""
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
    for layer in range(decoder.layers):
        place = f"model.layers.{layer}"
        block = decoder.model.get_submodule(place)
        for stage in STAGES:
            rotates = rotates_down and stage == STAGES[-1]
            moments = _moments(block, stage[0], hidden, how, rotates=rotates)
            if not bool(torch.isfinite(moments).all()):
                raise ModelError(f"{place}.{stage[0]} reads activations that are no numbers")
            for part in stage:
                name = f"{place}.{part}"
                found[name] = gptq(decoder.weight(name), moments, group, INT4, damping)
                put(decoder.model, name, QuantizedLinear(found[name].weight, rotates=rotates))
        hidden = [_output(block(one, **how)) for one in hidden]
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


def _moments(
    block: nn.Module, part: str, hidden: Sequence[torch.Tensor], how: dict[str, Any], *, rotates: bool
) -> torch.Tensor:
    """[columns, columns]: the mean of xᵀx of what a linear reads, as its integers will meet it."""
    total: list[torch.Tensor] = []
    count = 0

    def look(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal count
        x = inputs[0].flatten(0, -2)
        x = fake_quantized_tokens(rotate_last(x) if rotates else x)
        count += len(x)
        total[:] = [x.T @ x if not total else total[0] + x.T @ x]
        raise _SeenError

    hook = block.get_submodule(part).register_forward_pre_hook(look)
    try:
        for one in hidden:
            try:
                block(one, **how)
            except _SeenError:
                continue
    finally:
        hook.remove()
    return total[0] / count


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


def _output(found: Any) -> torch.Tensor:
    """A block's new hidden states; some versions of transformers put them in a tuple."""
    output: torch.Tensor = found[0] if isinstance(found, tuple) else found
    return output
