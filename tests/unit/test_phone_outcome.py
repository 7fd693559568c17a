"""What is left of a job on a phone, and what the host makes of it: clocks that jump, ends that nobody saw."""

import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from harness.errors import DeviceBusyError, DeviceError, DeviceLostError
from harness.measure.devices.phone import answers, wrapper
from harness.measure.devices.phone.job import Ended, JobState
from harness.measure.devices.phone.link import GROWTH, LONGEST_S, SHORTEST_S, Link, pace
from harness.measure.devices.phone.outcome import Remains, died, outcome_of
from harness.values import PhoneFacts

BOOT = "11111111-1111-4111-8111-111111111111"
ENDED = Ended(code=0, signal=None, cause="ended", start_ms=5_000, end_ms=9_000, boot_id=BOOT)
STATE = JobState(
    phase="ended",
    pid=None,
    rc=ENDED,
    gate=None,
    affinity=None,
    settings_changed=False,
    bytes={},
    uptime_ms=9_500,
    boot_id=BOOT,
)


def outcome(state: JobState, **more: bytes) -> "object":
    nothing = {"events": b"", "stderr": b"", "samples": b"", "gate": b""}
    return outcome_of(Remains(state=state, **{**nothing, **more}), PhoneFacts())


def with_rc(**changes: object) -> JobState:
    return msgspec.structs.replace(STATE, rc=msgspec.structs.replace(ENDED, **changes))


@pytest.mark.parametrize(("start_ms", "end_ms", "seconds"), [(5_000, 9_000, 4), (9_000, 5_000, 0), (None, 5_000, 0)])
def test_a_clock_that_jumps_gives_no_negative_time(start_ms: int | None, end_ms: int, seconds: int) -> None:
    seen = outcome(with_rc(start_ms=start_ms, end_ms=end_ms))
    assert seen.process.wall_ns == seconds * 10**9  # type: ignore[attr-defined]


def test_the_phones_wall_clock_is_never_read() -> None:
    """It jumps when the phone finds a network, and its owner can set it."""
    text = re.sub(r"#.*", "", wrapper.script().decode())
    assert not re.search(r"(?<![\w/.-])date(?![\w.-])|EPOCH|\bstat -c %[XYZ]|-newer\b", text)
    assert "/proc/uptime" in text


@pytest.mark.parametrize(
    ("state", "lost"),
    [
        (STATE, False),
        (with_rc(code=137, signal=9), False),
        (with_rc(code=None, cause="lost"), True),
        (msgspec.structs.replace(STATE, phase="gone", rc=None), True),
        (msgspec.structs.replace(STATE, phase="running", rc=None), False),
        (msgspec.structs.replace(STATE, phase="running", rc=msgspec.structs.replace(ENDED, cause="lost")), False),
        (msgspec.structs.replace(STATE, phase="absent", rc=None), False),
    ],
)
def test_an_end_that_nobody_saw_is_no_end(state: JobState, lost: bool) -> None:
    assert died(state) is lost
    if state.phase in ("ended", "gone"):
        assert (outcome(state).lost is not None) is lost  # type: ignore[attr-defined]


@pytest.mark.parametrize(("code", "says"), [(126, "does not let"), (127, "does not find")])
def test_what_the_shell_itself_refused_is_said(code: int, says: str) -> None:
    assert says in outcome(with_rc(code=code)).stderr_tail  # type: ignore[attr-defined]


def test_looks_begin_short_and_grow() -> None:
    pauses = [pause_s for pause_s, _ in zip(pace(), range(40), strict=False)]
    assert pauses[0] == SHORTEST_S and pauses[-1] == LONGEST_S
    assert all(after == min(LONGEST_S, before * GROWTH) for before, after in pairwise(pauses))


class Fails:
    """A phone that is asked in vain, a number of times."""

    name = "it"

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.asked = list(errors), 0

    def __call__(self, connection: object) -> int:
        del connection
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7

    def close(self) -> None: ...


def link(patience_s: float = 60.0) -> Link:
    return Link(lambda: Fails(), patience_s, 0.0)  # type: ignore[arg-type, return-value]


def test_a_lost_phone_is_asked_again_and_a_refusal_is_not() -> None:
    assert link().ask(Fails(DeviceLostError("cable"), DeviceLostError("cable"))) == 7
    with pytest.raises(DeviceError, match="no"):
        link().ask(Fails(DeviceError("no")))
    assert link().insist(Fails(DeviceError("not yet"), DeviceLostError("cable"), DeviceError("not yet"))) == 7
    with pytest.raises(DeviceBusyError):
        link().insist(Fails(DeviceBusyError("taken")))


def test_patience_ends() -> None:
    with pytest.raises(DeviceLostError):
        link(0.0).ask(Fails(DeviceLostError("cable")))
    with pytest.raises(DeviceError, match="not yet"):
        link(0.0).insist(Fails(DeviceError("not yet")))
    with pytest.raises(DeviceLostError):
        link().once(Fails(DeviceLostError("cable")))


def test_a_stopped_link_asks_nothing_but_the_last_words() -> None:
    stopped, what = link(), Fails()
    stopped.stopped.set()
    with pytest.raises(KeyboardInterrupt):
        stopped.ask(what)
    assert what.asked == 0 and stopped.once(what) == 7


@pytest.mark.parametrize(
    ("content", "lines"),
    [(b"", 0), (b'{"id":0}\n', 1), (b'{"id":0}\n{"id"', 1), (b'{"id":0}\nxx\n{"id":2}\n', 1), (b"\0\0\n{}\n", 0)],
)
def test_lines_after_garbage_do_not_count(tmp_path: Path, content: bytes, lines: int) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(content)
    cut = answers._cut_after_whole_lines(path)
    assert answers.count_lines(path) == lines and content.startswith(path.read_bytes())
    assert cut == (path.read_bytes() != content)
