"""Metrics that do not vary by chance from night to night: exact ones, and scores over the same items.

The same artifact gives the same value. An exact metric that moves has changed. A score that moves is set against the
first night of its level, item by item; until the paired test is sure, the level goes on, so that small losses of many
nights add up instead of each becoming the new normal.
"""

from collections.abc import Iterator, Mapping

from harness.analyse.history.cuts import segments
from harness.analyse.history.levels_of import change_of, counted
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Change, Series, Tier
from harness.values import Value


class Paired(Value, frozen=True):
    """Two nights of a score by the items that they have in common, new − old."""

    items: int
    diff: float
    p: float
    """Two-sided, that such a difference comes about where none is."""
    test: str
    """In words."""


def wanted(series: Series, settings: Settings, known: Mapping[tuple[int, int], Paired]) -> tuple[int, int] | None:
    """The next pair of points (old, new) whose items have to be compared; None: no more."""
    if series.kind not in ("accuracy", "distance"):
        return None
    for part in segments(len(series.points), series.cuts):
        for old, new, paired in _walk(series, part, settings, known):
            if paired is None:
                return old, new
    return None


def plateau_changes(series: Series, settings: Settings, pairs: Mapping[tuple[int, int], Paired]) -> Iterator[Change]:
    """Changes in order. A pair of points that nobody compared is no change."""
    for part in segments(len(series.points), series.cuts):
        yield from _exact(series, part) if series.kind == "exact" else _paired(series, part, settings, pairs)


def _exact(series: Series, part: range) -> Iterator[Change]:
    own = counted(series, part)
    starts = [
        place for place in range(1, len(own)) if series.points[own[place]].value != series.points[own[place - 1]].value
    ]
    bounds = [0, *starts, len(own)]
    for place, start in enumerate(starts, 1):
        before, after = own[bounds[place - 1] : start], own[start : bounds[place + 1]]
        change = change_of(series, before, after, rule="an exact metric has another value", nights=len(own) - start)
        yield _alerting(change) if change.worse else change


def _paired(
    series: Series, part: range, settings: Settings, pairs: Mapping[tuple[int, int], Paired]
) -> Iterator[Change]:
    own = counted(series, part)
    steps = [
        (old, new, paired)
        for old, new, paired in _walk(series, part, settings, pairs)
        if paired is not None and paired.p <= settings.accuracy_level
    ]
    ends = [*(new for _, new, _ in steps[1:]), part.stop]
    for (old, new, paired), end in zip(steps, ends, strict=False):
        before, after = [i for i in own if old <= i < new], [i for i in own if new <= i < end]
        rule = f"{paired.test} over the same {paired.items:,} items: {paired.diff:+.4g}, p = {paired.p:.2g}"
        change = change_of(series, before, after, rule=rule, nights=sum(i >= new for i in own))
        yield _alerting(change) if change.worse else change


def _walk(
    series: Series, part: range, settings: Settings, known: Mapping[tuple[int, int], Paired]
) -> Iterator[tuple[int, int, Paired | None]]:
    """(first point of the level, point with another value, what is known of the two)."""
    own = counted(series, part)
    if not own:
        return
    first = own[0]
    for index in own[1:]:
        if series.points[index].value == series.points[first].value:
            continue
        paired = known.get((first, index))
        yield first, index, paired
        if paired is not None and paired.p <= settings.accuracy_level:
            first = index


def _alerting(change: Change) -> Change:
    from msgspec.structs import replace

    tier: Tier = "alert"
    return replace(change, tier=tier)
