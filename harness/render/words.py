"""Numbers as people read them: with units, and with no more digits than their interval supports."""

import math
import re
import unicodedata
from dataclasses import dataclass

from harness.metrics import metric
from harness.values import Load, Memory, Speed, Sustained, Task, Text, Workload

MOST_DIGITS = 3
DIGITS_WITHOUT_INTERVAL = 2
EXACT_DIGITS = 3
FINE_MANTISSA = 1.5
SMALL_NATS = 1e-3
MULTIPLES_FROM = 1.5
"""From here on a ratio is said as a multiple, below it as a percentage."""

STATUS_WORDS = {
    "unsupported": "not supported",
    "failed": "failed",
    "timed_out": "timed out",
    "oom_killed": "out of memory",
    "lost_device": "device lost",
    "does_not_fit": "does not fit",
    "invalid": "not valid",
    "not_measured": "not measured yet",
    "set_aside": "set aside",
    "discarded": "windows discarded",
    "not_needed": "not needed",
    "ok": "no value",
}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
HARMFUL = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{''.join(sorted(_BIDI))}]")
"""Characters that `clean` replaces, but for line breaks and tabs."""


def clean(text: str) -> str:
    """A string from a suite or a record as one harmless line.

    Control characters (escape sequences of terminals, what XML forbids) and characters that turn the
    direction of writing become visible replacements; line breaks become spaces.
    """
    line = " ".join(text.split())
    return "".join(
        "�" if c in _BIDI or c in "\ufffe\uffff" or unicodedata.category(c) in ("Cc", "Cs") else c for c in line
    )


def last_place(
    value: float, low: float | None, high: float | None, *, null: float | None = None, exact: bool = False
) -> int:
    """Power of ten of the last digit worth printing.

    The first digit of the interval's half width; one more where that digit is a small 1, and where
    rounding would hide that the interval lies beside `null` or that it has a width at all.
    """
    size = _power(value)
    if exact:
        return size - EXACT_DIGITS + 1
    if low is None or high is None:
        return size - DIGITS_WITHOUT_INTERVAL + 1
    half = (high - low) / 2
    finest = max(size, _power(half)) - MOST_DIGITS + 1
    if half <= 0:
        return size - EXACT_DIGITS + 1
    fine = half / 10.0 ** _power(half) < FINE_MANTISSA
    place = max(_power(half) - fine, finest)
    if _hides(place, low, high, null):
        place = max(place - 1, finest)
    return place


def _hides(place: int, low: float, high: float, null: float | None) -> bool:
    rounded_low, rounded_high = round(low, -place), round(high, -place)
    if rounded_low == rounded_high:
        return True
    return null is not None and not low <= null <= high and rounded_low <= null <= rounded_high


