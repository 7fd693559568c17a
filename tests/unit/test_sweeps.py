"""Thread counts, depths, starts from idle, loads and work without a pause: from the wish to the page."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from harness.analyse.canaries import apart, uneven
from harness.analyse.compare import analyse
from harness.config import load_suite
from harness.derivations import energy_j_token, trial_values, why_no_energy, why_not_sustained
from harness.device_files import load_devices
from harness.errors import ConfigError
from harness.measure.judging import judge
from harness.measure.noise import noise, waiting_share
from harness.measure.plan import make_plan, spread_out, thread_counts
from harness.measure.runtimes.llama_cpp import job
from harness.pipeline import known_names
from harness.render.page import Notes
from harness.render.settings import settings
from harness.render.sweeps import depth_tables, threads_table
from harness.values import (
    CanarySeen,
    Cell,
    EnergyDomain,
    EnergySeen,
    Load,
    LoadSeen,
    Speed,
    Stretch,
    Sustained,
    ThreadSeen,
    Timing,
    TrialRecord,
)
from tests.builders import TRUTHS, Change, build_and_read
from tests.unit.test_execute import ARTIFACT, SPEED, outcome, parsed
from tests.unit.test_metrics import record, timing
from tests.unit.test_plan import FACTS

SHORT = Speed(prompt_tokens=64, generated_tokens=8, rounds=4, repetitions=1)


# ---------------------------------------------------------------- plan


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12))]
)
def test_each_count_is_a_power_of_two_or_all_cores(cores: int, counts: tuple[int, ...]) -> None:
    assert thread_counts(cores) == counts


def test_one_measure_of_many_depths_and_counts_is_one_for_each() -> None:
    load = Speed(prompt_tokens=64, generated_tokens=32, depths="standard", thread_counts="each", context=8192)
    found = [one for one in spread_out(load, FACTS) if isinstance(one, Speed)]
    assert [(one.depth, one.threads) for one in found] == [
        (depth, threads) for depth in (0, 512, 2048, 8192 - 96) for threads in (1, 2)
    ]
    assert all(not one.depths and not one.thread_counts for one in found)
    assert len({one.label for one in found}) == len(found)


def test_a_count_of_its_own_goes_to_both_pools() -> None:
    suite = load_suite("quick", known_names(), load_devices())
    plan = make_plan(
        msgspec.structs.replace(suite, measures=(SHORT, msgspec.structs.replace(SHORT, threads=1))),
        {"local": FACTS},
        (),
    )
    threads = {
        (c.runtime.threads, c.runtime.threads_batch)
        for c in plan.cells
        if c.runtime and c.workload.label.endswith("t1")
    }
    assert threads == {(1, 1)}


def test_more_threads_than_the_runtime_takes_are_an_impossible_cell() -> None:
    suite = load_suite("quick", known_names(), load_devices())
    measures = (SHORT, msgspec.structs.replace(SHORT, threads=513))
    plan = make_plan(msgspec.structs.replace(suite, measures=measures), {"local": FACTS}, ())
    reasons = {c.unsupported for c in plan.cells}
    assert reasons == {None, "513 threads are more than the 512 that llama.cpp takes"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("depth: 5, depths: [0, 5]", "exclude each other"),
        ("threads: 1, thread_counts: each", "exclude each other"),
        ("idle_s: 1, discards: 2", "cannot be repeated"),
        ("thread_counts: [0]", "expected"),
        ("depths: deep", "invalid"),
    ],
)
def test_wishes_that_exclude_each_other_are_refused(tmp_path: Path, keys: str, said: str) -> None:
    path = tmp_path / "s.yaml"
    measure = f"{{kind: speed, prompt_tokens: 4, generated_tokens: 2, {keys}}}"
    path.write_text(f"extends: quick\nname: s\nmeasures:\n  - {measure}\n")
    with pytest.raises(ConfigError, match=said):
        load_suite(str(path), known_names(), load_devices())


def test_a_job_that_shall_last_gets_the_time_for_it() -> None:
    from harness.measure.jobs import Inputs

    long = msgspec.structs.replace(SPEED, workload=Sustained(seconds=7200, idle_s=600))
    found = job(long, Inputs(program="p", prompt=(1,)), FACTS)
    assert found.timeout_s >= 7800 and found.spec["work_ms"] == 7_200_000 and found.spec["idle_ms"] == 600_000


# ---------------------------------------------------------------- metrics


def stretch(start_s: float, decode_s: float, tokens: int = 11) -> Stretch:
    return Stretch(
        index=0,
        start_ns=int(start_s * 1e9),
        prompt_tokens=4,
        generated_tokens=tokens,
        prefill_ns=10_000_000,
        decode_ns=int(decode_s * 1e9),
        cpu_ns=None,
        machine_busy_ns=None,
        machine_steal_ns=None,
    )


def test_burst_is_the_beginning_and_sustained_the_last_third() -> None:
    stretches = [stretch(start, 0.1 if start < 10 else 0.2 if start >= 40 else 0.15) for start in range(60)]
    values = trial_values(record(*stretches))
    assert values["decode_burst_tok_s"] == pytest.approx(100)
    assert values["decode_sustained_tok_s"] == pytest.approx(50)
    assert values["sustained_share"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("starts", "why"), [(range(14), "too short"), ((0.0, 4.0, 5.0, 59.0), None), ((0.0, 5.0), "no prefill and decode")]
)
def test_without_a_last_third_of_its_own_there_is_a_burst_only(starts: Sequence[float], why: str | None) -> None:
    stretches = [stretch(start, 1 if why != "no prefill and decode" else 60) for start in starts]
    values = trial_values(record(*stretches))
    assert "decode_burst_tok_s" in values
    assert ("decode_sustained_tok_s" in values) == ("sustained_share" in values) == (why is None)
    said = why_not_sustained(stretches)
    assert (said is None) == (why is None) and (why is None or why in str(said))


def energy(**changes: object) -> EnergySeen:
    domains = (
        EnergyDomain(name="package-0", idle_uj=30_000_000, work_uj=900_000_000),
        EnergyDomain(name="dram", idle_uj=6_000_000, work_uj=60_000_000),
    )
    seen = EnergySeen(idle_ns=30 * 10**9, work_ns=300 * 10**9, domains=domains, missing=None)
    return msgspec.structs.replace(seen, **changes)


def test_energy_is_what_work_takes_beyond_idle() -> None:
    # 960 J at work, 1.2 W idle for 300 s
    assert energy_j_token(energy(), [stretch(0, 1, 100)] * 6) == pytest.approx((960 - 360) / 600)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (energy(domains=(), missing="no RAPL counters"), "no RAPL counters"),
        (energy(work_ns=299 * 10**9), "299 s of work are too short"),
        (energy(idle_ns=0), "rested for 0 s"),
        (energy(idle_ns=9 * 10**9), "rested for 9 s"),
        (energy(domains=()), "no counter of energy"),
    ],
)
def test_without_fair_energy_there_is_none_but_a_reason(seen: EnergySeen, why: str) -> None:
    assert energy_j_token(seen, [stretch(0, 1)]) is None
    assert why in str(why_no_energy(seen))


def test_a_start_from_idle_gives_no_metric_of_steady_work() -> None:
    slept = msgspec.structs.replace(timing(500_000_000, (510_000_000, 520_000_000)), idle_ns=1)
    assert trial_values(record(slept)) == {
        "prefill_from_idle_tok_s": pytest.approx(128),
        "ttft_from_idle_s": pytest.approx(0.51),
    }


# ---------------------------------------------------------------- what cannot be right


def loaded_file(cold: bool, cached: int | None) -> LoadSeen:
    return LoadSeen(cold=cold, file_bytes=1000, cached_bytes=cached, storage_bytes=None, major_faults=0)


@pytest.mark.parametrize(
    ("cold", "cached", "said"),
    [
        (True, 0, None),
        (True, 10, None),
        (True, 11, "could not be dropped"),
        (True, None, "cannot be seen"),
        (False, 1000, None),
        (False, 980, "stayed in the page cache"),
        (False, None, "cannot be seen"),
    ],
)
def test_a_load_is_cold_or_warm_only_if_that_was_seen(cold: bool, cached: int | None, said: str | None) -> None:
    cell = msgspec.structs.replace(SPEED, workload=Load(cold=cold))
    status, reason = judge(cell, ARTIFACT, outcome(), parsed(loaded_file(cold, cached)), None)
    assert (status, said is None) in (("ok", True), ("invalid", False))
    assert said is None or said in str(reason)


def test_work_that_ended_too_soon_is_not_sustained() -> None:
    cell = msgspec.structs.replace(
        SPEED, workload=Sustained(prompt_tokens=4, generated_tokens=11, seconds=60, rounds=1)
    )
    good = [stretch(start, 1) for start in range(60)]
    assert judge(cell, ARTIFACT, outcome(), parsed(*good), None) == ("ok", None)
    assert "worked for" in str(judge(cell, ARTIFACT, outcome(), parsed(*good[:30]), None)[1])
    assert "worked for" in str(judge(cell, ARTIFACT, outcome(), parsed(), None)[1])
    other = [*good, stretch(60, 1, 12)]
    assert "token counts" in str(judge(cell, ARTIFACT, outcome(), parsed(*other), None)[1])


def thread(wait_ns: int | None, cpu: int = 0) -> ThreadSeen:
    return ThreadSeen(cpu_before=0, cpu_after=cpu, run_ns=100, wait_ns=wait_ns)


def test_a_thread_that_waits_for_a_cpu_is_noise() -> None:
    def windows(*threads: ThreadSeen) -> list[Timing]:
        return [msgspec.structs.replace(one, threads=threads) for one in (timing(50, (60, 100)),) * 2]

    assert waiting_share(windows()) is None
    assert waiting_share(windows(thread(None))) is None
    assert waiting_share(windows(thread(1), thread(8))) == pytest.approx(0.08)
    assert any("waited 8% of the timed windows" in said for said in noise(windows(thread(1), thread(8))))
    assert not noise(windows(thread(1), thread(3)))


# ---------------------------------------------------------------- page


def with_canaries(slow: float) -> Change:
    """A change that puts a canary beside each window; one variant's is slower in round 2."""

    def change(cell: Cell, one: TrialRecord) -> TrialRecord:
        factor = slow if cell.variant == "int8" and one.round == 2 else 1.0
        sung = CanarySeen(compute_ns=1000, read_ns=int(2000 * factor))
        seen = tuple(
            msgspec.structs.replace(o, canary_before=sung, canary_after=sung) if isinstance(o, Timing) else o
            for o in one.observations
        )
        return msgspec.structs.replace(one, observations=seen)

    return change


