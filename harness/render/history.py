"""A history in a terminal, and a gate as Markdown."""

from collections.abc import Iterator, Sequence

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from harness.analyse.history.gate import VERDICTS, Gate, Judged
from harness.analyse.history.missing import counts
from harness.analyse.history.values import Change, History, Series
from harness.metrics import metric
from harness.render.markdown import code, escape
from harness.render.page import Group, Table, cells
from harness.render.terminal import Aligned
from harness.render.words import clean, date, points, quantity, times

BARS = "▁▂▃▄▅▆▇█"
NOTHING, CUT, GAP = "–", "¦", "·"
NIGHTS = 30
"""The newest so many points of a sparkline."""
SHORT = 8
"""Digits of an id that are shown; `bench ack` takes any beginning of an id."""


def history(found: History, series: Sequence[Series]) -> RenderableType:
    """A line a series: newest value, sparkline, what changed; below it what could not be read."""
    parts: list[RenderableType] = [Text(_summary(found, series), style="bold")]
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(f"{one.suite} on {one.device} ({one.host or 'host unknown'})", []).append(one)
    for title, those in groups.items():
        parts += [Text(clean(title), style="bold"), _grid(found, those)]
    parts += [Text(clean(f"not read: {line}"), style="yellow") for line in found.unreadable]
    return Lines(*parts)


def regressions(found: History, those: Sequence[tuple[Series, Change]]) -> RenderableType:
    """A line a change for the worse, alerts first."""
    if not those:
        return Text("nothing got worse")
    rows = []
    for series, change in those:
        state = "acknowledged" if change.acknowledged else change.tier
        rows.append(
            cells(
                state,
                series.id[:SHORT],
                " ".join(part for part in (series.variant, series.workload, series.title) if part),
                date(found.nights[series.points[change.at].night].started),
                change_words(series, change),
                _why(change),
            )
        )
    header = ("state", "series", "what", "since", "by how much", "why, and what changed with it")
    return Aligned(Table(header=header, groups=(Group("", tuple(rows)),)))


def change_words(series: Series, change: Change) -> str:
    """Such as `321 tok/s → 298 tok/s (0.928×)`."""
    before, after = quantity(series.metric, change.before), quantity(series.metric, change.after)
    if change.ratio is None or series.kind == "accuracy":
        return f"{before} → {after}"
    ratio = times(change.ratio, change.ratio_low, change.ratio_high, exact=series.kind == "exact")
    return f"{before} → {after} ({ratio})"


def sparkline(series: Series) -> str:
    """The newest values as bars from the lowest to the highest, cuts as `¦` and nights without a value as `·`."""
    first = max(0, len(series.points) - NIGHTS)
    shown = series.points[first:]
    values = [point.value for point in shown if point.value is not None and counts(point)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    cuts = {cut.at for cut in series.cuts}
    line = ""
    for index, point in enumerate(shown, first):
        line += CUT if index in cuts and index > first else ""
        if point.value is None or not counts(point):
            line += GAP
        else:
            share = (point.value - low) / (high - low) if high > low else 0.5
            line += BARS[min(len(BARS) - 1, int(share * len(BARS)))]
    return line


def _summary(found: History, series: Sequence[Series]) -> str:
    open_ones = [c for one in series for c in one.changes if c.worse and c.acknowledged is None]
    alerts = sum(change.tier == "alert" for change in open_ones)
    missing = sum(any(gap.alert for gap in one.missing) for one in series)
    when = f", {date(found.nights[0].started)} to {date(found.nights[-1].started)}" if found.nights else ""
    return (
        f"{len(found.nights)} nights{when}; {len(series)} series: {alerts} alerts, "
        f"{len(open_ones) - alerts} watches, {missing} missing"
    )


def _grid(found: History, series: Sequence[Series]) -> RichTable:
    """Sparklines and values are never broken; words around them are."""
    grid = RichTable.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for whole in (True, False, True, True, False):
        grid.add_column(no_wrap=whole)
    heads = ("series", "what", "newest", f"last {NIGHTS} nights", "what changed")
    grid.add_row(*(Text(head, style="dim") for head in heads))
    for one in series:
        newest = next((point.value for point in reversed(one.points) if point.value is not None), None)
        texts = (
            one.id[:SHORT],
            " ".join(part for part in (one.variant, one.workload, one.title) if part),
            NOTHING if newest is None else quantity(one.metric, newest),
            sparkline(one),
            _newest_change(found, one),
        )
        grid.add_row(*(Text(clean(text)) for text in texts))
    return grid


def _newest_change(found: History, series: Series) -> str:
    missing = [f"missing for {gap.nights} nights: {gap.what}" for gap in series.missing if gap.alert]
    return "; ".join([*_changed(found, series), *missing])


def _changed(found: History, series: Series) -> Iterator[str]:
    """The one change that matters most: an alert, or else the newest."""
    open_ones = [change for change in series.changes if change.acknowledged is None] or list(series.changes)
    if not open_ones:
        return
    change = max(open_ones, key=lambda one: (one.worse and one.tier == "alert", one.at))
    state = "acknowledged" if change.acknowledged else change.tier if change.worse else "better"
    ratio = "" if change.ratio is None else f" {change.ratio - 1:+.1%}"
    yield f"{state}{ratio} since {date(found.nights[series.points[change.at].night].started)}"


def _why(change: Change) -> str:
    changed = "; ".join(f"{one.what} {_short(one.before)} → {_short(one.after)}" for one in change.between)
    known = f"; {change.acknowledged.by}: {change.acknowledged.reason}" if change.acknowledged else ""
    return f"{change.rule}{'; ' + changed if changed else ''}{known}"


def _short(value: str | None) -> str:
    return NOTHING if value is None else value[:12]


def gate_markdown(found: Gate) -> str:
    """A summary for a pull request: counts, then every row that is not untouched."""
    return "\n".join(_gate(found)) + "\n"


def _gate(found: Gate) -> Iterator[str]:
    yield f"## {'Nothing got worse' if found.passed else 'Something got worse'}"
    yield ""
    yield ", ".join(
        f"{found.counts[verdict]} {verdict}" for verdict in VERDICTS if found.counts[verdict] or _main(verdict)
    )
    yield ""
    yield f"{code(found.head)} against {code(found.base)}"
    shown = [one for one in found.rows if one.verdict != "untouched"]
    if shown:
        yield ""
        yield "| | variant | workload | metric | base | head | change | why |"
        yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
        yield from map(_row, shown)
    for title, lines in (("Conditions that differ", found.differing), ("Only the base has", found.alone)):
        if lines:
            yield ""
            yield f"{title}:"
            yield ""
            yield from (f"- {escape(line)}" for line in lines)


def _main(verdict: str) -> bool:
    """Counts that are told even where they are 0."""
    return verdict != "acknowledged"


def _row(one: Judged) -> str:
    texts = (
        one.verdict,
        one.variant or NOTHING,
        one.workload,
        metric(one.metric).title,
        NOTHING if one.base is None else quantity(one.metric, one.base),
        NOTHING if one.head is None else quantity(one.metric, one.head),
        _change(one),
        one.why,
    )
    return f"| {' | '.join(map(escape, texts))} |"


def _change(one: Judged) -> str:
    if one.base is None or one.head is None:
        return NOTHING
    of = metric(one.metric)
    if of.kind in ("accuracy", "distance"):
        return points(one.head - one.base, one.low, one.high) if of.unit == "fraction" else NOTHING
    return NOTHING if one.ratio is None else times(one.ratio, one.low, one.high, exact=of.kind == "exact")
