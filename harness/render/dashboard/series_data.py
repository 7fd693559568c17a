"""One series in columns, as its page reads it, and one night across all series, as a comparison reads it."""

import math
import shlex
from statistics import median
from typing import Any

from harness.analyse.history.values import History, Point, Series
from harness.render.dashboard.scripts import Table, kept, line, night_key, script, series_key, shortened
from harness.render.dashboard.states import bounds, spread
from harness.render.dashboard.told import change_data, cut_data, gap_data

NOT_A_NUMBER = "not a number"


def series_script(series: Series) -> bytes:
    """Everything that is known of it."""
    return script(f"series/{series_key(series.id)}", series_data(series))


def series_data(series: Series) -> dict[str, Any]:
    """Points by column; repeated strings stand once and are named by number."""
    reasons, marks, artifacts = Table(), Table(), Table()
    points = series.points
    noise = spread(series)
    columns = {
        "night": [p.night for p in points],
        "value": [_value(p) for p in points],
        "reason": [reasons(_reason(p)) for p in points],
        "rounds": [_rounds(p) for p in points],
        "marks": [marks(p.marks or None) for p in points],
        "conditions": [p.conditions for p in points],
        "artifact": [artifacts(p.artifact_sha256) for p in points],
    }
    return {
        **columns,
        "reasons": [line(one) for one in reasons.values],
        "markWords": [[line(mark) for mark in one] for one in marks.values],
        "artifacts": [line(one) for one in artifacts.values],
        "environments": [{line(k): line(v) for k, v in one.items()} for one in series.conditions],
        "levels": _levels(series),
        "changes": [change_data(series, one, noise) for one in series.changes],
        "cuts": [cut_data(series, one, noise) for one in series.cuts],
        "gaps": [gap_data(one) for one in series.missing],
        "command": kept(shlex.join(series.command)),
    }


def night_scripts(history: History) -> dict[str, bytes]:
    """Night's key → its values: `{series: [value, rounds, reason, marks, conditions]}`."""
    found: list[dict[str, list[Any]]] = [{} for _ in history.nights]
    for series in history.series:
        key = series_key(series.id)
        for point in series.points:
            row = [_value(point), _rounds(point), point.reason and line(_reason(point) or "")]
            found[point.night][key] = [*row, [line(mark) for mark in point.marks]]
    keys = [night_key(night.run) for night in history.nights]
    return {key: script(f"night/{key}", rows) for key, rows in zip(keys, found, strict=True)}


def _levels(series: Series) -> list[list[float | int]]:
    """First point, last point and median of each stretch."""
    found = []
    for first, last in bounds(series):
        values = [value for p in series.points[first : last + 1] if (value := _value(p)) is not None]
        if values:
            found.append([first, last, shortened(median(values))])
    return found


def _value(point: Point) -> float | int | None:
    return None if point.value is None or not math.isfinite(point.value) else shortened(point.value)


def _rounds(point: Point) -> list[float | int]:
    return [shortened(one) for one in point.rounds if math.isfinite(one)]


def _reason(point: Point) -> str | None:
    """A missing value is never without a reason."""
    if point.value is None:
        return point.reason or "not told"
    return None if math.isfinite(point.value) else point.reason or NOT_A_NUMBER
