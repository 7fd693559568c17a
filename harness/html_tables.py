"""Tables of raw HTML in a Markdown text, by lxml: cells that span rows or columns stand in each of their places."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

WIDEST, LONGEST = 200, 2_000
"""Columns and rows of a table; what goes beyond is left out, however far a cell claims to span."""


def html_tables(text: str) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """(header, rows as wide as it) of each table in which none other lies, and that has two rows."""
    from lxml.etree import ParserError
    from lxml.html import fromstring

    try:
        root = fromstring(f"<div>{text}</div>")
    except ParserError:
        return
    for table in root.iter("table"):
        if table.find(".//table") is None:
            found = list(table.iter("tr"))[:LONGEST]
            lines = _lines(found)
            width = max(map(len, lines), default=0)
            wide = [(*line, *[""] * (width - len(line))) for line in lines]
            heads = max(1, next((place for place, row in enumerate(found) if not _is_head(row)), 0))
            if wide[heads:]:
                yield tuple(_once(texts) for texts in zip(*wide[:heads], strict=True)), wide[heads:]


def _is_head(row: "HtmlElement") -> bool:
    return row.getparent().tag == "thead" or all(cell.tag == "th" for cell in row)


def _once(texts: Sequence[str]) -> str:
    """Of several lines of a header what stands above one column."""
    return " ".join(dict.fromkeys(text for text in texts if text))


def _lines(rows: Sequence["HtmlElement"]) -> list[list[str]]:
    """Texts by place; a cell that spans several has its text in each of them."""
    lines: list[list[str]] = []
    hanging: dict[int, tuple[int, str]] = {}
    for row in rows:
        line: list[str] = []
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        while (cells or len(line) in hanging) and len(line) < WIDEST:
            if len(line) in hanging:
                left, text = hanging.pop(len(line))
                _put(line, hanging, text, left, 1)
                continue
            cell = cells.pop(0)
            text = " ".join(cell.text_content().split())
            _put(line, hanging, text, _span(cell, "rowspan"), _span(cell, "colspan"))
        lines.append(line)
    return lines


def _put(line: list[str], hanging: dict[int, tuple[int, str]], text: str, down: int, across: int) -> None:
    for _ in range(min(across, WIDEST - len(line))):
        if down > 1:
            hanging[len(line)] = (down - 1, text)
        line.append(text)


def _span(cell: "HtmlElement", name: str) -> int:
    """1 where it is no whole number above 0."""
    said = cell.get(name, "1").strip()
    return max(1, int(said)) if said.isascii() and said.isdigit() and len(said) < 6 else 1
