"""What a program did → status, reason and noise."""

import gzip
from pathlib import Path

import msgspec
import pytest

from harness.measure.execute import MOST_REPEATS, Equipment, execute, unfit
from harness.measure.jobs import Conditions, Inputs, Job, Outcome, Parsed
from harness.measure.judging import judge
from harness.measure.noise import canary_loss, noise, other_load_cores
from harness.values import (
    Artifact,
    ArtifactFile,
    CanarySeen,
    Cell,
    DeviceSpec,
    Memory,
    MemorySeen,
    Observation,
    ProcessSeen,
    Runtime,
    Speed,
    Surroundings,
    Sustained,
    Timing,
    Trial,
)
from tests.unit.test_metrics import timing
from tests.unit.test_plan import FACTS

RUNTIME = Runtime(name="llama.cpp", threads=2, threads_batch=2)
SPEED = Cell(
    key="0" * 16,
    variant="a",
    runtime=RUNTIME,
    device="local",
    workload=Speed(prompt_tokens=64, generated_tokens=2, repetitions=2),
)
MEMORY = msgspec.structs.replace(SPEED, workload=Memory())
ARTIFACT = Artifact(
    variant="a",
    format="gguf",
    sha256="0" * 64,
    files=(ArtifactFile(name="m", bytes=1100, sha256="0" * 64),),
    parameters=500,
    tensor_bytes=1000,
    decode_bytes=1000,
    path="/m",
)


def process(**changes: object) -> ProcessSeen:
    seen = ProcessSeen(exit_code=0, signal=None, wall_ns=10**9, user_ns=1, system_ns=1, major_faults=0)
    return msgspec.structs.replace(seen, **changes)


def outcome(**changes: object) -> Outcome:
    return msgspec.structs.replace(Outcome(process=process(), events=b"", stderr_tail=""), **changes)


def parsed(*seen: Observation, **changes: object) -> Parsed:
    return msgspec.structs.replace(Parsed(observations=seen, warmups=(), error=None, done=True), **changes)


GOOD = (timing(100, (110, 120)), timing(100, (110, 120)))


def test_a_good_run_is_ok() -> None:
    assert judge(SPEED, ARTIFACT, outcome(), parsed(*GOOD), None) == ("ok", None)


@pytest.mark.parametrize(
    ("ended", "seen", "broken", "status", "said"),
    [
        (outcome(timed_out=True), parsed(), None, "timed_out", "no end after 1 s"),
        (outcome(out_of_memory=True, process=process(signal="SIGKILL")), parsed(), None, "oom_killed", "memory killer"),
        (outcome(process=process(exit_code=None, signal="SIGILL")), parsed(), None, "failed", "SIGILL"),
        (outcome(), parsed(), "unknown event 'x'", "failed", "no event"),
        (
            outcome(process=process(exit_code=1)),
            parsed(error="no such file", done=False),
            None,
            "failed",
            "no such file",
        ),
        (outcome(process=process(exit_code=3), stderr_tail="a\nlast\n"), parsed(done=False), None, "failed", "code 3"),
        (outcome(), parsed(done=False), None, "failed", "before it was done"),
        (outcome(), parsed(GOOD[0]), None, "invalid", "1 repetitions instead of 2"),
        (outcome(), parsed(GOOD[0], timing(100, (110,))), None, "invalid", "token counts"),
        (outcome(), parsed(GOOD[0], timing(100, (110, 120), prompt=63)), None, "invalid", "token counts"),
    ],
)
def test_every_bad_end_has_its_status(ended: Outcome, seen: Parsed, broken: str | None, status: str, said: str) -> None:
    found, reason = judge(SPEED, ARTIFACT, ended, seen, broken)
    assert found == status and reason is not None and said in reason and "\n" not in reason


def memory_seen(peak: int | None) -> MemorySeen:
    fields = {f.name: None for f in msgspec.structs.fields(MemorySeen)}
    return MemorySeen(**{**fields, "vm_hwm_bytes": peak, "samples": 1, "prompt_tokens": 1, "generated_tokens": 1})  # type: ignore[arg-type]