def test_a_machine_that_was_not_the_same_for_both_is_said_beside_the_ratio(tmp_path: Path) -> None:
    run = build_and_read(tmp_path, measures=(SHORT,), change=with_canaries(1.07))
    rows = [r for r in analyse([run]).rows if r.metric == "decode_tok_s" and r.baseline == "bf16"]
    said = {r.variant: [n for n in r.notes if "equally fast" in n] for r in rows}
    assert said["int4-ptq"] == []
    assert said["int8"] == [
        (
            "in 1 of 4 rounds the machine was not equally fast beside the two (canary), "
            "at worst 7% slower here than beside the baseline"
        )
    ]
    by_cell = {c.variant: [r for r in run.records if r.cell == c.key] for c in run.plan.cells}
    assert apart(by_cell["bf16"], by_cell["int8"])[2] == pytest.approx(1 / 1.07 - 1, abs=1e-3)
    assert uneven(by_cell["bf16"], by_cell["f16"]) is None


def of_threads(one_thread_share: dict[str, float]) -> Change:
    """A change that makes windows of cells with one thread slower, by variant."""

    def slower(value: int, share: float) -> int:
        return int(value / share)

    def change(cell: Cell, one: TrialRecord) -> TrialRecord:
        if not (isinstance(cell.workload, Speed) and cell.workload.threads == 1):
            return one
        share = one_thread_share[str(cell.variant)]
        seen = tuple(
            msgspec.structs.replace(
                o, logits_ns=slower(o.logits_ns, share), token_ns=tuple(slower(t, share) for t in o.token_ns)
            )
            if isinstance(o, Timing)
            else o
            for o in one.observations
        )
        return msgspec.structs.replace(one, observations=seen)

    return change


