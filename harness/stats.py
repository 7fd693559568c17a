"""The few statistics that a comparison needs, each as a function of plain numbers.

All intervals are two-sided, 95 % unless asked otherwise. `None` means that there is too little data
for an interval; the caller says so in words.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from statistics import fmean, stdev

from harness.values import Value

CONFIDENCE = 0.95
FEWEST_ROUNDS = 3
FEWEST_CLUSTERS = 10
FEWEST_IN_SEQUENCE = 100
"""Values before an interval that may be looked at again and again is asked: it is one of large samples."""
LARGEST_POWER = 700.0
LARGEST_DENOMINATOR_ERROR = 0.3
"""Beyond it a quotient of means is too lopsided for a linear interval; ten right answers are about as few."""


class Interval(Value, frozen=True):
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def t_quantile(degrees: float, confidence: float = CONFIDENCE) -> float:
    """How many standard errors the interval reaches to either side."""
    from scipy.special import stdtrit  # a quarter of a second that reading records alone does not need

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Of the mean of independent values; None for fewer than two."""
    if len(values) < 2:
        return None
    half = t_quantile(len(values) - 1, confidence) * _deviation(values) / math.sqrt(len(values))
    mean = fmean(values)
    return Interval(low=mean - half, high=mean + half)


def log_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Of the typical value of one series of rounds: t-interval over logarithms; None below 3 rounds."""
    if len(values) < FEWEST_ROUNDS or min(values) <= 0:
        return None
    found = t_interval([math.log(v) for v in values], confidence)
    return None if found is None else _exp(found)


def ratio_interval(
    values: Sequence[float], baselines: Sequence[float], confidence: float = CONFIDENCE
) -> Interval | None:
    """Of value / baseline, paired by round: t-interval over the per-round log-ratios.

    None below 3 rounds, and where a value is not positive, since it has no logarithm.
    """
    pairs = list(zip(values, baselines, strict=True))
    if len(pairs) < FEWEST_ROUNDS or any(v <= 0 or b <= 0 for v, b in pairs):
        return None
    found = t_interval([math.log(v) - math.log(b) for v, b in pairs], confidence)
    return None if found is None else _exp(found)


def welch_interval(values: Sequence[float], others: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Of mean(values) − mean(others), two independent series with variances of their own.

    Welch's interval, with Satterthwaite's degrees of freedom; None for fewer than two values on a side, and for
    items that do not vary on either, which would promise certainty.
    """
    if len(values) < 2 or len(others) < 2:
        return None
    difference = fmean(values) - fmean(others)
    a, b = stdev(values) ** 2 / len(values), stdev(others) ** 2 / len(others)
    if a + b == 0:
        return None
    # Weights instead of squares of a and b, which may be too small for a float.
    share = a / (a + b)
    degrees = 1 / (share**2 / (len(values) - 1) + (1 - share) ** 2 / (len(others) - 1))
    half = t_quantile(degrees, confidence) * math.sqrt(a + b)
    return Interval(low=difference - half, high=difference + half)


def unpaired_ratio_interval(
    values: Sequence[float], others: Sequence[float], confidence: float = CONFIDENCE
) -> Interval | None:
    """Of value / other over rounds that do not belong together: Welch's interval over logarithms.

    None below 3 rounds on a side, and where a value is not positive, since it has no logarithm.
    """
    if min(len(values), len(others)) < FEWEST_ROUNDS or min(*values, *others) <= 0:
        return None
    found = welch_interval([math.log(v) for v in values], [math.log(v) for v in others], confidence)
    return None if found is None else _exp(found)


def difference_interval(
    differences: Sequence[float], confidence: float = CONFIDENCE, *, effective: float | None = None
) -> Interval | None:
    """Of the mean of per-item differences of two variants.

    Where no item differs the t-interval would have no width, although a rare difference can hide in
    a finite set: then the exact binomial bound on the share of differing items stands on both sides
    (right for differences between −1 and 1).

    Args:
        effective: how many items of equal weight say as much, where items weigh differently.
    """
    if len(differences) < 2:
        return None
    if any(differences):
        return t_interval(differences, confidence)
    bound = 1 - ((1 - confidence) / 2) ** (1 / (effective or len(differences)))
    return Interval(low=-bound, high=bound)


def widest(*intervals: Interval | None) -> Interval | None:
    """None where none is known; of equals the first."""
    known = [one for one in intervals if one is not None]
    return max(known, key=lambda one: one.high - one.low, default=None)


