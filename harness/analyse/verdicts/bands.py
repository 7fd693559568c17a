"""From a claimed figure and a measured interval to a word. Pure numbers; what may be compared is decided elsewhere.

A band is all that may be measured where the claim is true: the figure, give or take the larger of the
tolerance and half a unit of the last printed digit, open to one side for `at_least` and `at_most`.
"""

import math
from typing import Literal

from harness.published import Claim, printed
from harness.stats import FEWEST_ROUNDS, Interval, t_quantile
from harness.values import Value

Word = Literal[
    "reproduced", "exceeded", "not reproduced", "inconclusive", "baseline moved", "not comparable", "not attempted"
]
MOST_ROUNDS = 1000
ROUNDING = 1e-9
"""Of binary fractions, so that a figure on the very edge is inside."""


class Band(Value, frozen=True):
    """Both ends, infinite where the claim has no such end."""

    low: float
    high: float


def band_of(claim: Claim) -> Band:
    """In the claim's printed unit: percent, times, points or its own unit."""
    first = printed(claim.figure)
    half = max(claim.tolerance, first.half) + ROUNDING * abs(first.value)
    match claim.form:
        case "at_least":
            return Band(low=first.value - half, high=math.inf)
        case "at_most":
            return Band(low=-math.inf, high=first.value + half)
        case "range":
            last = printed(claim.to or claim.figure)
            last_half = max(claim.tolerance, last.half) + ROUNDING * abs(last.value)
            return Band(low=first.value - half, high=last.value + last_half)
        case _:
            return Band(low=first.value - half, high=first.value + half)


def judge(band: Band, interval: Interval, better: Literal["lower", "higher"]) -> Word:
    """Where the whole interval lies; `exceeded` only where the band has an end on the better side."""
    if interval.low >= band.low and interval.high <= band.high:
        return "reproduced"
    if interval.low > band.high:
        return "exceeded" if better == "higher" else "not reproduced"
    if interval.high < band.low:
        return "exceeded" if better == "lower" else "not reproduced"
    return "inconclusive"


def more_rounds(band: Band, interval: Interval, rounds: int) -> int | None:
    """How many rounds beyond these would decide, if the middle and the spread stay as they are.

    None where no number below 1,000 would: the middle lies on the band's edge, or there is no spread to learn from.
    """
    if rounds < FEWEST_ROUNDS or not interval.high > interval.low:
        return None
    middle, half = (interval.low + interval.high) / 2, (interval.high - interval.low) / 2
    room = min(abs(middle - edge) for edge in (band.low, band.high) if math.isfinite(edge))
    spread = half * math.sqrt(rounds) / t_quantile(rounds - 1)
    for wanted in range(rounds + 1, MOST_ROUNDS):
        if t_quantile(wanted - 1) * spread / math.sqrt(wanted) < room:
            return wanted - rounds
    return None
