"""The rule for those who cannot rerun: slow to alert, since nothing else stands against the noise."""

from collections.abc import Sequence
from statistics import median, quantiles

from harness.analyse.history.settings import Settings

WHISKER = 2.0
"""Interquartile ranges beyond the quartiles: Tukey's fence, a little further out."""


def beyond_fence(before: Sequence[float], after: Sequence[float], settings: Settings) -> str | None:
    """In words why a step alerts by itself; None: it does not.

    It is at least `strict_share` of the level, has lasted `strict_nights`, and the median of the last so many nights
    lies beyond a fence around the nights before.
    """
    nights = settings.strict_nights
    if len(after) < nights or len(before) < settings.strict_before:
        return None
    level, newest = median(before), median(after[-nights:])
    if abs(median(after) - level) < settings.strict_share * abs(level):
        return None
    low, _, high = quantiles(before, n=4, method="inclusive")
    fence = WHISKER * (high - low)
    if low - fence <= newest <= high + fence:
        return None
    return (
        f"without a rerun: a level of {len(after)} nights, and the median of the last {nights} is {newest:.6g}, beyond "
        f"{low - fence:.6g} to {high + fence:.6g} around the {len(before)} nights before"
    )
