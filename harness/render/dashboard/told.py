"""Changes, cuts and gaps of a series in the words of the report."""

import math
from typing import Any

from harness.analyse.history.values import Change, Confirmation, Cut, Difference, Missing, Series
from harness.metrics import metric
from harness.render.dashboard.scripts import line
from harness.render.dashboard.states import points_of, standing
from harness.render.words import comparatives, gain, points, quantity, scaled, times

WIDTH = 2.0
"""Half an interval in standard deviations, where only digits depend on it."""


def metric_words(name: str) -> dict[str, Any]:
    """What the page needs to say values of a metric as the report does: units, and words for better and worse."""
    one = metric(name)
    better, worse = comparatives(name)
    small, unit = scaled(name, 0.0)
    large, large_unit = scaled(name, 1e300)
    return {
        "title": line(one.title),
        "unit": one.unit,
        "kind": one.kind,
        "lower": one.better == "lower",
        "words": [better, worse],
        "scale": [[1 / large if large != small else 0, large, large_unit], [0, small, unit]],
        "counted": one.kind in ("exact", "accuracy"),
        "exact": one.kind == "exact",
        "points": in_points(name),
        "multiples": one.unit in ("tok/s", "s"),
        "definition": line(one.definition),
    }


def in_points(name: str) -> bool:
    """Whether a difference is said in percentage points."""
    one = metric(name)
    return one.kind == "accuracy" and one.unit == "fraction"


def level(series: Series, value: float, nights: int, spread: float | None) -> str:
    """A median of so many nights, with the digits that their spread leaves."""
    if not spread:
        return quantity(series.metric, value)
    half = abs(value) * WIDTH * spread / math.sqrt(max(nights, 1))
    return quantity(series.metric, value, value - half, value + half)


def size(series: Series, change: Change) -> tuple[str, str | None]:
    """How large a step is, such as `7.1 % slower`, and its interval in the same terms."""
    if in_points(series.metric):
        return points(change.after - change.before, None, None), None
    if change.ratio is None or change.ratio <= 0:
        return f"from {quantity(series.metric, change.before)} to {quantity(series.metric, change.after)}", None
    said = gain(series.metric, change.ratio, change.ratio_low, change.ratio_high)
    return said.phrase, said.span


def change_data(series: Series, change: Change, spread: float | None) -> dict[str, Any]:
    """One change as the page shows it."""
    words, span = size(series, change)
    known = change.acknowledged
    return {
        "at": change.at,
        "earliest": change.earliest,
        "latest": change.latest,
        "size": words,
        "span": span,
        "before": level(series, change.before, change.nights, spread),
        "after": level(series, change.after, change.nights, spread),
        "worse": change.worse,
        "tier": change.tier,
        "stands": change in standing(series),
        "rule": line(change.rule),
        "nights": change.nights,
        "between": differences(change.between),
        "confirmation": None if change.confirmation is None else confirmation_data(change.confirmation),
        "acknowledged": known and {"by": line(known.by), "reason": line(known.reason), "at": line(known.at)},
    }


def confirmation_data(told: Confirmation) -> dict[str, Any]:
    """What the rerun found."""
    return {
        "run": line(told.run),
        "pairs": told.pairs,
        "ratio": times(told.ratio, min(told.ratio, told.bound), max(told.ratio, told.bound)).split(" ")[0],
        "bound": times(told.bound, min(told.ratio, told.bound), max(told.ratio, told.bound)).split(" ")[0],
        "confirmed": told.confirmed,
    }


def cut_data(series: Series, cut: Cut, spread: float | None) -> dict[str, Any]:
    """Where points are not comparable, and why."""
    sides = [None if side is None else level(series, side, 1, spread) for side in (cut.before, cut.after)]
    return {"at": cut.at, "differences": differences(cut.differences), "before": sides[0], "after": sides[1]}


def gap_data(series: Series, gap: Missing) -> dict[str, Any]:
    """Nights that gave nothing that counts: from which point on, how many points long, and why."""
    points = points_of(gap)
    nights = f"{gap.nights:,} night{'' if gap.nights == 1 else 's'}"
    if points == 0:
        words = f"{nights}: {gap.what}"
    elif gap.first < len(series.points) and series.points[gap.first].value is not None:
        words = f"{nights} that do not count: {gap.what}"
    else:
        words = f"{nights} without a value: {gap.what}"
    return {"first": gap.first, "points": points, "words": line(words), "alert": gap.alert}


def differences(found: tuple[Difference, ...]) -> list[list[str | None]]:
    """`[what, before, after]`; None: it was not there."""
    return [
        [line(one.what), *(None if side is None else line(side) for side in (one.before, one.after))] for one in found
    ]
