"""Tables of raw HTML in a Markdown text, by lxml: cells that span rows or columns stand in each of their places."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lxml.html import HtmlElement

WIDEST, LONGEST = 200, 2_000
"""Columns and rows of a table; what goes beyond is left out, however far a cell claims to span."""
NOT_READ = frozenset({"sup", "del", "s", "script", "style", "noscript", "template"})
"""Footnote marks, and what a reader does not see or is told not to read."""
APART = frozenset({"br", "p", "div", "li", "ul", "ol", "hr"})
"""Between these words stand apart."""
Line = list[str]


class HtmlTable(NamedTuple):
    header: tuple[str, ...]
    """All lines of the header, the one next to the cells first."""
    last: tuple[str, ...]
    """That line alone."""
    rows: list[tuple[str, ...]]
    """Each as wide as the header."""


def html_tables(text: str) -> Iterator[HtmlTable]:
    """Each table in which none other lies, and that has a row below its header."""
    from lxml.etree import ParserError
    from lxml.html import fromstring

    try:
        root = fromstring(f"<div>{text}</div>")
    except ParserError:
        return
    for table in root.iter("table"):
        if table.find(".//table") is not None:
            continue
        found = [row for row in table.iter("tr") if any(cell.tag in ("td", "th") for cell in row)][:LONGEST]
        lines = _lines(found)
        width = max(map(len, lines), default=0)
        wide = [(*line, *[""] * (width - len(line))) for line in lines]
        heads = max(1, next((place for place, row in enumerate(found) if not _is_head(row)), 0))
        if wide[heads:]:
            yield HtmlTable(_header(wide[:heads]), wide[heads - 1], wide[heads:])


def _is_head(row: "HtmlElement") -> bool:
    return row.getparent().tag == "thead" or all(cell.tag == "th" for cell in row)


def _header(lines: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Without a line that is one cell over the whole table, which is its caption."""
    own = [line for line in lines if len(set(line)) > 1 or len(line) == 1] or list(lines)
    return tuple(" ".join(dict.fromkeys(text for text in texts if text)) for texts in zip(*reversed(own), strict=True))


def _lines(rows: Sequence["HtmlElement"]) -> list[Line]:
    """Texts by place; a cell that spans several has its text in each of them."""
    lines: list[Line] = []
    hanging: dict[int, tuple[int, str]] = {}
    group = None
    for row in rows:
        if row.getparent() is not group:  # no cell hangs into another part of the table
            group, hanging = row.getparent(), {}
        line: Line = []
        cells = iter([cell for cell in row if cell.tag in ("td", "th")])
        while len(line) < WIDEST:
            if len(line) in hanging:
                left, text = hanging.pop(len(line))
                _put(line, hanging, text, left, 1)
            elif (cell := next(cells, None)) is not None:
                _put(line, hanging, _text(cell), _span(cell, "rowspan"), _span(cell, "colspan"))
            elif any(place > len(line) for place in hanging):
                line.append("")
            else:
                break
        lines.append(line)
    return lines


def _put(line: Line, hanging: dict[int, tuple[int, str]], text: str, down: int, across: int) -> None:
    for _ in range(min(across, WIDEST - len(line))):
        if down > 1:
            hanging[len(line)] = (down - 1, text)
        line.append(text)


def _text(cell: "HtmlElement") -> str:
    return " ".join("".join(_words(cell)).split())


def _words(element: "HtmlElement") -> Iterator[str]:
    if isinstance(element.tag, str) and element.tag not in NOT_READ:
        yield element.text or ""
        for child in element:
            apart = child.tag in APART
            yield " " if apart else ""
            yield from _words(child)
            yield " " if apart else ""
            yield child.tail or ""


def _span(cell: "HtmlElement", name: str) -> int:
    """1 where it is no whole number; 0 rows are all that are left of the table's part."""
    said = cell.get(name, "1").strip()
    count = int(said) if said.isascii() and said.isdigit() and len(said) < 6 else 1
    return count or (LONGEST if name == "rowspan" else 1)
