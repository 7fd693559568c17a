"""Headline claims: under which aggregation of its rows does a claim hold, and what does it hide?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.analyse.audit.figures import above, figure, reduction, scale, score, times_better
from harness.analyse.audit.findings import Finding, Verdict
from harness.analyse.audit.intervals import (
    exactly,
    highest,
    listed,
    lowest,
    mean,
    minus,
    said,
    spread,
    times,
    total,
)
from harness.analyse.verdicts.bands import band_of
from harness.published import UNITS, Claim, ClaimFile, Printed, printed

WORDS = {
    "mean": "the mean of the rows",
    "pooled": "their sums",
    "lowest": "the lowest",
    "highest": "the highest",
    "row": "the row",
    "each": "each row",
}


@dataclass(frozen=True)
class _Part:
    """One row of a claim: its own figure, its baseline's, and what the claim speaks of."""

    row: str
    value: Printed
    base: Printed | None
    said: Printed


def headline_claims(file: ClaimFile) -> Iterator[Finding]:
    """One finding a claim, and one for rows that an aggregate hides."""
    for name, claim in file.claims.items():
        parts = [part for row in claim.rows if (part := _part(file, claim, row))]
        if len(parts) < len(claim.rows):
            absent = [row for row in claim.rows if row not in {part.row for part in parts}]
            yield Finding(
                rule="headlines",
                verdict="not stated",
                claim=name,
                metric=claim.metric,
                sentence=f"No figures to recompute “{claim.printed}” from: {listed(absent)} "
                f"{'has' if len(absent) == 1 else 'have'} none.",
            )
            continue
        aggregates = _aggregates(claim, parts)
        yield _judged(name, claim, aggregates)
        if hidden := _hidden(name, claim, parts):
            yield hidden


def _part(file: ClaimFile, claim: Claim, row: str) -> _Part | None:
    base = file.rows[row].baseline
    value, from_ = _figure(file, claim, row), _figure(file, claim, base)
    if value is None or (from_ is None and claim.expressed != "value"):
        return None
    if claim.expressed == "value" or from_ is None:
        return _Part(row, value, None, value)
    if claim.expressed == "points":
        return _Part(row, value, from_, minus(value, from_))
    if value.low <= 0 or from_.low <= 0:
        return None
    gained = reduction(value, from_) if claim.expressed == "reduction" else times_better(claim.metric, value, from_)
    return _Part(row, value, from_, gained)


def _figure(file: ClaimFile, claim: Claim, row: str | None) -> Printed | None:
    """A value is in the claim's unit; what is compared may stay in the column's."""
    if row is None:
        return None
    if claim.task is not None:
        task = next(task for task in file.tasks if task.name == claim.task)
        found = score(task, row)
        return times(found, exactly(0.01)) if found and claim.unit == "fraction" else found
    found = figure(file, row, claim.metric) if claim.metric in file.columns else None
    if found is None or claim.unit is None:
        return found
    return times(found, exactly(scale(file, claim.metric) / UNITS[claim.unit]))


def _aggregates(claim: Claim, parts: list[_Part]) -> dict[str, Printed]:
    gained = [part.said for part in parts]
    if len(parts) == 1:
        return {"row": gained[0]}
    found = {"mean": mean(gained), "lowest": lowest(gained), "highest": highest(gained)}
    bases = [part.base for part in parts if part.base is not None]
    if claim.expressed in ("reduction", "times") and len(bases) == len(parts):
        value, base = total([part.value for part in parts]), total(bases)
        pooled = reduction(value, base) if claim.expressed == "reduction" else times_better(claim.metric, value, base)
        found["pooled"] = pooled
    return found


def unit_of(claim: Claim) -> str:
    """What a claim's figure counts."""
    return {"reduction": "%", "times": "×", "points": "points"}.get(claim.expressed, claim.unit or "")


def _judged(name: str, claim: Claim, aggregates: Mapping[str, Printed]) -> Finding:
    unit, allowed = unit_of(claim), band_of(claim)
    holds = {key: one.high >= allowed.low and one.low <= allowed.high for key, one in aggregates.items()}
    stated = claim.aggregation or ("row" if len(aggregates) == 1 else None)
    verdict = _verdict(stated, holds)
    if (
        claim.form == "range"
        and verdict == "follows"
        and not (holds.get("lowest", True) and holds.get("highest", True))
    ):
        verdict = "note"
    given = [f"{WORDS[key]} {said(one.value)} {unit}".strip() for key, one in aggregates.items()]
    by = [WORDS[key] for key in aggregates if holds[key]]
    sentence = f"“{claim.printed}”: {', '.join(given)}. "
    sentence += f"Printed so by {listed(by)}." if by else "None of them is printed so."
    if stated is None:
        sentence += " Which one is meant is not said."
    elif verdict == "note" and not (stated == "each" or holds.get(stated, False)):
        sentence += f" The publication speaks of {WORDS[stated]}."
    half = printed(claim.figure).half
    if verdict == "contradiction" and any(
        one.high >= allowed.low - half and one.low <= allowed.high + half for one in aggregates.values()
    ):
        verdict = "note"
        sentence += " It follows only if the figure was cut or rounded up."
    top = aggregates.get("highest", aggregates.get("row"))
    if verdict == "follows" and claim.form == "range" and top and above(top.value, printed(claim.to or "0").value):
        verdict = "note"
        sentence += f" Up to {said(top.value)} {unit} lie above the printed end, within its rounding."
    main = aggregates.get(stated or "mean") or next(iter(aggregates.values()))
    return Finding(
        rule="headlines",
        verdict=verdict,
        claim=name,
        metric=claim.metric,
        sentence=sentence,
        unit=unit,
        recomputed=main,
        printed=Printed(
            value=printed(claim.figure).value,
            low=printed(claim.figure).low,
            high=printed(claim.to or claim.figure).high,
        ),
        others=dict(aggregates),
    )


def _verdict(stated: str | None, holds: Mapping[str, bool]) -> Verdict:
    if stated == "each":
        if holds["lowest"] and holds["highest"]:
            return "follows"
        return "note" if any(holds.values()) else "contradiction"
    if stated is not None and holds.get(stated, False):
        return "follows"
    if any(holds.values()):
        return "note" if stated is not None else "follows"
    return "contradiction"


def _hidden(name: str, claim: Claim, parts: list[_Part]) -> Finding | None:
    """One figure for rows that differ by more than it can show."""
    gained = [part.said for part in parts]
    low, high = lowest(gained), highest(gained)
    if claim.form == "range" or not above(high.value - low.value, 2 * printed(claim.figure).half):
        return None
    unit = unit_of(claim)
    ends = Printed(value=mean(gained).value, low=low.value, high=high.value)
    return Finding(
        rule="headlines",
        verdict="note",
        claim=name,
        metric=claim.metric,
        sentence=f"“{claim.printed}” is one figure for rows from {spread(ends, unit)}.",
        unit=unit,
        recomputed=ends,
        printed=printed(claim.figure),
        others={part.row: part.said for part in parts},
    )
