"""Nights that gave a series nothing: no run, cells that failed, and values that only show the heat."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple

from harness.analyse.history.nights import LIMITED
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Missing, Point

DAY = timedelta(days=1)
LATE = 1.5
"""A gap of so many usual gaps holds a night that is missing."""
NO_RUN = "no run"
NOT_PLANNED = "not planned"


class Place(NamedTuple):
    """Where a series is measured: its suite on one device of one host."""

    nights: Sequence[int]
    """Indices of the nights at which it was asked."""
    times: Sequence[datetime]
    """Of every night of the history."""
    now: datetime


def counts(point: Point) -> bool:
    """Whether its value says how fast the thing is, and not only how hot the machine was."""
    return point.value is not None and not any(mark.startswith(LIMITED) for mark in point.marks)


def find_missing(
    points: Sequence[Point], failed: Sequence[bool], place: Place, settings: Settings
) -> tuple[Missing, ...]:
    """In the order of time.

    Args:
        failed: of each point, whether its cell ought to have given a value.
    """
    newest = bool(place.nights) and points[-1].night == place.nights[-1]
    found = [
        *_without_value(points, failed, settings, newest=newest),
        *_not_planned(points, place.nights),
        *_no_run(points, place, settings),
    ]
    return tuple(sorted(found, key=lambda one: one.first))


def _without_value(
    points: Sequence[Point], failed: Sequence[bool], settings: Settings, *, newest: bool
) -> Iterator[Missing]:
    start, ever = 0, False
    while start < len(points):
        what = _what(points[start])
        if what is None:
            start, ever = start + 1, True
            continue
        hot = points[start].value is not None
        end = start
        while end < len(points) and _what(points[end]) is not None and (points[end].value is not None) == hot:
            end += 1
        limit = settings.thermal_nights if hot else settings.missing_nights
        due = hot or ever or any(failed[start:end])
        alert = newest and end == len(points) and due and end - start > limit
        yield Missing(first=start, nights=end - start, what=_what(points[end - 1]) or what, alert=alert)
        start, ever = end, ever or hot


def _what(point: Point) -> str | None:
    """Why a point does not count; None: it does."""
    if point.value is None:
        return point.reason or "no reason was recorded"
    return next((mark for mark in point.marks if mark.startswith(LIMITED)), None)


def _not_planned(points: Sequence[Point], nights: Sequence[int]) -> Iterator[Missing]:
    """Nights of the place, after the first point, that did not ask for this series."""
    have = {point.night: index for index, point in enumerate(points)}
    gap = 0
    for night in nights:
        if night < points[0].night:
            continue
        if night not in have:
            gap += 1
        elif gap:
            yield Missing(first=have[night], nights=gap, what=NOT_PLANNED, alert=False)
            gap = 0
    if gap:
        yield Missing(first=len(points), nights=gap, what=NOT_PLANNED, alert=False)


def _no_run(points: Sequence[Point], place: Place, settings: Settings) -> Iterator[Missing]:
    """Gaps that are longer than usual, between nights of the place and up to now."""
    times = [place.times[night] for night in place.nights if night >= points[0].night]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    if len(gaps) < 2:
        return
    usual = max(DAY, timedelta(seconds=median(gap.total_seconds() for gap in gaps)))
    indices = [night for night in place.nights if night >= points[0].night]
    for night, gap in zip(indices[1:], gaps, strict=True):
        if gap > LATE * usual:
            first = sum(point.night < night for point in points)
            yield Missing(first=first, nights=max(1, round(gap / usual) - 1), what=NO_RUN, alert=False)
    since = place.now - times[-1]
    if since > LATE * usual:
        nights = max(1, round(since / usual) - 1)
        yield Missing(first=len(points), nights=nights, what=NO_RUN, alert=nights > settings.missing_nights)
