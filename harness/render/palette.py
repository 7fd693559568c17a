"""Colours of plots, and how a figure becomes bytes: the same numbers give the same bytes.

A figure is drawn with a palette. `TOKENS` holds colours that stand for CSS variables, so that a plot
inside the page follows its light or dark scheme; files on disk are drawn with `LIGHT`.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from harness.render.words import clean

PNG_DPI = 160


@dataclass(frozen=True)
class Palette:
    paper: str
    ink: str
    muted: str
    rule: str
    accent: str
    base: str
    part1: str
    part2: str
    part3: str
    part4: str


LIGHT = Palette(
    paper="#ffffff",
    ink="#1d1f21",
    muted="#5c6166",
    rule="#d9dcdf",
    accent="#0b5d8a",
    base="#8b9196",
    part1="#b9bfc4",
    part2="#0b5d8a",
    part3="#5b9cc0",
    part4="#a9cbdf",
)
TOKENS = Palette(
    **{f.name: f"#{0x0A0B00 + 17 * i:06x}" for i, f in enumerate(fields(Palette), 1)},
)
"""Placeholders: `with_variables` puts `var(--name)` in their place."""

Draw = Callable[[Palette, str | None], Figure]
"""Draws with these colours and this title (None: the page has the title)."""


def plot_files(draw: Draw, name: str, title: str) -> tuple[bytes, bytes]:
    """(SVG, PNG) in light colours."""
    with mpl.rc_context(_settings(name)):
        figure = _drawn(draw, LIGHT, title)
        body = io.BytesIO()
        figure.savefig(body, format="png", dpi=PNG_DPI, metadata={"Software": None})
        return _svg(figure).encode(), body.getvalue()


def inline_svg(draw: Draw, name: str) -> str:
    """An `<svg>` element for the page: colours by CSS variables, ids unique to this plot, no fixed size."""
    with mpl.rc_context(_settings(name)):
        text = _svg(_drawn(draw, TOKENS, None))
    text = text[text.index("<svg") :].strip()
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    rest = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", rest, count=1, flags=re.DOTALL)
    prefix = re.sub(r"[^A-Za-z0-9]", "-", name)
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', rest)
    rest = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", rest)
    rest = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{prefix}-\1"', rest)
    rest = re.sub(r"font: [^;\"]*", _size_only, rest)
    return f'<svg {box.group(0) if box else ""} aria-hidden="true" focusable="false">{with_variables(rest)}'


def with_variables(svg: str) -> str:
    """Placeholders become `var(--name)`."""
    for field in fields(Palette):
        svg = svg.replace(str(getattr(TOKENS, field.name)), f"var(--{field.name})")
    return svg


def _size_only(found: re.Match[str]) -> str:
    size = re.search(r"[\d.]+px", found.group(0))
    return f"font-size: {size.group(0)}" if size else ""


def _svg(figure: Figure) -> str:
    body = io.StringIO()
    figure.savefig(body, format="svg", metadata={"Date": None, "Creator": None})
    return body.getvalue()


def _drawn(draw: Draw, palette: Palette, title: str | None) -> Figure:
    """The figure with every text cleaned: XML knows no control characters."""
    figure = draw(palette, title)
    for text in figure.findobj(Text):
        text.set_text(clean(text.get_text()))
    return figure


def _settings(name: str) -> Any:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "text.parse_math": False,
        "axes.unicode_minus": True,
        "hatch.linewidth": 0.6,
    }
