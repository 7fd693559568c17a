"""Printed precision: no comparison can be sharper than the last digit of what it compares with."""

from collections.abc import Iterator

from harness.analyse.audit.figures import figure, title
from harness.analyse.audit.findings import Finding
from harness.analyse.audit.headlines import unit_of
from harness.analyse.audit.intervals import said
from harness.published import ClaimFile, Printed, printed


def printed_precision(file: ClaimFile) -> Iterator[Finding]:
    """The least precise figure of each column, then each claim's."""
    for metric, column in file.columns.items():
        figures = {row: one for row in file.rows if (one := figure(file, row, metric))}
        if figures:
            row = max(figures, key=lambda name: figures[name].half / figures[name].value)
            text = f"{file.rows[row].values[metric]} {column.unit}"
            yield _finding(figures[row], f"{title(metric)}: {text} ({row})", None, metric, column.unit)
    for name, claim in file.claims.items():
        one = printed(claim.figure)
        half = max(one.half, claim.tolerance)
        one = Printed(value=one.value, low=one.value - half, high=one.value + half)
        if one.value > 0:
            yield _finding(one, f"“{claim.printed}”", name, claim.metric, unit_of(claim))


def _finding(one: Printed, what: str, claim: str | None, metric: str, unit: str) -> Finding:
    share = 100 * one.half / one.value
    return Finding(
        rule="precision",
        verdict="note",
        claim=claim,
        metric=metric,
        sentence=f"{what} is known to ± {said(share, 2)} %: no tolerance below that means anything.",
        unit=unit,
        printed=one,
    )
