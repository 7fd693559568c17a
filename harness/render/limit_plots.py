"""Plots of what bandwidth and context allow: the roofline of decode, savings by context."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from harness.render.palette import TITLE, TITLE_INCHES, Palette
from harness.render.plots import plain, short

SIZE = (5.4, 3.5)
LABEL_APART = 0.055
"""Share of the height that two labels at a line's end stand apart at least."""


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


def roofline(spots: Sequence[Spot], palette: Palette, title: str, *, x: str, y: str, roof: str) -> Figure:
    """Speed against bytes on logarithmic axes, under the line that the read bandwidth allows."""
    figure, axes = _frame(palette, title, x, y)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = sorted((s.x, s.roof) for s in spots)
    low, high = 0.7 * ends[0][0], 1.6 * ends[-1][0]
    product = ends[0][0] * ends[0][1]
    axes.plot([low, high], [product / low, product / high], color=palette.muted, lw=1.0, ls=(0, (4, 3)))
    axes.annotate(
        roof,
        (low * 1.02, product / low / 1.02),
        xytext=(6, 2),
        textcoords="offset points",
        color=palette.muted,
        fontsize=8,
        va="bottom",
    )
    for index, one in enumerate(sorted(spots, key=lambda s: (s.x, s.y))):
        color = palette.accent if one.compressed else palette.base
        axes.plot([one.x, one.x], [one.y, one.roof], color=color, lw=0.8)
        axes.plot([one.x], [one.y], "o", ms=5, color=color)
        axes.annotate(
            short(one.label),
            (one.x, one.y),
            xytext=(0, -7 - 11 * (index % 2)),
            textcoords="offset points",
            ha="center",
            va="top",
            color=palette.ink,
            fontsize=8.5,
        )
    axes.set_xlim(low, high)
    axes.set_ylim(min(s.y for s in spots) / 1.9, 1.5 * product / low)
    _plain_numbers(axes.xaxis)
    _plain_numbers(axes.yaxis)
    return figure


def lines(runs: Sequence[Course], palette: Palette, title: str, *, x: str, y: str) -> Figure:
    """A line a variant, labelled at its end; computed points are rings, measured ones filled."""
    steps = sorted({p[0] for run in runs for p in run.points})
    figure, axes = _frame(palette, title, x, y, right=0.2 + 0.074 * max(len(short(run.label)) for run in runs))
    axes.set_xscale("log", base=2)
    ends = []
    for run in runs:
        seen = [(at, v, computed) for at, v, computed in run.points if v is not None]
        axes.plot([p[0] for p in seen], [p[1] for p in seen], color=palette.accent, lw=1.2)
        for at, v, computed in seen:
            axes.plot([at], [v], "o", ms=4.5, mfc=palette.paper if computed else palette.accent, mec=palette.accent)
        ends.append((seen[-1][0], seen[-1][1], short(run.label)))
    axes.set_xticks(steps, [f"{step:,.0f}" for step in steps])
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    axes.set_ylim(min(0.0, low), high)
    axes.axhline(0, color=palette.muted, lw=0.8)
    room = LABEL_APART * (axes.get_ylim()[1] - axes.get_ylim()[0])
    for end, at in zip(sorted(ends, key=lambda e: e[1]), _apart(sorted(e[1] for e in ends), room), strict=True):
        axes.annotate(
            end[2],
            (end[0], at),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=palette.ink,
            annotation_clip=False,
        )
    return figure


def _frame(palette: Palette, title: str, x: str, y: str, right: float = 0.1) -> tuple[Figure, Any]:
    width, height = SIZE[0], SIZE[1] + TITLE_INCHES
    figure = Figure(figsize=(width, height), facecolor=palette.paper)
    axes = figure.add_axes((0.12, 0.14, 0.88 - right / width, 0.78))
    plain(axes, palette)
    axes.grid(color=palette.rule, lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=palette.muted)
    axes.set_ylabel(y, color=palette.muted)
    axes.tick_params(which="both", colors=palette.muted, length=2)
    figure.text(0.01, 0.985, title, va="top", color=palette.ink, fontsize=9.5, gid=TITLE)
    return figure, axes


def _plain_numbers(axis: Any) -> None:
    """`200` instead of 2 × 10²; within one decade the minor ticks need numbers too."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    few = FuncFormatter(lambda value, _: f"{value:,g}" if f"{value:e}"[0] in "25" else "")
    axis.set_minor_formatter(few)


def _apart(heights: Sequence[float], room: float) -> list[float]:
    """Rising heights moved up just as far as each needs to stand clear of the one below."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + room) if placed else height)
    return placed
