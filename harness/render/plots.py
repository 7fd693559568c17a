"""The few kinds of plot. All take their colours from a palette, and label values directly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.render.label_places import Spot, label_places
from harness.render.palette import TITLE, TITLE_INCHES, Palette
from harness.render.words import clean

LABEL_LENGTH = 22
INCH_PER_CHARACTER = 0.074
WIDTH = 4.4
ROW_INCHES = 0.30
LARGEST_BUBBLE = 900
"""Points²."""
LABEL_POINTS = 10.0
"""Height of a bubble's label."""
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
class Stack:
    """One bar of parts; a part is (kind, value)."""

    label: str
    parts: tuple[tuple[str, float], ...]
    text: str


def bars(lines: Sequence[Bar], palette: Palette, title: str) -> Figure:
    """Bars from zero, the interval as a line over the end, each round as a small ring."""
    figure, axes = _rows(len(lines), [line.label for line in lines], palette, title, right=_room_for(lines))
    most = max((max(line.value, line.high or 0.0, *line.rounds) for line in lines), default=1.0) or 1.0
    colors = [palette.accent if line.compressed else palette.base for line in lines]
    axes.barh(range(len(lines)), [line.value for line in lines], height=0.52, color=colors)
    for y, line in enumerate(lines):
        if _spread(line, most):
            places = [y + 0.36 * (i / (len(line.rounds) - 1) - 0.5) for i in range(len(line.rounds))]
            axes.plot(
                line.rounds,
                places,
                "o",
                ms=2.8,
                mfc=palette.paper,
                mec=palette.ink,
                mew=0.6,
                ls="none",
                clip_on=False,
            )
        _beside(axes, line.text, (max(line.value, line.high or 0.0, *line.rounds, 0.0), y), palette)
    _intervals(axes, lines, palette.ink)
    axes.set_xlim(0, most)
    axes.axvline(0, color=palette.muted, lw=0.8)
    return figure


def effects(lines: Sequence[Bar], palette: Palette, title: str, *, null: float, axis: str) -> Figure:
    """Differences as dots with intervals, beside the line of no difference."""
    labels = [line.label for line in lines]
    figure, axes = _rows(len(lines), labels, palette, title, right=_room_for(lines), bottom=0.42)
    axes.axison = True
    axes.yaxis.set_visible(False)
    _intervals(axes, lines, palette.accent)
    for y, line in enumerate(lines):
        axes.plot([line.value], [y], "o", ms=5.5, color=palette.accent)
        axes.annotate(
            line.text,
            (1, y),
            xycoords=axes.get_yaxis_transform(),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=palette.ink,
        )
    ends = [e for line in lines for e in (line.low, line.high, line.value, null) if e is not None]
    room = 0.08 * ((max(ends) - min(ends)) or 1.0)
    axes.set_xlim(min(ends) - room, max(ends) + room)
    axes.axvline(null, color=palette.muted, lw=0.8, ls=(0, (3, 2)))
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="x", colors=palette.muted, length=2, labelsize=8)
    axes.set_xlabel(axis, color=palette.muted, fontsize=8)
    return figure


def tradeoff(points: Sequence[Bubble], palette: Palette, title: str, *, x: str, y: str) -> Figure:
    """What a variant gives against what it costs: bubbles with error bars on both axes."""
    figure = Figure(figsize=(5.4, 3.5 + TITLE_INCHES), facecolor=palette.paper)
    axes = figure.add_axes((0.12, 0.14, 0.86, 0.78))
    plain(axes, palette)
    axes.grid(color=palette.rule, lw=0.6)
    axes.set_axisbelow(True)
    for one in points:
        color = palette.accent if one.compressed else palette.base
        area = LARGEST_BUBBLE * one.area if one.area is not None else 0.0
        axes.scatter([one.x], [one.y], s=area, color=color, alpha=0.3, linewidths=0)
        axes.errorbar(
            [one.x],
            [one.y],
            xerr=_error(one.x, one.x_low, one.x_high),
            yerr=_error(one.y, one.y_low, one.y_high),
            fmt="o",
            ms=4,
            color=color,
            ecolor=palette.ink,
            elinewidth=0.9,
        )
    axes.margins(0.16, 0.22)
    axes.set_xlim(left=0)
    _name(axes, points, palette)
    axes.set_xlabel(x, color=palette.muted)
    axes.set_ylabel(y, color=palette.muted)
    axes.tick_params(colors=palette.muted, length=2)
    figure.text(0.01, 0.985, title, va="top", color=palette.ink, fontsize=9.5, gid=TITLE)
    return figure