def test_each_variant_stands_with_the_common_count_and_with_its_best(tmp_path: Path) -> None:
    measures = tuple(msgspec.structs.replace(SHORT, threads=n) for n in (1, 4))
    shares = {"bf16": 2.0, "f16": 0.5, "int8": 0.5, "int4-ptq": 0.5}
    report = analyse([build_and_read(tmp_path, measures=measures, noise=0, change=of_threads(shares))])
    decode = {t.variant: t for t in report.threads if t.metric == "decode_tok_s"}
    assert {name: (t.common, t.best) for name, t in decode.items()} == {
        "bf16": (4, 1), "f16": (4, 4), "int8": (4, 4), "int4-ptq": (4, 4),
    }  # fmt: skip
    gain = next(g for g in decode["int8"].gains if g.baseline == "bf16")
    truth = TRUTHS["int8"].decode_tok_s / (2 * TRUTHS["bf16"].decode_tok_s)
    assert gain.threads == 1 and gain.ratio == pytest.approx(truth, rel=0.01)
    assert decode["bf16"].gains == ()
    (setting,) = settings(report)
    table = threads_table(setting)
    assert [g.title for g in table.groups] == ["Prefill, p64+g8", "Decode, p64+g8"]
    cells = [cell.text for cell in table.groups[1].rows[0]]
    assert cells[0] == "bf16" and cells[2].endswith("at 4") and cells[3].endswith("at 1")


