"""Time to first token × prefill: the prompt length that two figures of a row imply."""

from collections.abc import Iterator

from harness.analyse.audit.figures import figure
from harness.analyse.audit.findings import Finding, Verdict
from harness.analyse.audit.intervals import exactly, listed, said, shared, spread, times
from harness.published import ClaimFile, Printed

FIRST, RATE = "ttft_s", "prefill_tok_s"
SECONDS = {"s": 1.0, "ms": 1e-3}


def prompt_lengths(file: ClaimFile) -> Iterator[Finding]:
    """Each row's implied length against the stated one, then whether one length fits all rows."""
    implied = _implied(file)
    if not implied:
        return
    stated = _stated(file)
    for row, length in implied.items():
        yield _row(row, length, stated)
    if len(implied) > 1:
        yield _all(implied)
    if file.columns[RATE].inverse_of == FIRST or file.columns[FIRST].inverse_of == RATE:
        yield _inverse(implied)


def _implied(file: ClaimFile) -> dict[str, Printed]:
    found = {}
    for row in file.rows:
        first, rate = figure(file, row, FIRST), figure(file, row, RATE)
        if first is not None and rate is not None:
            seconds = SECONDS.get(file.columns[FIRST].unit, 1.0)
            found[row] = times(times(first, exactly(seconds)), rate)
    return found


def _stated(file: ClaimFile) -> float | None:
    for condition in file.conditions:
        if condition.name == "prompt_tokens" and (not condition.metrics or FIRST in condition.metrics):
            return float(condition.value) if isinstance(condition.value, int | float) else None
    return None


def _row(row: str, length: Printed, stated: float | None) -> Finding:
    verdict: Verdict
    implied = f"Time to first token × prefill is {spread(length, 'tokens')}"
    if stated is None:
        verdict, sentence = "note", f"{implied}; no prompt length is stated."
    elif length.low <= stated <= length.high:
        verdict, sentence = "follows", f"{implied}, and {said(stated, 1)} are stated."
    else:
        verdict = "note"
        if length.low > stated:
            why = "more than the stated {}: the first token's time may hold more than prefill"
        else:
            why = "fewer than the stated {}: the two figures may be of different runs"
        sentence = f"{implied}, {why.format(said(stated, 1))}, or another length was measured."
    return Finding(
        rule="prompts",
        verdict=verdict,
        row=row,
        metric=FIRST,
        sentence=sentence,
        unit="tokens",
        recomputed=length,
        printed=None if stated is None else exactly(stated),
    )


def _all(implied: dict[str, Printed]) -> Finding:
    common = shared(list(implied.values()))
    if common is None:
        shortest = min(implied, key=lambda row: implied[row].high)
        longest = max(implied, key=lambda row: implied[row].low)
        ends = listed([f"{row} {spread(implied[row])}" for row in (shortest, longest)])
        sentence = f"No single prompt length fits all rows: {ends} tokens."
    else:
        sentence = f"One prompt length may fit all rows: {said(common[0])} to {said(common[1])} tokens."
    return Finding(
        rule="prompts",
        verdict="note" if common is None else "follows",
        metric=FIRST,
        sentence=sentence,
        unit="tokens",
        others=implied,
    )


def _inverse(implied: dict[str, Printed]) -> Finding:
    literal = all(length.low <= 1 <= length.high for length in implied.values())
    return Finding(
        rule="prompts",
        verdict="follows" if literal else "note",
        metric=RATE,
        sentence="Prefill is called the inverse of the time to first token, and their product is 1."
        if literal
        else "Prefill is called the inverse of the time to first token. It cannot be meant literally: "
        "their product is a number of tokens, not 1.",
        unit="tokens",
        others=implied,
    )
