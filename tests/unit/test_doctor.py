"""`bench doctor`: what is installed, the A/A test on a synthetic device, and how it is told."""

import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.build.runners.llama_cpp_build import Runner
from harness.config import PROJECT, load_suite
from harness.device_files import load_devices
from harness.doctor import examine, installed
from harness.doctor.installed import find_data, find_packages, find_toolchain, lacking, requirement
from harness.doctor.self_test import MOST_ROUNDS, Kit, _kind, of_itself, self_test
from harness.doctor.spread import difference, half_width, rounds_for
from harness.errors import DeviceError, SetupError
from harness.health import Check, Health, SelfTest
from harness.measure.jobs import Conditions, Job, OnProgress, Outcome
from harness.pipeline import known_names
from harness.progress import Silent
from harness.render.doctor import examination
from harness.values import Artifact, ArtifactFile, DeviceFacts, DeviceSpec, ProcessSeen, Suite, Variant, digest

FACTS = DeviceFacts(
    device="local", model="board", os="os", arch="arm64", cpu="cpu", logical_cpus=2, usable_cores=2,
    memory_bytes=8 << 30, llc_bytes=1 << 20,
)  # fmt: skip
ARTIFACT = Artifact(
    variant="int4-ptq",
    format="gguf",
    sha256="0" * 64,
    files=(ArtifactFile(name="model.gguf", bytes=1000, sha256="0" * 64),),
    parameters=1000,
    tensor_bytes=900,
    decode_bytes=900,
    path="model.gguf",
)


class SyntheticDevice:
    """Answers jobs as bench-llama does, with log-normal noise around true rates."""

    spec = DeviceSpec(name="local")

    def __init__(self, noise: float = 0.01, seconds: float = 0.5, broken_after: int | None = None) -> None:
        self.noise, self.seconds, self.broken_after = noise, seconds, broken_after
        self.draw, self.now = random.Random(7), 100.0
        self.jobs: list[Job] = []
        self.forgotten: list[str] = []

    def facts(self) -> DeviceFacts:
        return FACTS

    def conditions(self) -> Conditions:
        return Conditions(load_average=0.1, available_bytes=4 << 30, power=None)

    def clock(self) -> float:
        return self.now

    def run(self, job: Job, work: Path, on_progress: OnProgress | None = None) -> Outcome:
        self.jobs.append(job)
        took = min(self.seconds, job.timeout_s)
        self.now += took
        timed_out = self.seconds > job.timeout_s
        broken = self.broken_after is not None and len(self.jobs) > self.broken_after
        lines = [] if timed_out else [*self._events(job.spec), {"event": "done"}]
        if broken:
            lines = [{"event": "error", "message": "out of luck"}]
        ended = ProcessSeen(
            exit_code=0, signal=None, wall_ns=int(took * 1e9), user_ns=1, system_ns=1, major_faults=0
        )  # fmt: skip
        events = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        return Outcome(process=ended, events=events, stderr_tail="", timed_out=timed_out)

    def forget(self, begins: str) -> None:
        self.forgotten.append(begins)

    def _events(self, spec: dict[str, object]) -> Iterator[dict[str, object]]:
        empty = dict.fromkeys(("cpu_ns", "machine_busy_ns", "machine_steal_ns", "major_faults"))
        process = math.exp(self.noise * self.draw.gauss(0, 1))  # repetitions of one process are alike
        for index in range(int(str(spec["repetitions"]))):
            if spec["kind"] == "bandwidth":
                yield {"event": "bandwidth", "index": index, "warmup": False, "bytes": 10**9, "ns": 10**8,
                       "threads": 2, "buffer_bytes": 10**9, **empty}  # fmt: skip
                continue
            prompt, generated = spec["prompt"], int(str(spec["generated"]))
            assert isinstance(prompt, list)
            logits = round(len(prompt) * 1e6 * process)
            tokens = [logits + 1000 + round(i * 5e6 * process) for i in range(generated)]
            yield {"event": "timing", "index": index, "warmup": False, "prefix_tokens": 0,
                   "prompt_tokens": len(prompt), "generated_tokens": generated, "logits_ns": logits,
                   "token_ns": tokens, "wall_ns": tokens[-1] + 1, "minor_faults": None,
                   "voluntary_switches": None, "involuntary_switches": None, **empty}  # fmt: skip


def quick() -> tuple[Suite, Variant]:
    suite = load_suite("quick", known_names(), load_devices())
    return suite, next(v for v in suite.variants if v.name == "int4-ptq")


def kit(device: SyntheticDevice) -> Kit:
    return Kit(
        device=device, facts=FACTS, artifact=ARTIFACT, program="bench-llama", runner_sha256=digest("runner"),
        prompt=lambda count: tuple(range(count)),
    )  # fmt: skip