def test_a_peak_below_the_weights_is_impossible_unless_they_are_mapped() -> None:
    assert judge(MEMORY, ARTIFACT, outcome(), parsed(memory_seen(999)), None)[0] == "invalid"
    assert judge(MEMORY, ARTIFACT, outcome(), parsed(memory_seen(1000)), None)[0] == "ok"
    mapped = msgspec.structs.replace(MEMORY, workload=Memory(load_mode="mmap"))
    assert judge(mapped, ARTIFACT, outcome(), parsed(memory_seen(999)), None)[0] == "ok"
    assert judge(MEMORY, ARTIFACT, outcome(), parsed(memory_seen(None)), None)[0] == "invalid"


def busy(machine_ms: int | None, own_ms: int | None, wall_ms: int, steal_ms: int = 0, faults: int = 0) -> Timing:
    """A window by its milliseconds of wall clock and of CPU time: the machine's, its own, the hypervisor's."""
    window = timing(100, (wall_ms * 10**6 - 10, wall_ms * 10**6))
    return msgspec.structs.replace(
        window,
        wall_ns=wall_ms * 10**6,
        machine_busy_ns=None if machine_ms is None else machine_ms * 10**6,
        cpu_ns=None if own_ms is None else own_ms * 10**6,
        machine_steal_ns=steal_ms * 10**6,
        major_faults=faults,
    )


def test_other_load_is_what_others_and_the_hypervisor_took() -> None:
    assert other_load_cores([busy(2_000, 1_500, 1_000)]) == pytest.approx(0.5)
    assert other_load_cores([busy(1_500, 1_500, 1_000, steal_ms=400)]) == pytest.approx(0.4)
    assert other_load_cores([busy(1_400, 1_500, 1_000)]) == 0
    assert other_load_cores([busy(None, 1_500, 1_000)]) is None
    assert other_load_cores([busy(100, 0, 50)]) is None, "50 ms are five ticks: nothing can be said"


def test_ticks_that_round_both_ways_cancel() -> None:
    """Windows of 9 ms on a quiet machine: /proc/stat shows one tick more or one less than was used."""
    windows = [busy(20, 18, 9), busy(10, 18, 9), busy(20, 18, 9), busy(20, 18, 9), busy(20, 18, 9)] * 6
    load = other_load_cores(windows)
    assert load is not None and load < 0.05


def test_noise_names_load_faults_and_variation() -> None:
    assert noise([busy(1_510, 1_500, 1_000)]) == []
    assert "other load 0.50 cores" in noise([busy(2_000, 1_500, 1_000)])[0]
    assert noise([busy(1_500, 1_500, 1_000, faults=3)]) == ["3 major page faults in timed windows"]
    varied = noise([timing(100, (110, 210)), timing(200, (210, 410))])
    assert any("prefill varies" in line for line in varied) and any("decode varies" in line for line in varied)
    assert noise([]) == []


def watched(before: tuple[int, int], after: tuple[int, int]) -> Timing:
    seen = [CanarySeen(compute_ns=compute * 10**6, read_ns=read * 10**6) for compute, read in (before, after)]
    return msgspec.structs.replace(timing(100, (110, 120)), canary_before=seen[0], canary_after=seen[1])


def test_the_canary_tells_the_largest_loss_of_either_kind() -> None:
    steady = [watched((100, 50), (101, 50)), watched((100, 51), (100, 50))]
    assert canary_loss(steady) == pytest.approx(0.02)
    assert noise(steady) == []
    slower = [*steady, watched((100, 50), (100, 56))]
    assert canary_loss(slower) == pytest.approx(0.12)
    assert noise(slower) == ["beside a timed window the machine was 12% slower than at its best (canary)"]
    assert canary_loss([timing(100, (110, 120))]) is None


def test_a_machine_that_slowed_down_for_good_is_seen_by_its_discarded_windows() -> None:
    gone, kept = watched((100, 50), (130, 60)), watched((130, 60), (130, 60))
    assert noise([kept]) == []
    assert noise([kept], [gone]) == ["beside a timed window the machine was 30% slower than at its best (canary)"]


# ---------------------------------------------------------------- memory

TRIAL = Trial(id="t1", cell=SPEED.key, round=0)


class Tight:
    """A device with next to no memory left, and the ids of what it has begun."""

    spec = DeviceSpec(name="p")

    def __init__(self, *ids: str) -> None:
        self.ids, self.jobs = ids, list[str]()

    def conditions(self) -> Conditions:
        return Conditions(load_average=0.0, available_bytes=1 << 20, power=None)

    def begun(self, begins: str) -> bool:
        return any(one.startswith(begins) for one in self.ids)

    def run(self, job: Job, work: Path, on_progress: object = None) -> Outcome:
        del work, on_progress
        self.jobs.append(job.id)
        return outcome()


