"""A plan of pairs: both sides as they were measured, next to each other, in every round."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from harness.measure.pairing import Pair, Rerun, Side, pair_plan, side_of
from harness.run_checks import plan_contradicts
from harness.store import Run, encode
from harness.values import Bandwidth, Cell, Memory, Plan, Speed, TrialRecord, digest
from tests.builders import RUNNER, build_and_read

LOADS = (
    Bandwidth(rounds=2, repetitions=2),
    Speed(prompt_tokens=64, generated_tokens=64, rounds=9, until=0.02),
    Memory(rounds=2),
)


def other_artifact(cell: Cell, record: TrialRecord) -> TrialRecord:
    return msgspec.structs.replace(record, artifact_sha256=digest("older") if cell.variant == "int8" else None)


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    results = tmp_path_factory.mktemp("results")
    good = build_and_read(results, name="20260713T010000Z-quick-a-0001", measures=LOADS, change=other_artifact)
    new = build_and_read(results, name="20260714T010000Z-quick-a-0002", measures=LOADS)
    return new, good


def pair(nights: tuple[Run, Run], kind: type, variant: str = "int8") -> Pair:
    new, good = nights
    cell = next(c for c in new.plan.cells if c.variant == variant and isinstance(c.workload, kind))
    sides = side_of(new, cell), side_of(good, cell)
    assert sides[0] is not None and sides[1] is not None
    return Pair(cell=cell, new=sides[0], good=sides[1])


def planned(nights: tuple[Run, Run], pairs: list[Pair], rounds: int = 6) -> Rerun:
    plan = nights[0].plan
    more = [cell for cell in plan.cells if cell.variant is None]
    return pair_plan(plan, pairs, rounds, name="confirm-quick", title="again", facts=plan.facts, more=more)


def test_a_side_is_what_its_run_measured(nights: tuple[Run, Run]) -> None:
    one = pair(nights, Speed)
    assert one.new.identity == (digest("int8"), RUNNER) and one.good.identity == (digest("older"), RUNNER)
    assert not one.alike and msgspec.structs.replace(one, good=one.new).alike
    alone = next(c for c in nights[0].plan.cells if c.variant is None)
    assert side_of(nights[0], alone) is None
    assert side_of(nights[1], next(c for c in nights[0].plan.cells if c.variant == "f16")) is None


def test_the_artifact_and_the_runner_of_both_nights_are_asked_for(nights: tuple[Run, Run]) -> None:
    plan = planned(nights, [pair(nights, Speed), pair(nights, Memory)]).plan
    assert plan_contradicts(plan) is None
    assert msgspec.json.decode(encode(plan), type=Plan) == plan
    variants = {v.name: v for v in plan.suite.variants}
    assert variants["int8-new"].settings == {"artifact": digest("int8"), "runner": RUNNER}
    assert variants["int8-good"].settings == {"artifact": digest("older"), "runner": RUNNER}
    assert {v.recipe for v in variants.values()} == {"stored"} and plan.suite.baselines == ("int8-good",)
    assert plan.compares is not UNSET
    (one,) = plan.compares
    assert (one.variant, one.new, one.good) == ("int8", "int8-new", "int8-good")
    assert (one.new_run, one.good_run) == (nights[0].id, nights[1].id)


def test_every_round_has_every_pair_side_by_side_and_ends_early_nowhere(nights: tuple[Run, Run]) -> None:
    rerun = planned(nights, [pair(nights, Speed), pair(nights, Memory), pair(nights, Speed)], rounds=6)
    assert rerun.couples[0] == rerun.couples[2], "a cell that two series ask for is measured once"
    cells = {cell.key: cell for cell in rerun.plan.cells}
    assert all(c.workload.rounds == 6 for c in cells.values() if isinstance(c.workload, Speed | Memory | Bandwidth))
    assert all(c.workload.until is None for c in cells.values() if isinstance(c.workload, Speed))
    begins = dict.fromkeys(rerun.couples, 0)
    for number in range(6):
        keys = [trial.cell for trial in rerun.plan.trials if trial.round == number]
        assert sorted(keys) == sorted(cells)
        for new, good in begins:
            assert abs(keys.index(new) - keys.index(good)) == 1
            begins[new, good] += keys.index(new) < keys.index(good)
    assert set(begins.values()) == {3}, "each side begins as often as the other"
    assert [trial.cell for trial in rerun.plan.trials] != sorted(trial.cell for trial in rerun.plan.trials)


@given(st.text("abcXYZ019._+-", min_size=1, max_size=63), st.integers(1, 4))
def test_names_stay_names_and_apart(nights: tuple[Run, Run], ending: str, count: int) -> None:
    cell = next(c for c in nights[0].plan.cells if isinstance(c.workload, Speed) and c.variant == "int8")
    wish = next(v for v in nights[0].plan.suite.variants if v.name == "int8")
    named = msgspec.structs.replace(wish, name=f"v{ending}"[:64])
    sides = [Side(run=f"r{n}", variant=named, artifact_sha256=digest(n), runner_sha256=None) for n in range(count + 1)]
    pairs = [Pair(cell=cell, new=sides[0], good=side) for side in sides[1:]]
    plan = planned(nights, pairs).plan
    assert plan_contradicts(plan) is None and len(plan.suite.variants) == 2 * count
    assert msgspec.json.decode(encode(plan), type=Plan) == plan
