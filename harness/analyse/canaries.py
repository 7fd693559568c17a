"""Whether the machine was as fast beside one process as beside another: the canary's second use."""

from collections.abc import Sequence

from harness.derivations import median
from harness.values import CanarySeen, Timing, TrialRecord

MOST_APART = 0.03
"""The same fixed work took so much longer beside one of two processes that are compared."""


def apart(records: Sequence[TrialRecord], others: Sequence[TrialRecord]) -> dict[int, float]:
    """Round → by how much the machine was slower beside `records` than beside `others`; negative: faster.

    Only rounds in which both have canaries. Of its two parts, arithmetic and reading, the one that differs more.
    """
    own, other = _paces(records), _paces(others)
    found = {}
    for round_number in sorted(own.keys() & other.keys()):
        parts = [a / b - 1 for a, b in zip(own[round_number], other[round_number], strict=True)]
        found[round_number] = max(parts, key=abs)
    return found


def uneven(records: Sequence[TrialRecord], others: Sequence[TrialRecord]) -> str | None:
    """The rounds in which a comparison of these two is one of two machines, in words; None where none is."""
    every = apart(records, others)
    bad = {r: share for r, share in every.items() if abs(share) > MOST_APART}
    if not bad:
        return None
    worst = max(bad.values(), key=abs)
    word = "slower" if worst > 0 else "faster"
    return (
        f"in {len(bad)} of {len(every)} rounds the machine was not equally fast beside the two (canary), "
        f"at worst {abs(worst):.0%} {word} here than beside the baseline"
    )


def _paces(records: Sequence[TrialRecord]) -> dict[int, tuple[float, float]]:
    """Round → median of each part over the windows that count."""
    found = {}
    for record in records:
        timings = (o for o in record.observations if isinstance(o, Timing))
        seen: list[CanarySeen] = [c for t in timings for c in (t.canary_before, t.canary_after) if c is not None]
        if seen:
            found[record.round] = (median(c.compute_ns for c in seen), median(c.read_ns for c in seen))
    return found
