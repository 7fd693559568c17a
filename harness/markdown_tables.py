"""A Markdown text as a reader sees it: tables by their cells, and all else; by markdown-it, with GitHub's tables, and
with those of raw HTML.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.html_tables import html_tables
from harness.values import Value

if TYPE_CHECKING:
    from markdown_it.token import Token

_WHOLE = ("html_block", "fence", "code_block")


class MarkdownTable(Value, frozen=True):
    headings: tuple[str, ...]
    """Titles above it, the outermost first."""
    line: int
    """Its first line in the text, from 1."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Each as wide as the header."""


class MarkdownText(Value, frozen=True):
    tables: tuple[MarkdownTable, ...]
    texts: tuple[str, ...]
    """Headings (`# Title`), paragraphs, code and raw HTML, in their order."""


def read_markdown(text: str) -> MarkdownText:
    """Pictures are left out."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    tables: list[MarkdownTable] = []
    texts: list[str] = []
    above: dict[int, str] = {}
    lines, read_to = re.split("\r\n|\r|\n", text), 0
    for at, token in enumerate(tokens):
        if token.map is not None and token.map[0] < read_to:
            continue  # in a table of HTML, whose blank lines Markdown takes for its end
        if token.type == "heading_open":
            level, title = int(token.tag[1:]), plain_text(tokens[at + 1])
            above = {n: other for n, other in above.items() if n < level} | {level: title}
            texts.append(f"{'#' * level} {title}")
        elif token.type == "table_open" and token.map is not None:
            header, *rows = _rows(tokens, at)
            headings = tuple(above[n] for n in sorted(above))
            tables.append(MarkdownTable(headings=headings, line=token.map[0] + 1, header=header, rows=tuple(rows)))
        elif token.type == "paragraph_open":
            texts.append(plain_text(tokens[at + 1]))
        elif token.type in _WHOLE:
            texts.append(" ".join(token.content.split()))
            if token.type == "html_block" and token.map is not None and "<table" in token.content.lower():
                first, read_to = token.map[0], _end_of_table(lines, token.map[1])
                headings = tuple(above[n] for n in sorted(above))
                for header, body in html_tables("\n".join(lines[first:read_to])):
                    tables.append(MarkdownTable(headings=headings, line=first + 1, header=header, rows=tuple(body)))
    return MarkdownText(tables=tuple(tables), texts=tuple(texts))


def _end_of_table(lines: Sequence[str], end: int) -> int:
    """The line after the one that closes a table, not before `end`; `end` where none does."""
    if any("</table" in line.lower() for line in lines[max(0, end - 1) : end]):
        return end
    return next((n + 1 for n in range(end, len(lines)) if "</table" in lines[n].lower()), end)


def _rows(tokens: Sequence["Token"], start: int) -> Iterator[tuple[str, ...]]:
    """Of the table that begins there; the header first."""
    cells: list[str] = []
    at = start
    while tokens[at].type != "table_close":
        if tokens[at].type == "tr_open":
            cells = []
        elif tokens[at].type in ("th_open", "td_open"):
            cells.append(plain_text(tokens[at + 1]))
        elif tokens[at].type == "tr_close":
            yield tuple(cells)
        at += 1


def plain_text(inline: "Token") -> str:
    """What a reader sees of it, in one line."""
    parts = []
    for child in inline.children or ():
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak") or child.content.lower().startswith("<br"):
            parts.append(" ")
    return " ".join("".join(parts).split())
