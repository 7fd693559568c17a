"""What a cell and a header of a published table say: metrics, units, figures and their changes."""

import re
from typing import NamedTuple

from harness.metrics import METRICS
from harness.published import FIGURE, UNITS, printed, printed_change, scale_of

METRIC_WORDS = (
    ("ttft_s", r"\bttft\b|time[\s-]*to[\s-]*first"),
    ("prefill_tok_s", r"\bpre-?fill|prompt (processing|eval)|\bpp\s?\d+"),
    ("decode_tok_s", r"\bdecod|\btoken generation\b|\bgeneration (speed|rate)|\btg\s?\d+|\beval(uation)? (speed|rate)"),
    ("peak_rss_bytes", r"\bmem(ory)?\b|\brss\b|\bram\b"),
    ("size_bytes", r"\bsize\b|\bdisk\b"),
)
"""Metric → what its column is called; the first that fits."""
UNIT_WORDS = (
    ("tok/s", r"\btok(en)?s?\s*(/|per)\s*s(ec(ond)?)?\b|\bt/s\b"),
    *((unit, rf"\b{unit}\b") for unit in ("KiB", "MiB", "GiB", "MB", "GB", "kB")),
    ("bytes", r"\bbytes\b"),
    ("ms", r"\bms\b|\bmilliseconds?\b"),
    ("s", r"\bs(ec(ond)?s?)?\b"),
    ("%", r"%"),
)
OTHER_RATE = re.compile(r"[(\[]|\btime\b|latency|\bper\b|/")
"""A header that says more than the metric's name, and not the unit that would fit."""
LONGEST_CELL, LONGEST_FIGURE = 100, 24
_NUMBER = FIGURE.replace("^", "").replace("$", "")
_CELL = re.compile(
    rf"^[~\s]?(?P<figure>{_NUMBER})\s*(?P<unit>[A-Za-z%/]{{0,12}})\s*(\((?P<inner>[^()]*)\))?\s*(\[[\d, ]+\])?[†‡]?$"
)
_AMOUNT = r"\d{1,12}(?:\.\d{1,12})?"
_CHANGE = re.compile(rf"^\s*(?P<text>{_AMOUNT}\s*[x×]|[-+−–]?\s*{_AMOUNT}\s*%)")
_POINTS = re.compile(r"^\s*(?P<text>[-+−–]\s*\d{1,3}(?:\.\d{1,12})?)\s*(?:pp|pts?|points?)?\s*(?:[,;].*)?$")


class CellSaid(NamedTuple):
    figure: str
    unit: str | None
    change: str | None
    """Such as `2.6x` or `-54.1%`."""
    points: str | None
    """Such as `-3.5`, of scores."""


def metric_of(header: str) -> str | None:
    return next((name for name, words in METRIC_WORDS if re.search(words, header, re.IGNORECASE)), None)


def unit_in(text: str) -> str | None:
    """The first unit that stands there."""
    for unit, words in UNIT_WORDS:
        if re.search(words, text, 0 if unit.endswith("B") else re.IGNORECASE):
            return unit
    return None


def unit_of(header: str, metric: str) -> str | None:
    """The header's unit if it fits the metric: in brackets, or anywhere; None: it names none that does.

    A rate without any unit is one of tokens a second.
    """
    inside = " ".join(re.findall(r"\(([^()]*)\)", header))
    for part in (inside, header):
        unit = unit_in(part)
        if unit is not None and scale_of(METRICS[metric], unit) is not None:
            return unit
    plain = METRICS[metric].unit == "tok/s" and not OTHER_RATE.search(header.lower())
    return "tok/s" if plain else None


def cell_of(text: str) -> CellSaid | None:
    """None: it holds no single figure, or one of something else (`7B`)."""
    found = _CELL.match(text) if len(text) <= LONGEST_CELL else None
    if found is None or len(found["figure"]) > LONGEST_FIGURE:
        return None
    unit = found["unit"] or None
    if unit is not None and (unit := unit if unit in UNITS else unit_in(unit)) is None:
        return None
    inner = found["inner"] or ""
    change, points = _CHANGE.match(inner), _POINTS.match(inner)
    return CellSaid(
        figure=found["figure"],
        unit=unit,
        change=_plain(change["text"]) if change else None,
        points=_plain(points["text"]) if points else None,
    )


def _plain(text: str) -> str:
    """Without spaces, and with the one sign that a number has."""
    return re.sub(r"[−–]", "-", re.sub(r"\s", "", text))


def follows(metric: str, value: str, base: str, change: str) -> bool:
    """Whether a printed change can come from the two figures, each within its rounding."""
    kind, said = printed_change(change)
    one, other = printed(value), printed(base)
    if one.low <= 0 or other.low <= 0:
        return False
    if kind == "percent":
        low, high = 100 * (one.low / other.high - 1), 100 * (one.high / other.low - 1)
    elif METRICS[metric].better == "lower":
        low, high = other.low / one.high, other.high / one.low
    else:
        low, high = one.low / other.high, one.high / other.low
    return said.high >= low - 1e-9 and said.low <= high + 1e-9


def leaves_something(change: str) -> bool:
    """A ratio can be formed: neither `0x` nor `-100%`."""
    kind, said = printed_change(change)
    return said.value > (-100 if kind == "percent" else 0)
