"""Metrics that do not vary by chance from night to night: exact ones, and scores over the same questions.

The same artifact gives the same value. An exact metric that moves has changed. A score that moves is set against the
first night of its level, question by question; until the paired test is sure the level goes on, so that small losses
of many nights add up instead of each becoming the new normal.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

from harness.analyse.history.cuts import segments
from harness.analyse.history.levels_of import change_of, counted
from harness.analyse.history.scores import Paired
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Change, Series

Compare = Callable[[int, int], Paired | None]
"""Indices of two points of a series, the older first → the two in pairs; None: they have nothing in common."""


def uncompared(_old: int, _new: int) -> None:
    """For a history of which only the values are known."""
    return


def plateau_changes(series: Series, settings: Settings, compare: Compare) -> Iterator[Change]:
    """Changes in order, the worse ones alerts. Points that cannot be compared are no change."""
    for part in segments(len(series.points), series.cuts):
        own = counted(series, part)
        yield from _exact(series, own) if series.kind == "exact" else _scored(series, own, settings, compare)


def _exact(series: Series, own: list[int]) -> Iterator[Change]:
    values = [series.points[index].value for index in own]
    starts = [place + 1 for place, (old, new) in enumerate(pairwise(values)) if old != new]
    bounds = [0, *starts, len(own)]
    for place, start in enumerate(starts, 1):
        before, after = own[bounds[place - 1] : start], own[start : bounds[place + 1]]
        yield _change(series, before, after, "an exact metric has another value")


def _scored(series: Series, own: list[int], settings: Settings, compare: Compare) -> Iterator[Change]:
    steps = list(_sure(series, own, settings, compare))
    starts = [start for start, _ in steps]
    bounds = [0, *starts, len(own)]
    for place, (start, paired) in enumerate(steps, 1):
        before, after = own[bounds[place - 1] : start], own[start : bounds[place + 1]]
        rule = f"{paired.test} over the same {paired.units:,} units: {paired.diff:+.4g}, p = {paired.p:.2g}"
        yield _change(series, before, after, rule)


def _sure(series: Series, own: list[int], settings: Settings, compare: Compare) -> Iterator[tuple[int, Paired]]:
    """(place in `own` at which another level begins, the test against the first night of the level before)."""
    first = 0
    for place in range(1, len(own)):
        old, new = series.points[own[first]].value, series.points[own[place]].value
        if old is None or new is None or old == new or abs(new - old) < settings.score_share * abs(old):
            continue
        paired = compare(own[first], own[place])
        if paired is not None and paired.p <= settings.score_level:
            yield place, paired
            first = place


def _change(series: Series, before: list[int], after: list[int], rule: str) -> Change:
    plain = change_of(series, before, after, rule=rule)
    return change_of(series, before, after, rule=rule, tier="alert") if plain.worse else plain
