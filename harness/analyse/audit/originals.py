"""Reports in the press: does a claim say what its source says?"""

from collections.abc import Iterator

from harness.analyse.audit.findings import Finding, Verdict
from harness.analyse.audit.headlines import unit_of
from harness.analyse.verdicts.bands import band_of
from harness.published import UNITS, Claim, ClaimFile, Printed, printed

KINDS = (
    frozenset({"bytes", "kB", "MB", "GB", "KiB", "MiB", "GiB"}),
    frozenset({"s", "ms"}),
    frozenset({"tok/s"}),
    frozenset({"fraction", "%"}),
    frozenset({"tokens"}),
    frozenset({"characters"}),
)
"""Units within one of these can be converted; tokens and characters cannot."""


def originals(file: ClaimFile) -> Iterator[Finding]:
    """One finding for each claim that names what its source says."""
    for name, claim in file.claims.items():
        if claim.original is not None:
            yield _judged(file, name, claim)


def _judged(file: ClaimFile, name: str, claim: Claim) -> Finding:
    original = claim.original
    assert original is not None
    source = file.sources[original.source].title
    heading = f"“{claim.printed}”; its source ({source}) says “{original.printed}”"
    verdict: Verdict
    if original.unit is not None and not _convertible(original.unit, unit_of(claim)):
        verdict, what = "contradiction", f"another unit: {original.unit}, not {unit_of(claim)}"
    elif original.figure is None:
        verdict, what = "not stated", "without a figure to compare"
    else:
        verdict, what = _figures(claim, _source_figure(claim))
    difference = f" {original.difference}" if original.difference else ""
    return Finding(
        rule="originals",
        verdict=verdict,
        claim=name,
        metric=claim.metric,
        sentence=f"{heading}: {what}.{difference}",
        unit=unit_of(claim),
        recomputed=_source_figure(claim) if original.figure else None,
        printed=printed(claim.figure),
    )


def _convertible(one: str, other: str | None) -> bool:
    return any(one in kind and other in kind for kind in KINDS)


def _source_figure(claim: Claim) -> Printed:
    """In the claim's unit where both have one that converts; a range from its lower to its upper end."""
    original = claim.original
    assert original is not None and original.figure is not None
    factor = 1.0
    if original.unit and claim.unit and _convertible(original.unit, claim.unit):
        factor = UNITS[original.unit] / UNITS[claim.unit]
    low, high = printed(original.figure, factor), printed(original.to or original.figure, factor)
    return Printed(
        value=low.value if original.to is None else (low.value + high.value) / 2, low=low.low, high=high.high
    )


def _figures(claim: Claim, source: Printed) -> tuple[Verdict, str]:
    original = claim.original
    assert original is not None
    allowed = band_of(claim)
    if source.high < allowed.low or source.low > allowed.high:
        return "contradiction", "another figure"
    if original.to is not None and claim.form == "equals":
        return "note", "one figure where the source has a range"
    if original.to is None and claim.form == "range":
        return "note", "a range where the source has one figure"
    return "follows", "the same within what is printed"
