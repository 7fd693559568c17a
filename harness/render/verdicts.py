"""Claims in words: on the cards of the first screen, and as a section of their own."""

import shlex
from collections.abc import Iterator, Sequence

from harness.analyse.findings import Report
from harness.analyse.verdicts.values import Beside, Check, ConditionCheck, Verdict
from harness.metrics import METRICS
from harness.render.page import Cell, Entry, Group, Section, Table, cells, table
from harness.render.settings import Setting
from harness.render.words import last_place, metric_title, number, quantity, span

NOTHING = "–"
INTRODUCTION = (
    "A claim is reproduced where the whole 95 % interval lies inside of its band: the claimed figure, give or take "
    "its tolerance and half a unit of its last printed digit. Where a condition that binds the metric is not what "
    "it was in the publication, there is no verdict: our figure only stands beside the claim."
)
BESIDE = "Every figure of the publication that has a baseline, with ours beside it. Ratios are variant / baseline."
CONDITIONS = (
    "Documented means: found in the publisher's own recipe, not proven for the published figures. What the "
    "publication leaves open can decide nothing, for or against it."
)


def claim_entries(report: Report, setting: Setting, metric_name: str) -> tuple[Entry, ...]:
    """The claims about one card's metric, of the first publication that this setting's suite names.

    Further publications have their sections: the first screen stays one screen.
    """
    check = next((c for c in report.claims if setting.run.id in c.runs), None)
    return tuple(_entry(v) for v in check.verdicts if v.metric == metric_name) if check else ()


def _entry(verdict: Verdict) -> Entry:
    lines = [f"{verdict.word}: {verdict.reason}"]
    if verdict.value is not None:
        many = len(verdict.rows) > 1
        how = f", {verdict.aggregation or 'mean'} of {len(verdict.rows)} rows" if many else ""
        lines.append(f"ours: {figure(verdict)}{how}")
        lines += absolutes(verdict.rows)
    return Entry(f"claimed: {verdict.source}", verdict.printed, None, "", tuple(lines), plain=True)


def figure(verdict: Verdict) -> str:
    """The measured figure in the claim's terms, with its interval."""
    return in_terms(verdict.value, verdict.low, verdict.high, verdict.unit)


def in_terms(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """`51.2 % (50.9–51.5)`"""
    if value is None:
        return "no value"
    place = last_place(value, low, high, exact=low == high)
    gap = "" if unit == "×" else " "
    text = f"{number(value, place)}{gap}{unit}".strip()
    if low is None or high is None:
        return f"{text} (no interval)"
    return text if low == high else f"{text} ({span(low, high, place)})"


def claims_section(check: Check) -> Section:
    """Verdicts, published figures beside ours, and the conditions that decided."""
    return Section(
        f"claims-{check.name}",
        f"Claims: {check.title}",
        (INTRODUCTION, BESIDE, CONDITIONS),
        tuple(t for t in (verdict_table(check), beside_table(check), conditions_table(check)) if t.groups[0].rows),
        link=f"Claims: {check.name}",
    )


def verdict_table(check: Check) -> Table:
    """One line a claim."""
    header = ("claim", "as printed", "verdict", "ours", "variant and baseline", "why", "measure again")
    rows = [
        (
            Cell(f"{v.claim}{' (must hold)' if v.must_hold else ''}"),
            Cell(v.printed),
            Cell(v.word),
            Cell(figure(v)),
            Cell("; ".join(absolutes(v.rows)) or NOTHING),
            Cell(v.reason),
            Cell("command", full=shlex.join(v.command)) if v.command else Cell(NOTHING),
        )
        for v in check.verdicts
    ]
    return table(header, rows)


def beside_table(check: Check) -> Table:
    """Published and measured values, metric by metric."""
    header = ("published row", "verdict of the row", "as printed", "ours", "their ratio", "our ratio")
    titles: dict[str, list[tuple[Cell, ...]]] = {}
    for row in check.table:
        titles.setdefault(_title(row), []).append(_beside(row))
    return Table(header, tuple(Group(title, tuple(rows)) for title, rows in titles.items()) or (Group("", ()),), 2)


def conditions_table(check: Check) -> Table:
    """Every condition that binds one of the claims, as published and as it was here."""
    header = ("condition", "published", "here", "alike")
    seen: dict[tuple[str, str | None, str | None], ConditionCheck] = {}
    for verdict in check.verdicts:
        for one in verdict.checks:
            seen.setdefault((one.name, one.published, one.here), one)
    return table(header, [cells(*_condition(one)) for one in seen.values()])


def _condition(one: ConditionCheck) -> Iterator[str]:
    yield one.name
    yield "not stated" if one.published is None else f"{one.published}{_DOCUMENTED.get(one.status, '')}"
    yield one.here or "not seen"
    yield {True: "yes", False: "no", None: "cannot be said"}[one.agrees]


_DOCUMENTED = {"documented": " (documented, not proven for the table)"}


def absolutes(rows: Sequence[Beside]) -> tuple[str, ...]:
    """`int8 145 MB against 271 MB of bf16`"""
    said = []
    for row in rows:
        metric_name = _metric(row)
        if row.value is None or metric_name is None:
            continue
        own = f"{row.variant} {quantity(metric_name, row.value)}"
        base = quantity(metric_name, row.baseline_value) if row.baseline_value is not None else None
        said.append(own if base is None else f"{own} against {base} of {row.baseline}")
    return tuple(dict.fromkeys(said))


def _beside(row: Beside) -> tuple[Cell, ...]:
    name = _metric(row) or ""
    theirs = None
    if row.published is not None and row.published_baseline:
        theirs = row.published / row.published_baseline
    published = f"{row.printed or NOTHING} against {row.printed_baseline or NOTHING}"
    ours = f"{_value(name, row.value)} against {_value(name, row.baseline_value)}"
    low, high = (row.ratio_interval.low, row.ratio_interval.high) if row.ratio_interval else (None, None)
    return (
        Cell(f"{row.row}: {row.variant}"),
        Cell(row.word, full=f"{row.word}: {row.reason}"),
        Cell(published),
        Cell(ours),
        Cell(NOTHING if theirs is None else f"{theirs:.3g}×"),
        Cell(in_terms(row.ratio, low, high, "×")),
    )


def _value(name: str, value: float | None) -> str:
    return NOTHING if value is None or name not in METRICS else quantity(name, value)


def _title(row: Beside) -> str:
    return metric_title(row.metric, None) + (f", {row.workload}" if row.workload else "")


def _metric(row: Beside) -> str | None:
    return row.metric if row.metric in METRICS else None
