"""What the overview counts and sorts by: the state of each series, and the changes that still stand."""

import math
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Literal

from harness.analyse.history.missing import NO_RUN, NOT_PLANNED
from harness.analyse.history.values import Change, Missing, Series

State = Literal["alert", "missing", "watch", "acknowledged", "better", "untouched"]
STATES: tuple[State, ...] = ("alert", "missing", "watch", "acknowledged", "better", "untouched")
"""The worst first."""
NEWS_NIGHTS = 30
"""A change for the better is told for so many nights; one for the worse until it is acknowledged or undone."""
WITHOUT_POINTS = frozenset({NO_RUN, NOT_PLANNED})
SIGMA_OF_MAD = 1.4826


def state(series: Series) -> State:
    """The worst thing that holds of its newest night."""
    worse = [change for change in standing(series) if change.worse]
    unknown = [change for change in worse if change.acknowledged is None]
    if any(change.tier == "alert" for change in unknown):
        return "alert"
    if (gap := open_gap(series)) is not None and gap.alert:
        return "missing"
    if unknown:
        return "watch"
    if worse:
        return "acknowledged"
    return "better" if any(change.nights <= NEWS_NIGHTS for change in standing(series)) else "untouched"


def standing(series: Series) -> tuple[Change, ...]:
    """Changes since the last cut whose step the newest level still shows by more than half, oldest first."""
    since = series.cuts[-1].at if series.cuts else 0
    changes = [change for change in series.changes if change.at >= since]
    if not changes:
        return ()
    now = changes[-1].after
    return tuple(change for change in changes if _shows(now, change))


def _shows(now: float, change: Change) -> bool:
    middle = (change.before + change.after) / 2
    return now >= middle if change.after >= change.before else now <= middle


def headline(series: Series) -> Change | None:
    """Of the changes that stand the one to tell first: not acknowledged, worse, alert, newest."""
    found = standing(series)
    order = sorted(found, key=lambda c: (c.acknowledged is None and c.worse, c.worse, c.tier == "alert", c.at))
    return order[-1] if order else None


def open_gap(series: Series) -> Missing | None:
    """Nights without a value that counts, up to the newest night."""
    end = len(series.points)
    reaching = [gap for gap in series.missing if gap.first + points_of(gap) >= end]
    return max(reaching, key=lambda gap: (gap.alert, gap.nights)) if reaching else None


def points_of(gap: Missing) -> int:
    """How many points of the series a gap spans: none where nobody asked for a value."""
    return 0 if gap.what in WITHOUT_POINTS else gap.nights


def bounds(series: Series) -> list[tuple[int, int]]:
    """First and last index of each stretch without a change or a cut in it."""
    count = len(series.points)
    places = {*(cut.at for cut in series.cuts), *(change.at for change in series.changes)}
    inside = sorted(at for at in places if 0 < at < count)
    return [(first, after - 1) for first, after in pairwise((0, *inside, count)) if after > first]


def spread(series: Series) -> float | None:
    """Standard deviation from night to night, as a share of the value; None below 5 pairs of nights.

    1.4826 × the median absolute difference of neighbours' logarithms / √2, within stretches: steps and single outliers
    do not widen it.
    """
    found: list[float] = []
    for first, last in bounds(series):
        logs = [math.log(p.value) for p in series.points[first : last + 1] if p.value is not None and p.value > 0]
        found += [abs(b - a) for a, b in pairwise(logs)]
    return SIGMA_OF_MAD * median(found) / math.sqrt(2) if len(found) >= 5 else None


def seconds(iso: str) -> int:
    """Of the Unix clock; a time without a zone is UTC."""
    told = datetime.fromisoformat(iso)
    return int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp())


def day(at: int) -> str:
    """The UTC date of a time in seconds, such as `2026-11-27`."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()
