"""The graded items of an accuracy cell, read from the run folder."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

import msgspec

from harness.errors import StoreError
from harness.store import inside, read_lines
from harness.values import Answers, Count, Whole

Real = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]
"""Squares and sums of these stay numbers."""


class Item(msgspec.Struct, frozen=True, tag_field="kind", tag="item"):
    """One question of a task."""

    task: str
    id: int | str
    metrics: dict[str, Real]
    sums: dict[str, tuple[Real, Real]] = {}
    """Numerator and denominator of metrics that are a ratio of sums over all items."""
    group: str | None = None
    chance: Real | None = None
    """What guessing would score, where the task knows it."""
    answer: int | str | None = None
    """Index of the choice with the highest log-likelihood, or the text that was taken for the answer; None: not kept
    (items of old) or nothing to answer."""
    filter: str | None = None
    """Of a generated answer: lm-eval's filter that took it from the text; None: a choice, or items of old."""
    target: int | str | None = None
    """The right choice's index, or the right answer's text; None: not kept, or there is not exactly one."""
    logprobs: tuple[Real, ...] = ()
    """Log-likelihood of each choice in nats, in the task's order; empty where nothing was chosen from."""


class Window(msgspec.Struct, frozen=True, tag_field="kind", tag="window"):
    """One window of a text: its scored tokens and the sum of their log-probabilities."""

    window: Whole
    tokens: Count
    logprob: Real


class Position(msgspec.Struct, frozen=True, tag_field="kind", tag="position"):
    """One position of a text, against the reference's distribution."""

    window: Whole
    position: Whole
    kl: Real
    top1: bool
    logprob: Real


class Graded(msgspec.Struct, frozen=True):
    """The items of one cell, by what they are."""

    items: tuple[Item, ...] = ()
    windows: tuple[Window, ...] = ()
    positions: tuple[Position, ...] = ()


def read_graded(run: Path, answers: Answers) -> Graded | None:
    """The items that belong to these answers; None where the file is not there.

    Raises:
        StoreError: a damaged file, or one outside of the run's folder.
    """
    path = inside(run, answers.items)
    if not path.is_file():
        return None
    try:
        lines = msgspec.convert(list(read_lines(path)), list[Item | Window | Position])
    except (msgspec.MsgspecError, OSError) as error:
        raise StoreError(f"{path}: damaged: {error}") from error
    return _sorted_out(lines)


def joined(rounds: Sequence[Graded]) -> Graded:
    """The items of several rounds, each of which asked questions of its own.

    Raises:
        StoreError: a question stands in two of them.
    """
    places = (
        *((one.task, one.id) for graded in rounds for one in graded.items),
        *(("window", one.window) for graded in rounds for one in graded.windows),
    )
    if twice := [place for place, count in Counter(places).items() if count > 1]:
        raise StoreError(f"{len(twice):,} questions were graded twice, such as {twice[0][0]} {twice[0][1]}")
    return Graded(
        items=tuple(chain.from_iterable(one.items for one in rounds)),
        windows=tuple(chain.from_iterable(one.windows for one in rounds)),
        positions=tuple(chain.from_iterable(one.positions for one in rounds)),
    )


def _sorted_out(lines: Iterable[Item | Window | Position]) -> Graded:
    items: list[Item] = []
    windows: list[Window] = []
    positions: list[Position] = []
    for line in lines:
        if isinstance(line, Item):
            items.append(line)
        elif isinstance(line, Window):
            windows.append(line)
        else:
            positions.append(line)
    return Graded(tuple(items), tuple(windows), tuple(positions))
