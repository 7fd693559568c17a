"""Integers that are rounded with their adaptors in view.

Most of what a linear reads lies in few directions. Those with the largest second moments go to its adaptor, which
there makes up for all of the rounding's error; GPTQ then has to care for the rest alone. (Adaptors in closed form for
integers that stand already: arXiv 2410.06040. The directions: subspace iteration, arXiv 0909.4061, algorithm 4.4.)
"""

import msgspec
import torch

from harness.measure.workers.compress.gptq import Rounded, gptq
from harness.measure.workers.scheme.layout import Matrix
from harness.measure.workers.scheme.numerics import INT4

ITERATIONS = 12
OVERSAMPLED = 8
"""Directions more than asked for that the iteration carries along."""
FLOOR = 1e-9
"""Least second moment of what is left, as a share of the mean before: it may be nothing but rounding errors."""


class Part(msgspec.Struct, frozen=True):
    """A linear as integers and an adaptor, weight ≈ matrix + b a."""

    matrix: Matrix
    aimed: torch.Tensor | None
    """[rows, columns]: what the integers were rounded from, or the nearest value within their range. None where it is
    not needed any more."""
    a: torch.Tensor
    """[rank, columns]"""
    b: torch.Tensor
    """[rows, rank]; rank by rank of the same norm as `a`, so that one learning rate suits both. 0 where nothing was
    lost."""


def main_directions(moments: torch.Tensor, rank: int, generator: torch.Generator) -> torch.Tensor:
    """[columns, rank], orthonormal; moments [columns, columns] in float64, rank at most their columns."""
    columns = len(moments)
    found = torch.randn(columns, min(columns, rank + OVERSAMPLED), generator=generator, dtype=moments.dtype)
    for _ in range(ITERATIONS):
        found = torch.linalg.qr(moments @ found)[0]
    _, vectors = torch.linalg.eigh(found.T @ moments @ found)
    return found @ vectors[:, -rank:]


def moments_without(moments: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Those of what is read once these directions are taken out of it."""
    seen = moments @ directions
    left = moments - directions @ seen.T - seen @ directions.T + directions @ (directions.T @ seen) @ directions.T
    left = (left + left.T) / 2
    floor = FLOOR * moments.diagonal().mean()
    left.diagonal().clamp_(min=0).add_(floor)
    return left


def parts_of(
    weights: list[torch.Tensor],
    moments: torch.Tensor,
    *,
    rank: int,
    group: int,
    damping: float,
    generator: torch.Generator,
) -> list[Part]:
    """Of weights [rows, columns] that read the same.

    Raises:
        ModelError: moments that cannot be inverted.
    """
    moments = moments.double()
    directions = main_directions(moments, rank, generator)
    left, directions = moments_without(moments, directions), directions.float()
    found = []
    for weight in weights:
        rounded = gptq(weight, left, group, INT4, damping)
        b = (weight - rounded.matrix.weight) @ directions
        norms = b.norm(dim=0)
        share = torch.where(norms > 0, norms.sqrt(), 1.0)
        found.append(Part(rounded.matrix, within_reach(rounded), share[:, None] * directions.T, b / share))
    return found


def within_reach(rounded: Rounded) -> torch.Tensor:
    """What was rounded; beyond the integers' range, from where no gradient comes back, the range's end."""
    low, high = rounded.matrix.bounds
    scales = rounded.matrix.scales[..., None]
    return rounded.aimed.unflatten(-1, (scales.shape[1], -1)).clamp(low * scales, high * scales).flatten(-2)
