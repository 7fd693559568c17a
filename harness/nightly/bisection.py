"""Between a good and a bad candidate: which one to measure next, and what was found. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

from harness.values import Value

Side = Literal["good", "bad", "unsure"]


class Step(Value, frozen=True):
    """One candidate set against the good end, in interleaved pairs."""

    candidate: int
    """Index into the candidates, which stand in order from good to bad."""
    side: Side
    pairs: int = 0
    ratio: float | None = None
    """Candidate / good."""
    low: float | None = None
    high: float | None = None
    """Interval of the ratio."""
    run: str | None = None
    """The rerun; None: there was none."""
    reason: str | None = None
    """Why it says nothing."""


class Narrowed(Value, frozen=True):
    """The neighbours between which it changed, as far as was told apart."""

    good: int
    """The last candidate that is as the good end."""
    bad: int
    """The first one that is as the bad end. One more than `good`: nothing is between them."""
    left: tuple[int, ...] = ()
    """Candidates between them that could not be told."""


def midpoint(count: int, known: Mapping[int, Side]) -> int | None:
    """The next candidate to measure; None: nothing is left to tell.

    The middle of what lies between the last good and the first bad one. One that is unsure, or could not be made, is
    passed over for its nearest neighbour that was not asked yet.

    Raises:
        ValueError: an end is missing, or a bad one comes before a good one.
    """
    good, bad = _ends(count, known)
    between = [n for n in range(good + 1, bad) if n not in known]
    middle = (good + bad) / 2
    return min(between, key=lambda n: (abs(n - middle), n), default=None)


def narrowed(count: int, known: Mapping[int, Side]) -> Narrowed:
    """Where it changed.

    Raises:
        ValueError: as `midpoint`.
    """
    good, bad = _ends(count, known)
    return Narrowed(good=good, bad=bad, left=tuple(range(good + 1, bad)))


def side_of_interval(low: float, high: float, at_bad: float) -> Side:
    """Whether a ratio to the good end is of the good or of the bad one, by its interval.

    The border is half the way to the bad end, in logarithms: what lies wholly on one side of it is that side's.

    Args:
        at_bad: ratio of the bad end to the good one, above 0 and not 1.
    """
    border = at_bad**0.5
    if low > border:
        return "bad" if at_bad > 1 else "good"
    if high < border:
        return "good" if at_bad > 1 else "bad"
    return "unsure"


def doubts(steps: Sequence[Step], level: float, pairs: int) -> float:
    """Largest chance that one of these decisions is wrong: the sum over all looks, each at `level`, one-sided.

    The first one, whether the ends differ at all, could have gone either way; and who got more than `pairs` pairs was
    looked at twice.
    """
    looks = sum(1 + (number == 0) + (step.pairs > pairs) for number, step in enumerate(steps) if step.side != "unsure")
    return min(1.0, (1 - level) * looks)


def _ends(count: int, known: Mapping[int, Side]) -> tuple[int, int]:
    goods = [n for n, side in known.items() if side == "good"]
    bads = [n for n, side in known.items() if side == "bad"]
    if not goods or not bads or max(known) >= count:
        raise ValueError("both ends must be known")
    good, bad = max(goods), min(bads)
    if good > bad:
        raise ValueError(f"candidate {bad} is bad and the later {good} is good: there is more than one change")
    return good, bad