def measured(device: SyntheticDevice, seconds: float = 60.0) -> SelfTest:
    return self_test(*quick(), kit(device), Silent(), seconds=seconds, clock=device.clock)


def test_the_self_test_finds_the_noise_that_is_there() -> None:
    device = SyntheticDevice(noise=0.02)
    found = measured(device)
    assert found.state == "done" and found.reason is None and found.artifact_sha256 == ARTIFACT.sha256
    assert [one.label for one in found.differences] == ["prefill@64", "decode@64", "prefill@512"]
    assert found.read_bandwidth_bytes_s == 1e10
    for one in found.differences:
        assert one.rounds == MOST_ROUNDS and one.smallest_percent is not None
        # 2 % noise on either side: ln-ratios spread by 2.8 %, 5 rounds tell ± 3.5 %
        assert 1.5 < one.smallest_percent < 7
        assert one.rounds_for_2_percent is not None and 5 <= one.rounds_for_2_percent < 40
        assert one.value == pytest.approx(1000 if one.metric == "prefill_tok_s" else 200, rel=0.05)


def test_a_second_test_measures_anew() -> None:
    """A phone gives back what it has of a job of the same name."""
    device = SyntheticDevice()
    trials = measured(device).trials + measured(device).trials
    ids = [job.id for job in device.jobs]
    assert len(set(ids)) == len(ids) == trials
    assert all(one.startswith(begins) for one, begins in zip(ids, device.forgotten, strict=True)), (
        "nothing is left there"
    )


def test_the_sides_stand_beside_each_other_as_in_a_run() -> None:
    device = SyntheticDevice()
    suite, variant = quick()
    plan = of_itself(suite, variant, kit(device))
    cells = {cell.key: cell for cell in plan.cells}
    sides = [cells[t.cell] for t in plan.trials if cells[t.cell].variant]
    for left, right in zip(sides[::2], sides[1::2], strict=True):
        assert left.workload == right.workload and {left.variant, right.variant} == {"A", "B"}


def test_no_more_rounds_begin_than_fit_in_a_minute() -> None:
    device = SyntheticDevice(seconds=2.5)  # 10 s a round, and 2.5 s for the bandwidth
    found = measured(device)
    assert [one.rounds for one in found.differences] == [5, 5, 5]
    assert device.now - 100 <= 60 and found.seconds == pytest.approx(52.5)


def test_a_machine_too_slow_for_three_rounds_has_no_interval() -> None:
    found = measured(SyntheticDevice(seconds=12.0))
    assert found.state == "done" and found.reason and "do not hold 3 rounds" in found.reason
    assert [one.rounds for one in found.differences] == [2, 2]
    for one in found.differences:
        assert one.ratio_low is None and one.smallest_percent is None and one.reason


def test_a_slow_machine_measures_only_what_is_cheapest() -> None:
    found = measured(SyntheticDevice(seconds=5.0))  # 10 s a pair, and 5 s for the bandwidth
    assert [(one.label, one.rounds) for one in found.differences] == [("prefill@64", 5), ("decode@64", 5)]
    assert found.reason == "p512+g1 left out: this machine is slow or busy"


def test_noise_is_counted_by_kind() -> None:
    assert _kind("other load 1.52 cores during the timed windows") == "other load … cores during the timed windows"


def test_a_program_that_outlives_the_minute_is_ended_with_it() -> None:
    device = SyntheticDevice(seconds=500.0)
    found = measured(device)
    assert device.now - 100 == pytest.approx(60) and found.trials == 1
    assert found.differences == () and found.reason


def test_a_failing_runner_is_the_reason() -> None:
    found = measured(SyntheticDevice(broken_after=3))
    assert (found.state, found.reason) == ("impossible", "out of luck")


@given(st.lists(st.floats(0.9, 1.1), min_size=3, max_size=20, unique=True))
def test_the_wanted_rounds_are_the_fewest(rates: list[float]) -> None:
    one = difference("decode_tok_s", "decode@64", [1.0] * len(rates), rates)
    assert one.ratio is not None and one.ratio_low is not None and one.ratio_high is not None
    assert one.ratio_low <= one.ratio <= one.ratio_high
    deviation = half_width(1.0, 5) and math.log1p((one.smallest_percent or 0) / 100) / half_width(1.0, 5)
    needed = rounds_for(deviation, math.log(1.02))
    if needed is not None and deviation > 1e-6:
        assert half_width(deviation, needed) <= math.log(1.02)
        assert needed == 3 or half_width(deviation, needed - 1) > math.log(1.02)


def test_too_much_noise_needs_more_rounds_than_anyone_has() -> None:
    assert rounds_for(5.0, math.log(1.02)) is None
    assert rounds_for(0.0, math.log(1.02)) == 3


REQUIREMENTS = [
    ("click>=8.2", ("click", ">=8.2", None)),
    ('torch==2.13.0; extra == "torch"', ("torch", "==2.13.0", "torch")),
    ("numpy", ("numpy", "", None)),
    ('tomli; python_version < "3.11"', None),
    ("", None),
]


