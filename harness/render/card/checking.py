"""Whether a card's block still follows from its runs: cell by cell, so that a reader learns which number does not."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from harness.markdown_tables import MarkdownTable, read_markdown
from harness.values import Value

_FIGURE = re.compile(r"[-+]?\d")
Row = tuple[str, ...]


class Difference(Value, frozen=True):
    where: str
    card: str | None
    """None: the card lacks it."""
    run: str | None
    """None: the run does not give it."""


def differences(card: str, run: str) -> list[Difference]:
    """Between a card's block and the one that its runs give; spaces and the alignment of tables do not count."""
    own, wanted = read_markdown(card), read_markdown(run)
    tables = zip_longest(own.tables, wanted.tables)
    found = [one for mine, theirs in tables for one in _of_tables(mine, theirs)]
    return [*found, *_of_texts(own.texts, wanted.texts)]


def _of_tables(card: MarkdownTable | None, run: MarkdownTable | None) -> Iterator[Difference]:
    if card is None or run is None:
        some = card or run
        assert some is not None
        said = f"a table of {len(some.rows)} rows"
        yield Difference(_title(some), said if card else None, said if run else None)
        return
    title = _title(run)
    for number, (mine, theirs) in enumerate(zip_longest(card.header, run.header), 1):
        if mine != theirs:
            yield Difference(f"{title}, column {number}", mine, theirs)
    left = list(card.rows)
    for wanted in run.rows:
        same = next((row for row in left if _words(row) == _words(wanted)), None)
        if same is None:
            yield Difference(f"{title}, {wanted[0]}", None, " | ".join(wanted))
            continue
        left.remove(same)
        yield from _of_rows(title, same, wanted, run.header)
    yield from (Difference(f"{title}, {row[0]}", " | ".join(row), None) for row in left)


def _of_rows(title: str, card: Row, run: Row, header: Row) -> Iterator[Difference]:
    for number, (mine, theirs) in enumerate(zip_longest(card, run)):
        if mine != theirs:
            column = header[number] if number < len(header) else f"column {number + 1}"
            yield Difference(f"{title}, {run[0]}, {column}", mine, theirs)


def _words(row: Row) -> Row:
    """What tells a row from others: its cells that are no figures."""
    return tuple(cell for cell in row if not _FIGURE.match(cell))


def _of_texts(card: Sequence[str], run: Sequence[str]) -> Iterator[Difference]:
    """Headings, paragraphs, code and HTML beside the tables, in whatever order."""
    yield from (Difference("text", said, None) for said in card if card.count(said) > run.count(said))
    yield from (Difference("text", None, said) for said in run if run.count(said) > card.count(said))


def _title(table: MarkdownTable) -> str:
    return ", ".join(table.headings) or "table"