def weighed(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Values whose plain mean is the weighted mean of these, and whose spread gives its standard error.

    Each is m + n·w·(value − m), with the weighted mean m, n values and weights that sum to 1: the linearised
    weighted mean (Särndal, Swensson and Wretman 1992, 5.5). Intervals for plain, paired and clustered means
    hold for them as they are.
    """
    mean = math.fsum(w * v for v, w in zip(values, weights, strict=True))
    return [mean + len(values) * w * (v - mean) for v, w in zip(values, weights, strict=True)]


def effective_items(weights: Sequence[float]) -> float:
    """How many items of equal weight have a mean as sure as these weights' (Kish's effective sample size)."""
    return math.fsum(weights) ** 2 / math.fsum(w * w for w in weights)


def clustered_interval(
    values: Sequence[float], clusters: Sequence[Hashable], confidence: float = CONFIDENCE
) -> Interval | None:
    """Of the mean of values that are alike within a cluster; None below two clusters.

    The mean is a ratio of cluster sums to cluster sizes, so that unequal clusters are weighed right.
    """
    sums: dict[Hashable, float] = defaultdict(float)
    sizes: dict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value
        sizes[cluster] += 1
    return ratio_of_sums_interval(list(sums.values()), list(sizes.values()), confidence)


def ratio_of_sums_interval(
    numerators: Sequence[float], denominators: Sequence[float], confidence: float = CONFIDENCE
) -> Interval | None:
    """Of sum(numerators) / sum(denominators) over independent units; None below two units.

    The linearised standard error of a ratio estimator. With windows of a text as units, differences of
    log-likelihood above and tokens below, it is the token-weighted mean difference a token.
    """
    units = len(numerators)
    total = sum(denominators)
    if units < 2 or total <= 0:
        return None
    ratio = sum(numerators) / total
    squares = sum((n - ratio * d) ** 2 for n, d in zip(numerators, denominators, strict=True))
    half = t_quantile(units - 1, confidence) * math.sqrt(squares * units / (units - 1)) / total
    return Interval(low=ratio - half, high=ratio + half)


def always_valid_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    of: int,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Of the mean of values between −1 and 1 that come one by one: holds however often it is looked at.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (arXiv 2103.06476), with
    its free parameter chosen so that it is narrowest at half of all the `of` values that there could be, a number
    known before the first one. Two guards: one more squared deviation of 1 is counted, so that values that happen
    not to vary promise nothing, and from 10 clusters on the wider of the plain and the clustered standard error is
    taken.

    None for fewer than 100 values (`FEWEST_IN_SEQUENCE`).
    """
    count = len(values)
    if count < FEWEST_IN_SEQUENCE:
        return None
    mean = fmean(values)
    variance = (sum((v - mean) ** 2 for v in values) + 1) / count
    if (of_clusters := _clustered_variance(values, clusters, mean)) is not None:
        variance = max(variance, of_clusters)
    alpha = 1 - confidence
    rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / max(FEWEST_IN_SEQUENCE, of / 2)
    grown = count * rho2 + 1
    half = math.sqrt(variance * 2 * grown / (count * count * rho2) * math.log(math.sqrt(grown) / alpha))
    return Interval(low=mean - half, high=mean + half)


def _clustered_variance(values: Sequence[float], clusters: Sequence[Hashable], mean: float) -> float | None:
    """Of one value, so that variance / count is the clustered one of the mean; None below 10 clusters."""
    sums: dict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - mean
    if len(sums) < FEWEST_CLUSTERS:
        return None
    return sum(s * s for s in sums.values()) * len(sums) / (len(sums) - 1) / len(values)


def quotient_interval(
    values: Sequence[float],
    baselines: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = CONFIDENCE,
    *,
    effective: float | None = None,
) -> Interval | None:
    """Of mean(values) / mean(baselines), paired by item: the delta method's, clustered where clusters are given.

    None below two units, and where the baselines' mean is not known well enough for the delta method: it is not
    above zero, or its standard error is more than `LARGEST_DENOMINATOR_ERROR` of it.

    Args:
        effective: as in `difference_interval`.
    """
    mean, items = fmean(baselines), len(baselines)
    if items < 2 or mean <= 0 or _deviation(baselines) / math.sqrt(items) > LARGEST_DENOMINATOR_ERROR * mean:
        return None
    if not any(v - b for v, b in zip(values, baselines, strict=True)):
        bound = difference_interval([0.0] * items, confidence, effective=effective)
        return bound and Interval(low=max(0.0, 1 + bound.low / mean), high=1 + bound.high / mean)
    above: dict[Hashable, float] = defaultdict(float)
    below: dict[Hashable, float] = defaultdict(float)
    for value, baseline, unit in zip(values, baselines, range(items) if clusters is None else clusters, strict=True):
        above[unit] += value
        below[unit] += baseline
    return ratio_of_sums_interval(list(above.values()), list(below.values()), confidence)


def share_interval(hits: float, items: int, confidence: float = CONFIDENCE) -> Interval | None:
    """Of a share of items on its own (Wilson's score interval): unpaired, so wide; None for no item."""
    if items < 1:
        return None
    from scipy.special import ndtri

    z = float(ndtri(0.5 + confidence / 2))
    share = min(1.0, max(0.0, hits / items))
    centre = (share + z * z / (2 * items)) / (1 + z * z / items)
    half = z / (1 + z * z / items) * math.sqrt(share * (1 - share) / items + z * z / (4 * items * items))
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half))


def mcnemar_exact_p(right_to_wrong: int, wrong_to_right: int) -> float:
    """Two-sided exact p of as uneven a split of the flips, if either direction were as likely."""
    flips = right_to_wrong + wrong_to_right
    if flips == 0:
        return 1.0
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(right_to_wrong, wrong_to_right), flips, 0.5)))


def coefficient_of_variation(values: Sequence[float]) -> float | None:
    """Standard deviation / mean; None for fewer than two values or a mean that is not positive."""
    if len(values) < 2 or (mean := fmean(values)) <= 0:
        return None
    return stdev(values) / mean


def bounds(interval: Interval | None) -> tuple[float | None, float | None]:
    """(low, high), or two None for no interval."""
    return (None, None) if interval is None else (interval.low, interval.high)


def exp(power: float) -> float:
    """Cut where a float ends: a model that is that bad stays a number."""
    return math.exp(min(power, LARGEST_POWER))


def _deviation(values: Sequence[float]) -> float:
    """The sample's standard deviation, as `stdev` has it, which takes ten times as long for thousands of items."""
    mean = fmean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def _exp(interval: Interval) -> Interval:
    return Interval(low=exp(interval.low), high=exp(interval.high))
