"""Planning is pure: the same suite and facts give the same trials in the same order."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import load_suite
from harness.device_files import load_devices
from harness.errors import InputError, UnknownNameError
from harness.measure.parts import ROUNDS
from harness.measure.plan import make_plan, only_asking, select
from harness.measure.ready import wanted
from harness.pipeline import known_names
from harness.values import DeviceFacts, Plan, Size, Speed, Suite, Task, Text

FACTS = DeviceFacts(
    device="local",
    model="m",
    os="o",
    arch="x86_64",
    cpu="c",
    logical_cpus=4,
    usable_cores=2,
    memory_bytes=8 << 30,
    llc_bytes=32 << 20,
)


@pytest.fixture(scope="module")
def quick() -> Suite:
    return load_suite("quick", known_names(), load_devices())


def plan_of(suite: Suite) -> Plan:
    return make_plan(suite, {"local": FACTS}, ("bench", "run"))


def test_a_plan_is_repeatable_and_the_seed_changes_only_the_order(quick: Suite) -> None:
    one, again = plan_of(quick), plan_of(quick)
    other = plan_of(msgspec.structs.replace(quick, seed=quick.seed + 1))
    assert one == again
    assert one.trials != other.trials
    assert sorted(t.id for t in one.trials) == sorted(t.id for t in other.trials)


def test_a_variant_that_cannot_be_made_here_is_left_out_with_the_reason(quick: Suite) -> None:
    plan = make_plan(quick, {"local": FACTS}, (), {"int8": "needs a library"})
    for cell in plan.cells:
        assert cell.unsupported == ("needs a library" if cell.variant == "int8" else None)
    mine = {cell.key for cell in plan.cells if cell.variant == "int8"}
    assert Counter(t.cell for t in plan.trials if t.cell in mine) == dict.fromkeys(mine, 1)
    assert {name for name, _ in wanted(plan)} == {v.name for v in quick.variants} - {"int8"}


def test_every_cell_gets_its_rounds_exactly_once(quick: Suite) -> None:
    plan = plan_of(quick)
    assert len({t.id for t in plan.trials}) == len(plan.trials)
    counts = Counter(t.cell for t in plan.trials)
    for cell in plan.cells:
        expected = getattr(cell.workload, "rounds", 1)
        assert counts[cell.key] == expected


def test_variants_of_a_workload_are_neighbours_in_each_round(quick: Suite) -> None:
    plan = plan_of(quick)
    cells = {c.key: c for c in plan.cells}
    speed = [(t.round, cells[t.cell].workload, cells[t.cell].variant) for t in plan.trials]
    speed = [s for s in speed if isinstance(s[1], Speed)]
    for first in range(0, len(speed), len(quick.variants)):
        block = speed[first : first + len(quick.variants)]
        assert len({(r, msgspec.json.encode(w)) for r, w, _ in block}) == 1
        assert len({v for _, _, v in block}) == len(quick.variants)


def test_threads_are_resolved_and_belong_to_the_key(quick: Suite) -> None:
    plan = plan_of(quick)
    more = make_plan(quick, {"local": msgspec.structs.replace(FACTS, usable_cores=4)}, ())
    speed = next(c for c in plan.cells if isinstance(c.workload, Speed))
    assert speed.runtime is not None and speed.runtime.threads == 2
    assert {c.key for c in plan.cells if c.runtime} & {c.key for c in more.cells if c.runtime} == set()


def test_an_impossible_cell_has_a_reason_and_one_trial(quick: Suite) -> None:
    big = Speed(prompt_tokens=2000, generated_tokens=64, context=1024)
    plan = plan_of(msgspec.structs.replace(quick, measures=(Size(), big)))
    impossible = [c for c in plan.cells if c.unsupported]
    assert len(impossible) == len(quick.variants) and "do not fit a context of 1024" in str(impossible[0].unsupported)
    assert all(sum(t.cell == c.key for t in plan.trials) == 1 for c in impossible)


def test_nothing_possible_is_refused(quick: Suite) -> None:
    big = Speed(prompt_tokens=2000, generated_tokens=64, context=1024)
    with pytest.raises(InputError, match="nothing in suite 'quick' can be measured"):
        plan_of(msgspec.structs.replace(quick, measures=(big,)))


def test_the_same_measure_twice_is_refused(quick: Suite) -> None:
    load = Speed(prompt_tokens=8, generated_tokens=2)
    with pytest.raises(InputError, match="twice"):
        plan_of(msgspec.structs.replace(quick, measures=(load, load)))


def test_select_keeps_the_baselines(quick: Suite) -> None:
    chosen = select(quick, variants=["int4-ptq"])
    assert [v.name for v in chosen.variants] == ["bf16", "f16", "int4-ptq"]
    with pytest.raises(UnknownNameError, match="did you mean 'int8'"):
        select(quick, variants=["int9"])
    with pytest.raises(UnknownNameError, match="did you mean 'speed'"):
        select(quick, measures=["spede"])


def test_select_replaces_tasks_and_limits(quick: Suite) -> None:
    tasks = [m for m in select(quick, tasks=["mmlu"], limit=9).measures if isinstance(m, Task)]
    assert tasks == [Task(task="mmlu", limit=9)]
    assert [m.limit for m in select(quick, limit=5).measures if isinstance(m, Task)] == [5]


@given(rounds=st.integers(min_value=1, max_value=9), seed=st.integers(min_value=0, max_value=10**6))
@settings(max_examples=30)
def test_rounds_interleave(rounds: int, seed: int) -> None:
    quick = load_suite("quick", known_names(), load_devices())
    plan = plan_of(msgspec.structs.replace(select(quick, rounds=rounds), seed=seed))
    cells = {c.key: c for c in plan.cells}
    timed = [t.round for t in plan.trials if isinstance(cells[t.cell].workload, Speed)]
    assert timed == sorted(timed)


def test_a_shard_asks_and_measures_nothing_else(quick: Suite) -> None:
    assert {type(m) for m in only_asking(quick).measures} == {Task, Text}
    timed = msgspec.structs.replace(quick, measures=(Size(), Speed(prompt_tokens=8, generated_tokens=2)))
    with pytest.raises(InputError, match="splits the requests of tasks and texts, and suite 'quick' has neither"):
        only_asking(timed)


def test_shards_and_an_early_end_exclude_each_other(quick: Suite) -> None:
    with pytest.raises(InputError, match="--shard and --until exclude each other"):
        only_asking(select(quick, until=0.01))


def test_an_early_end_is_that_of_tasks(quick: Suite) -> None:
    assert [m.until for m in select(quick, until=0.01).measures if isinstance(m, Task)] == [0.01]
    assert [m.until for m in select(quick, tasks=["arc_easy"], until=0.01).measures if isinstance(m, Task)] == [0.01]
    with pytest.raises(InputError, match="suite 'quick' has none"):
        select(quick, measures=["size", "text"], until=0.01)


def test_questions_that_may_end_early_come_in_rounds_of_all_variants(quick: Suite) -> None:
    asking = msgspec.structs.replace(quick, measures=(Task(task="arc_easy", until=0.01), Text(text="text_5000")))
    plan = plan_of(asking)
    cells = {c.key: c for c in plan.cells}
    task = [(t.round, cells[t.cell].variant) for t in plan.trials if isinstance(cells[t.cell].workload, Task)]
    names = [v.name for v in quick.variants]
    assert task == [(number, name) for number in range(ROUNDS) for name in names]
    text = [t.round for t in plan.trials if isinstance(cells[t.cell].workload, Text)]
    assert text == [0] * len(names)
