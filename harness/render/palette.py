"""Colours of plots: variables of the page's style sheet inside the page, light colours in files."""

from dataclasses import dataclass, fields


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
VARIABLES = Palette(**{f.name: f"var(--{f.name})" for f in fields(Palette)})
"""So that a plot inside the page follows its light or dark scheme."""
