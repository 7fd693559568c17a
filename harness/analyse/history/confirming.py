"""What an interleaved rerun says of a watch."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

from harness.analyse.history.settings import Settings


def confirmed(
    ratios: Sequence[float], better: Literal["lower", "higher"], settings: Settings | None = None
) -> tuple[float, float, bool]:
    """(ratio, one-sided bound on the side of no change, whether the new one is worse beyond it).

    The geometric mean of the pairs' ratios, and the t-bound of their logarithms. The bound holds for one rerun; who
    reruns each watch every night is wrong in at most `1 - confirm_level` of the watches without a change.

    Args:
        ratios: new / last good, one a pair that ran side by side.

    Raises:
        ValueError: fewer than two pairs, or a ratio that is not a positive number.
    """
    settings = settings or Settings()
    if len(ratios) < 2 or not all(0 < ratio < math.inf for ratio in ratios):
        raise ValueError(f"needs at least two positive ratios: {list(ratios)}")
    logs = [math.log(ratio) for ratio in ratios]
    sign = 1.0 if better == "higher" else -1.0
    bound = fmean(logs) + sign * _quantile(len(logs) - 1, settings.confirm_level) * stdev(logs) / math.sqrt(len(logs))
    enough = len(logs) >= settings.fewest_pairs
    return math.exp(fmean(logs)), math.exp(bound), enough and sign * bound < 0


def _quantile(degrees: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, level))