def _power(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def number(value: float, place: int) -> str:
    """Rounded to a power of ten, with a thousands separator and a true minus sign."""
    digits = max(0, -place)
    rounded = round(value, -place) + 0.0  # no minus zero
    return f"{rounded:,.{digits}f}".replace("-", "−")


def span(low: float, high: float, place: int) -> str:
    """`2.9–3.2`; with `to` where a sign would make the dash hard to read."""
    a, b = number(low, place), number(high, place)
    return f"{a} to {b}" if "−" in a + b else f"{a}–{b}"


def scaled(name: str, value: float) -> tuple[float, str]:
    """(factor, unit) that a metric of about this value is printed with."""
    if name == "size_bytes":
        return (1e-9, "GB") if value >= 1e9 else (1e-6, "MB")
    match metric(name).unit:
        case "bytes":
            return (2.0**-30, "GiB") if value >= 1 << 30 else (2.0**-20, "MiB")
        case "bytes/s":
            return 1e-9, "GB/s"
        case "s":
            return (1.0, "s") if value >= 1 else (1e3, "ms")
        case "fraction":
            return 100.0, "%"
        case unit:
            return 1.0, unit


def quantity(
    name: str,
    value: float,
    low: float | None = None,
    high: float | None = None,
    *,
    interval: bool = False,
) -> str:
    """A metric's value with its unit, such as `48.3 tok/s`; with `interval` also `(47.9–48.8)`."""
    factor, unit = scaled(name, value)
    if unit == "nats" and 0 < abs(value) < SMALL_NATS:
        power = _power(value)
        factor, unit = 10.0**-power, f"× 10{str(power).translate(_SUPERSCRIPT)} nats"
    shown = value * factor
    lo, hi = (None, None) if low is None or high is None else (low * factor, high * factor)
    exact = metric(name).kind in ("exact", "accuracy")  # a score is a count on its items, and so exact
    place = last_place(shown, lo, hi, exact=exact)
    if shown:
        place = min(place, _power(shown))  # what was seen is never printed as 0, however wide its interval
    text = f"{number(shown, place)} {unit}".strip()
    return text if not interval or lo is None or hi is None else f"{text} ({span(lo, hi, place)})"


def times(ratio: float, low: float | None, high: float | None, *, exact: bool = False) -> str:
    """`0.281×`, with the interval where there is one."""
    place = last_place(ratio, low, high, null=1.0, exact=exact)
    if low is None or high is None or exact:
        return f"{number(ratio, place)}×"
    return f"{number(ratio, place)}× ({span(low, high, place)})"


def points(diff: float, low: float | None, high: float | None) -> str:
    """A difference of shares in percentage points, with its sign and interval."""
    d = 100 * diff
    lo, hi = (None, None) if low is None or high is None else (100 * low, 100 * high)
    place = last_place(d, lo, hi, null=0.0)
    sign = "+" if round(d, -place) > 0 else ""
    word = "point" if abs(round(d, -place)) == 1 else "points"
    shown = f"{sign}{number(d, place)} {word}"
    return shown if lo is None or hi is None else f"{shown} ({span(lo, hi, place)})"


def p_value(p: float) -> str:
    """`p = 0.06`; never a false zero."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


@dataclass(frozen=True)
class Gain:
    """A ratio in words: `3.1× faster` `2.9–3.2` `than`."""

    phrase: str
    span: str | None
    """The interval in the phrase's own terms."""
    towards: str
    """The word before the baseline's name."""

    def against(self, baseline: str) -> str:
        """`3.1× faster (2.9–3.2) than f16`"""
        interval = f" ({self.span})" if self.span else ""
        return f"{self.phrase}{interval} {self.towards} {baseline}"


def gain(name: str, ratio: float, low: float | None, high: float | None) -> Gain:
    """What a ratio means; where the interval holds 1 it says that no difference is seen."""
    one = metric(name)
    exact = one.kind == "exact"
    if exact and ratio == 1:
        return Gain("the same", None, "as")
    if not exact and low is not None and high is not None and low <= 1 <= high:
        place = last_place(ratio, low, high)
        return Gain(f"no difference seen: {number(ratio, place)}×", span(low, high, place), "against")
    better, worse = comparatives(name)
    word = better if (ratio < 1) == (one.better == "lower") else worse
    factor = ratio if ratio >= 1 else 1 / ratio if ratio > 0 else 1.0
    if one.unit in ("tok/s", "s") and factor >= MULTIPLES_FROM:
        lo, hi = (low, high) if ratio >= 1 else _reciprocal(low, high)
        place = last_place(factor, lo, hi, null=1.0, exact=exact)
        return Gain(f"{number(factor, place)}× {word}", _shown_span(lo, hi, place, exact), "than")
    percent = 100 * (ratio - 1)
    lo, hi = (None, None) if low is None or high is None else (100 * (low - 1), 100 * (high - 1))
    if percent < 0:
        percent, lo, hi = -percent, None if hi is None else -hi, None if lo is None else -lo
    place = last_place(percent, lo, hi, null=0.0, exact=exact)
    return Gain(f"{number(percent, place)} % {word}", _shown_span(lo, hi, place, exact), "than")


def _shown_span(low: float | None, high: float | None, place: int, exact: bool) -> str | None:
    return None if exact or low is None or high is None else span(low, high, place)


def comparatives(name: str) -> tuple[str, str]:
    """(better, worse)"""
    if name == "size_bytes":
        return "smaller", "larger"
    match metric(name):
        case one if one.unit == "bytes":
            return "less", "more"
        case one if one.unit == "tok/s":
            return "faster", "slower"
        case one if one.unit == "s":
            return "shorter", "longer"
        case one if one.better == "lower":
            return "lower", "higher"
        case _:
            return "higher", "lower"


def _reciprocal(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    return (None, None) if low is None or high is None else (1 / high, 1 / low)


def metric_title(name: str, workload: Workload | None) -> str:
    """The metric's name in tables: with the prompt length or the depth where they are part of it."""
    title = metric(name).title
    match workload:
        case Speed() if name == "prefill_tok_s":
            depth = f" d{workload.depth}" if workload.depth else ""
            return f"{title}@{workload.prompt_tokens}{depth}{_threads(workload)}"
        case Speed() if name == "decode_tok_s":
            return f"{title}@{workload.depth + workload.prompt_tokens}{_threads(workload)}"
        case Speed():
            return f"{title}, {workload.label}"
        case Memory():
            return f"{title}, {'memory-mapped' if workload.load_mode == 'mmap' else 'not mapped'}"
        case Task() | Text() | Sustained():
            return f"{title}, {workload.label}"
        case Load():
            return f"{title}, {'memory-mapped' if workload.load_mode == 'mmap' else 'not mapped'}"
        case _:
            return title


def _threads(workload: Speed) -> str:
    return f", {workload.threads} thread{'s' if workload.threads > 1 else ''}" if workload.threads else ""


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def date(iso: str) -> str:
    """`14 July 2026` of an ISO 8601 time; empty for none."""
    months = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
              "October", "November", "December")  # fmt: skip
    try:
        year, month, day = (int(part) for part in iso[:10].split("-"))
        return f"{day} {months[month - 1]} {year}"
    except (ValueError, IndexError):
        return clean(iso)


def status_words(status: str) -> str:
    """A status as people say it; one that nobody knows as it is written."""
    return STATUS_WORDS.get(status, status.replace("_", " "))
