"""Plots with a row a variant: bars, differences, stacks. Colours come from a palette, values stand beside."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.render.axes import CHARACTER, room_for, short, tick_text, ticks
from harness.render.palette import Palette
from harness.render.scene import Anchor, Dot, Label, Point, Rect, Scene, Shape, Strokes, line

Draw = Callable[[Palette, str | None], Scene]
"""Draws with these colours and this title (None: the page has the title)."""
WIDTH = 317.0
WIDE = 461.0
ROW = 21.6
TITLE = 21.6
LEGEND_LINE = 13.0
LEGEND_COLUMNS = 3
HATCH = 4.0
SEEN_APART = 0.08
"""Share of the longest bar from which on the rounds are drawn one by one."""


@dataclass(frozen=True)
class Bar:
    """One line of a plot: a value with its interval, and the rounds it comes from."""

    label: str
    value: float
    low: float | None
    high: float | None
    text: str
    compressed: bool
    rounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Stack:
    """One bar of parts; a part is (kind, value)."""

    label: str
    parts: tuple[tuple[str, float], ...]
    text: str


@dataclass(frozen=True)
class _Rows:
    """Where rows stand: a labelled one a variant, `x` from `low` to `high`."""

    width: float
    height: float
    left: float
    right: float
    top: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * (value - self.low) / ((self.high - self.low) or 1.0)

    def y(self, index: float) -> float:
        return self.top + ROW * (index + 0.5)


def bars(lines: Sequence[Bar], palette: Palette, title: str | None) -> Scene:
    """Bars from zero, the interval as a line over the end, each round as a small ring."""
    most = max((max(one.value, one.high or 0.0, *one.rounds) for one in lines), default=1.0) or 1.0
    rows = _rows([one.label for one in lines], [one.text for one in lines], title, 0.0, most)
    shapes = [*_frame(rows, [one.label for one in lines], palette, title)]
    for index, one in enumerate(lines):
        y, end = rows.y(index), max(one.value, one.high or 0.0, *one.rounds, 0.0)
        colour = palette.accent if one.compressed else palette.base
        shapes.append(Rect(rows.left, y - 5.6, rows.x(one.value) - rows.left, 11.2, colour))
        if len(one.rounds) > 1 and (max(one.rounds) - min(one.rounds)) / most > SEEN_APART:
            places = [y + 7.8 * (i / (len(one.rounds) - 1) - 0.5) for i in range(len(one.rounds))]
            shapes += [
                Dot(rows.x(v), at, 1.4, palette.paper, palette.ink) for v, at in zip(one.rounds, places, strict=True)
            ]
        shapes += [*_interval(rows, y, one, palette.ink), Label(rows.x(end) + 6, y, one.text, palette.ink)]
    shapes.append(_upright(rows, 0.0, palette, len(lines)))
    return Scene(rows.width, rows.height, palette.paper if title else None, tuple(shapes))


def effects(lines: Sequence[Bar], palette: Palette, title: str | None, *, null: float, axis: str) -> Scene:
    """Differences as dots with intervals, beside the line of no difference."""
    ends = [e for one in lines for e in (one.low, one.high, one.value, null) if e is not None]
    room = 0.08 * ((max(ends) - min(ends)) or 1.0)
    labels = [one.label for one in lines]
    rows = _rows(labels, [one.text for one in lines], title, min(ends) - room, max(ends) + room, below=30)
    shapes = [*_frame(rows, labels, palette, title), _upright(rows, null, palette, len(lines), dashed=True)]
    for index, one in enumerate(lines):
        y = rows.y(index)
        shapes += _interval(rows, y, one, palette.accent)
        shapes += [
            Dot(rows.x(one.value), y, 2.8, palette.accent),
            Label(rows.right + 8, y, one.text, palette.ink),
        ]
    bottom = rows.y(len(lines) - 0.5)
    steps = ticks(rows.low, rows.high, 4)
    for tick in steps:
        shapes.append(line((rows.x(tick), bottom), (rows.x(tick), bottom + 2), palette.muted))
        shapes.append(Label(rows.x(tick), bottom + 9, tick_text(tick, steps), palette.muted, 8, "middle"))
    middle = (rows.left + rows.right) / 2
    anchor: Anchor = "middle"
    shapes.append(Label(middle, bottom + 21, axis, palette.muted, 8, anchor))
    return Scene(rows.width, rows.height, palette.paper if title else None, tuple(shapes))


def stacks(lines: Sequence[Stack], kinds: dict[str, str], palette: Palette, title: str | None) -> Scene:
    """Stacked bars from zero with a legend above; `kinds` is kind → words, in order."""
    most = max((sum(v for _, v in one.parts) for one in lines), default=1.0) or 1.0
    labels = [one.label for one in lines]
    above = LEGEND_LINE * -(-len(kinds) // LEGEND_COLUMNS) + 6
    rows = _rows(labels, [one.text for one in lines], title, 0.0, most, width=WIDE, above=above)
    shapes = [*_legend(rows, kinds, palette, rows.top - above), *_frame(rows, labels, palette, title)]
    for index, one in enumerate(lines):
        y, start = rows.y(index), 0.0
        for kind, value in one.parts:
            x = rows.x(start)
            shapes += _part(kind, list(kinds).index(kind), (x, y - 6), (rows.x(start + value) - x, 12.0), palette)
            start += value
        shapes.append(Label(rows.x(start) + 6, y, one.text, palette.ink))
    shapes.append(_upright(rows, 0.0, palette, len(lines)))
    return Scene(rows.width, rows.height, palette.paper if title else None, tuple(shapes))


def _legend(rows: _Rows, kinds: dict[str, str], palette: Palette, top: float) -> Iterator[Shape]:
    for index, (kind, words) in enumerate(kinds.items()):
        x = 4 + (rows.width - 8) / LEGEND_COLUMNS * (index % LEGEND_COLUMNS)
        y = top + LEGEND_LINE * (index // LEGEND_COLUMNS + 0.5)
        yield from _part(kind, index, (x, y - 3.5), (9.0, 7.0), palette)
        yield Label(x + 14, y, words, palette.ink, 8)


def _part(kind: str, index: int, corner: Point, size: tuple[float, float], palette: Palette) -> Iterator[Shape]:
    """A part of a stack; what nobody explains is hatched."""
    (x, y), (width, height) = corner, size
    if kind != "unexplained":
        colours = (palette.part1, palette.part2, palette.part3, palette.part4, palette.muted)
        yield Rect(x, y, width, height, colours[index % len(colours)])
        yield line((x + width, y), (x + width, y + height), palette.paper, 0.6)
        return
    right, bottom = x + width, y + height
    outline = (
        ((x, y), (right, y)),
        ((right, y), (right, bottom)),
        ((right, bottom), (x, bottom)),
        ((x, bottom), (x, y)),
    )
    slants = []
    for step in range(1, int((width + height) / HATCH) + 1):
        reach = step * HATCH  # along x + y, from the corner
        a = (x + min(reach, width), y + max(0.0, reach - width))
        b = (x + max(0.0, reach - height), y + min(reach, height))
        slants.append((a, b))
    yield Strokes((*outline, *slants), palette.muted, 0.6)


def _rows(
    labels: Sequence[str],
    texts: Sequence[str],
    title: str | None,
    low: float,
    high: float,
    *,
    width: float = WIDTH,
    above: float = 3.0,
    below: float = 4.0,
) -> _Rows:
    left = 9 + CHARACTER * max((len(short(label)) for label in labels), default=0)
    top = above + (TITLE if title else 0)
    height = top + ROW * max(1, len(labels)) + below
    return _Rows(width, height, left, max(left + 40, width - room_for(texts)), top, low, high)


def _frame(rows: _Rows, labels: Sequence[str], palette: Palette, title: str | None) -> Iterator[Shape]:
    if title:
        yield Label(4, 11, title, palette.ink, 9.5)
    for index, label in enumerate(labels):
        yield Label(rows.left - 5, rows.y(index), short(label), palette.ink, anchor="end")


def _upright(rows: _Rows, value: float, palette: Palette, count: int, *, dashed: bool = False) -> Strokes:
    x = rows.x(value)
    return line((x, rows.y(-0.5)), (x, rows.y(max(1, count) - 0.5)), palette.muted, dashed=dashed)


def _interval(rows: _Rows, y: float, one: Bar, colour: str) -> Iterator[Shape]:
    if one.low is not None and one.high is not None:
        yield line((rows.x(one.low), y), (rows.x(one.high), y), colour, 1.4)
