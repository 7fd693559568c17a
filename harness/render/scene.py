"""A drawing as a few kinds of shapes, and the SVG they become: the same numbers give the same bytes.

Lengths are points (1/72 inch) from the top left corner. Plots of this report are bars, dots and lines:
drawing them by hand takes a thousandth of the time that a plotting library needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from markupsafe import escape

from harness.render.words import clean

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]
FONT_SIZE = 9.0
DASHES = (3.0, 2.0)
MIDDLE = 0.36
"""From the middle of a line of text to its base line, in sizes of the font."""


@dataclass(frozen=True)
class Rect:
    x: float
    y: float
    width: float
    height: float
    fill: str


@dataclass(frozen=True)
class Strokes:
    """Straight lines of one look."""

    segments: tuple[tuple[Point, Point], ...]
    colour: str
    width: float
    dashed: bool = False


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    radius: float
    fill: str
    edge: str | None = None
    opacity: float = 1.0


@dataclass(frozen=True)
class Label:
    """One line of text; `y` is its middle."""

    x: float
    y: float
    text: str
    colour: str
    size: float = FONT_SIZE
    anchor: Anchor = "start"
    upwards: bool = False


Shape = Rect | Strokes | Dot | Label


@dataclass(frozen=True)
class Scene:
    width: float
    height: float
    paper: str | None
    """None: whatever is behind."""
    shapes: tuple[Shape, ...]


def line(a: Point, b: Point, colour: str, width: float = 0.8, *, dashed: bool = False) -> Strokes:
    return Strokes(((a, b),), colour, width, dashed)


def polyline(points: Sequence[Point], colour: str, width: float, *, dashed: bool = False) -> Strokes:
    return Strokes(tuple(pairwise(points)), colour, width, dashed)


def inline_svg(scene: Scene) -> str:
    """An `<svg>` element for the page: no fixed size, no id, silent for screen readers (the figure speaks)."""
    return f'<svg viewBox="0 0 {_n(scene.width)} {_n(scene.height)}" aria-hidden="true" focusable="false">' + (
        "".join(_shapes(scene)) + "</svg>"
    )


def svg_file(scene: Scene, title: str) -> str:
    """A whole SVG file."""
    size = (
        f'width="{_n(scene.width)}pt" height="{_n(scene.height)}pt" viewBox="0 0 {_n(scene.width)} {_n(scene.height)}"'
    )
    font = 'font-family="DejaVu Sans, Verdana, sans-serif"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img"><title>{escape(clean(title))}</title>'
    return "\n".join((head, *_shapes(scene), "</svg>", ""))


def _shapes(scene: Scene) -> Iterator[str]:
    if scene.paper is not None:
        yield _svg(Rect(0, 0, scene.width, scene.height, scene.paper))
    for shape in scene.shapes:
        yield _svg(shape)


def _svg(shape: Shape) -> str:
    match shape:
        case Rect():
            box = f'x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.width)}" height="{_n(shape.height)}"'
            return f'<rect {box} style="fill:{shape.fill}"/>'
        case Strokes():
            path = "".join(f"M{_n(a[0])} {_n(a[1])}L{_n(b[0])} {_n(b[1])}" for a, b in shape.segments)
            dashes = ";stroke-dasharray:3 2" if shape.dashed else ""
            return f'<path d="{path}" style="fill:none;stroke:{shape.colour};stroke-width:{_n(shape.width)}{dashes}"/>'
        case Dot():
            edge = f";stroke:{shape.edge};stroke-width:0.6" if shape.edge else ""
            faint = f";fill-opacity:{_n(shape.opacity)}" if shape.opacity < 1 else ""
            place = f'cx="{_n(shape.x)}" cy="{_n(shape.y)}" r="{_n(shape.radius)}"'
            return f'<circle {place} style="fill:{shape.fill}{faint}{edge}"/>'
        case Label():
            return _text(shape)


def _text(label: Label) -> str:
    x, y = label.x, label.y + MIDDLE * label.size
    turn = ""
    if label.upwards:
        x, y = label.x + MIDDLE * label.size, label.y
        turn = f' transform="rotate(-90 {_n(x)} {_n(y)})"'
    anchor = "" if label.anchor == "start" else f' text-anchor="{label.anchor}"'
    style = f"fill:{label.colour};font-size:{_n(label.size)}px"
    return f'<text x="{_n(x)}" y="{_n(y)}"{anchor}{turn} style="{style}">{escape(clean(label.text))}</text>'


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
