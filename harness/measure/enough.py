"""Which cells need no more rounds: prefill and decode of all that is compared are known well enough. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from harness.derivations import trial_values
from harness.stats import log_interval, ratio_interval
from harness.values import Cell, Plan, Speed, Trial, TrialRecord

FEWEST = 8
"""Rounds before an interval is asked: with fewer, a narrow one is luck too often (benchmarks/early_stop.py)."""
MISSED = "about 7 %"
"""How often a 95 % interval that ended its rounds leaves the truth out, at worst: the same program measured it."""
JUDGED = ("prefill_tok_s", "decode_tok_s", "prefill_from_idle_tok_s")
Rounds = dict[str, dict[int, float]]
"""Metric → round → value."""


class EarlyStop:
    """Tells, round by round, which trials of a run are not needed. Decides alike when a run is resumed."""

    def __init__(self, plan: Plan, records: Sequence[TrialRecord]) -> None:
        self.plan = plan
        self.wanted = any(_until(cell) is not None for cell in plan.cells)
        self.records = list(records) if self.wanted else []
        self._settled: dict[int, dict[str, int]] = {}

    def add(self, record: TrialRecord) -> None:
        if self.wanted:
            self.records.append(record)

    def reason(self, trial: Trial, cell: Cell) -> str | None:
        """Why this trial is not needed, or None."""
        if _until(cell) is None or trial.round < FEWEST:
            return None
        if trial.round not in self._settled:
            self._settled[trial.round] = settled(self.plan, self.records, trial.round)
        rounds = self._settled[trial.round].get(trial.cell)
        return None if rounds is None else reason(cell, rounds)


def settled(plan: Plan, records: Sequence[TrialRecord], before: int) -> dict[str, int]:
    """Cells that need no round from this one on → rounds they have.

    Only whole rounds count, so that a baseline never stops in the middle of a round whose variants need it.
    A baseline is needed for as long as one variant is that is compared with it.
    """
    values = {key: _values(of_cell) for key, of_cell in _alike(records, before).items()}
    groups: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
    for cell in plan.cells:
        if _until(cell) is not None and cell.unsupported is None:
            groups[cell.workload, cell.device, cell.runtime].append(cell)
    done = (key for cells in groups.values() for key in _settled_of(plan, cells, values))
    return {key: max(len(rounds) for rounds in values[key].values()) for key in done}


def reason(cell: Cell, rounds: int) -> str:
    """Why a round was left out, in words."""
    until = _until(cell)
    assert until is not None
    return (
        f"stopped after {rounds} rounds: prefill and decode of all that is compared here are known within "
        f"± {100 * until:g} %; intervals that end their rounds leave the truth out in {MISSED} of cases at worst"
    )


def narrow(values: Sequence[float], baselines: Sequence[float] | None, until: float, fewest: int = FEWEST) -> bool:
    """Whether the ratio of paired rounds, or the values' own typical one, is known within `until`, half width."""
    if len(values) < fewest:
        return False
    interval = log_interval(values) if baselines is None else ratio_interval(values, baselines)
    return interval is not None and math.sqrt(interval.high / interval.low) <= 1 + until


def _settled_of(plan: Plan, cells: Sequence[Cell], values: dict[str, Rounds]) -> set[str]:
    by_variant = {str(cell.variant): cell for cell in cells}
    own = {name: [b for b in plan.suite.baselines_of(name) if b in by_variant] for name in by_variant}
    compared = {name for name in by_variant if own[name]}
    done = {name for name in compared if all(_narrow(by_variant[name], by_variant[b], values) for b in own[name])}
    needed = {b for name in compared - done for b in own[name]}
    partners = {b for name in compared for b in own[name]}
    alone = by_variant.keys() - compared - partners
    done |= partners - needed | {name for name in alone if _narrow(by_variant[name], None, values)}
    return {by_variant[name].key for name in done}


def _narrow(cell: Cell, baseline: Cell | None, values: dict[str, Rounds]) -> bool:
    """Whether each judged metric of the cell is known well enough, against the baseline or alone."""
    until, own = _until(cell), values.get(cell.key, {})
    theirs = values.get(baseline.key, {}) if baseline else {}
    names = [name for name in JUDGED if name in own]
    assert until is not None
    for name in names:
        rounds = sorted(own[name].keys() & (theirs.get(name, {}).keys() if baseline else own[name].keys()))
        others = [theirs[name][r] for r in rounds] if baseline and rounds else None
        if not narrow([own[name][r] for r in rounds], others, until):
            return False
    return bool(names)


def _alike(records: Sequence[TrialRecord], before: int) -> dict[str, list[TrialRecord]]:
    """Good records of rounds before this one by cell; of several machines, runners or files, those of the most."""
    by_cell: dict[str, list[TrialRecord]] = defaultdict(list)
    for record in records:
        if record.status == "ok" and record.round < before:
            by_cell[record.cell].append(record)
    return {key: _largest_group(of_cell) for key, of_cell in by_cell.items()}


def _largest_group(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    most, _ = Counter(map(_circumstances, records)).most_common(1)[0]
    return [record for record in records if _circumstances(record) == most]


def _circumstances(record: TrialRecord) -> tuple[str | None, ...]:
    seen = record.environment
    where = (seen.facts_sha256, seen.runner_sha256, seen.power) if seen else ()
    return (record.artifact_sha256, *where)


def _values(records: Iterable[TrialRecord]) -> Rounds:
    found: Rounds = {}
    for record in records:
        for name, value in trial_values(record).items():
            if name in JUDGED:
                found.setdefault(name, {})[record.round] = value
    return found


def _until(cell: Cell) -> float | None:
    return cell.workload.until if isinstance(cell.workload, Speed) else None