def test_a_sweep_never_replaces_the_common_count_and_prefill_has_its_own(tmp_path: Path) -> None:
    swept = msgspec.structs.replace(SHORT, rounds=3, thread_counts=(), threads=4)
    other = msgspec.structs.replace(SHORT, rounds=3, threads=1)
    deeper = msgspec.structs.replace(other, context=4096)

    def slower(cell: Cell, one: TrialRecord) -> TrialRecord:
        if not (isinstance(cell.workload, Speed) and cell.workload.threads == 4):
            return one
        seen = tuple(
            msgspec.structs.replace(o, logits_ns=o.logits_ns * 3) if isinstance(o, Timing) else o
            for o in one.observations
        )
        return msgspec.structs.replace(one, observations=seen)

    run = build_and_read(tmp_path, measures=(SHORT, swept, other, deeper), noise=0, change=slower)
    runtime = msgspec.structs.replace(run.plan.suite.runtimes[0], threads=4, threads_batch=4)
    cells = tuple(
        msgspec.structs.replace(c, runtime=runtime) if c.runtime and not getattr(c.workload, "threads", None) else c
        for c in run.plan.cells
    )
    suite = msgspec.structs.replace(run.plan.suite, runtimes=(runtime,))
    plan = msgspec.structs.replace(run.plan, cells=cells, suite=suite)
    found = analyse([msgspec.structs.replace(run, plan=plan)]).threads
    prefill = [t for t in found if t.metric == "prefill_tok_s" and t.variant == "f16"]
    (one,) = prefill  # the deeper context has one count only
    assert one.common == 4 and one.common_value == pytest.approx(TRUTHS["f16"].prefill_tok_s, rel=0.01)


def test_one_count_is_no_table(tmp_path: Path) -> None:
    assert analyse([build_and_read(tmp_path, measures=(SHORT,))]).threads == ()


def test_depths_stand_side_by_side(tmp_path: Path) -> None:
    measures = tuple(msgspec.structs.replace(SHORT, depth=d, context=4096) for d in (0, 512, 2048))
    report = analyse([build_and_read(tmp_path, measures=measures)])
    (setting,) = settings(report)
    prefill, decode = depth_tables(setting, Notes())
    assert prefill.header == ("Prefill", "0 tokens deep", "512 tokens deep", "2,048 tokens deep")
    assert decode.header[1:] == ("64 tokens deep", "576 tokens deep", "2,112 tokens deep")
    assert [g.title for g in decode.groups] == ["", "against bf16", "against f16"]
    assert [row[0].text for row in decode.groups[1].rows] == ["int8", "int4-ptq"]


def test_a_sweep_never_makes_the_headline(tmp_path: Path) -> None:
    swept = Speed(prompt_tokens=64, generated_tokens=99, rounds=3, repetitions=1, threads=1)
    deep = Speed(prompt_tokens=65, generated_tokens=99, rounds=3, repetitions=1, depth=100)
    (setting,) = settings(analyse([build_and_read(tmp_path, measures=(swept, deep, SHORT))]))
    assert setting.decode_workload() == setting.prefill_workload() == SHORT.label


def test_a_round_that_was_not_needed_is_no_trouble(tmp_path: Path) -> None:
    def spared(cell: Cell, one: TrialRecord) -> TrialRecord:
        if one.round < 3:
            return one
        return replace_with_reason(one)

    report = analyse([build_and_read(tmp_path, measures=(SHORT,), change=spared)])
    assert report.troubles == ()
    notes = {n for r in report.rows for n in r.notes}
    assert "stopped after 3 rounds" in notes and not any("rounds count" in n for n in notes)
    assert report.runs[0].complete


def replace_with_reason(one: TrialRecord) -> TrialRecord:
    return msgspec.structs.replace(one, status="not_needed", reason="stopped after 3 rounds", observations=())


def test_where_threads_ran_is_a_condition(tmp_path: Path) -> None:
    def placed(_: Cell, one: TrialRecord) -> TrialRecord:
        threads = (thread(0, 3), ThreadSeen(cpu_before=1, cpu_after=1, run_ns=300, wait_ns=100))
        seen = tuple(
            msgspec.structs.replace(o, threads=threads) if isinstance(o, Timing) else o for o in one.observations
        )
        return msgspec.structs.replace(one, observations=seen)

    found = {
        c.name: c.values[0].value
        for c in analyse([build_and_read(tmp_path, measures=(SHORT,), change=placed)]).conditions
    }
    assert found["CPUs that threads ran on"] == "0, 1, 3"
    assert found["threads that changed their CPU"] == "50% of their windows"
    assert found["threads waiting for a CPU"] == "20.0% of their time"
