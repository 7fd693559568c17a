"""Interval arithmetic on printed figures, and how its results are said.

Every operation takes its operands as independent. Where one figure stands in several of them, as a baseline
does in the mean of two rows, the result is a little too wide: an audit may miss a contradiction, and never
invents one.
"""

import math
from collections.abc import Sequence

from harness.published import Printed

ROUNDING = 1e-9
"""Relative; floating point must not decide whether two intervals touch."""


def exactly(value: float) -> Printed:
    return Printed(value=value, low=value, high=value)


def plus(a: Printed, b: Printed) -> Printed:
    return Printed(value=a.value + b.value, low=a.low + b.low, high=a.high + b.high)


def minus(a: Printed, b: Printed) -> Printed:
    return Printed(value=a.value - b.value, low=a.low - b.high, high=a.high - b.low)


def times(a: Printed, b: Printed) -> Printed:
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return Printed(value=a.value * b.value, low=min(corners), high=max(corners))


def over(a: Printed, b: Printed) -> Printed:
    """a / b.

    Raises:
        ValueError: b may be zero or negative.
    """
    if b.low <= 0:
        raise ValueError("no ratio to a value that may be zero")
    corners = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]
    return Printed(value=a.value / b.value, low=min(corners), high=max(corners))


def total(parts: Sequence[Printed]) -> Printed:
    return Printed(value=sum(p.value for p in parts), low=sum(p.low for p in parts), high=sum(p.high for p in parts))


def mean(parts: Sequence[Printed]) -> Printed:
    return times(total(parts), exactly(1 / len(parts)))


def lowest(parts: Sequence[Printed]) -> Printed:
    return Printed(value=min(p.value for p in parts), low=min(p.low for p in parts), high=min(p.high for p in parts))


def highest(parts: Sequence[Printed]) -> Printed:
    return Printed(value=max(p.value for p in parts), low=max(p.low for p in parts), high=max(p.high for p in parts))


def shared(parts: Sequence[Printed]) -> tuple[float, float] | None:
    """What lies in all of them."""
    low, high = max(p.low for p in parts), min(p.high for p in parts)
    return (low, high) if _at_most(low, high) else None


def touch(a: Printed, b: Printed) -> bool:
    """Whether one value may lie in both."""
    return _at_most(a.low, b.high) and _at_most(b.low, a.high)


def loosened(a: Printed) -> Printed:
    """As if the last digit had been cut or rounded up instead of rounded."""
    return Printed(value=a.value, low=a.low - a.half, high=a.high + a.half)


def _at_most(a: float, b: float) -> bool:
    return a <= b or math.isclose(a, b, rel_tol=ROUNDING, abs_tol=1e-12)


# ---------------------------------------------------------------- in words


def said(value: float, digits: int = 3) -> str:
    """`1,283` or `0.27`: whole before the point, at least `digits` in all."""
    if not value:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace("-", "−")


def spread(a: Printed, unit: str = "", digits: int = 3) -> str:
    """`63.2 to 76.2 %`; one number where both ends are printed alike."""
    larger = max(abs(a.low), abs(a.high))
    places = max(0, digits - 1 - math.floor(math.log10(larger))) if larger else 0
    low, high = (f"{end + 0.0:,.{places}f}".replace("-", "−") for end in (round(a.low, places), round(a.high, places)))
    return f"{low if low == high else f'{low} to {high}'} {unit}".strip()


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
