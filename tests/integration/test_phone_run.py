"""The whole path on a phone: plan, push, gate, run, fetch, grade, report; lost and gone on with.

The phone is the stand-in; the programs are the real ones for aarch64, under qemu.
"""

import json
import time
from collections import Counter
from collections.abc import Callable

import pytest

from harness.build.runners.targets import PHONE
from harness.measure.devices.adb.open import Via
from harness.store import Run, read_lines, read_run
from harness.values import Answers, ParitySeen, Stretch, Surroundings, TrialRecord
from tests.integration.conftest import TINY, Bench, kill_hard
from tests.standin.device import StandIn
from tests.standin.fixtures import MakePhone

pytestmark = [pytest.mark.runner, pytest.mark.cross]

ROOT = "/data/local/tmp/bench"
MEASURES = """
measures:
  - {kind: size}
  - {kind: memory, prompt_tokens: 32, generated_tokens: 4, context: 256, rounds: 1}
  - {kind: speed, prompt_tokens: 32, generated_tokens: 4, context: 256, rounds: 1, repetitions: 1}
  - {kind: task, task: knowledge_200, limit: 8, context: 512}
"""
DEVICES = """
local: {{kind: local, title: this machine}}
standin:
  kind: phone
  title: a stand-in for a phone
  models: [CPH2581]
  soc_models: [SM8650]
  memory_bytes: {memory}
  clusters: [{{core: Cortex-A720, role: big, cores: 2}}]
  affinity: [1]
  runner: aarch64
  battery_percent: 50
  reach: {{tcp: "{address}"}}
  via: {via}
  cool_down: {{least_s: 0, most_s: 2, stable_s: 1, cpu_c: 60, skin_c: 45, skin_zones: [shell_front]}}
"""


def set_up(bench: Bench, phone: StandIn, via: Via, measures: str = MEASURES) -> None:
    """A suite of two variants and the phone's name, in the folder of the command."""
    head = TINY[: TINY.index("measures:")]
    (bench.folder / "phone-tiny.yaml").write_text(head + measures.strip() + "\n")
    text = DEVICES.format(address=phone.address, via=via, memory=phone.phone.memory_bytes)
    (bench.folder / "devices.yaml").write_text(text)


def go(bench: Bench, *more: str) -> "tuple[int, str]":
    done = bench("run", "--suite", "phone-tiny.yaml", "--device", "standin", "--variants", "int4-ptq", *more)
    return done.returncode, done.stderr


def of(record: TrialRecord, kind: type) -> list[object]:
    return [o for o in record.observations if isinstance(o, kind)]


def wait_for(condition: Callable[[], object], what: str, limit_s: float = 300) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {limit_s} s"
        time.sleep(0.05)


def jobs_of(phone: StandIn) -> list[str]:
    folder = phone.root / ROOT.lstrip("/") / "jobs"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_run_on_a_phone_from_plan_to_report(bench: Bench, make_phone: MakePhone, adb_server: int) -> None:
    """Through the adb server; straight to the phone below."""
    del adb_server
    phone = make_phone(aarch64=True)
    set_up(bench, phone, "server")
    code, said = go(bench)
    assert code == 0, said
    run = read_run(bench.only_run())
    assert Counter(r.status for r in run.records) == {"ok": len(run.plan.trials)}
    check_surroundings(run)
    check_answers(run)
    assert jobs_of(phone) == [], "what is on record is removed from the phone"
    assert bench("report", "latest").returncode == 0
    page = (bench.folder / "reports" / run.id / "report.md").read_text()
    assert "Temperature and clocks" in page


SHORT = """
measures:
  - {kind: speed, prompt_tokens: 32, generated_tokens: 4, context: 256, rounds: 1, repetitions: 1,
     variants: [int4-ptq]}
"""


def test_the_build_is_chosen_on_the_phone_and_asked_200_questions(bench: Bench, make_phone: MakePhone) -> None:
    """The emulated processor can run all three; which one is the quickest there is the emulator's matter."""
    phone = make_phone(aarch64=True)
    set_up(bench, phone, "direct", SHORT)
    known = bench.folder / "devices.yaml"
    known.write_text(known.read_text().replace("runner: aarch64", "runner: auto"))
    code, said = go(bench)
    assert code == 0, said
    run = read_run(bench.only_run())
    (found,) = (json.loads(path.read_text()) for path in (run.path / "devices").glob("standin*.json"))
    assert found["choice"]["target"] in PHONE
    assert {duel["target"] for duel in found["choice"]["duels"]} == set(PHONE[1:])
    assert all(duel["rounds"] == 4 and duel["ratio"] > 0 for duel in found["choice"]["duels"])
    assert {r.environment.runner_sha256 for r in run.records} == {found["runner_sha256"]}
    (check,) = found["kernels"].values()
    assert check["passed"] and check["questions"] == 200 and check["runner_sha256"] == found["runner_sha256"]


