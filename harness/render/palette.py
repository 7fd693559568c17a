"""Colours of plots, and how a figure becomes bytes: the same numbers give the same bytes.

A figure is drawn with a palette. `TOKENS` holds colours that stand for CSS variables, so that a plot
inside the page follows its light or dark scheme; files on disk are drawn with `LIGHT`.
"""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from harness.render.words import clean

PNG_DPI = 160
TITLE = "title"
"""Id of a figure's title."""
TITLE_INCHES = 0.30
"""Room that a title takes at the top."""


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
"""Placeholders: colours or CSS variables come in their place when a figure is text."""

Draw = Callable[[Palette, str], Figure]
"""Draws with these colours and this title."""


def plots(draw: Draw, name: str, title: str) -> tuple[str, str]:
    """(element for the page, SVG file in light colours): drawn once, since drawing is what a large report waits for.

    The page has the title beside the picture: in the element it is cut off. Its colours are CSS variables,
    its ids unique to this plot, and it has no fixed size.
    """
    with mpl.rc_context(_settings(name)):
        text = _svg(_drawn(draw, TOKENS, title))
    return _element(text, name), _with_colours(text, lambda field: str(getattr(LIGHT, field)))


def png(draw: Draw, name: str, title: str) -> bytes:
    """In light colours."""
    with mpl.rc_context(_settings(name)):
        body = io.BytesIO()
        _drawn(draw, LIGHT, title).savefig(body, format="png", dpi=PNG_DPI, metadata={"Software": None})
        return body.getvalue()


def _element(text: str, name: str) -> str:
    text = text[text.index("<svg") :].strip()
    head, rest = text.split(">", 1)
    width, height = (float(n) for n in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head).groups())  # type: ignore[union-attr]
    top = 72 * TITLE_INCHES
    rest = re.sub(rf'<g id="{TITLE}">.*?</g>', "", rest, count=1, flags=re.DOTALL)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    rest = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", rest, count=1, flags=re.DOTALL)
    prefix = re.sub(r"[^A-Za-z0-9]", "-", name)
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', rest)
    rest = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", rest)
    rest = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{prefix}-\1"', rest)
    rest = re.sub(r"font: [^;\"]*", _size_only, rest)
    box = f'viewBox="0 {top:g} {width:g} {height - top:g}"'
    return f'<svg {box} aria-hidden="true" focusable="false">{_with_colours(rest, "var(--{})".format)}'


def _with_colours(svg: str, colour: Callable[[str], str]) -> str:
    """Placeholders become the colours of these names."""
    for field in fields(Palette):
        svg = svg.replace(str(getattr(TOKENS, field.name)), colour(field.name))
    return svg


def _size_only(found: re.Match[str]) -> str:
    size = re.search(r"[\d.]+px", found.group(0))
    return f"font-size: {size.group(0)}" if size else ""


def _svg(figure: Figure) -> str:
    body = io.StringIO()
    figure.savefig(body, format="svg", metadata={"Date": None, "Creator": None})
    return body.getvalue()


def _drawn(draw: Draw, palette: Palette, title: str) -> Figure:
    """The figure with every text cleaned: XML knows no control characters."""
    figure = draw(palette, title)
    for text in _texts(figure):
        text.set_text(clean(text.get_text()))
    return figure


def _texts(figure: Figure) -> Iterator[Text]:
    """All but tick labels, which are ours, and which a search of the whole figure would make first."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        yield from axes.texts
        yield from (axes.xaxis.label, axes.yaxis.label)


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
