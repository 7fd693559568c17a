"""A Markdown text as a reader sees it: tables by their cells, and all else; by markdown-it, with GitHub's tables, and
with those of raw HTML.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from harness.html_tables import LONGEST, html_tables
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
    last: tuple[str, ...]
    """The header's last line, where it has several."""
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
    ends = _Ends(lines)
    for at, token in enumerate(tokens):
        if token.map is not None and token.map[0] < read_to:
            continue  # in a table of HTML, whose blank lines Markdown takes for its end
        if token.type == "heading_open":
            level, title = int(token.tag[1:]), plain_text(tokens[at + 1])
            above = {n: other for n, other in above.items() if n < level} | {level: title}
            texts.append(f"{'#' * level} {title}")
        elif token.type == "table_open" and token.map is not None:
            header, *rows = islice(_rows(tokens, at), LONGEST + 1)
            headings = tuple(above[n] for n in sorted(above))
            tables.append(
                MarkdownTable(headings=headings, line=token.map[0] + 1, header=header, last=header, rows=tuple(rows))
            )
        elif token.type == "paragraph_open":
            texts.append(plain_text(tokens[at + 1]))
        elif token.type in _WHOLE:
            texts.append(" ".join(token.content.split()))
            if token.type == "html_block" and token.map is not None and "<table" in token.content.lower():
                first, read_to = token.map[0], ends.after(token.map[0], token.map[1])
                headings = tuple(above[n] for n in sorted(above))
                tables += _of_html("\n".join(lines[first:read_to]), headings, first + 1)
    return MarkdownText(tables=tuple(tables), texts=tuple(texts))


def _of_html(text: str, headings: tuple[str, ...], line: int) -> list[MarkdownTable]:
    return [
        MarkdownTable(headings=headings, line=line, header=one.header, last=one.last, rows=tuple(one.rows))
        for one in html_tables(text)
    ]


class _Ends:
    """Where tables of HTML end, line by line; looked for once, however many begin."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._closing = [number for number, line in enumerate(lines) if "</table" in line.lower()]

    def after(self, first: int, end: int) -> int:
        """The line behind a block of lines first … end − 1, or behind the table that it leaves open."""
        block = "\n".join(self._lines[first:end]).lower()
        if block.count("<table") <= block.count("</table"):
            return end
        place = bisect_left(self._closing, end)
        return self._closing[place] + 1 if place < len(self._closing) else end


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
    """What a reader sees of it, in one line; marks of footnotes (`<sup>`) are left out."""
    parts = []
    raised = False
    for child in inline.children or ():
        said = child.content.lower()
        if child.type == "html_inline" and said.startswith(("<sup", "</sup")):
            raised = said.startswith("<sup")
        elif raised:
            continue
        elif child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak") or said.startswith("<br"):
            parts.append(" ")
    return " ".join("".join(parts).split())
