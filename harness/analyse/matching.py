"""Which cells of two sides are the same work, so that their numbers may be set against each other."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from harness.analyse.cells import SeenCell
from harness.analyse.levels import MeasuredCell
from harness.analyse.sides import Side
from harness.analyse.trials import observed
from harness.values import Loaded, Size, Speed, Task, Workload

PREFILL = frozenset({"prefill_tok_s", "ttft_s"})
DECODE = frozenset({"decode_tok_s", "itl_p50_s", "itl_p95_s", "itl_p99_s"})
ENGINES = {"llama-bench": "llama.cpp"}
"""Tool that told of a run → the runtime of this project that it measures; settings may follow the tool's name."""

Key = tuple[str | None, str | None, str, Workload]


SETTINGS = ("threads", "threads_batch", "kv_type", "load_mode", "flash_attn", "batch", "ubatch", "repack")
"""Of a runtime: of several cells of one work the one with most of these alike is taken."""


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
    """What both sides have in common; and of each side, in words, what the other has not."""

    matches: tuple[Match, ...]
    alone: tuple[str, ...]
    other_alone: tuple[str, ...]


def match_cells(
    cells: Sequence[MeasuredCell], others: Sequence[MeasuredCell], side: Side, other: Side, *, told: bool
) -> Matched:
    """Cells of one wish, in the order of the first side.

    Args:
        told: whether another tool told of one of the sides. Its tests are cut otherwise, so what is left is matched
            metric by metric, by what was computed.
    """
    matches, alone, other_alone = _of_one_wish(cells, others, side, other)
    if not told:
        return Matched(tuple(matches), _words(alone), _words(other_alone))
    alike = list(_of_one_work(alone, other_alone, side, other))
    return Matched(
        (*matches, *alike),
        _words(alone, [(one.cell, one.metrics) for one in alike]),
        _words(other_alone, [(one.other, one.metrics) for one in alike]),
    )


def _words(
    cells: Sequence[MeasuredCell], matched: Sequence[tuple[MeasuredCell, tuple[str, ...]]] = ()
) -> tuple[str, ...]:
    """Cells without a match; of those that have one the metrics with a value that have none."""
    found = []
    for cell in cells:
        names = {name for one, names in matched if one is cell for name in names}
        left = [name for name, one in cell.metrics.items() if name not in names and one.value is not None]
        seen = cell.seen
        words = f"{seen.cell.variant or 'the device'} {seen.cell.measure} {seen.workload}".strip()
        if names and left:
            found.append(f"{', '.join(left)} of {words}")
        elif not names:
            found.append(words)
    return tuple(found)


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
    """Each metric of the first side with those cells of the second that did the same under the likest settings."""
    known: dict[Hashable, list[MeasuredCell]] = defaultdict(list)
    for cell in others:
        for name in cell.metrics:
            if (work := work_of(cell.seen, name)) is not None:
                known[_place(cell.seen, other), name, work].append(cell)
    for cell in cells:
        found: dict[int, tuple[MeasuredCell, list[str]]] = {}
        for name in cell.metrics:
            work = work_of(cell.seen, name)
            for theirs in _likest(cell, known.get((_place(cell.seen, side), name, work), ()), name):
                found.setdefault(id(theirs), (theirs, []))[1].append(name)
        for theirs, names in found.values():
            yield Match(cell, theirs, tuple(names), _how_tests_differ(cell.seen, theirs.seen))


def _likest(cell: MeasuredCell, others: Sequence[MeasuredCell], name: str) -> list[MeasuredCell]:
    """Of those that may be compared the ones with a value, and of these with most settings alike: all, if several."""
    ranks = [
        (other.metrics[name].value is not None, _alike(cell.seen, other.seen), other)
        for other in others
        if _may_be_one(cell.seen.cell.workload, other.seen.cell.workload)
    ]
    best = max((rank[:2] for rank in ranks), default=None)
    return [other for *rank, other in ranks if tuple(rank) == best]


def _may_be_one(load: Workload, other: Workload) -> bool:
    """Tasks with another number of examples, or with a chat template on one side alone, are not one task."""
    if not isinstance(load, Task) or not isinstance(other, Task):
        return True
    pairs = ((load.fewshot, other.fewshot), (load.chat, other.chat))
    return all(a is None or b is None or a == b for a, b in pairs)


def _alike(seen: SeenCell, other: SeenCell) -> int:
    ours, theirs = _settings(seen), _settings(other)
    return sum(ours[name] == theirs[name] for name in SETTINGS)


def _settings(seen: SeenCell) -> dict[str, object]:
    """As the program ran, or else as it was asked."""
    loaded = observed(seen.counted, Loaded)
    of = loaded[0] if loaded else seen.cell.runtime
    return {name: getattr(of, name, None) for name in SETTINGS}


def work_of(seen: SeenCell, name: str) -> Hashable | None:
    """What must be alike for a metric to be of the same work; None: only a cell of one wish is.

    Prefill is known by depth and prompt, decode by where it begins and how many tokens it gives, a task by its name:
    whether its questions are the same is seen from themselves.
    """
    match seen.cell.workload:
        case Task(task=task):
            return ("task", task)
        case Size():
            return ("size",)
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
    if seen.workload == other.workload or isinstance(seen.cell.workload, Size):
        return None
    return f"one work in two tests: {seen.workload} of {seen.runtime} and {other.workload} of {other.runtime}"
