"""Which build a phone is measured with: in turns, over a 16-bit and a quantized file together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.build.runners import Runner
from harness.errors import BuildError, DeviceLostError
from harness.measure.choosing import ROUNDS, Sample, choose_runner
from harness.measure.jobs import Inputs, Job, Outcome
from harness.progress import Progress, Silent
from harness.values import DeviceSpec, ProcessSeen
from tests.unit.test_execute import SPEED
from tests.unit.test_plan import FACTS

PLAIN, NEW = "aarch64", "aarch64-i8mm"
RUNNERS = {name: Runner(path=f"/{name}", sha256=name.encode().hex().ljust(64, "0")) for name in (PLAIN, NEW)}
SAMPLES = [Sample(cell=SPEED, inputs=Inputs(program="", model=f"/{kind}", prompt=(1, 2))) for kind in ("f16", "int4")]
Milliseconds = Callable[[str, str], float | None]
"""(program, model) → how long a token takes; None: it dies."""


class Device:
    """Answers as a runner would."""

    spec = DeviceSpec(name="p")

    def __init__(self, takes: Milliseconds) -> None:
        self.takes, self.jobs, self.forgotten = takes, list[tuple[str, str]](), list[str]()
        self.lost: str | None = None

    def run(self, job: Job, work: Path, on_progress: object = None) -> Outcome:
        del work, on_progress
        assert not job.timed, "nothing waits for a cool phone here: turns even out the heat"
        program, model = job.argv[0].strip("/"), str(job.spec["model"]).strip("/")
        self.jobs.append((program, model))
        ms = self.takes(program, model)
        ended = ProcessSeen(
            exit_code=0 if ms else None,
            signal=None if ms else "SIGILL",
            wall_ns=1,
            user_ns=None,
            system_ns=None,
            major_faults=None,
        )
        events = [*(timing(n, ms) for n in range(2)), {"event": "done", "wall_ns": 1}] if ms else []
        body = b"".join(msgspec.json.encode(one) + b"\n" for one in events)
        return Outcome(process=ended, events=body, stderr_tail="illegal instruction", lost=None if ms else self.lost)

    def forget(self, begins: str) -> None:
        self.forgotten.append(begins)


def timing(index: int, ms: float) -> dict[str, Any]:
    token_ns = [round((4 + n) * ms * 1e6) for n in range(16)]
    nothing = ("cpu_ns", "machine_busy_ns", "machine_steal_ns", "major_faults", "minor_faults")
    return {
        "event": "timing",
        "index": index,
        "warmup": False,
        "prefix_tokens": 0,
        "prompt_tokens": 64,
        "generated_tokens": 16,
        "logits_ns": token_ns[0],
        "token_ns": token_ns,
        "wall_ns": token_ns[-1],
        **dict.fromkeys((*nothing, "voluntary_switches", "involuntary_switches")),
    }


class Shown(Silent):
    """Keeps how far each bar said it was."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @contextmanager
    def bar(self, what: str, total: int | None = None, unit: str = "") -> Iterator["Shown"]:
        yield self

    def update(self, done: int, total: int | None = None) -> None:
        self.seen.append(done)


def choose(
    takes: Milliseconds, tmp_path: Path, runners: dict[str, Runner] = RUNNERS, progress: Progress | None = None
) -> tuple[str, Device]:
    device = Device(takes)
    shown = progress or Silent()
    found = choose_runner(device, FACTS, runners, SAMPLES, tmp_path, shown, "run")  # type: ignore[arg-type]
    return found.target, device


def test_the_quicker_build_wins_and_every_file_is_measured_in_turns(tmp_path: Path) -> None:
    target, device = choose(lambda program, _: 10.0 if program == NEW else 12.0, tmp_path)
    assert target == NEW
    assert len(device.jobs) == ROUNDS * 2 * 2
    first, second = (
        [program for program, model in device.jobs[turn * 4 : turn * 4 + 4] if model == "f16"] for turn in (0, 1)
    )
    assert first == list(reversed(second)), "who begins changes from round to round"
    assert len(set(device.forgotten)) == len(device.jobs), "no round may be given an earlier one's result"


def test_a_build_that_slows_the_baseline_more_than_it_helps_is_not_taken(tmp_path: Path) -> None:
    times = {(PLAIN, "f16"): 20.0, (PLAIN, "int4"): 10.0, (NEW, "f16"): 30.0, (NEW, "int4"): 8.0}
    target, _ = choose(lambda program, model: times[program, model], tmp_path)
    assert target == PLAIN


def test_a_build_that_dies_there_is_left_out(tmp_path: Path) -> None:
    target, device = choose(lambda program, _: None if program == NEW else 12.0, tmp_path)
    assert target == PLAIN and sum(program == NEW for program, _ in device.jobs) == 1
    with pytest.raises(BuildError, match="no build of the runner works on p"):
        choose(lambda *_: None, tmp_path)


def test_each_program_is_a_step_of_the_bar_and_those_of_a_build_that_died_are_done(tmp_path: Path) -> None:
    both, one = Shown(), Shown()
    choose(lambda *_: 10.0, tmp_path, progress=both)
    assert both.seen == list(range(1, 2 * ROUNDS + 1))
    choose(lambda program, _: None if program == NEW else 12.0, tmp_path, progress=one)
    assert one.seen == [1, 2, *range(4, 2 * ROUNDS + 1, 2)]


def test_one_build_needs_no_measurement(tmp_path: Path) -> None:
    target, device = choose(lambda *_: 1.0, tmp_path, {PLAIN: RUNNERS[PLAIN]})
    assert target == PLAIN and device.jobs == []


def test_a_phone_that_is_lost_says_nothing_against_a_build(tmp_path: Path) -> None:
    device = Device(lambda program, _: None if program == NEW else 12.0)
    device.lost = "the phone was started anew more than once"
    with pytest.raises(DeviceLostError, match="p: the phone was started anew"):
        choose_runner(device, FACTS, RUNNERS, SAMPLES, tmp_path, Silent(), "run")  # type: ignore[arg-type]
    assert len(device.forgotten) == len(device.jobs) - 1, "what is asked for again is kept"
