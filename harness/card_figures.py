"""What a cell and a header of a published table say: metrics, units, figures and their changes."""

import re
from typing import NamedTuple

from harness.metrics import METRICS
from harness.published import FIGURE, Printed, printed, printed_change, scale_of

METRIC_WORDS = (
    ("ttft_s", r"\bttft\b|time[\s-]*to[\s-]*first"),
    ("prefill_tok_s", r"\bpre-?fill|prompt (processing|eval)|\bpp\s?\d+"),
    ("decode_tok_s", r"\bdecod|\bgeneration\b|\btg\s?\d+|\beval(uation)? (speed|rate)"),
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
_NUMBER = FIGURE.replace("^", "").replace("$", "")
_CELL = re.compile(
    rf"^[~*_\s]*(?P<figure>{_NUMBER})\s*(?P<unit>[A-Za-z%/]{{0,12}})\**\s*(\((?P<inner>[^()]*)\))?[*_\s†‡]*$"
)
_FACTOR = re.compile(r"^\s*(?P<text>[-+−–]?\s*\d+(?:\.\d+)?\s*[x×%])")
_POINTS = re.compile(r"^\s*(?P<text>[-+−–]\s*\d+(?:\.\d+)?)\s*(?:pp|pts?|points?)?\s*(?:[,;].*)?$")


class CellSaid(NamedTuple):
    figure: str
    unit: str | None
    change: str | None
    """Such as `2.6x` or `-54.1%`."""
    points: str | None
    """Such as `-3.5`, of scores."""


def metric_of(header: str) -> str | None:
    return next((name for name, words in METRIC_WORDS if re.search(words, header, re.IGNORECASE)), None)


def unit_of(text: str, metric: str) -> str | None:
    """The unit that fits the metric; what stands in brackets first."""
    inside = " ".join(re.findall(r"\(([^()]*)\)", text))
    for part in (inside, text):
        for unit, words in UNIT_WORDS:
            flags = 0 if unit.endswith("B") else re.IGNORECASE
            if re.search(words, part, flags) and scale_of(METRICS[metric], unit) is not None:
                return unit
    return {"tok/s": "tok/s", "s": "s"}.get(METRICS[metric].unit)


def cell_of(text: str) -> CellSaid | None:
    """None: it holds no single figure."""
    found = _CELL.match(text)
    if found is None:
        return None
    inner = found["inner"] or ""
    change, points = _FACTOR.match(inner), _POINTS.match(inner)
    return CellSaid(
        figure=found["figure"],
        unit=found["unit"] or None,
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
    return touching(said, low, high)


def touching(said: Printed, low: float, high: float) -> bool:
    return said.high >= low - 1e-9 and said.low <= high + 1e-9
