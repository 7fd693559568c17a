"""An audit in a terminal: counts, then every finding, the gravest first."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from harness.analyse.audit import RULES
from harness.analyse.audit.findings import MEANINGS, Audit, Finding, Verdict, by_gravity
from harness.render.words import clean

STYLES: dict[Verdict, str] = {
    "contradiction": "bold red",
    "note": "yellow",
    "not stated": "magenta",
    "follows": "green",
}


def audit_table(audit: Audit) -> RenderableType:
    """Everything that was found about one claim file."""
    title = Text(clean(f"{audit.title} ({audit.file or audit.name})"), style="bold")
    return Group(title, Padding(_counts(audit), (0, 0, 1, 0)), *(_verdict(audit, verdict) for verdict in audit.counts))


def _counts(audit: Audit) -> RichTable:
    grid = RichTable.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right")
    for verdict, count in audit.counts.items():
        grid.add_row(str(count), Text(verdict, style=STYLES[verdict]), Text(MEANINGS[verdict], style="dim"))
    return grid


def _verdict(audit: Audit, verdict: Verdict) -> RenderableType:
    findings = [finding for finding in by_gravity(audit.findings) if finding.verdict == verdict]
    if not findings:
        return Text("")
    grid = RichTable(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, title=verdict, title_justify="left", title_style=STYLES[verdict]
    )
    for name in ("rule", "about", "finding"):
        grid.add_column(name, header_style="dim", overflow="fold")
    for finding in findings:
        grid.add_row(*_cells(finding))
    return Padding(grid, (0, 0, 1, 0))


def _cells(finding: Finding) -> tuple[Text, Text, Text]:
    rule = RULES[finding.rule].title if finding.rule in RULES else finding.rule
    return Text(rule), Text(clean(finding.subject)), Text(clean(finding.sentence))
