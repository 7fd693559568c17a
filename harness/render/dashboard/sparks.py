"""Sparklines as paths of SVG: the page sets them as they are, so that hundreds are painted at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from harness.analyse.history.values import Change, Series
from harness.render.dashboard.states import bounds, points_of

WIDTH, HEIGHT = 240, 40
EDGE = 3
"""Free on every side, for a dot at the end."""
MOST_DOTS = 120
"""More points than these are drawn as medians of stretches of time, with the range of each behind them."""
QUIET = 0.06
"""Least height of the picture as a share of the value: what does not change looks flat."""


@dataclass(frozen=True)
class Window:
    """The time that a sparkline shows, in seconds of the Unix clock."""

    start: int
    end: int

    def x(self, at: float) -> float:
        share = (at - self.start) / max(self.end - self.start, 1)
        return round(EDGE + share * (WIDTH - 2 * EDGE), 1)


@dataclass(frozen=True)
class _Dot:
    x: float
    low: float
    middle: float
    high: float
    piece: int
    """Dots of one piece are joined."""


def spark(series: Series, times: Sequence[int], window: Window) -> dict[str, Any]:
    """A sparkline of the series' points; `times` are those of its points.

    `line` joins medians, `band` is their range, `levels` are medians between changes; `changes` holds the place and
    kind of each change, `cuts` places, `gaps` from where to where nothing was measured and whether that is an alert.
    """
    shown = [i for i, at in enumerate(times) if window.start <= at <= window.end]
    dots = _dots(series, times, shown, window)
    scale = _scale(dots)
    first = shown[0] if shown else len(times)
    changes = [one for one in series.changes if one.at >= first and one.at < len(times)]
    return {
        "line": _line(dots, scale),
        "band": _band(dots, scale) if len(shown) > MOST_DOTS else "",
        "levels": _levels(series, times, first, window, scale) if changes else "",
        "changes": [[window.x(times[one.at]), _kind(one)] for one in changes],
        "cuts": [window.x(times[cut.at]) for cut in series.cuts if first <= cut.at < len(times)],
        "gaps": _gaps(series, times, window),
        "end": [dots[-1].x, scale(dots[-1].middle)] if dots else None,
    }


def _kind(change: Change) -> str:
    """`wa` worse, alert; `ww` worse, watch; `ba` and `bw` better; `known` acknowledged."""
    if change.acknowledged is not None and change.worse:
        return "known"
    return ("w" if change.worse else "b") + change.tier[0]


def _dots(series: Series, times: Sequence[int], shown: Sequence[int], window: Window) -> list[_Dot]:
    """Points, or stretches of time with several each; a cut or a gap begins a new piece."""
    breaks = sorted({cut.at for cut in series.cuts} | {gap.first for gap in series.missing})
    columns: dict[tuple[int, int], list[int]] = {}
    width = (window.end - window.start) / MOST_DOTS if len(shown) > MOST_DOTS else 0
    piece = 0
    for i in shown:
        while piece < len(breaks) and breaks[piece] <= i:
            piece += 1
        if series.points[i].value is not None:
            columns.setdefault((piece, int((times[i] - window.start) / width) if width else i), []).append(i)
    return [_dot(series, [times[i] for i in places], places, piece, window) for (piece, _), places in columns.items()]


def _dot(series: Series, times: Sequence[int], places: Sequence[int], piece: int, window: Window) -> _Dot:
    values = [value for i in places if (value := series.points[i].value) is not None]
    return _Dot(window.x(sum(times) / len(times)), min(values), median(values), max(values), piece)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    def __call__(self, value: float) -> float:
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE), 1)


def _scale(dots: Sequence[_Dot]) -> _Scale:
    """All medians fit; of their ranges those that are no outliers."""
    middles = [dot.middle for dot in dots] or [0.0]
    lows, highs = (sorted(getattr(dot, side) for dot in dots) or [middles[0]] for side in ("low", "high"))
    beyond = len(lows) // 10
    low, high = min(*middles, lows[beyond]), max(*middles, highs[-1 - beyond])
    least = QUIET * max(abs(low), abs(high)) or 1.0
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    return _Scale(low, high)


def _line(dots: Sequence[_Dot], scale: _Scale) -> str:
    parts, last = [], None
    for dot in dots:
        parts.append(f"{'L' if dot.piece == last else 'M'}{dot.x:g} {scale(dot.middle):g}")
        last = dot.piece
    return "".join(parts)


def _band(dots: Sequence[_Dot], scale: _Scale) -> str:
    """From the lowest to the highest of each stretch, a shape for each piece."""
    parts = []
    for piece in dict.fromkeys(dot.piece for dot in dots):
        ours = [dot for dot in dots if dot.piece == piece]
        there = [f"{dot.x:g} {scale(dot.high):g}" for dot in ours]
        back = [f"{dot.x:g} {scale(dot.low):g}" for dot in reversed(ours)]
        parts.append("M" + "L".join(there + back) + "Z")
    return "".join(parts)


def _levels(series: Series, times: Sequence[int], first: int, window: Window, scale: _Scale) -> str:
    parts = []
    for start, last in bounds(series):
        values = [value for p in series.points[start : last + 1] if (value := p.value) is not None]
        if last < first or not values:
            continue
        y = scale(median(values))
        parts.append(f"M{window.x(times[max(start, first)]):g} {y:g}H{window.x(times[last]):g}")
    return "".join(parts)


def _gaps(series: Series, times: Sequence[int], window: Window) -> Iterable[tuple[float, float, bool]]:
    found = []
    for gap in series.missing:
        start, end = gap_times(gap.first, points_of(gap), times, window.end)
        if end >= window.start and start <= window.end:
            found.append((window.x(max(start, window.start)), window.x(min(end, window.end)), gap.alert))
    return found


def gap_times(first: int, points: int, times: Sequence[int], end: int) -> tuple[int, int]:
    """From the point before a gap to the point after it; a gap at the end reaches the end."""
    after = first + points
    start = times[first - 1] if 0 < first <= len(times) else times[0] if times else end
    return start, times[after] if after < len(times) else end
