"""Alerts in words, one message a cause: since when, how much, how sure. Pure; every string is one harmless line."""

import re
from collections.abc import Iterable, Sequence

from harness.analyse.history.found import Message
from harness.analyse.history.values import Change, Difference, History, Series
from harness.nightly.values import Alert
from harness.render.words import clean, gain, points, quantity

_HASH = re.compile(r"\b[0-9a-f]{64}\b")
MOST_SERIES = 8
"""Of one cause that a message names; the others are counted."""


def causes(alerts: Iterable[Alert], history: History) -> tuple[Message, ...]:
    """Alerts by what they have in common, those with most series first.

    Two belong together if they are of one suite and device and the same things changed with them; where nothing is
    known to have changed, if they began in the same night.
    """
    groups: dict[tuple[object, ...], list[Alert]] = {}
    for alert in alerts:
        series, change = alert.series, alert.change
        common = change.between or (series.points[change.at].night,)
        groups.setdefault((series.suite, series.device, series.host, *common), []).append(alert)
    return tuple(_cause(group, history) for group in sorted(groups.values(), key=len, reverse=True))


def name_of(series: Series) -> str:
    """`int4 · speed p64+g64 · Decode`"""
    return " · ".join(clean(part) for part in (series.variant or series.device, series.workload, series.title) if part)


def how_much(series: Series, change: Change) -> str:
    """`7.1 % slower (5.9–8.2), from 48 to 44.6 tok/s`"""
    before, after = (quantity(series.metric, value) for value in (change.before, change.after))
    if series.kind == "accuracy" and series.unit == "fraction":
        return f"{points(change.after - change.before, None, None)}, from {before} to {after}"
    if change.ratio is None or change.ratio <= 0:
        return f"from {before} to {after}"
    said = gain(series.metric, change.ratio, change.ratio_low, change.ratio_high)
    return f"{said.phrase}{f' ({said.span})' if said.span else ''}, from {before} to {after}"


def how_sure(series: Series, change: Change) -> str:
    """What decided: the rerun where there is one, else the rule."""
    told = change.confirmation
    if told is None:
        return clean(change.rule)
    said = gain(series.metric, told.ratio, None, None).phrase if told.ratio > 0 else f"ratio {told.ratio}"
    least = gain(series.metric, told.bound, None, None).phrase if told.bound > 0 else f"ratio {told.bound}"
    pairs = f"by {told.pairs} interleaved pairs in {clean(told.run)}: {said}"
    return f"confirmed {pairs}, at least {least}" if told.confirmed else f"not confirmed {pairs}, possibly {least}"


def difference(one: Difference) -> str:
    """`runner: 1a2b → 3c4d`"""
    before, after = (_shortened(clean(side)) if side is not None else "none" for side in (one.before, one.after))
    return f"{clean(one.what)}: {before} → {after}"


def _shortened(text: str) -> str:
    """A sha256 in as many digits as tell it from others."""
    return _HASH.sub(lambda found: found[0][:12], text)


def _cause(group: Sequence[Alert], history: History) -> Message:
    first = min(group, key=lambda alert: alert.series.points[alert.change.at].night)
    night = history.nights[first.series.points[first.change.at].night]
    head = group[0]
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    place = f"{head.series.suite} on {head.series.device}"
    shown = group[:MOST_SERIES]
    lines = [f"{name_of(a.series)}: {how_much(a.series, a.change)}; {how_sure(a.series, a.change)}" for a in shown]
    if len(group) > MOST_SERIES:
        lines.append(f"and {len(group) - MOST_SERIES} more series")
    return Message(
        id=f"{head.series.id}-{clean(night.run)}",
        title=clean(f"{place}: {name_of(head.series)} {how_much(head.series, head.change)}{more}"),
        since=clean(night.started),
        run=clean(night.run),
        differences=tuple(difference(one) for one in head.change.between),
        lines=tuple(lines),
    )