LONG = """
measures:
  - {kind: sustained, prompt_tokens: 16, generated_tokens: 4, context: 256, seconds: 12, idle_s: 0.1, rounds: 1,
     variants: [int4-ptq]}
"""


def test_sustained_work_says_when_the_phone_was_held_back(bench: Bench, make_phone: MakePhone) -> None:
    """The system holds back the core that is used while the program runs: a value, and no reason to discard."""
    phone = make_phone(aarch64=True)
    set_up(bench, phone, "direct", LONG)
    known = bench.folder / "devices.yaml"
    known.write_text(known.read_text() + "  fixed_performance: true\n")
    words = ("run", "--suite", "phone-tiny.yaml", "--device", "standin", "--variants", "int4-ptq")
    process = bench.start(*words)
    jobs = phone.root / ROOT.lstrip("/") / "jobs"
    wait_for(lambda: list(jobs.glob("*-r0-0-*/events.jsonl")) or process.poll() is not None, "the program's start")
    (phone.root / "sys/devices/system/cpu/cpu1/cpufreq/scaling_max_freq").write_text("1200000\n")
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    run = read_run(bench.only_run())
    (record,) = run.records
    (around,) = of(record, Surroundings)
    assert isinstance(around, Surroundings) and record.status == "ok"
    assert around.throttled_after_s is not None and 0 <= around.throttled_after_s < 60
    assert around.discarded_traces == () and around.fixed_performance == "on"
    assert next(c for c in around.clusters if c.cpus == (1,)).cap_khz == 1_200_000
    assert of(record, Stretch)
    rows = json.loads(bench("rows", run.id, "--trials", "--format", "json").stdout)
    (row,) = (row for row in rows if row["metric"] == "throttled_after_s")
    assert row["value"] == around.throttled_after_s


def check_surroundings(run: Run) -> None:
    cells = {cell.key: cell for cell in run.plan.cells}
    timed = [r for r in run.records if cells[r.cell].measure == "speed"]
    assert timed
    for record in timed:
        (around,), (parity,) = of(record, Surroundings), of(record, ParitySeen)
        assert isinstance(around, Surroundings) and isinstance(parity, ParitySeen)
        assert around.allowed == (1,), around
        assert around.gate in ("settled", "not_settled")
        assert around.trace is not None and (run.path / around.trace).is_file()
        assert around.gate_trace is not None
        steps = list(read_lines(run.path / around.gate_trace))
        assert steps and all(step["judged"] for step in steps)
        assert parity.wrong is None and parity.same_top1 >= 17


def check_answers(run: Run) -> None:
    answered = [(r, o) for r in run.records for o in of(r, Answers)]
    assert answered
    for _, answers in answered:
        assert isinstance(answers, Answers)
        given = [line["id"] for line in read_lines(run.path / answers.answers)]
        assert len(given) == len(set(given)) == answers.count


def test_a_run_whose_host_was_killed_goes_on(bench: Bench, make_phone: MakePhone) -> None:
    phone = make_phone(aarch64=True)
    set_up(bench, phone, "direct")
    process = bench.start("run", "--suite", "phone-tiny.yaml", "--device", "standin", "--variants", "int4-ptq")
    wait_for(lambda: any("-r0-0" in name for name in jobs_of(phone)) or process.poll() is not None, "a trial's job")
    kill_hard(process)
    run = read_run(bench.only_run())
    done = bench("run", "--resume", run.id)
    assert done.returncode == 0, done.stderr
    run = read_run(bench.only_run())
    lines = [json.loads(line)["trial"] for line in (run.path / "records.jsonl").read_text().splitlines()]
    assert sorted(lines) == sorted(t.id for t in run.plan.trials)
    assert {r.status for r in run.records} == {"ok"}
    check_surroundings(run)
    check_answers(run)
    assert jobs_of(phone) == []
    assert bench("report", "latest").returncode == 0


def test_a_plan_needs_no_phone(bench: Bench) -> None:
    (bench.folder / "devices.yaml").write_text(DEVICES.format(address="127.0.0.1:1", via="direct", memory=16 << 30))
    (bench.folder / "phone-tiny.yaml").write_text(TINY[: TINY.index("measures:")] + MEASURES.strip() + "\n")
    done = bench("plan", "--suite", "phone-tiny.yaml", "--device", "standin")
    assert done.returncode == 0, done.stderr
    refused = bench("run", "--suite", "phone-tiny.yaml", "--device", "standin")
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert "127.0.0.1:1" in refused.stderr
