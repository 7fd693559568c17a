"""Audit → page and files: index.html, audit.md and audit.json."""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness import __version__
from harness.analyse.audit import RULES
from harness.analyse.audit.findings import MEANINGS, Audit, Finding, by_gravity
from harness.analyse.audit.intervals import ROUNDING, said, spread
from harness.published import Printed
from harness.render.files import write_files
from harness.render.html import html
from harness.render.markdown import markdown
from harness.render.page import Cell, Page, Section, Table, cells, table
from harness.render.words import date
from harness.store import encode


def write_audit(audit: Audit, folder: Path) -> list[Path]:
    """Write all files into `folder`, replacing those of the same name; returns their paths.

    Raises:
        StoreError: the folder cannot be written.
    """
    page = audit_page(audit)
    bodies = {
        "index.html": html(page, {}).encode(),
        "audit.md": markdown(page).encode(),
        "audit.json": msgspec.json.format(encode(audit), indent=1) + b"\n",
    }
    return write_files(bodies, folder, "the audit")


def audit_page(audit: Audit) -> Page:
    """Verdicts counted, what stands out, then every rule with all its findings."""
    rules = [_rule(name, [f for f in audit.findings if f.rule == name]) for name in RULES]
    shown = [section for section in rules if section is not None]
    return Page(
        title=f"Audit of the claims: {audit.title}",
        banners=_banners(audit),
        screens=(),
        sections=(_summary(audit), *shown, *_scores(audit), _sources(audit)),
        notes=(),
        footer=f"bench {__version__}; recomputed from {audit.file or audit.name} alone, nothing was measured.",
    )


def counts_table(audit: Audit) -> Table:
    """Findings of each verdict."""
    rows = [cells(verdict, str(count), MEANINGS[verdict]) for verdict, count in audit.counts.items()]
    return Table(header=("verdict", "findings", "meaning"), groups=table((), rows).groups)


def _banners(audit: Audit) -> tuple[str, ...]:
    found = audit.counts["contradiction"]
    word = "contradiction" if found == 1 else "contradictions"
    return (f"{found} {word}: see the findings marked so.",) if found else ()


def _summary(audit: Audit) -> Section:
    return Section(
        id="summary",
        title="In short",
        paragraphs=(
            f"{len(audit.findings)} findings of {len(RULES)} rules, from printed figures and their precision alone.",
        ),
        tables=(counts_table(audit),),
        link="In short",
    )


def _rule(name: str, findings: Sequence[Finding]) -> Section | None:
    if not findings:
        return None
    rows = [_row(finding) for finding in by_gravity(findings)]
    return Section(
        id=name,
        title=RULES[name].title,
        paragraphs=(RULES[name].question,),
        tables=(table(("about", "verdict", "finding", "recomputed", "printed, as interval"), rows),),
        link=RULES[name].title,
    )


def _row(finding: Finding) -> tuple[Cell, ...]:
    return cells(
        finding.subject or "all",
        finding.verdict,
        finding.sentence,
        _number(finding.recomputed, finding.unit),
        _interval(finding.printed, finding.unit),
    )


def _number(one: Printed | None, unit: str) -> str:
    if one is None:
        return ""
    if one.low == one.high:
        return f"{said(one.value, 4)} {unit}".strip()
    return f"{said(one.value, 4)} {unit} ({spread(one, digits=4)})"


def _interval(one: Printed | None, unit: str) -> str:
    """All values that are printed alike, with one digit more than the figure has."""
    if one is None or one.low == one.high:
        return _number(one, unit)
    places = max(0, 1 - math.floor(math.log10(one.high - one.low) + ROUNDING))
    low, high = (f"{round(end, places):,.{places}f}".replace("-", "−") for end in (one.low, one.high))
    return f"{low} to {high} {unit}".strip()


def _scores(audit: Audit) -> tuple[Section, ...]:
    if not audit.scores:
        return ()
    rows = [
        cells(
            change.task,
            change.row,
            said(change.score.value),
            spread(change.difference, digits=2),
            "" if change.control is None else spread(change.control, digits=2),
        )
        for change in audit.scores
    ]
    return (
        Section(
            id="scores",
            title="Scores against their baseline",
            paragraphs=("Differences in points, as intervals of all values that are printed like the two scores.",),
            tables=(table(("task", "row", "score, %", "difference", "plain compression"), rows, numeric=2),),
            link="Scores",
        ),
    )


def _sources(audit: Audit) -> Section:
    rows = [cells(one.name, one.title, date(one.date) if one.date else "", one.url) for one in audit.sources]
    return Section(
        id="sources", title="Sources", tables=(table(("name", "title", "date", "address"), rows),), link="Sources"
    )
