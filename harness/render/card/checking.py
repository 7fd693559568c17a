"""Whether a card's block still follows from its runs: cell by cell, so that a reader learns which number does not."""

from collections.abc import Iterator
from itertools import zip_longest

from harness.markdown_tables import MarkdownTable, MarkdownText, read_markdown
from harness.values import Value


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
    return [*found, *_of_paragraphs(own, wanted)]


def _of_tables(card: MarkdownTable | None, run: MarkdownTable | None) -> Iterator[Difference]:
    if card is None or run is None:
        some = card or run
        assert some is not None
        said = f"a table of {len(some.rows)} rows"
        yield Difference(_title(some), said if card else None, said if run else None)
        return
    title = _title(run)
    yield from (
        Difference(f"{title}, column {number}", mine, theirs)
        for number, (mine, theirs) in enumerate(zip_longest(card.header, run.header), 1)
        if mine != theirs
    )
    for mine_row, their_row in zip_longest(card.rows, run.rows, fillvalue=()):
        label = (their_row or mine_row)[0]
        for number, (mine, theirs) in enumerate(zip_longest(mine_row, their_row)):
            if mine != theirs:
                column = run.header[number] if number < len(run.header) else f"column {number + 1}"
                yield Difference(f"{title}, {label}, {column}", mine, theirs)


def _of_paragraphs(card: MarkdownText, run: MarkdownText) -> Iterator[Difference]:
    """What is said beside the tables, in whatever order."""
    yield from (Difference("text", said, None) for said in card.paragraphs if said not in run.paragraphs)
    yield from (Difference("text", None, said) for said in run.paragraphs if said not in card.paragraphs)


def _title(table: MarkdownTable) -> str:
    return ", ".join(table.headings) or "table"
