"""Which questions one trial asks: all of a cell's, a shard's range of them, or one round's draw."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.request_lines import read_requests
from harness.store import read_lines
from harness.values import Cell, Plan, Shard, Task, Trial, Value

ROUNDS = 20
"""Into so many parts the questions are drawn where a run may end early: after each one it is asked whether to go on."""
CUT = "questions had a prompt cut to fit the context"
Unit = tuple[str, int]
"""(task, document), or ("", window) of a text: what is asked and graded as one."""


class Part(Value, frozen=True):
    """A part of a cell's questions."""

    shard: Shard | None
    round: int | None
    """None: all rounds' questions."""
    seed: int

    @property
    def suffix(self) -> str:
        """Tells files of different parts apart."""
        shard = f"-s{self.shard.number}of{self.shard.of}" if self.shard else ""
        return shard + ("" if self.round is None else f"-r{self.round}")

    def chosen(self, requests: Path) -> set[Unit]:
        """The questions of this part, from the file of all requests."""
        return set(self.of(units_of(requests)))

    def of(self, units: list[Unit]) -> list[Unit]:
        """The units of this part. Rounds are drawn at random by the seed, shards are ranges."""
        if self.round is not None:
            draw = random.Random(f"{self.seed}:rounds")  # noqa: S311 - a repeatable draw, no secret
            mixed = draw.sample(units, len(units))
            units = mixed[_bound(len(mixed), self.round, ROUNDS) : _bound(len(mixed), self.round + 1, ROUNDS)]
        if self.shard is not None:
            first, last = self.shard.number - 1, self.shard.number
            units = units[_bound(len(units), first, self.shard.of) : _bound(len(units), last, self.shard.of)]
        return units


def part_of(plan: Plan, trial: Trial, cell: Cell) -> Part | None:
    """The part that a trial asks; None: everything."""
    in_rounds = isinstance(cell.workload, Task) and cell.workload.until is not None
    if plan.shard is None and not in_rounds:
        return None
    return Part(shard=plan.shard, round=trial.round if in_rounds else None, seed=plan.suite.seed)


def units_of(requests: Path) -> list[Unit]:
    """All questions of a requests file, in its order."""
    return list(dict.fromkeys(unit_of(line) for line in read_lines(requests) if "id" in line))


def unit_of(request: dict[str, Any]) -> Unit:
    """What a line of a requests file belongs to."""
    if "task" in request:
        return request["task"], request["doc"]
    return "", request["id"]


def kept(lines: Iterable[dict[str, Any]], chosen: set[Unit] | None) -> Iterable[dict[str, Any]]:
    """The requests among these lines that belong to the chosen units; None: all."""
    return (line for line in lines if "id" in line and (chosen is None or unit_of(line) in chosen))


def cut_units(requests: Iterable[dict[str, Any]]) -> set[Unit]:
    """The questions among these whole requests with a prompt that was cut, in however many of its requests."""
    return {unit_of(request) for request in requests if request.get("truncated")}


def cut_remark(requests: Path, chosen: set[Unit] | None) -> str | None:
    """What a trial that asks the chosen questions (None: all) must say of cut prompts, or None."""
    cut = cut_units(kept(read_requests(requests), chosen))
    of = len(units_of(requests) if chosen is None else chosen)
    return f"{len(cut):,} of {of:,} {CUT}" if cut else None


def _bound(count: int, part: int, parts: int) -> int:
    """Where part number `part` begins when so many are cut as evenly as can be."""
    return count * part // parts
