"""What nights found and people said, put beside the changes that it is about; the worst series first."""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from msgspec.structs import replace

from harness.analyse.history.acknowledging import Acknowledged, acknowledgement, covers
from harness.analyse.history.found import Confirmed
from harness.analyse.history.levels_of import change_of, counted, values_at
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Change, Confirmation, History, Series

AROUND = 4
"""Nights by which a step may be found elsewhere later on than where it was acknowledged."""
NEWEST = 3
"""Nights whose median says whether a change is still there."""


def judged(
    history: History,
    confirmed: Sequence[Confirmed],
    acks: Sequence[Acknowledged],
    step_share: float = Settings().step_share,
) -> History:
    """With confirmations and acknowledgements, sorted by how bad the changes are that nobody knows of."""
    nights = {night.run: index for index, night in enumerate(history.nights)}
    reruns: dict[str, list[Confirmed]] = defaultdict(list)
    for one in confirmed:
        reruns[one.series].append(one)
    known: dict[str, list[Acknowledged]] = defaultdict(list)
    for ack in acks:
        known[ack.series].append(ack)
    found = []
    for series in history.series:
        series = _with_reruns(series, reruns[series.id], nights)
        found.append(_with_acks(series, known[series.id], nights, step_share))
    return replace(history, series=tuple(sorted(found, key=badness)))


def _with_reruns(series: Series, reruns: Sequence[Confirmed], nights: dict[str, int]) -> Series:
    """Each rerun beside the change between its two runs; a confirmed one that no change is left of keeps its own."""
    changes = list(series.changes)
    for one in reruns:
        good, new = nights.get(one.good_run), nights.get(one.new_run)
        if one.confirmation is None or good is None or new is None:
            continue
        place = next((i for i, c in enumerate(changes) if _between(series, c, good, new)), None)
        if place is not None:
            changes[place] = _confirmed(changes[place], one.confirmation, series)
        elif one.confirmation.confirmed and (own := _own(series, one, nights)) is not None:
            changes.append(_confirmed(own, one.confirmation, series))
    return replace(series, changes=tuple(sorted(changes, key=lambda change: change.at)))


def _between(series: Series, change: Change, good: int, new: int) -> bool:
    """Whether a change may lie after one night and not after another."""
    return good < series.points[change.latest].night and series.points[change.earliest].night <= new


def _confirmed(change: Change, seen: Confirmation, series: Series) -> Change:
    """A rerun that confirmed is never taken back by a later one that did not: reruns differ in what they can show."""
    known = change.confirmation
    if known is not None and known.confirmed and not seen.confirmed:
        return change
    right = change.worse == ((seen.ratio > 1) == (series.better == "lower"))
    if not (seen.confirmed and right):
        return replace(change, confirmation=seen)
    rule = (
        f"a rerun of {seen.pairs} pairs confirmed it: new / last good {seen.ratio:.4f}, "
        f"surely beyond {seen.bound:.4f} ({change.rule})"
    )
    return replace(change, confirmation=seen, tier="alert", rule=rule)


def _own(series: Series, one: Confirmed, nights: dict[str, int]) -> Change | None:
    """A change from the rerun alone; None where its nights have no value, or are another segment."""
    since = nights.get(one.since, nights[one.new_run])
    own = counted(series, range(len(series.points)))
    before = [i for i in own if series.points[i].night <= nights[one.good_run]]
    after = [i for i in own if series.points[i].night >= since and i > (before[-1] if before else -1)]
    cuts = [cut.at for cut in series.cuts]
    if not before or not after or any(before[-1] < cut <= after[0] for cut in cuts):
        return None
    start = max((cut for cut in cuts if cut <= before[-1]), default=0)
    end = min((cut for cut in cuts if cut > after[0]), default=len(series.points))
    before, after = [i for i in before if i >= start], [i for i in after if i < end]
    if end == len(series.points) and not _is_left(series, before, after, one):
        return None
    return change_of(series, before, after, rule="the search for steps does not see it")


def _is_left(series: Series, before: list[int], after: list[int], one: Confirmed) -> bool:
    """Whether the newest nights still show at least half of what the rerun confirmed: else it was undone."""
    old, new = median(values_at(series, before)), median(values_at(series, after[-NEWEST:]))
    if one.confirmation is None or min(old, new) <= 0:
        return True
    confirmed = math.log(one.confirmation.ratio)
    return math.log(new / old) / confirmed >= 1 / 2 if confirmed else False


def _with_acks(series: Series, acks: Sequence[Acknowledged], nights: dict[str, int], step_share: float) -> Series:
    changes = list(series.changes)
    for ack in acks:
        first, last = nights.get(ack.earliest), nights.get(ack.latest)
        if first is None or last is None:
            continue
        for place, change in enumerate(changes):
            near = _between(series, change, first - 1 - AROUND, last + AROUND)
            if change.worse == ack.worse and near and covers(ack, change.ratio, step_share):
                changes[place] = replace(change, acknowledged=acknowledgement(ack))
    return replace(series, changes=tuple(changes))


def badness(series: Series) -> tuple[int, float]:
    """Alerts that nobody acknowledged first, then missing nights, then watches, each the largest first."""
    open_ones = [change for change in series.changes if change.worse and change.acknowledged is None]
    alerts = [size(change) for change in open_ones if change.tier == "alert"]
    if alerts:
        return 0, -max(alerts)
    if any(one.alert for one in series.missing):
        return 1, 0.0
    return (2, -max(map(size, open_ones))) if open_ones else (3, 0.0)


def size(change: Change) -> float:
    """As a share of the level before."""
    return abs(change.after - change.before) / abs(change.before) if change.before else math.inf
