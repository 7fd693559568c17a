"""Plots over two axes: accuracy against decode, the roofline, savings by context."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.render.axes import CHARACTER, Axes, Axis, between, placed, short, spread
from harness.render.palette import Palette
from harness.render.plots import TITLE
from harness.render.scene import Dot, Label, Point, Scene, Shape, line, polyline

WIDTH, HEIGHT = 389.0, 252.0
LEFT, BELOW, ABOVE = 46.0, 34.0, 8.0
LARGEST_RADIUS = 15.0


@dataclass(frozen=True)
class Bubble:
    label: str
    x: float
    x_low: float | None
    x_high: float | None
    y: float
    y_low: float | None
    y_high: float | None
    area: float | None
    """As a share of the largest."""
    compressed: bool


@dataclass(frozen=True)
class Spot:
    """A variant under its roof."""

    label: str
    x: float
    y: float
    roof: float
    """y that the roof has at this x."""
    compressed: bool


@dataclass(frozen=True)
class Course:
    """A line through points (x, y, computed); y may be missing."""

    label: str
    points: tuple[tuple[float, float | None, bool], ...]


def tradeoff(points: Sequence[Bubble], palette: Palette, title: str | None, *, x: str, y: str) -> Scene:
    """What a variant gives against what it costs: bubbles with error bars on both axes."""
    ys = [v for p in points for v in (p.y, p.y_low, p.y_high) if v is not None]
    widest = max((v for p in points for v in (p.x, p.x_high) if v is not None), default=1.0) or 1.0
    room = 0.2 * ((max(ys) - min(ys)) or 1.0)
    axes = _axes((0.0, 1.12 * widest), (min(ys) - room, max(ys) + room), title)
    shapes = [*_title(title, palette), *axes.frame(palette, x, y)]
    spots, avoid = [], []
    for one in points:
        colour = palette.accent if one.compressed else palette.base
        radius = LARGEST_RADIUS * math.sqrt(one.area) if one.area else 0.0
        at = axes(one.x, one.y)
        if radius:
            shapes.append(Dot(*at, radius, colour, opacity=0.3))
        errors = list(_errors(one, axes))
        shapes += [line(a, b, palette.ink, 0.9) for a, b in errors]
        avoid += [p for a, b in errors for p in between(a, b)]
        shapes.append(Dot(*at, 2.2, colour))
        spots.append((at, 0.6 * radius + 2.2, short(one.label)))
    return _scene(title, palette, [*shapes, *placed(spots, axes, palette.ink, lift=0.8, avoid=avoid)])


def roofline(spots: Sequence[Spot], palette: Palette, title: str | None, *, x: str, y: str, roof: str) -> Scene:
    """Decode against bytes a token, both logarithmic, below the line of the read bandwidth."""
    xs, ys = [s.x for s in spots], [v for s in spots for v in (s.y, s.roof)]
    axes = _axes((min(xs) / 1.6, max(xs) * 1.7), (min(ys) / 1.5, max(ys) * 1.5), title, log=True)
    product = spots[0].x * spots[0].roof
    ends = [max(axes.x.low, product / axes.y.high), min(axes.x.high, product / axes.y.low)]
    shapes = [*_title(title, palette), *axes.frame(palette, x, y)]
    a, b = (axes(e, product / e) for e in ends)
    shapes.append(line(a, b, palette.ink, 1.2))
    beside = axes.y.end + 6 + max(0.0, a[1] - axes.y.end)
    right = a[0] + (beside + 6 - a[1]) * (b[0] - a[0]) / (b[1] - a[1])
    shapes.append(Label(right + 5, beside, roof, palette.muted, 8))
    named, avoid = [], between(a, b)
    for one in sorted(spots, key=lambda spot: -spot.y):
        at, colour = axes(one.x, one.y), palette.accent if one.compressed else palette.base
        shapes.append(line(at, axes(one.x, one.roof), palette.muted, 0.8, dashed=True))
        avoid += between(at, axes(one.x, one.roof))
        shapes.append(Dot(*at, 3.0, colour))
        named.append((at, 3.0, one.label))
    return _scene(title, palette, [*shapes, *placed(named, axes, palette.ink, avoid=avoid)])


def lines(runs: Sequence[Course], palette: Palette, title: str | None, *, x: str, y: str) -> Scene:
    """A line a variant over doubling steps; measured points are filled, computed ones are rings."""
    steps = sorted({p[0] for run in runs for p in run.points})
    ys = [v for run in runs for _, v, _ in run.points if v is not None]
    low, high = min(0.0, *ys), max(0.0, *ys)
    room = 0.06 * ((high - low) or 1.0)
    right = 10 + CHARACTER * max(len(short(run.label)) for run in runs)
    axes = _axes((steps[0], steps[-1]), (low - room * (low < 0), high + room), title, right=right, log_x=True)
    marks = [(step, f"{step:,.0f}") for step in steps]
    shapes = [*_title(title, palette), *axes.frame(palette, x, y, marks)]
    if low < 0:
        shapes.append(line(axes(steps[0], 0.0), axes(steps[-1], 0.0), palette.muted))
    ends = []
    for run in runs:
        seen = [(axes(at, v), computed) for at, v, computed in run.points if v is not None]
        shapes.append(polyline([p for p, _ in seen], palette.accent, 1.2))
        for p, computed in seen:
            dot = Dot(*p, 2.4, palette.paper, palette.accent) if computed else Dot(*p, 3.2, palette.accent)
            shapes.append(dot)
        ends.append((seen[-1][0], short(run.label)))
    for (end, label), at in zip(ends, spread([e[1] for e, _ in ends]), strict=True):
        shapes.append(Label(end[0] + 7, at, label, palette.ink))
    return _scene(title, palette, shapes)


def _errors(one: Bubble, axes: Axes) -> Iterator[tuple[Point, Point]]:
    if one.x_low is not None and one.x_high is not None:
        yield axes(one.x_low, one.y), axes(one.x_high, one.y)
    if one.y_low is not None and one.y_high is not None:
        yield axes(one.x, one.y_low), axes(one.x, one.y_high)


def _axes(
    x: tuple[float, float],
    y: tuple[float, float],
    title: str | None,
    *,
    right: float = 10.0,
    log: bool = False,
    log_x: bool = False,
) -> Axes:
    top = ABOVE + (TITLE if title else 0)
    bottom = HEIGHT + (TITLE if title else 0) - BELOW
    return Axes(Axis(*x, LEFT, WIDTH - right, log or log_x), Axis(*y, bottom, top, log))


def _title(title: str | None, palette: Palette) -> Iterator[Shape]:
    if title:
        yield Label(4, 11, title, palette.ink, 9.5)


def _scene(title: str | None, palette: Palette, shapes: Sequence[Shape]) -> Scene:
    return Scene(WIDTH, HEIGHT + (TITLE if title else 0), palette.paper if title else None, tuple(shapes))