def stacks(lines: Sequence[Stack], kinds: dict[str, str], palette: Palette, title: str) -> Figure:
    """Stacked bars from zero with a legend above; `kinds` is kind → words, in order."""
    labels = [line.label for line in lines]
    figure, axes = _rows(len(lines), labels, palette, title, right=_room_for(lines), top=0.46, width=6.4)
    looks = {kind: _look(kind, i, palette) for i, kind in enumerate(kinds)}
    for y, line in enumerate(lines):
        start = 0.0
        for kind, value in line.parts:
            axes.barh(y, value, left=start, height=0.56, **looks[kind])
            start += value
        _beside(axes, line.text, (start, y), palette)
    most = max((sum(v for _, v in line.parts) for line in lines), default=1.0)
    axes.set_xlim(0, most or 1.0)
    axes.axvline(0, color=palette.muted, lw=0.8)
    top = 1.0 - TITLE_INCHES / figure.get_figheight()
    figure.legend(
        [Patch(**look) for look in looks.values()],
        list(kinds.values()),
        loc="upper left",
        bbox_to_anchor=(0.0, top),
        ncols=3,
        frameon=False,
        fontsize=8,
        labelcolor=palette.ink,
        handlelength=1.1,
        handleheight=0.9,
        columnspacing=1.2,
        borderaxespad=0.1,
    )
    return figure


def _look(kind: str, index: int, palette: Palette) -> dict[str, Any]:
    if kind == "unexplained":
        return {"facecolor": "none", "edgecolor": palette.muted, "hatch": "////", "linewidth": 0.6}
    colors = (palette.part1, palette.part2, palette.part3, palette.part4, palette.muted)
    return {"facecolor": colors[index % len(colors)], "edgecolor": palette.paper, "linewidth": 0.6}


def _rows(
    count: int,
    labels: Sequence[str],
    palette: Palette,
    title: str,
    *,
    right: float,
    bottom: float = 0.06,
    top: float = 0.04,
    width: float = WIDTH,
) -> tuple[Figure, Any]:
    """A figure with one labelled row a variant; margins in inches.

    Without axes of its own: ticks are most of what a small plot costs.
    """
    shown = [short(label) for label in labels]
    left = 0.12 + INCH_PER_CHARACTER * max((len(label) for label in shown), default=0)
    top += TITLE_INCHES
    height = ROW_INCHES * max(1, count) + bottom + top
    figure = Figure(figsize=(width, height), facecolor=palette.paper)
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    axes = figure.add_axes(box)
    axes.set_axis_off()
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    for y, label in enumerate(shown):
        axes.annotate(
            label,
            (0, y),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=palette.ink,
        )
    axes.set_ylim(max(1, count) - 0.5, -0.5)
    figure.text(0.01, 1 - 0.08 / height, title, va="top", color=palette.ink, fontsize=9.5, gid=TITLE)
    return figure, axes


def plain(axes: Any, palette: Palette) -> None:
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=palette.muted)


def _intervals(axes: Any, lines: Sequence[Bar], color: str) -> None:
    known = [(y, one.low, one.high) for y, one in enumerate(lines) if one.low is not None and one.high is not None]
    if known:
        ys, lows, highs = zip(*known, strict=True)
        axes.hlines(ys, lows, highs, color=color, lw=1.4)


def _beside(axes: Any, text: str, end: tuple[float, float], palette: Palette) -> None:
    axes.annotate(text, end, xytext=(6, 0), textcoords="offset points", va="center", color=palette.ink)


def _spread(line: Bar, most: float) -> bool:
    """Whether the rounds lie far enough apart to be seen one by one."""
    return len(line.rounds) > 1 and (max(line.rounds) - min(line.rounds)) / most > SEEN_APART


def _error(value: float, low: float | None, high: float | None) -> list[list[float]] | None:
    if low is None or high is None:
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def _name(axes: Any, points: Sequence[Bubble], palette: Palette) -> None:
    """Labels of bubbles, once the axes have their limits."""
    box, points_per_pixel = axes.get_window_extent(), 72 / axes.figure.dpi

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, y))
        return (across - box.x0) * points_per_pixel, (up - box.y0) * points_per_pixel

    spots = [_spot(one, place) for one in points]
    places = label_places(spots, box.width * points_per_pixel, box.height * points_per_pixel)
    for one, spot, where in zip(points, spots, places, strict=True):
        axes.annotate(
            short(one.label),
            (one.x, one.y),
            xytext=(where.x - spot.x, where.y - spot.y),
            textcoords="offset points",
            ha="left",
            va="bottom",
            color=palette.ink,
            arrowprops={"arrowstyle": "-", "lw": 0.6, "color": palette.muted} if where.apart else None,
        )


def _spot(one: Bubble, place: Callable[[float, float], tuple[float, float]]) -> Spot:
    x, y = place(one.x, one.y)
    _, low = place(one.x, one.y if one.y_low is None else one.y_low)
    _, high = place(one.x, one.y if one.y_high is None else one.y_high)
    radius = (LARGEST_BUBBLE * (one.area or 0.0)) ** 0.5 / 2
    width = 72 * INCH_PER_CHARACTER * len(short(one.label))
    return Spot(x=x, y=y, low=low, high=high, radius=radius, width=width, height=LABEL_POINTS)


def _room_for(lines: Sequence[Bar] | Sequence[Stack]) -> float:
    """Inches that the texts beside the bars need."""
    return 0.2 + INCH_PER_CHARACTER * max((len(line.text) for line in lines), default=0)


def short(label: str) -> str:
    line = clean(label)
    return line if len(line) <= LABEL_LENGTH else line[: LABEL_LENGTH - 1] + "…"
