"""A claim's figure from measured values: percent less, times better, points or the value itself; one row or many."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

from harness.metrics import Metric
from harness.published import Aggregation, Expression, Printed, printed, printed_change
from harness.stats import CONFIDENCE, FEWEST_ROUNDS, Interval, t_interval, t_quantile
from harness.values import Value


class Estimate(Value, frozen=True):
    """A figure with its 95 % interval; `rounds` behind it are 0 for exact values and items."""

    value: float
    interval: Interval | None
    rounds: int


def of_ratio(ratio: float, expressed: Expression, metric: Metric) -> float:
    """Percent less than the baseline, or how many times better; a ratio is value / baseline."""
    if expressed == "reduction":
        return 100 * (1 - ratio)
    return ratio if metric.better == "higher" else 1 / ratio


def of_interval(interval: Interval | None, expressed: Expression, metric: Metric) -> Interval | None:
    """The same of both ends, which may change places; None where a factor has no finite end."""
    if interval is None or (interval.low <= 0 and expressed == "times" and metric.better == "lower"):
        return None
    ends = sorted((of_ratio(interval.low, expressed, metric), of_ratio(interval.high, expressed, metric)))
    return Interval(low=ends[0], high=ends[1])


def better_of(expressed: Expression, metric: Metric) -> Literal["lower", "higher"]:
    """Which way a claim's figure is better."""
    return metric.better if expressed == "value" else "higher"


def combine(
    pairs: Sequence[tuple[float, float]], aggregation: Aggregation | None, expressed: Expression, metric: Metric
) -> float:
    """One figure of (value, baseline) pairs of several rows. Without a stated aggregation: the mean."""
    if aggregation == "pooled":
        return of_ratio(sum(v for v, _ in pairs) / sum(b for _, b in pairs), expressed, metric)
    each = [of_ratio(v / b, expressed, metric) for v, b in pairs]
    match aggregation:
        case "lowest":
            return min(each)
        case "highest":
            return max(each)
        case _:
            return fmean(each)


def over_rounds(groups: Sequence[Sequence[float]], weights: Sequence[int]) -> Interval | None:
    """Of the weighted mean of groups that were measured apart, each a figure a round.

    One group is a plain t-interval. Several, as a 1B and a 3B run, are independent: their variances add,
    with Welch's and Satterthwaite's degrees of freedom. None where a group has fewer than 3 rounds.
    """
    if not groups or any(len(g) < FEWEST_ROUNDS for g in groups):
        return None
    if len(groups) == 1:
        return t_interval(groups[0])
    total = sum(weights)
    shares = [w / total for w in weights]
    mean = sum(share * fmean(g) for share, g in zip(shares, groups, strict=True))
    parts = [(share * stdev(g)) ** 2 / len(g) for share, g in zip(shares, groups, strict=True)]
    variance = sum(parts)
    if variance == 0:
        return Interval(low=mean, high=mean)
    degrees = variance**2 / sum(p**2 / (len(g) - 1) for p, g in zip(parts, groups, strict=True))
    half = t_quantile(max(1, math.floor(degrees)), CONFIDENCE) * math.sqrt(variance)
    return Interval(low=mean - half, high=mean + half)


def extreme(intervals: Sequence[Interval], aggregation: str) -> Interval:
    """Of the lowest or highest of several figures.

    Never of the lowest in each round: the more rows and the more noise, the lower that lies.
    """
    pick = min if aggregation == "lowest" else max
    return Interval(low=pick(one.low for one in intervals), high=pick(one.high for one in intervals))


def published_figure(
    own: str | None, baseline: str | None, change: str | None, expressed: Expression, metric: Metric
) -> Printed | None:
    """What a published row says in these terms: by its printed change, else by its printed values."""
    if change is not None:
        kind, one = printed_change(change)
        if kind == "times" and expressed == "times":
            return one
        if kind == "percent" and expressed == "reduction":
            return Printed(value=-one.value, low=-one.high, high=-one.low)
    if own is None or baseline is None:
        return None
    a, b = printed(own), printed(baseline)
    if b.low <= 0 or a.low <= 0:
        return None
    ends = sorted(of_ratio(r, expressed, metric) for r in (a.low / b.high, a.high / b.low))
    return Printed(value=of_ratio(a.value / b.value, expressed, metric), low=ends[0], high=ends[1])
