"""The content of a report in words, ready for any rendering: what is said, not how it looks.

Strings are plain text and may hold anything that a suite or a record holds: whoever renders escapes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analyse.findings import BY_DEFINITION, INTERVAL_NOTE


@dataclass(frozen=True)
class Entry:
    """One variant in a card."""

    variant: str
    headline: str
    interval: str | None
    """In the headline's terms."""
    against: str
    """What the headline compares with, such as `than bf16`; may be empty."""
    lines: tuple[str, ...]
    refs: tuple[int, ...] = ()
    plain: bool = False
    """Whether the headline is no result but the lack of one."""


@dataclass(frozen=True)
class Card:
    title: str
    subtitle: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Cell:
    text: str
    refs: tuple[int, ...] = ()
    full: str | None = None
    """The whole of what `text` shortens."""
    code: bool = False
    """To be copied as it is."""
    href: str | None = None
    """A file beside the page that tells more."""


@dataclass(frozen=True)
class Group:
    """Rows under one heading; the heading may be empty."""

    title: str
    rows: tuple[tuple[Cell, ...], ...]
    header: tuple[str, ...] | None = None
    """In place of the table's, where its groups stand apart."""


@dataclass(frozen=True)
class Table:
    header: tuple[str, ...]
    groups: tuple[Group, ...]
    numeric: int = 99
    """Columns from this one on hold numbers."""
    tiles: bool = False
    """Whether groups may stand side by side, each with the header again."""


@dataclass(frozen=True)
class Picture:
    """A drawing by name, with what it shows in words."""

    name: str
    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Screen:
    """The first screen of one device and runtime."""

    heading: str
    lead: str
    cards: tuple[Card, ...]
    cost: Card
    chart: Picture | None
    chart_missing: str | None
    command: str


@dataclass(frozen=True)
class Term:
    """An entry of the definitions."""

    title: str
    facts: str
    definition: str


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    terms: tuple[Term, ...] = ()
    link: str | None = None
    """Words of the link that leads here; None where none should."""
    fold: str | None = None
    """Words that unfold the tables; None: they lie open."""
    page_only: bool = False
    """Whether its tables are for the HTML page alone."""


@dataclass(frozen=True)
class Page:
    title: str
    banners: tuple[str, ...]
    """What must be known before any number is read."""
    screens: tuple[Screen, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    """Numbered from 1: what `refs` point at."""
    footer: str


class Notes:
    """Collects notes and numbers each distinct one."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def refs(self, notes: tuple[str, ...]) -> tuple[int, ...]:
        """Numbers of these notes, each once, new ones at the end; what a page says anyway has none."""
        said = dict.fromkeys(n for n in notes if n not in BY_DEFINITION and not n.startswith(INTERVAL_NOTE))
        return tuple(sorted(self._numbers.setdefault(note, len(self._numbers) + 1) for note in said))

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(self._numbers)


def cells(*texts: str) -> tuple[Cell, ...]:
    """Plain cells."""
    return tuple(Cell(text) for text in texts)


def table(header: tuple[str, ...], rows: Sequence[tuple[Cell, ...]], numeric: int = 99) -> Table:
    """A table without groups."""
    return Table(header=header, groups=(Group("", tuple(rows)),), numeric=numeric)


def grouped(header: tuple[str, ...], groups: Mapping[str, Sequence[tuple[Cell, ...]]], numeric: int) -> Table:
    """A table with rows by the titles of their groups."""
    return Table(header, tuple(Group(title, tuple(rows)) for title, rows in groups.items()), numeric)
