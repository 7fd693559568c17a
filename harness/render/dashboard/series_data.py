"""One series in columns, as its page reads it, and one night across all series, as a comparison reads it."""

import math
import shlex
from collections.abc import Sequence
from itertools import accumulate, chain
from statistics import median
from typing import Any, NamedTuple

from harness.analyse.history.values import History, Point, Series
from harness.render.dashboard.scripts import Table, kept, line, night_key, script, series_key, shortened
from harness.render.dashboard.states import bounds, spread
from harness.render.dashboard.told import change_data, cut_data, gap_data

NOT_A_NUMBER = "not a number"


class Columns(NamedTuple):
    """What both files have of each point."""

    value: list[float | None]
    rounds: list[list[float]]
    reason: list[str | None]
    """Why there is no value; None where there is one."""


def columns_of(series: Series) -> Columns:
    """Shortened once for both; what is no number is no value."""
    points = series.points
    known = [i for i, p in enumerate(points) if p.value is not None and math.isfinite(p.value)]
    values = dict(zip(known, shortened([points[i].value or 0.0 for i in known]), strict=True))
    return Columns(
        value=[values.get(i) for i in range(len(points))],
        rounds=_rounds(points),
        reason=[None if i in values else _reason(p) for i, p in enumerate(points)],
    )


def _rounds(points: Sequence[Point]) -> list[list[float]]:
    found: list[Sequence[float]] = [p.rounds for p in points]
    if not math.isfinite(sum(map(sum, found))):  # seldom, and slow to look at one by one
        found = [[one for one in rounds if math.isfinite(one)] for rounds in found]
    flat = shortened(list(chain.from_iterable(found)))
    ends = accumulate(map(len, found))
    return [flat[end - len(rounds) : end] for rounds, end in zip(found, ends, strict=True)]


def _reason(point: Point) -> str:
    """A missing value is never without one."""
    return line(point.reason or ("not told" if point.value is None else NOT_A_NUMBER))


def series_data(series: Series, columns: Columns, nights: str) -> dict[str, Any]:
    """Everything that is known of it; repeated strings stand once and are named by number.

    `nights` is the key of the history's nights, which its points name by number.
    """
    reasons, marks, artifacts = Table(), Table(), Table()
    points = series.points
    noise = spread(series)
    return {
        "nights": nights,
        "night": [p.night for p in points],
        "value": columns.value,
        "reason": [reasons(one) for one in columns.reason],
        "rounds": columns.rounds,
        "marks": [marks(p.marks or None) for p in points],
        "conditions": [p.conditions for p in points],
        "artifact": [artifacts(p.artifact_sha256) for p in points],
        "reasons": reasons.values,
        "markWords": [[line(mark) for mark in one] for one in marks.values],
        "artifacts": [line(one) for one in artifacts.values],
        "environments": [{line(k): line(v) for k, v in one.items()} for one in series.conditions],
        "levels": _levels(series, columns),
        "changes": [change_data(series, one, noise) for one in series.changes],
        "cuts": [cut_data(series, one, noise) for one in series.cuts],
        "gaps": [gap_data(series, one) for one in series.missing],
        "command": kept(shlex.join(series.command)),
    }


def _levels(series: Series, columns: Columns) -> list[list[float | int]]:
    """First point, last point and median of each stretch."""
    found: list[list[float | int]] = []
    for first, last in bounds(series):
        values = [value for value in columns.value[first : last + 1] if value is not None]
        if values:
            found.append([first, last, median(values)])
    return found


def night_scripts(history: History, columns: Sequence[Columns]) -> dict[str, bytes]:
    """Night's key → its values: `{series: [value, rounds, reason, marks]}`."""
    found: list[dict[str, list[Any]]] = [{} for _ in history.nights]
    for series, of in zip(history.series, columns, strict=True):
        key = series_key(series.id)
        for i, point in enumerate(series.points):
            marks = [line(mark) for mark in point.marks]
            found[point.night][key] = [of.value[i], of.rounds[i], of.reason[i], marks]
    keys = [night_key(night.run) for night in history.nights]
    return {key: script(f"night/{key}", rows) for key, rows in zip(keys, found, strict=True)}
