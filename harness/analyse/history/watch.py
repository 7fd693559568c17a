"""The changes of a series, and which of them ask for a rerun tonight. Functions of a history up to tonight, no more."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.analyse.history.acknowledging import MUCH_LARGER
from harness.analyse.history.cuts import segments
from harness.analyse.history.found import Confirmed
from harness.analyse.history.judging import size
from harness.analyse.history.levels_of import change_of, counted, values_at
from harness.analyse.history.newest import Newest, newest
from harness.analyse.history.plateaus import Compare, plateau_changes, uncompared
from harness.analyse.history.settings import Settings
from harness.analyse.history.steps import find_steps, may_lie
from harness.analyse.history.strict import beyond_fence
from harness.analyse.history.values import Change, History, Point, Series
from harness.metrics import Kind
from harness.values import Value

PLATEAUS: frozenset[Kind] = frozenset({"exact", "accuracy", "distance"})
"""The same artifact gives the same value: each new value is a question by itself."""
LOOKED_BACK = 4
"""Nights before a watch: so many nights too late it may be seen."""


def changes(series: Series, settings: Settings | None = None, compare: Compare = uncompared) -> tuple[Change, ...]:
    """Every lasting change, oldest first, and what the newest nights look like.

    Args:
        compare: two points of a series of scores in pairs.
    """
    settings = settings or Settings()
    if series.kind in PLATEAUS:
        return tuple(plateau_changes(series, settings, compare))
    found = [change for part in segments(len(series.points), series.cuts) for change in _steps(series, part, settings)]
    watch = tonight(series, settings)
    if watch is not None and not any(_same(one, watch, settings) for one in found):
        found.append(watch)
    return tuple(found)


def tonight(series: Series, settings: Settings | None = None) -> Change | None:
    """That the newest nights are worse than the level before: a rerun should say whether it is true."""
    settings = settings or Settings()
    if series.kind in PLATEAUS or not series.points:
        return None
    part = segments(len(series.points), series.cuts)[-1]
    own = counted(series, part)
    if not own or own[-1] != len(series.points) - 1:
        return None
    values = np.array(values_at(series, own))
    seen = newest(values, settings, lower_is_worse=series.better == "higher")
    if seen is None:
        return None
    begin = len(own) - seen.nights
    return change_of(series, own[seen.start : begin], own[begin:], rule=_in_words(seen, begin - seen.start))


def _in_words(seen: Newest, before: int) -> str:
    which = "the newest night is" if seen.nights == 1 else f"the newest {seen.nights} nights are"
    return (
        f"{which} worse than the {before} nights before by {seen.score:.2f} standard errors; "
        f"{seen.limit:.2f} ask for a rerun"
    )


def _steps(series: Series, part: range, settings: Settings) -> Iterator[Change]:
    own = counted(series, part)
    values = values_at(series, own)
    steps = find_steps(values, settings)
    bounds = [0, *steps, len(own)]
    for place, step in enumerate(steps, 1):
        first, end = bounds[place - 1], bounds[place + 1]
        low, high = may_lie(values, step, first, end, settings)
        rule = f"a level of {end - step} nights after one of {step - first}"
        change = change_of(series, own[first:step], own[step:end], rule=rule, lies=(own[low], own[high]))
        if settings.strict and change.worse and (why := beyond_fence(values[first:step], values[step:end], settings)):
            change = change_of(
                series, own[first:step], own[step:end], rule=why, tier="alert", lies=(own[low], own[high])
            )
        yield change


def _same(step: Change, watch: Change, settings: Settings) -> bool:
    """Whether the newest nights are a part of a step that was found."""
    return step.worse and watch.at - settings.recent - settings.fewest_before <= step.at


class Watch(Value, frozen=True):
    """What asks for a rerun: tonight's artifact of a series against the last one that was good."""

    series: str
    new_run: str
    good_run: str
    worse: bool
    change: Change


def watches(
    history: History, run: str, settings: Settings | None = None, reruns: Sequence[Confirmed] = ()
) -> tuple[Watch, ...]:
    """Watches of the series whose newest point is of that run, the largest step first.

    Left out are those that nothing can be rerun for: metrics of the device and those without chance, series whose
    artifact and runner are still those of the last good night, changes that a rerun has confirmed, that somebody
    knows of, or that `settings.reruns` reruns did not confirm.

    Args:
        reruns: those of the nights before.
    """
    settings = settings or Settings()
    nights = {night.run: index for index, night in enumerate(history.nights)}
    found = []
    for series in history.series:
        if not series.points or history.nights[series.points[-1].night].run != run or series.kind == "device":
            continue
        watch = tonight(series, settings)
        if watch is None or _settled(series, watch, settings) or _tired(series, watch, settings, reruns, nights):
            continue
        good = last_good(series, watch)
        if good is not None:
            good_run = history.nights[good].run
            found.append(Watch(series=series.id, new_run=run, good_run=good_run, worse=True, change=watch))
    return tuple(sorted(found, key=lambda one: -size(one.change)))


def last_good(series: Series, change: Change) -> int | None:
    """Night of the newest point before a change that was measured with another artifact or runner than the newest.

    None: the last `LOOKED_BACK` nights before it had them already, so that what changed is the device or its state.
    """
    newest_made = _made(series, series.points[-1])
    part = next(part for part in segments(len(series.points), series.cuts) if change.at in part)
    for index in reversed(counted(series, range(part.start, change.at))[-LOOKED_BACK:]):
        made = _made(series, series.points[index])
        if None not in (made[0], newest_made[0]) and made != newest_made:
            return series.points[index].night
    return None


def _made(series: Series, point: Point) -> tuple[str | None, str | None]:
    return point.artifact_sha256, series.conditions[point.conditions].get("runner")


def _settled(series: Series, watch: Change, settings: Settings) -> bool:
    """Whether the change that the newest nights are a part of is known already, and explains them."""
    return any(
        _same(one, watch, settings)
        and (one.acknowledged is not None or one.tier == "alert")
        and _explains(one, watch, settings)
        for one in series.changes
    )


def _explains(known: Change, watch: Change, settings: Settings) -> bool:
    """Not where the newest nights are that much worse than a known change that there must be another one."""
    return size(watch) <= MUCH_LARGER * size(known) + 2 * settings.step_share


def _tired(
    series: Series, watch: Change, settings: Settings, reruns: Sequence[Confirmed], nights: Mapping[str, int]
) -> bool:
    """Whether so many reruns since the step began have shown nothing that another one would only cost."""
    before = max(0, watch.at - settings.recent - settings.fewest_before)
    since = series.points[before].night
    done = [one for one in reruns if one.series == series.id and nights.get(one.new_run, -1) >= since]
    return sum(one.confirmation is not None for one in done) >= settings.reruns
