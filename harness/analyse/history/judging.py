"""A history with the changes that its points show, the worst series first."""

import math

from msgspec.structs import replace

from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Change, History, Series
from harness.analyse.history.watch import changes


def judged(history: History, settings: Settings) -> History:
    """With changes, sorted by how bad the newest of them are."""
    series = [replace(one, changes=changes(one, settings)) for one in history.series]
    return replace(history, series=tuple(sorted(series, key=_badness)))


def _badness(series: Series) -> tuple[int, float]:
    """Alerts that nobody acknowledged first, then missing nights, then watches, each the largest first."""
    alerts = [c for c in series.changes if c.tier == "alert" and c.worse and c.acknowledged is None]
    watches = [c for c in series.changes if c.tier == "watch" and c.worse and c.acknowledged is None]
    if alerts:
        return 0, -max(map(_size, alerts))
    if any(one.alert for one in series.missing):
        return 1, 0.0
    return (2, -max(map(_size, watches))) if watches else (3, 0.0)


def _size(change: Change) -> float:
    return abs(change.after - change.before) / abs(change.before) if change.before else math.inf
