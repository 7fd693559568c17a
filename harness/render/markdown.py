"""Page → Markdown that reads well as text and on a code host."""

import re
from collections.abc import Iterator, Sequence

from harness.render.page import Card, Cell, Entry, Page, Picture, Screen, Section, Table
from harness.render.words import clean

_SPECIAL = re.compile(r"([\\`*{}\[\]#|~$!])")
_LOOSE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_MENTION = re.compile(r"(?<![A-Za-z0-9])@")
_LINK = re.compile(r"(://|\bwww\.)")


def markdown(page: Page, plots: str = "plots") -> str:
    """The whole page; pictures are linked in the folder `plots` beside it."""
    lines = list(_page(page, plots))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def escape(text: str) -> str:
    """Any string as text of one line: no markup, no HTML, no table border, no link by itself."""
    line = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _SPECIAL.sub(r"\\\1", line)
    line = _LOOSE_UNDERSCORE.sub(r"\\_", line)
    line = _LINK.sub(lambda m: m[0].replace(":", "\\:").replace(".", "\\."), line)
    return _MENTION.sub("&#64;", line)


def code(text: str) -> str:
    """Any string as a code span of one line."""
    line = clean(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _page(page: Page, plots: str) -> Iterator[str]:
    yield f"# {escape(page.title)}"
    yield ""
    for banner in page.banners:
        yield f"> **{escape(banner)}**"
        yield ""
    for screen in page.screens:
        yield from _screen(screen, plots)
    for section in page.sections:
        yield from section_lines(section, plots)
    if page.notes:
        yield from ("## Notes", "")
        yield from (f"{number}. {escape(note)}" for number, note in enumerate(page.notes, 1))
        yield ""
    yield from ("---", "", escape(page.footer))


def _screen(screen: Screen, plots: str) -> Iterator[str]:
    if screen.heading:
        yield from (f"## {escape(screen.heading)}", "")
    yield from (escape(screen.lead), "")
    for card in (*screen.cards, screen.cost):
        yield from _card(card)
    if screen.chart:
        yield from _picture(screen.chart, plots)
        yield from (escape(screen.chart.caption), "")
    elif screen.chart_missing:
        yield from (escape(screen.chart_missing), "")
    if screen.command:
        yield from (f"To measure this again: {code(screen.command)}", "")


def _card(card: Card) -> Iterator[str]:
    subtitle = f" ({escape(card.subtitle)})" if card.subtitle else ""
    yield from (f"**{escape(card.title)}**{subtitle}", "")
    yield from (_entry(entry) for entry in card.entries)
    yield ""


def _entry(entry: Entry) -> str:
    interval = f" ({escape(entry.interval)})" if entry.interval else ""
    against = f" {escape(entry.against)}" if entry.against else ""
    lines = "; ".join(escape(line) for line in entry.lines if line)
    rest = f". {lines}" if lines else ""
    return f"- {escape(entry.variant)}{_refs(entry.refs)}: **{escape(entry.headline)}**{interval}{against}{rest}"


def section_lines(section: Section, plots: str = "plots") -> Iterator[str]:
    yield from (f"## {escape(section.title)}", "")
    for paragraph in section.paragraphs:
        yield from (escape(paragraph), "")
    for picture in section.pictures:
        yield from _picture(picture, plots)
    if section.page_only:
        yield from ("The table is in index.html; exact numbers are in report.json.", "")
    for table in () if section.page_only else section.tables:
        yield from _table(table)
    for term in section.terms:
        yield f"- **{escape(term.title)}** ({escape(term.facts)}): {escape(term.definition)}"
    yield ""


def _picture(picture: Picture, plots: str) -> Iterator[str]:
    yield from (f"![{escape(picture.alt)}]({plots}/{picture.name}.svg)", "")


def _table(table: Table) -> Iterator[str]:
    """One table a group, since Markdown's tables have no headings inside."""
    for group in table.groups:
        if group.title:
            yield from (f"**{escape(group.title)}**", "")
        header = group.header or table.header
        yield _row([escape(title) for title in header])
        yield _row([("--:" if i >= table.numeric else "---") for i in range(len(header))])
        for row in group.rows:
            yield _row([_cell(cell) for cell in row])
        yield ""


def _cell(cell: Cell) -> str:
    """A table's row ends at every bar, even inside of a code span."""
    text = code(cell.text).replace("|", "\\|") if cell.code else escape(cell.full or cell.text)
    if cell.href:
        text = f"[{text}]({cell.href})"
    return text + _refs(cell.refs)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _refs(numbers: Sequence[int]) -> str:
    return f" [{', '.join(map(str, numbers))}]" if numbers else ""
