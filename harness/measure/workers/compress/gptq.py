"""GPTQ (arXiv 2210.17323): columns are rounded one after another, and what is left of each error is taken over by
the columns that come later, weighted by the second moments of what the layer reads.
"""

import msgspec
import torch

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.scheme.layout import Matrix
from harness.measure.workers.scheme.numerics import Bounds, dequantized, quantized, scales_of

BLOCK = 96
"""Columns whose errors are handed on together."""
SHRUNK = tuple(1 - 0.03 * step for step in range(11))
"""Scales that are tried, as shares of the largest magnitude's."""


class Rounded(msgspec.Struct, frozen=True):
    """Integers, and what they were rounded from."""

    matrix: Matrix
    aimed: torch.Tensor
    """[rows, columns]: each column as it stood when its turn came, the errors of those before it taken over."""


def gptq(weight: torch.Tensor, moments: torch.Tensor, group: int, bounds: Bounds, damping: float) -> Rounded:
    """weight [rows, columns], moments [columns, columns] = mean of xᵀx over tokens.

    Columns go in the order of their second moment, largest first; scales belong to the groups of the file.

    Raises:
        ModelError: moments that cannot be inverted.
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
    back = order.argsort()
    return Rounded(Matrix(integers[:, back].to(torch.int8), scales, bounds), left[:, back])


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