def kit(device: Tight) -> Equipment:
    return Equipment(
        device=device,  # type: ignore[arg-type]
        facts=FACTS,
        artifact=ARTIFACT,
        inputs=Inputs(program="/p", model="/m", prompt=(1, 2)),
        runner_sha256=None,
        run="run",
    )


def test_what_does_not_fit_is_a_result_and_nothing_is_started(tmp_path: Path) -> None:
    device = Tight("run-t10-0", "another-t1-0")
    lacks = unfit(TRIAL, SPEED, kit(device))
    assert lacks is not None and lacks.status == "does_not_fit" and "1 MiB available" in str(lacks.reason)
    record = execute(TRIAL, SPEED, kit(device), tmp_path / "work", None)
    assert (record.status, record.reason) == ("does_not_fit", lacks.reason) and device.jobs == []


def test_a_trial_that_its_device_has_begun_already_is_not_judged_by_the_memory_that_it_takes(tmp_path: Path) -> None:
    device = Tight("run-t1-2")
    assert unfit(TRIAL, SPEED, kit(device)) is None
    record = execute(TRIAL, SPEED, kit(device), tmp_path / "work", None)
    assert record.status == "failed" and device.jobs == ["run-t1-0"], "it was asked for, and what it came to is judged"


class Hot(Tight):
    """A phone that slows down during its first jobs, and leaves what its sensors saw."""

    def __init__(self, hot: int) -> None:
        super().__init__()
        self.hot = hot

    def conditions(self) -> Conditions:
        return Conditions(load_average=0.0, available_bytes=1 << 40, power=None)

    def run(self, job: Job, work: Path, on_progress: object = None) -> Outcome:
        super().run(job, work, on_progress)
        (work / "samples.jsonl").write_text(f"samples of {job.id}\n")
        (work / "gate.jsonl").write_text(f"gate of {job.id}\n")
        events = b"".join(msgspec.json.encode(one) + b"\n" for one in (*GOOD, {"event": "done"}))
        worthless = "the clock fell" if len(self.jobs) <= self.hot else None
        return outcome(events=events, worthless=worthless, surroundings=Surroundings(gate="settled", gate_s=1.0))


def kept(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


@pytest.mark.parametrize("hot", [0, 2, 9])
def test_windows_in_which_the_phone_slowed_down_are_measured_again_and_their_traces_kept(
    tmp_path: Path, hot: int
) -> None:
    device = Hot(hot)
    equipment = msgspec.structs.replace(kit(device), traces=tmp_path / "traces")
    (tmp_path / "traces").mkdir()
    record = execute(TRIAL, SPEED, equipment, tmp_path / "work", None)
    repeats = min(hot, MOST_REPEATS)
    assert device.jobs == [f"run-t1-{n}" for n in range(repeats + 1)]
    assert len(record.discards) == 2 * repeats and all(isinstance(o, Timing) and o.discarded for o in record.discards)
    (around,) = (o for o in record.observations if isinstance(o, Surroundings))
    assert around.trace == f"traces/run-t1-{repeats}.jsonl.gz"
    assert around.gate_trace == f"traces/run-t1-{repeats}.gate.jsonl.gz"
    assert around.discarded_traces == tuple(
        f"traces/run-t1-{n}{of}.jsonl.gz" for n in range(repeats) for of in ("", ".gate")
    )
    for number, trace in enumerate((*around.discarded_traces[::2], around.trace)):
        assert kept(tmp_path / trace) == f"samples of run-t1-{number}\n"
    for number, trace in enumerate(around.discarded_traces[1::2]):
        assert kept(tmp_path / trace) == f"gate of run-t1-{number}\n"
    assert kept(tmp_path / around.gate_trace) == f"gate of run-t1-{repeats}\n"
    sustained = msgspec.structs.replace(SPEED, workload=Sustained())
    device.jobs.clear()
    execute(TRIAL, sustained, equipment, tmp_path / "work", None)
    assert device.jobs == ["run-t1-0"], "to slow down is what such work is measured for"
