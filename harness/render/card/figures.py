"""A number as a cell of a card: the value, then its change against the baseline with the interval.

Signs are plain hyphens and multiples a plain `x`, as published cards print them, so that any reader of tables can
take them apart again.
"""

import math

from harness.analyse.findings import PairedItems, Row
from harness.metrics import metric
from harness.render.tables import no_value
from harness.stats import bounds, widest

VALUE_DIGITS, CHANGE_DIGITS = 4, 3
REDUCED = ("size_bytes", "peak_rss_bytes", "ttft_s", "itl_p95_s", "perplexity", "word_perplexity", "bits_per_weight")
"""Metrics whose change is told in percent; others in multiples."""
UNITS: dict[str, tuple[float, str]] = {
    "size_bytes": (1e-6, "MB"),
    "peak_rss_bytes": (2.0**-20, "MiB"),
}
PERCENT = (100.0, "%")


def unit_of(name: str) -> tuple[float, str]:
    """(factor, unit) in which a card prints a metric."""
    own = metric(name).unit
    return UNITS.get(name) or (PERCENT if own == "fraction" else (1.0, own))


def plain(value: float, digits: int) -> str:
    """So many digits at least, never an exponent: `0.02193`, `107.8`, `1235814`."""
    if not value:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def value_text(row: Row) -> str:
    """The value alone, or why there is none."""
    if row.value is None:
        return no_value(row)
    return plain(row.value * unit_of(row.metric)[0], VALUE_DIGITS)


def cell(row: Row) -> str:
    """`227.5 (2.11x, 95 % 2.02x to 2.32x)`"""
    if row.value is None or row.ratio is None:
        return value_text(row)
    change = _percent if row.metric in REDUCED else _times
    said = change(row.ratio)
    if row.ratio_low is not None and row.ratio_high is not None and row.ratio_low != row.ratio_high:
        low, high = sorted((row.ratio_low, row.ratio_high))
        said += f", 95 % {change(low)} to {change(high)}"
    return f"{value_text(row)} ({said})"


def score(pair: PairedItems) -> str:
    """`57.50 (-3.50, 95 % -8.42 to +1.42)`: percent, with the paired difference in points."""
    low, high = bounds(widest(pair.interval, pair.clustered))
    said = _points(pair.diff)
    if low is not None and high is not None:
        said += f", 95 % {_points(low)} to {_points(high)}"
    return f"{_share(pair.value)} ({said})"


def share(value: float) -> str:
    return _share(value)


def _share(value: float) -> str:
    return f"{100 * value:.2f}"


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _times(ratio: float) -> str:
    return f"{plain(ratio, CHANGE_DIGITS)}x"


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f}%"
