"""Which cells need no more rounds: every ratio that they are a part of is known well enough. Pure."""

import math
from collections import defaultdict
from collections.abc import Sequence

from harness.metrics import trial_values
from harness.stats import log_interval, ratio_interval
from harness.values import Cell, Plan, Speed, Trial, TrialRecord

FEWEST = 8
"""Rounds before an interval is asked: with fewer, a narrow one is luck too often (benchmarks/early_stop.py)."""
MISSED = "7 %"
"""How often an interval that ended its rounds leaves the truth out, at most: the same program measured it."""
JUDGED = ("prefill_tok_s", "decode_tok_s", "prefill_from_idle_tok_s")
Rounds = dict[str, dict[int, float]]
"""Metric → round → value."""


class EarlyStop:
    """Tells, round by round, which trials of a run are not needed. Decides alike when a run is resumed."""

    def __init__(self, plan: Plan, records: Sequence[TrialRecord]) -> None:
        self.plan = plan
        self.wanted = any(_until(cell) is not None for cell in plan.cells)
        self.records = list(records) if self.wanted else []
        self._settled: dict[int, frozenset[str]] = {}

    def add(self, record: TrialRecord) -> None:
        if self.wanted:
            self.records.append(record)

    def reason(self, trial: Trial, cell: Cell) -> str | None:
        """Why this trial is not needed, or None."""
        if _until(cell) is None or trial.round < FEWEST:
            return None
        if trial.round not in self._settled:
            self._settled[trial.round] = settled(self.plan, self.records, trial.round)
        if trial.cell not in self._settled[trial.round]:
            return None
        counted = sum(r.cell == trial.cell and r.status == "ok" for r in self.records)
        return reason(cell, counted)


def settled(plan: Plan, records: Sequence[TrialRecord], before: int) -> frozenset[str]:
    """Keys of the cells whose ratios were within their limit in all rounds before this one.

    Only whole rounds count, so that a baseline never stops in the middle of a round whose variants need it.
    A baseline is needed for as long as one variant is that is compared with it.
    """
    values = _values(plan, records, before)
    groups: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
    for cell in plan.cells:
        if _until(cell) is not None and cell.unsupported is None:
            groups[cell.workload, cell.device, cell.runtime].append(cell)
    return frozenset(key for cells in groups.values() for key in _settled_of(plan, cells, values))


def reason(cell: Cell, rounds: int) -> str:
    """Why a round was left out, in words."""
    until = _until(cell)
    assert until is not None
    return (
        f"stopped after {rounds} rounds: every ratio has an interval within ± {100 * until:g} %; intervals that "
        f"end their rounds leave the truth out in up to {MISSED} of cases"
    )


def _settled_of(plan: Plan, cells: Sequence[Cell], values: dict[str, Rounds]) -> set[str]:
    by_variant = {cell.variant: cell for cell in cells}
    done: set[str] = set()
    needed: set[str] = set()
    for cell in cells:
        assert cell.variant is not None
        own = plan.suite.baselines_of(cell.variant)
        baselines = [by_variant[name] for name in own if name in by_variant]
        if cell.variant in plan.suite.baselines:
            continue
        if all(_narrow(cell, values[cell.key], values[b.key]) for b in baselines or [cell]):
            done.add(cell.key)
        else:
            needed |= {b.key for b in baselines}
    for cell in cells:
        if cell.variant in plan.suite.baselines and cell.key not in needed and (done or _narrow_alone(cell, values)):
            done.add(cell.key)
    return done


def _narrow(cell: Cell, own: Rounds, baseline: Rounds) -> bool:
    """Whether each metric's ratio, or its own value where a cell is compared with itself, is known well enough."""
    names = [name for name in JUDGED if name in own]
    return bool(names) and all(_narrow_metric(cell, own[name], baseline.get(name, {})) for name in names)


def _narrow_metric(cell: Cell, own: dict[int, float], baseline: dict[int, float]) -> bool:
    rounds = sorted(own.keys() & baseline.keys())
    if len(rounds) < FEWEST:
        return False
    a, b = [own[r] for r in rounds], [baseline[r] for r in rounds]
    interval = log_interval(a) if a == b else ratio_interval(a, b)
    until = _until(cell)
    assert until is not None
    return interval is not None and math.sqrt(interval.high / interval.low) <= 1 + until


def _narrow_alone(cell: Cell, values: dict[str, Rounds]) -> bool:
    return _narrow(cell, values[cell.key], values[cell.key])


def _values(plan: Plan, records: Sequence[TrialRecord], before: int) -> dict[str, Rounds]:
    found: dict[str, Rounds] = {cell.key: {} for cell in plan.cells}
    for record in records:
        if record.status == "ok" and record.round < before and record.cell in found:
            for name, value in trial_values(record).items():
                found[record.cell].setdefault(name, {})[record.round] = value
    return found


def _until(cell: Cell) -> float | None:
    return cell.workload.until if isinstance(cell.workload, Speed) else None
