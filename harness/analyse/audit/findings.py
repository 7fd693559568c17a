"""What an audit finds: values, ready to be written as JSON or shown."""

from collections.abc import Sequence
from typing import Literal, get_args

from harness.published import Printed
from harness.values import Value

Verdict = Literal["contradiction", "note", "not stated", "follows"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""The gravest first."""
MEANINGS: dict[Verdict, str] = {
    "contradiction": "neither rounding nor unrounded data can explain it",
    "note": "what a reader should know before using a figure",
    "not stated": "needed to measure a figure again, and not said",
    "follows": "recomputed from what is printed, and the same",
}


class Finding(Value, frozen=True, kw_only=True):
    """One thing that was recomputed or looked for."""

    rule: str
    verdict: Verdict
    claim: str | None = None
    row: str | None = None
    metric: str | None = None
    """Claim, row and metric say what it is about; all None: the publication as a whole."""
    sentence: str
    unit: str = ""
    """Of all numbers of this finding."""
    recomputed: Printed | None = None
    """With the interval of all values that are printed like the figures it comes from."""
    printed: Printed | None = None
    others: dict[str, Printed] = {}
    """More recomputed numbers, each by its name."""

    @property
    def subject(self) -> str:
        """`1b-qlora size_bytes`; empty for the publication as a whole."""
        return " ".join(part for part in (self.claim, self.row, self.metric) if part)


class ScoreChange(Value, frozen=True, kw_only=True):
    """One task of one compressed row against its baseline, in points."""

    task: str
    row: str
    baseline: str
    score: Printed
    difference: Printed
    control: Printed | None
    """The plain compression's difference."""


class AuditedSource(Value, frozen=True):
    name: str
    title: str
    url: str
    date: str


class Audit(Value, frozen=True, kw_only=True):
    """All findings about one claim file."""

    schema: int = 1
    name: str
    title: str
    file: str
    sources: tuple[AuditedSource, ...]
    findings: tuple[Finding, ...]
    scores: tuple[ScoreChange, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """Findings of each verdict, the gravest first; none is left out."""
        return {verdict: sum(f.verdict == verdict for f in self.findings) for verdict in VERDICTS}


def by_gravity(findings: Sequence[Finding]) -> list[Finding]:
    """The gravest first, otherwise in their order."""
    return sorted(findings, key=lambda finding: VERDICTS.index(finding.verdict))
