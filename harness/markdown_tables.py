"""The tables of a Markdown text, as plain text of their cells. CommonMark with GitHub's tables, by markdown-it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.values import Value

if TYPE_CHECKING:
    from markdown_it.token import Token


class MarkdownTable(Value, frozen=True):
    headings: tuple[str, ...]
    """Titles above it, the outermost first."""
    line: int
    """Its first line in the text, from 1."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Each as wide as the header."""


class MarkdownText(Value, frozen=True):
    """What a text says in tables, and beside them."""

    tables: tuple[MarkdownTable, ...]
    paragraphs: tuple[str, ...]


def read_markdown(text: str) -> MarkdownText:
    """Tables and paragraphs of a Markdown text; pictures and raw HTML are left out."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    tables: list[MarkdownTable] = []
    paragraphs: list[str] = []
    above: dict[int, str] = {}
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            level = int(token.tag[1:])
            above = {n: title for n, title in above.items() if n < level} | {level: plain_text(tokens[at + 1])}
        elif token.type == "table_open" and token.map is not None:
            header, *rows = _rows(tokens[at:])
            headings = tuple(above[n] for n in sorted(above))
            tables.append(MarkdownTable(headings=headings, line=token.map[0] + 1, header=header, rows=tuple(rows)))
        elif token.type == "paragraph_open":
            paragraphs.append(plain_text(tokens[at + 1]))
    return MarkdownText(tables=tuple(tables), paragraphs=tuple(paragraphs))


def _rows(tokens: Sequence["Token"]) -> Iterator[tuple[str, ...]]:
    """Of the table that begins here; the header first."""
    cells: list[str] = []
    for at, token in enumerate(tokens):
        if token.type == "table_close":
            return
        if token.type == "tr_open":
            cells = []
        elif token.type in ("th_open", "td_open"):
            cells.append(plain_text(tokens[at + 1]))
        elif token.type == "tr_close":
            yield tuple(cells)


def plain_text(inline: "Token") -> str:
    """What a reader sees of it, in one line."""
    parts = []
    for child in inline.children or ():
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak") or child.content.lower().startswith("<br"):
            parts.append(" ")
    return " ".join("".join(parts).split())