@pytest.mark.parametrize(("line", "parts"), REQUIREMENTS)
def test_requirements_are_read(line: str, parts: tuple[str, str, str | None] | None) -> None:
    found = requirement(line)
    assert (found and (found.name, found.wish, found.extra)) == parts


@given(st.text())
def test_no_requirement_breaks_the_parser(line: str) -> None:
    requirement(line)


def test_an_exact_pin_is_compared() -> None:
    wanted = [requirement(line) for line in ("gguf==0.0.1", "click>=8", "no-such-package-here")]
    assert [name.split()[0] for name in lacking([w for w in wanted if w])] == ["gguf==0.0.1", "no-such-package-here"]


def test_packages_of_bench_and_its_extras_are_told_apart() -> None:
    names = [part.name for part in find_packages()]
    assert names in (["Python packages", "extra torch", "extra executorch", "extra phones"], ["Python packages"])


def test_no_compiler_makes_measuring_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(target: str) -> str:
        del target
        raise SetupError("no C++ compiler found")

    monkeypatch.setattr(installed, "runner_hash", none)
    tools = find_toolchain()
    assert tools.runner is None and tools.impossible == ("no runner: no C++ compiler found",)


def test_a_runner_that_can_be_built_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(installed, "runner_hash", lambda _: "ab" * 32)
    tools = find_toolchain()
    assert tools.runner is None and tools.impossible == ()
    assert next(p for p in tools.parts if p.name == "runner").get == installed.MAKE
    folder = tmp_path / "runners" / ("ab" * 8)
    folder.mkdir(parents=True)
    (folder / "bench-llama").touch()
    assert find_toolchain().runner == Runner(path=str(folder / "bench-llama"), sha256="ab" * 32)


def test_data_says_which_tasks_work(tmp_path: Path) -> None:
    none, wrong = find_data(None), find_data(str(tmp_path / "nowhere"))
    assert not none.present and not wrong.present and "does not exist" in wrong.seen
    (tmp_path / "arc_easy").mkdir()
    (tmp_path / "arc_easy" / "test.jsonl.gz").touch()
    some = find_data(str(tmp_path))
    assert some.present and "tasks that work: knowledge_200, arc_easy;" in some.seen


def told(health: Health) -> str:
    console = Console(width=120, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(examination(health))
    return console.export_text()


def health(test: SelfTest, **changes: object) -> Health:
    bad = Check(name="load", state="bad", seen="others kept 1.50 cores busy\x1b[2J", effect="spread", advice="wait")
    dark = Check(name="heat", state="unknown", seen=None, reason="no thermal zone is shown")
    found = Health(device="local", parts=(find_data(None),), checks=(bad, dark), self_test=test)
    return msgspec.structs.replace(found, **changes)


def test_everything_is_told() -> None:
    text = told(health(measured(SyntheticDevice())))
    for words in (
        "others kept 1.50 cores",
        "→ wait",
        "no thermal zone",
        "prefill@512",
        "rounds it takes",
        "10.0 GB/s",
    ):
        assert words in text
    assert "\x1b" not in text and "not well now: load." in text


def test_reasons_are_told() -> None:
    text = told(
        health(SelfTest(state="impossible", reason="the runner is not built", get="bench run"), impossible=("no",))
    )
    assert "impossible: the runner is not built" in text and "→ bench run" in text
    assert "nothing can be measured here: no" in text
    assert "do not hold 3 rounds" in told(health(measured(SyntheticDevice(seconds=12.0))))


@pytest.mark.parametrize("error", [DeviceError("its settings cannot be read"), KeyboardInterrupt()])
def test_a_phone_is_released_whatever_happens(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(device: object) -> None:
        raise error

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(examine, "_of_phone", fails)
    released: list[int] = []
    device = SimpleNamespace(spec=SimpleNamespace(name="p", kind="phone"), release=lambda: released.append(1))
    with pytest.raises(type(error)):
        examine.examine(device, quick()[0], Silent(), quick=True)  # type: ignore[arg-type]
    assert released == [1]


def doctor(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "harness.cli", "doctor", *words]
    return subprocess.run(argv, cwd=PROJECT, env={"PATH": "", **env}, capture_output=True, text=True)


def test_the_command_ends_with_2_where_nothing_can_be_measured(tmp_path: Path) -> None:
    done = doctor("--quick", "--json", BENCH_CACHE=str(tmp_path))
    found = json.loads(done.stdout)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert any("compiler" in why for why in found["impossible"])
    assert msgspec.convert(found, Health).self_test.state == "skipped"


def test_an_unknown_device_is_refused() -> None:
    done = doctor("--device", "locl")
    assert done.returncode == 2 and "did you mean 'local'?" in done.stderr
