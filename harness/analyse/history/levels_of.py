"""Two levels of a series beside each other, as a change."""

from collections.abc import Sequence
from statistics import median

from harness.analyse.history.cuts import differences_between
from harness.analyse.history.missing import counts
from harness.analyse.history.values import Change, Series, Tier
from harness.stats import bounds, unpaired_ratio_interval

NEAR = 50
"""Nights beside a step that the interval of its ratio is of."""


def counted(series: Series, indices: range) -> list[int]:
    """Those of the points whose values count.

    Raises:
        ValueError: a value is no number, which a history never holds.
    """
    found = [index for index in indices if counts(series.points[index])]
    for index in found:
        value = series.points[index].value
        if value is None or value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"series {series.id}: point {index} is {value}: what was not seen must be None")
    return found


def values_at(series: Series, indices: Sequence[int]) -> list[float]:
    return [value for index in indices if (value := series.points[index].value) is not None]


def change_of(
    series: Series,
    before: Sequence[int],
    after: Sequence[int],
    *,
    rule: str,
    tier: Tier = "watch",
    lies: tuple[int, int] | None = None,
    nights: int | None = None,
) -> Change:
    """The change from one level to the next, each as indices of its points.

    Args:
        lies: indices of the points at which it may begin, both included; None: only where `after` does.
        nights: points with a value since, if more than those of `after`.
    """
    old, new = values_at(series, before), values_at(series, after)
    level, now = median(old), median(new)
    positive = min(*new, *old) > 0
    low, high = bounds(unpaired_ratio_interval(new[:NEAR], old[-NEAR:])) if positive else (None, None)
    earliest, latest = lies or (after[0], after[0])
    last_before = max((index for index in before if index < earliest), default=before[0])
    return Change(
        at=after[0],
        earliest=earliest,
        latest=latest,
        before=level,
        after=now,
        ratio=now / level if level else None,
        ratio_low=low,
        ratio_high=high,
        worse=now != level and (now > level) == (series.better == "lower"),
        tier=tier,
        rule=rule,
        nights=len(after) if nights is None else nights,
        between=differences_between(series.points, series.conditions, last_before, latest),
    )
