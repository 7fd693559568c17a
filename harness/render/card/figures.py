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
UNITS: dict[str, tuple[float, str]] = {"size_bytes": (1e-6, "MB"), "peak_rss_bytes": (2.0**-20, "MiB")}
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
    """`227.5 (2.11x, 95 % 2.02x to 2.32x)`; in percent where less is better: `91.73 (-66.1%)`."""
    if row.value is None or row.ratio is None:
        return value_text(row)
    change = _percent if metric(row.metric).better == "lower" else _times
    said = change(row.ratio)
    if row.ratio_low is not None and row.ratio_high is not None and row.ratio_low != row.ratio_high:
        said += f", 95 % {change(row.ratio_low)} to {change(row.ratio_high)}"
    return f"{value_text(row)} ({said})"


def score(pair: PairedItems, questions: bool) -> str:
    """`57.50 (-3.50, 95 % -8.42 to +1.42)`: percent, with the paired difference in points.

    `questions`: with how many were asked.
    """
    low, high = bounds(widest(pair.interval, pair.clustered))
    said = _points(pair.diff)
    if low is not None and high is not None:
        said += f", 95 % {_points(low)} to {_points(high)}"
    return f"{share(pair.value)} ({said}{f', {pair.items} questions' if questions else ''})"


def share(value: float) -> str:
    return f"{100 * value:.2f}"


def _points(value: float) -> str:
    return f"{round(100 * value, 2) + 0.0:+.2f}"  # no minus zero


def _times(ratio: float) -> str:
    return f"{plain(ratio, CHANGE_DIGITS)}x"


def _percent(ratio: float) -> str:
    return f"{round(100 * (ratio - 1), 1) + 0.0:+.1f}%"
