"""Which cells of two sides are the same work, so that their numbers may be set against each other."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from harness.analyse.cells import SeenCell
from harness.analyse.levels import MeasuredCell
from harness.analyse.sides import Side
from harness.values import Size, Speed, Task, Workload

PREFILL = frozenset({"prefill_tok_s", "ttft_s"})
DECODE = frozenset({"decode_tok_s", "itl_p50_s", "itl_p95_s", "itl_p99_s"})
ENGINES = {"llama-bench": "llama.cpp"}
"""Tool that told of a run → the runtime of this project that it measures; settings may follow the tool's name."""

Key = tuple[str | None, str | None, str, Workload]


@dataclass(frozen=True)
class Match:
    """The same work on both sides."""

    cell: MeasuredCell
    other: MeasuredCell
    metrics: tuple[str, ...]
    note: str | None = None
    """How the two tests differ although they do the same."""


@dataclass(frozen=True)
class Matched:
    """What both sides have in common, and what only one of them has."""

    matches: tuple[Match, ...]
    alone: tuple[SeenCell, ...]
    other_alone: tuple[SeenCell, ...]


def match_cells(
    cells: Sequence[MeasuredCell], others: Sequence[MeasuredCell], side: Side, other: Side, *, told: bool
) -> Matched:
    """Cells of one wish, in the order of the first side.

    Args:
        told: whether another tool told of one of the sides. Its tests are cut otherwise, so what is left is matched
            metric by metric, by what was computed.
    """
    matches, alone, other_alone = _of_one_wish(cells, others, side, other)
    if told:
        alike = list(_of_one_work(alone, other_alone, side, other))
        matches += alike
        alone = [one for one in alone if all(match.cell is not one for match in alike)]
        other_alone = [one for one in other_alone if all(match.other is not one for match in alike)]
    return Matched(tuple(matches), tuple(one.seen for one in alone), tuple(one.seen for one in other_alone))


def _of_one_wish(
    cells: Sequence[MeasuredCell], others: Sequence[MeasuredCell], side: Side, other: Side
) -> tuple[list[Match], list[MeasuredCell], list[MeasuredCell]]:
    known: dict[Key, MeasuredCell] = {}
    for cell in others:
        known.setdefault(_key(cell.seen, other), cell)
    matches, alone, taken = [], [], set()
    for cell in cells:
        key = _key(cell.seen, side)
        if key in known and key not in taken:
            common = tuple(name for name in cell.metrics if name in known[key].metrics)
            matches.append(Match(cell, known[key], common))
            taken.add(key)
        else:
            alone.append(cell)
    return matches, alone, [cell for key, cell in known.items() if key not in taken]


def _key(seen: SeenCell, side: Side) -> Key:
    """What both sides must have in common; how many rounds there were is no part of it."""
    workload = seen.cell.workload
    if hasattr(workload, "rounds"):
        workload = msgspec.structs.replace(workload, rounds=1)
    variant, device = _place(seen, side)
    return variant, seen.runtime, device, workload


def _place(seen: SeenCell, side: Side) -> tuple[str | None, str]:
    """A variant or device that both sides name is no part of what must be alike."""
    return (
        seen.cell.variant if side.variant is None else "this",
        seen.cell.device if side.device is None else "this",
    )


def _of_one_work(
    cells: Sequence[MeasuredCell], others: Sequence[MeasuredCell], side: Side, other: Side
) -> Iterator[Match]:
    """Each metric of the first side with the first cell of the second that did the same."""
    known: dict[Hashable, MeasuredCell] = {}
    for cell in others:
        for name in cell.metrics:
            if (work := work_of(cell.seen, name)) is not None:
                known.setdefault((_place(cell.seen, other), name, work), cell)
    for cell in cells:
        found: dict[int, tuple[MeasuredCell, list[str]]] = {}
        for name in cell.metrics:
            work = work_of(cell.seen, name)
            theirs = None if work is None else known.get((_place(cell.seen, side), name, work))
            if theirs is not None:
                found.setdefault(id(theirs), (theirs, []))[1].append(name)
        for theirs, names in found.values():
            yield Match(cell, theirs, tuple(names), _how_tests_differ(cell.seen, theirs.seen))


def work_of(seen: SeenCell, name: str) -> Hashable | None:
    """What must be alike for a metric to be of the same work; None: only a cell of one wish is.

    Prefill is known by depth and prompt, decode by where it begins and how many tokens it gives, a task by its name:
    whether its questions are the same is seen from themselves.
    """
    match seen.cell.workload:
        case Task(task=task):
            return ("task", task)
        case Size():
            return ("size", _engine(seen.runtime))
        case Speed(threads=None, idle_s=0) as speed if name in PREFILL:
            return ("prefill", _engine(seen.runtime), speed.depth, speed.prompt_tokens)
        case Speed(threads=None, idle_s=0) as speed if name in DECODE:
            return ("decode", _engine(seen.runtime), decode_depth(speed), speed.generated_tokens)
        case _:
            return None


def decode_depth(speed: Speed) -> int:
    """Tokens before the decode; a prompt of one token is where generation alone begins, and is none of them."""
    return speed.depth + (speed.prompt_tokens if speed.prompt_tokens > 1 else 0)


def _engine(runtime: str | None) -> str | None:
    return next((engine for tool, engine in ENGINES.items() if (runtime or "").startswith(tool)), runtime)


def _how_tests_differ(seen: SeenCell, other: SeenCell) -> str | None:
    if seen.workload == other.workload or not isinstance(seen.cell.workload, Speed):
        return None
    return f"one work in two tests: {seen.workload} of {seen.runtime} and {other.workload} of {other.runtime}"
