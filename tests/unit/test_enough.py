"""Rounds that are not needed: decided by whole rounds, alike after a resume, and never at a partner's cost."""

from collections.abc import Collection
from pathlib import Path

import msgspec
import pytest

from harness.measure.enough import FEWEST, EarlyStop, reason, settled
from harness.values import Cell, Plan, Speed, Timing, TrialRecord
from tests.builders import TRUTHS, build_and_read

LOAD = Speed(prompt_tokens=64, generated_tokens=8, rounds=12, repetitions=1, until=0.02)


def run_of(tmp_path: Path, noise: float, load: Speed = LOAD) -> tuple[Plan, list[TrialRecord]]:
    run = build_and_read(tmp_path, measures=(load,), noise=noise)
    return run.plan, list(run.records)


def names(plan: Plan, keys: Collection[str]) -> set[str | None]:
    return {cell.variant for cell in plan.cells if cell.key in keys}


def test_steady_rounds_are_enough_after_the_fewest(tmp_path: Path) -> None:
    plan, records = run_of(tmp_path, 0.001)
    assert names(plan, settled(plan, records, FEWEST - 1)) == set()
    assert names(plan, settled(plan, records, FEWEST)) == {"bf16", "f16", "int8", "int4-ptq"}


def test_noisy_rounds_are_never_enough(tmp_path: Path) -> None:
    plan, records = run_of(tmp_path, 0.2)
    assert settled(plan, records, 12) == {}


def test_a_baseline_goes_on_as_long_as_one_variant_needs_it(tmp_path: Path) -> None:
    plan, records = run_of(tmp_path, 0.001)
    int8 = next(c.key for c in plan.cells if c.variant == "int8")
    doubtful = [r for r in records if r.cell != int8 or r.round >= FEWEST - 1]
    assert names(plan, settled(plan, doubtful, FEWEST)) == {"int4-ptq"}


def test_without_a_wish_nothing_ends_early(tmp_path: Path) -> None:
    plan, records = run_of(tmp_path, 0.0001, msgspec.structs.replace(LOAD, until=None))
    early = EarlyStop(plan, records)
    cells = {c.key: c for c in plan.cells}
    assert all(early.reason(trial, cells[trial.cell]) is None for trial in plan.trials)


def test_a_resumed_run_decides_alike(tmp_path: Path) -> None:
    plan, records = run_of(tmp_path, 0.001)
    cells: dict[str, Cell] = {c.key: c for c in plan.cells}
    whole, torn = EarlyStop(plan, records), EarlyStop(plan, records[: FEWEST * len(cells) + 1])
    later = [t for t in plan.trials if t.round >= FEWEST]
    assert later and all(whole.reason(t, cells[t.cell]) is not None for t in later)
    assert all(torn.reason(t, cells[t.cell]) is not None for t in later if t.round == FEWEST)


def test_baselines_alone_are_judged_by_their_own_values(tmp_path: Path) -> None:
    run = build_and_read(tmp_path, measures=(LOAD,), noise=0.0001, baselines=("bf16", "f16", "int8", "int4-ptq"))
    assert len(settled(run.plan, run.records, FEWEST)) == 4


def test_of_two_baselines_alone_each_is_judged_by_itself(tmp_path: Path) -> None:
    def shaken(cell: Cell, one: TrialRecord) -> TrialRecord:
        noisy = cell.variant == "f16" and one.round % 2
        seen = tuple(
            msgspec.structs.replace(o, logits_ns=o.logits_ns * 2) if noisy and isinstance(o, Timing) else o
            for o in one.observations
        )
        return msgspec.structs.replace(one, observations=seen)

    truths = {name: TRUTHS[name] for name in ("bf16", "f16")}
    run = build_and_read(tmp_path, measures=(LOAD,), noise=0.0001, truths=truths, change=shaken)
    assert names(run.plan, settled(run.plan, run.records, FEWEST)) == {"bf16"}


def test_rounds_by_another_runner_do_not_count(tmp_path: Path) -> None:
    plan, records = run_of(tmp_path, 0.001)
    changed = [
        msgspec.structs.replace(
            r, environment=msgspec.structs.replace(r.environment, runner_sha256="f" * 64 if r.round < 3 else "0" * 64)
        )
        for r in records
        if r.environment
    ]
    assert settled(plan, changed, FEWEST) == {}
    assert set(settled(plan, changed, 11).values()) == {8}


def test_the_reason_says_what_an_early_end_costs() -> None:
    cell = Cell(key="0" * 16, variant="a", runtime=None, device="local", workload=LOAD)
    assert "after 8 rounds" in reason(cell, 8) and "± 2 %" in reason(cell, 8) and "7 %" in reason(cell, 8)


@pytest.mark.parametrize(("field", "value"), [("until", 0.0), ("until", 1.0), ("idle_s", -1.0)])
def test_what_cannot_be_wished_is_refused(field: str, value: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"prompt_tokens": 1, "generated_tokens": 1, field: value, "kind": "speed"}, Speed)
