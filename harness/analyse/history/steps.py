"""Steps of plain numbers, night after night: where a level begins that lasts, and whether the newest nights are one.

Nothing here knows of metrics: values in, indices and figures out.
"""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analyse.history.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = Any

MAD = 1.4826
"""A normal distribution's standard deviation / its median absolute deviation."""
FLOOR = 1 / 8
"""Of `step_share`: the least spread that is believed, as a share of the level; constant values have none."""
AROUND = 9
"""Nights whose median an outlier is seen against."""


def spread_of(values: Floats, settings: Settings) -> float:
    """Robust standard deviation from night to night: of the differences, so that steps hardly count."""
    level = float(np.median(np.abs(values)))
    floor = max(level * settings.step_share * FLOOR, math.ulp(level or 1.0))
    if len(values) < 3:
        return floor
    differences = np.diff(values)
    return max(floor, MAD * float(np.median(np.abs(differences - np.median(differences)))) / math.sqrt(2))


def scaled(values: Floats, settings: Settings) -> Floats:
    """In spreads; what lies too far from the median of the nights around it is brought nearer."""
    spread = spread_of(values, settings)
    half = AROUND // 2
    padded = np.pad(values, half, mode="reflect")
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, AROUND), axis=1)
    near: Floats = around + np.clip(values - around, -settings.clip * spread, settings.clip * spread)
    return near / spread


def find_steps(values: Sequence[float] | Floats, settings: Settings) -> list[int]:
    """Indices at which a new level begins, rising; levels last `step_nights`, steps are at least `step_share`.

    The exact least-squares segmentation with a price for each change point, by ruptures' `KernelCPD`.
    """
    plain = np.asarray(values, dtype=float)
    if len(plain) < 2 * settings.step_nights:
        return []
    import ruptures

    search = ruptures.KernelCPD(kernel="linear", min_size=settings.step_nights)
    price = settings.penalty * math.log(len(plain))
    found = search.fit(scaled(plain, settings).reshape(-1, 1)).predict(pen=price)
    return _large_enough(plain, _whole(plain, [int(one) for one in found[:-1]], settings), settings)


def _whole(values: Floats, steps: list[int], settings: Settings) -> list[int]:
    """Without levels of the fewest nights that are two levels in truth: an odd night that took its neighbour along.

    Of such a level the first value, or the last, is nearer to the level beside it than to the other values.
    """
    kept: list[int] = []
    for place, step in enumerate(steps):
        before = values[kept[-1] if kept else 0 : step]
        end = steps[place + 1] if place + 1 < len(steps) else len(values)
        after = values[step:end]
        if len(after) > settings.step_nights or not _strays(after, float(np.median(before))):
            kept.append(step)
    return kept


def _strays(level: Floats, beside: float) -> bool:
    """Whether a night of a short level belongs to the level before it."""
    return any(
        abs(value - beside) < abs(value - float(np.mean(np.delete(level, place)))) for place, value in enumerate(level)
    )


def _large_enough(values: Floats, steps: list[int], settings: Settings) -> list[int]:
    """Without the steps that are too small to matter, the smallest first: levels beside it are then one."""
    while steps:
        bounds = [0, *steps, len(values)]
        levels = [float(np.median(values[a:b])) for a, b in itertools.pairwise(bounds)]
        sizes = [_size(a, b) for a, b in itertools.pairwise(levels)]
        least = min(range(len(sizes)), key=sizes.__getitem__)
        if sizes[least] >= settings.step_share:
            return steps
        steps = [step for index, step in enumerate(steps) if index != least]
    return steps


def _size(before: float, after: float) -> float:
    """Of a step, as a share of the level before."""
    return abs(after - before) / abs(before) if before else math.inf if after else 0.0


def may_lie(values: Sequence[float], step: int, first: int, end: int, settings: Settings) -> tuple[int, int]:
    """Where else a step between two levels may lie, both included: where the fit is worse by at most 3.84.

    That is the 95 % quantile of chi² with one degree of freedom, in squared spreads.

    Args:
        first: index of the first value of the level before; `end`: behind the last value of the level after.
    """
    plain = scaled(np.asarray(values[first:end], dtype=float), settings)
    count = len(plain)
    sums = np.cumsum(plain)
    places = np.arange(1, count)
    explained = sums[:-1] ** 2 / places + (sums[-1] - sums[:-1]) ** 2 / (count - places)
    near = set((places[explained >= explained[step - first - 1] - 3.84] + first).tolist())
    low = high = step
    while low - 1 in near:
        low -= 1
    while high + 1 in near:
        high += 1
    return low, high
