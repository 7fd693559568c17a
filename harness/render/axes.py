"""Two axes, linear or logarithmic, and where ticks and labels stand on them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.render.palette import Palette
from harness.render.scene import Label, Point, Shape, line
from harness.render.words import clean, number

Box = tuple[float, float, float, float]
"""left, top, right, bottom"""
LABEL_LENGTH = 22
CHARACTER = 5.33
"""Width of a character of the usual size; no font is asked."""
LINE = 11.0
STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """From `low` at `start` to `high` at `end`, in points of the page."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return self.start + (self.end - self.start) * (at - low) / ((high - low) or 1.0)

    @property
    def ticks(self) -> list[float]:
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high, 5)


@dataclass(frozen=True)
class Axes:
    x: Axis
    y: Axis

    def __call__(self, x: float, y: float) -> Point:
        return self.x(x), self.y(y)

    def frame(
        self, palette: Palette, x_title: str, y_title: str, x_ticks: Sequence[tuple[float, str]] = ()
    ) -> Iterator[Shape]:
        """Grid, ticks and titles; `x_ticks` in place of round numbers."""
        marks = list(x_ticks) or [(t, tick_text(t, self.x.ticks)) for t in self.x.ticks]
        for value, text in marks:
            x = self.x(value)
            yield line((x, self.y.end), (x, self.y.start), palette.rule, 0.6)
            yield Label(x, self.y.start + 9, text, palette.muted, anchor="middle")
        for value in self.y.ticks:
            y = self.y(value)
            yield line((self.x.start, y), (self.x.end, y), palette.rule, 0.6)
            yield Label(self.x.start - 5, y, tick_text(value, self.y.ticks), palette.muted, anchor="end")
        yield Label((self.x.start + self.x.end) / 2, self.y.start + 23, x_title, palette.muted, anchor="middle")
        yield Label(9, (self.y.start + self.y.end) / 2, y_title, palette.muted, anchor="middle", upwards=True)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers between the two, about so many."""
    width = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(width / count))
    step = next(s * power for s in STEPS if s * power >= width / count * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten with 2 and 5 between them; between near bounds round numbers as on any axis."""
    if high / low < 4:
        return [t for t in ticks(low, high, 4) if t > 0]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [s * 10.0**p for p in powers for s in STEPS[:3]]
    return [t for t in found if low <= t <= high]


def tick_text(value: float, steps: Sequence[float]) -> str:
    """With as many digits as the ticks are apart."""
    apart = min((b - a for a, b in pairwise(steps)), default=abs(value) or 1.0)
    return number(value, min(0, math.floor(math.log10(apart) + 1e-9)))


def short(label: str) -> str:
    text = clean(label)
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def room_for(texts: Sequence[str]) -> float:
    """Points that the texts beside bars need."""
    return 14 + CHARACTER * max((len(text) for text in texts), default=0)


def placed(
    points: Sequence[tuple[Point, float, str]],
    axes: Axes,
    colour: str,
    *,
    lift: float = 0.0,
    avoid: Sequence[Point] = (),
) -> Iterator[Label]:
    """A label beside each dot of (place, radius, text), where as little as can be stands already.

    `lift`: lines above the dot that are tried first; `avoid`: points of lines that no label should cross.
    """
    taken = [(x - r, y - r, x + r, y + r) for (x, y), r, _ in points]
    crossed = [(x - 1, y - 1, x + 1, y + 1) for x, y in avoid]
    for (x, y), radius, text in points:
        wide, away = CHARACTER * len(text), radius + 4
        right, left = x + away, x - away - wide
        near = [(side, y - LINE * (lift + d)) for side in (right, left) for d in (0, 0.5, -0.5, 1, -1)]
        inside = [o for o in near if axes.x.start <= o[0] and o[0] + wide <= axes.x.end + 4] or near
        own = (x - radius, y - radius, x + radius, y + radius)
        others = [t for t in taken if t != own]
        at = min(inside, key=lambda o: (_hits(_box(o, wide), others), _hits(_box(o, wide), crossed) > 0))
        taken.append(_box(at, wide))
        yield Label(*at, text, colour)


def between(a: Point, b: Point, count: int = 60) -> list[Point]:
    """Points along a line."""
    return [(a[0] + (b[0] - a[0]) * i / count, a[1] + (b[1] - a[1]) * i / count) for i in range(count + 1)]


def spread(ys: Sequence[float]) -> list[float]:
    """The same places, moved apart where labels would overlap; order kept."""
    order = sorted(range(len(ys)), key=lambda i: ys[i])
    found, last = list(ys), -math.inf
    for index in order:
        last = max(ys[index], last + LINE)
        found[index] = last
    excess = last - max(ys, default=0.0)
    return [y - excess / 2 for y in found] if excess > 0 else found


def _box(at: Point, wide: float) -> Box:
    return at[0], at[1] - LINE / 2 + 1, at[0] + wide, at[1] + LINE / 2 - 1


def _hits(box: Box, others: Sequence[Box]) -> int:
    return sum(_overlap(box, other) for other in others)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
