"""Every question of a paired comparison, with what both sides answered."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from harness.analyse.accuracy import paired
from harness.analyse.cells import read_cells
from harness.analyse.findings import PairedItems
from harness.analyse.items import Item
from harness.analyse.levels import MeasuredCell, measure_cells
from harness.analyse.places import place
from harness.analyse.questions import Asked, Question, asked_of, texts_of
from harness.analyse.rows import in_order, others_of
from harness.analyse.trials import observed
from harness.analyse.weights import ItemPairs, item_pairs
from harness.store import Run, inside
from harness.values import Answers


class Given(msgspec.Struct, frozen=True):
    """What one side answered to one question."""

    right: bool
    answer: int | str | None
    logprobs: tuple[float, ...]
    text: str | None
    """The whole text, where one was written."""


class Drilled(msgspec.Struct, frozen=True):
    """One question and both answers."""

    task: str
    id: int | str
    asked: Asked
    target: int | str | None
    variant: Given
    baseline: Given


class DrillDown(msgspec.Struct, frozen=True):
    """A paired comparison by its single questions."""

    pair: PairedItems
    items: tuple[Drilled, ...]


class _Asked:
    """The questions of the requests file that was read last: variants and baselines share it."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.questions: dict[Question, Asked] = {}

    def of(self, path: Path) -> dict[Question, Asked]:
        if path != self.path:
            self.questions = {}  # the old ones go before the new ones come
            self.path, self.questions = path, asked_of(path)
        return self.questions


def drill_downs(run: Run, cells: Sequence[MeasuredCell] | None = None) -> Iterator[DrillDown]:
    """Each task of each variant against each of its baselines, where questions are right or wrong.

    Made one after the other, since each may hold tens of thousands of questions. Left out where the run folder
    has no requests any more. `cells`: the run's, in the order of the report, where they are measured already.

    Raises:
        StoreError: a file of requests, answers or items is damaged.
    """
    cells = in_order(run, measure_cells(run, read_cells(run))) if cells is None else cells
    by_place = {place(cell): cell for cell in cells}
    asked = _Asked()
    for cell in sorted(cells, key=lambda c: c.seen.workload):
        for other in others_of(run, cell, by_place).values():
            if other is not None and (found := _first_binary(cell, other)):
                name, pairs = found
                path = inside(run.path, observed(cell.seen.counted, Answers)[-1].requests)
                if path.is_file():
                    questions = asked.of(path)
                    pair = paired(run.id, cell, other, name, pairs)
                    yield DrillDown(pair, tuple(_drilled(run, cell, other, pairs, questions)))


def _first_binary(cell: MeasuredCell, other: MeasuredCell) -> tuple[str, ItemPairs] | None:
    """The first metric that is simply right or wrong, with its items."""
    if cell.graded is None or other.graded is None:
        return None
    for name in cell.metrics:
        pairs = item_pairs(cell.graded.items, other.graded.items, name)
        if pairs.pairs and pairs.binary and not pairs.macro:
            return name, pairs
    return None


def _drilled(
    run: Run, cell: MeasuredCell, other: MeasuredCell, pairs: ItemPairs, questions: dict[Question, Asked]
) -> Iterator[Drilled]:
    known = [(v, b, one) for v, b in pairs.pairs if (one := questions.get((v.task, v.id))) is not None]
    writes = any(not one.choices for _, _, one in known)
    ours, theirs = (_texts(run, c) if writes else {} for c in (cell, other))
    for v, b, one in known:
        yield Drilled(
            task=v.task,
            id=v.id,
            asked=one,
            target=v.target if v.target is not None else b.target,
            variant=_given(v, pairs.name, ours.get(one.request)),
            baseline=_given(b, pairs.name, theirs.get(one.request)),
        )


def _texts(run: Run, cell: MeasuredCell) -> dict[int, str]:
    found: dict[int, str] = {}
    for answers in observed(cell.seen.counted, Answers):
        if (path := inside(run.path, answers.answers)).is_file():
            found |= texts_of(path)
    return found


def _given(item: Item, name: str, text: str | None) -> Given:
    return Given(item.metrics[name] == 1, item.answer, item.logprobs, text)
