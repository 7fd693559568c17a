"""A plan that sets what one run measured against what an earlier one did: cell by cell, in interleaved pairs. Pure.

Both sides are taken from the store as they were measured: artifact and runner by their sha256.
"""

import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from harness import __version__
from harness.build.recipes.stored import RECIPE
from harness.measure.plan import cell_of
from harness.store import Run
from harness.values import (
    Cell,
    Compared,
    DeviceFacts,
    Plan,
    Speed,
    Suite,
    Timed,
    Trial,
    TrialRecord,
    Value,
    Variant,
    Workload,
    digest,
)

NEW, GOOD = "new", "good"
LONGEST_NAME = 64


class Side(Value, frozen=True):
    """What a run measured a variant with."""

    run: str
    variant: Variant
    """The wish of that run."""
    artifact_sha256: str
    runner_sha256: str | None
    """None: the run does not say, so that the program of today is taken."""

    @property
    def identity(self) -> tuple[str, str | None]:
        """What is measured."""
        return self.artifact_sha256, self.runner_sha256


class Pair(Value, frozen=True):
    """One cell to be measured with both sides."""

    cell: Cell
    """Of the newer run."""
    new: Side
    good: Side

    @property
    def alike(self) -> bool:
        """Whether both sides are one artifact run by one program, so that nothing can differ but the machine."""
        return self.new.identity == self.good.identity


class Rerun(Value, frozen=True):
    """A plan of pairs."""

    plan: Plan
    couples: tuple[tuple[str, str], ...]
    """Of each pair, in the order in which they were asked for: keys of its new and its good cell."""


def side_of(run: Run, cell: Cell) -> Side | None:
    """With what the run measured the variant of a cell, on its device and by its runtime; None: it did not.

    The cell may be another run's: of several, the same cell is preferred, then the newest record.
    """
    cells = {c.key: c for c in run.plan.cells}
    best: tuple[bool, int] | None = None
    found: TrialRecord | None = None
    for number, record in enumerate(run.records):
        other = cells[record.cell]
        if record.status != "ok" or record.artifact_sha256 is None or not _alike(cell, other):
            continue
        rank = (other.workload == cell.workload, number)
        if best is None or rank > best:
            best, found = rank, record
    if found is None or found.artifact_sha256 is None:
        return None
    return Side(
        run=run.id,
        variant=next(v for v in run.plan.suite.variants if v.name == cell.variant),
        artifact_sha256=found.artifact_sha256,
        runner_sha256=found.environment.runner_sha256 if found.environment else None,
    )


def pair_plan(
    night: Plan,
    pairs: Sequence[Pair],
    rounds: int,
    *,
    name: str,
    title: str,
    facts: Mapping[str, DeviceFacts],
    more: Sequence[Cell] = (),
) -> Rerun:
    """Every pair's cell with both sides, in `rounds` rounds; `more`: cells without a variant that they need.

    `night`: the newer run's plan, whose settings hold. Cells that are given twice are measured once.
    """
    names = _Names()
    couples = [_couple(names, pair, rounds) for pair in pairs]
    alone = [cell_of(None, cell.runtime, cell.device, _in_rounds(cell.workload, rounds)) for cell in more]
    turns = {group[0].key: group for group in (*((cell,) for cell in alone), *couples)}
    cells = {cell.key: cell for group in turns.values() for cell in group}
    used = {cell.device for cell in cells.values()}
    suite = Suite(
        name=name[:LONGEST_NAME],
        title=title,
        variants=tuple(names.variants.values()),
        baselines=tuple(one.good for one in names.compared.values()),
        runtimes=night.suite.runtimes,
        devices=tuple(spec for spec in night.suite.devices if spec.name in used),
        measures=tuple(dict.fromkeys(cell.workload for cell in cells.values())),
        seed=night.suite.seed,
        source=night.suite.source,
    )
    plan = Plan(
        suite=suite,
        facts={device: facts[device] for device in used},
        cells=tuple(cells.values()),
        trials=tuple(_in_turns(tuple(turns.values()), rounds, suite.seed)),
        bench_version=__version__,
        compares=tuple(names.compared.values()),
    )
    return Rerun(plan=plan, couples=tuple((new.key, good.key) for new, good in couples))


class _Names:
    """Variants of the rerun by what they are; two pairs of the same artifacts and runners share theirs."""

    def __init__(self) -> None:
        self.compared: dict[str, Compared] = {}
        self.variants: dict[str, Variant] = {}

    def of(self, pair: Pair) -> tuple[Variant, Variant]:
        identity = digest([[side.variant, *side.identity] for side in (pair.new, pair.good)])
        if identity not in self.compared:
            own = pair.new.variant.name
            number = 1 + sum(one.variant == own for one in self.compared.values())
            new, good = (_named(own, what, number) for what in (NEW, GOOD))
            self.compared[identity] = Compared(
                variant=own, new=new, good=good, new_run=pair.new.run, good_run=pair.good.run
            )
            self.variants[new], self.variants[good] = _stored(pair.new, new), _stored(pair.good, good)
        one = self.compared[identity]
        return self.variants[one.new], self.variants[one.good]


def _named(variant: str, what: str, number: int) -> str:
    ending = f"-{what}" if number == 1 else f"-{what}{number}"
    return variant[: LONGEST_NAME - len(ending)] + ending


def _stored(side: Side, name: str) -> Variant:
    settings: dict[str, str | int | float | bool] = {"artifact": side.artifact_sha256}
    if side.runner_sha256 is not None:
        settings["runner"] = side.runner_sha256
    return Variant(name=name, model=side.variant.model, recipe=RECIPE, settings=settings, scheme=side.variant.scheme)


def _alike(cell: Cell, other: Cell) -> bool:
    names = [one.runtime.name if one.runtime else None for one in (cell, other)]
    return (cell.variant, cell.device) == (other.variant, other.device) and names[0] == names[1]


def _couple(names: _Names, pair: Pair, rounds: int) -> tuple[Cell, Cell]:
    new, good = names.of(pair)
    runtime, device, load = pair.cell.runtime, pair.cell.device, _in_rounds(pair.cell.workload, rounds)
    return cell_of(new, runtime, device, load), cell_of(good, runtime, device, load)


def _in_rounds(load: Workload, rounds: int) -> Workload:
    """All rounds are run: a rerun that ends early would choose its own evidence."""
    if isinstance(load, Speed):
        return msgspec.structs.replace(load, rounds=rounds, until=None)
    return msgspec.structs.replace(load, rounds=rounds) if isinstance(load, Timed) else load


def _in_turns(couples: Sequence[tuple[Cell, ...]], rounds: int, seed: int) -> Iterator[Trial]:
    """In each round every couple once, in a drawn order, its two sides next to each other and taking turns to begin.

    Who begins alternates, since the machine is warmer for the second of two.
    """
    for number in range(rounds):
        draw = random.Random(f"{seed}:{number}")  # noqa: S311 - a repeatable order, no secret
        for place in draw.sample(range(len(couples)), len(couples)):
            couple = couples[place]
            for cell in couple if (number + place) % 2 == 0 else reversed(couple):
                yield Trial(id=f"{cell.key}-r{number}", cell=cell.key, round=number)
