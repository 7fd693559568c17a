"""What a phone left of a job, as the host tells it: outcome, parity, heat in the report, a link that waits."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from harness.analyse.compare import analyse
from harness.errors import BuildError, DeviceLostError, UnauthorizedDeviceError
from harness.measure import parity
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone.gate import GateEnd
from harness.measure.devices.phone.job import Ended, JobState
from harness.measure.devices.phone.link import Link
from harness.measure.devices.phone.outcome import Remains, outcome_of
from harness.measure.jobs import Job, Outcome
from harness.render.report import write_report
from harness.values import (
    CoreCluster,
    DeviceSpec,
    Observation,
    ParitySeen,
    PhoneFacts,
    PhoneSpec,
    PhoneState,
    Preflight,
    PreflightFinding,
    ProcessSeen,
    Speed,
    Surroundings,
    TrialRecord,
)
from tests.builders import build_and_read
from tests.unit.test_phone_parsers import HEAD, every_second, line

PHONE = PhoneFacts(
    clusters=(
        CoreCluster(cpus=(0, 1, 2, 3), role="little", core="A520", max_khz=2_000_000),
        CoreCluster(cpus=(4, 5), role="big", core="A720", max_khz=3_000_000),
    )
)


def left(*lines: dict[str, Any], phase: Any = "ended", rc: Ended | None, **more: Any) -> Remains:
    state = JobState(
        phase=phase,
        pid=None,
        rc=rc,
        gate=more.pop("gate", GateEnd(result="settled", waited_s=61)),
        affinity=more.pop("affinity", "4-5"),
        settings_changed=False,
        bytes={},
        uptime_ms=99_000,
        boot_id="b",
    )
    body = b"".join(msgspec.json.encode(one) + b"\n" for one in (HEAD, *lines))
    nothing = {"events": b"", "stderr": b"", "gate": b"", "samples": body, "cores": (4, 5)}
    return Remains(state=state, **{**nothing, **more})


def ended(code: int | None = 0, signal: int | None = None, cause: Any = "ended") -> Ended:
    return Ended(code=code, signal=signal, cause=cause, start_ms=10_000, end_ms=20_000, boot_id="b")


def test_a_program_that_ended_well() -> None:
    seen = outcome_of(left(*every_second(5, 25), rc=ended()), PHONE)
    assert (seen.process.exit_code, seen.process.signal, seen.process.wall_ns) == (0, None, 10_000_000_000)
    around = seen.surroundings
    assert around is not None
    assert (around.gate, around.gate_s, around.cpu_highest_c, around.samples) == ("settled", 61.0, 50.0, 11)
    assert around.allowed == around.affinity == (4, 5)
    big = around.clusters[1]
    assert (big.cpus, big.median_khz, big.most_khz, big.cap_khz) == ((4, 5), 3_000_000, 3_000_000, 3_000_000)
    assert seen.worthless is seen.lost is None and seen.doubts == ()


@pytest.mark.parametrize(
    ("rc", "more", "told"),
    [
        (ended(137, 9), {"killed_for_memory": True}, {"out_of_memory": True, "timed_out": False}),
        (ended(137, 9), {}, {"out_of_memory": False}),
        (ended(143, 15, "timed_out"), {}, {"timed_out": True}),
        (ended(126), {"stderr": b"sh: denied\n"}, {"stderr_tail": "the phone does not let the program be executed"}),
        (ended(127), {}, {"stderr_tail": "the phone does not find the program"}),
        (ended(None, None, "lost"), {}, {"lost": "nobody saw how the program ended"}),
        (None, {"phase": "gone"}, {"lost": "the phone was started anew"}),
    ],
)
def test_other_ends_are_told_apart(rc: Ended | None, more: dict[str, Any], told: dict[str, Any]) -> None:
    seen = outcome_of(left(*every_second(5, 25), rc=rc, **more), PHONE)
    for field, wanted in told.items():
        value = getattr(seen, field)
        assert wanted in value if isinstance(wanted, str) else value == wanted


def test_a_phone_that_held_its_cores_back_spoils_the_windows() -> None:
    slowed = [*every_second(5, 12), line(13_000, most_khz=(2_000_000, 1_500_000)), *every_second(14, 25)]
    assert "fell" in str(outcome_of(left(*slowed, rc=ended()), PHONE).worthless)
    little = [*every_second(5, 12), line(13_000, most_khz=(900_000, 3_000_000)), *every_second(14, 25)]
    assert outcome_of(left(*little, rc=ended()), PHONE).worthless is None, "no core that it ran on"


@pytest.mark.parametrize(
    ("more", "doubt"),
    [
        ({"gate": GateEnd(result="not_settled", waited_s=300)}, "thermal_not_settled"),
        ({"gate": GateEnd(result="unknown", waited_s=180)}, "thermal_unknown"),
        ({"affinity": "0-7"}, "could use the cores 0-7"),
        ({"affinity": None}, "was not seen"),
        ({"affinity": "x"}, "was not seen"),
    ],
)
def test_doubts_are_said(more: dict[str, Any], doubt: str) -> None:
    assert any(doubt in one for one in outcome_of(left(*every_second(5, 25), rc=ended(), **more), PHONE).doubts)


def test_a_sampler_that_was_killed_is_a_doubt() -> None:
    long = msgspec.structs.replace(ended(), end_ms=60_000)
    assert any("saw nothing for 48 s" in one for one in outcome_of(left(*every_second(5, 12), rc=long), PHONE).doubts)
    assert outcome_of(left(*every_second(5, 62), rc=long), PHONE).doubts == ()


def test_a_job_that_nobody_sampled_has_no_surroundings() -> None:
    seen = outcome_of(left(rc=ended(), samples=b"", gate=None), PHONE)
    assert seen.surroundings is None and seen.doubts == ()


SETTINGS = b"""before system screen_brightness 102
after system screen_brightness 10
before global low_power null
refused global low_power
seen global airplane_mode_on 1
fixed refused
restored yes
"""


def test_settings_are_kept_and_a_refused_change_is_a_doubt() -> None:
    seen = outcome_of(left(*every_second(5, 25), rc=ended(), settings=SETTINGS), PHONE)
    assert seen.surroundings is not None
    during = {f"{one.space}/{one.key}": (one.before, one.during) for one in seen.surroundings.settings}
    assert during == {
        "system/screen_brightness": ("102", "10"),
        "global/low_power": ("null", "null"),
        "global/airplane_mode_on": ("1", "1"),
    }
    assert seen.surroundings.fixed_performance == "refused"
    assert seen.doubts == (
        "the phone has no mode of fixed performance",
        "setting global/low_power: the phone refused the change",
    )
    unsaved = outcome_of(left(*every_second(5, 25), rc=ended(), settings=b"failed save\n"), PHONE)
    assert unsaved.doubts == ("the phone's settings could not be saved: none was changed",)


# ---- parity


def answers(kl: float = 1e-6, top1: bool = True, count: int = parity.PROMPTS) -> list[dict[str, Any]]:
    return [{"id": n, "kl": [kl], "top1": [top1], "logprob": [-1.0]} for n in range(count)]


def test_a_phone_that_is_lost_says_nothing_against_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(argv=("p",), spec={"answers": str(tmp_path / "answers.jsonl")}, timeout_s=1.0, id="parity-x")
    monkeypatch.setattr(parity, "parity_job", lambda *_: job)
    ended = ProcessSeen(exit_code=None, signal=None, wall_ns=0, user_ns=None, system_ns=None, major_faults=None)
    device = SimpleNamespace(
        spec=DeviceSpec(name="p"),
        run=lambda *_: Outcome(process=ended, events=b"", stderr_tail="", lost="the phone was started anew"),
        forget=pytest.fail,
    )
    with pytest.raises(DeviceLostError, match="p: the phone was started anew"):
        parity.check_parity(None, device, None, None, None, None, None)  # type: ignore[arg-type]


def test_parity_is_judged_by_kl_and_the_most_likely_token() -> None:
    good = parity.judged(answers(), "r")
    assert good.wrong is None and good.same_top1 == good.prompts == 20
    assert "KL 0.5" in str(parity.judged(answers(kl=0.5), "r").wrong)
    assert "the same token in 0 of 20" in str(parity.judged(answers(top1=False), "r").wrong)
    one_off = [*answers(count=19), {"id": 19, "kl": [0.3], "top1": [True], "logprob": [-1.0]}]
    assert parity.judged(one_off, "r").wrong is not None


@pytest.mark.parametrize("given", [answers(count=19), [*answers(count=19), {"id": 19, "kl": [None], "top1": [None]}]])
def test_parity_needs_every_answer(given: list[dict[str, Any]]) -> None:
    with pytest.raises(BuildError, match="parity"):
        parity.judged(given, "r")


def test_parity_prompts_are_equal_pieces_of_one_text() -> None:
    lines = parity.prompt_lines(range(parity.PROMPTS * parity.PROMPT_TOKENS))
    assert len(lines) == parity.PROMPTS
    assert [token for one in lines for token in one["tokens"]] == list(range(960))
    assert all(one["positions"] == [46] and one["rows"] == [one["id"]] for one in lines)


# ---- heat in the report


def test_the_report_shows_heat_and_clock_under_each_cell(tmp_path: Path) -> None:
    around = outcome_of(left(*every_second(5, 25), rc=ended()), PHONE).surroundings
    assert isinstance(around, Surroundings)
    seen = parity.judged(answers(), "r")

    def warm(cell: Any, record: TrialRecord) -> TrialRecord:
        if not isinstance(cell.workload, Speed):
            return record
        more: tuple[Surroundings | ParitySeen, ...] = (around, seen)
        return msgspec.structs.replace(record, observations=(*record.observations, *more))

    run = build_and_read(tmp_path, change=warm)
    report = analyse([run])
    heats = [h for h in report.heats if h.variant == "int4-ptq"]
    assert heats and all(h.settled == h.trials and h.clock_share == 1.0 and h.cpu_highest_c == 50.0 for h in heats)
    write_report(report, tmp_path / "out")
    page = (tmp_path / "out" / "report.md").read_text()
    assert "Temperature and clocks" in page and "50.0 °C" in page and "KL ≤ 1e-06 nats" in page


@pytest.mark.parametrize(
    ("most_khz", "held_back"), [((900_000, 3_000_000), False), ((2_000_000, 1_500_000), True)], ids=["little", "used"]
)
def test_held_back_are_trials_whose_own_cores_were(tmp_path: Path, most_khz: tuple[int, int], held_back: bool) -> None:
    slowed = [*every_second(5, 12), line(13_000, most_khz=most_khz), *every_second(14, 25)]
    around = outcome_of(left(*slowed, rc=ended()), PHONE).surroundings
    assert isinstance(around, Surroundings)

    def slow(cell: Any, record: TrialRecord) -> TrialRecord:
        more = (around,) if isinstance(cell.workload, Speed) else ()
        return msgspec.structs.replace(record, observations=(*record.observations, *more))

    heats = analyse([build_and_read(tmp_path, change=slow)]).heats
    assert heats and all(heat.capped == (heat.trials if held_back else 0) for heat in heats)


def test_settings_cooling_and_state_are_conditions(tmp_path: Path) -> None:
    around = outcome_of(left(*every_second(5, 25), rc=ended(), settings=SETTINGS), PHONE).surroundings
    assert around is not None
    before = Preflight(
        state=PhoneState(battery_percent=81, busy_cores=0.14),
        findings=(
            PreflightFinding(name="screen_on", state="warn", seen="the screen is on"),
            PreflightFinding(name="skin_c", state="unknown", seen="no zone"),
        ),
    )

    def on_a_phone(cell: Any, record: TrialRecord) -> TrialRecord:
        more: tuple[Observation, ...] = (around,) if isinstance(cell.workload, Speed) else ()
        if cell.measure == "size" and cell.variant == "bf16":
            more = (before,)
        return msgspec.structs.replace(record, observations=(*record.observations, *more))

    run = build_and_read(tmp_path, change=on_a_phone)
    (device,) = run.plan.suite.devices
    cooled = msgspec.structs.replace(device, kind="phone", phone=PhoneSpec(regime="cooled"))
    facts = msgspec.structs.replace(run.plan.facts["local"], phone=PhoneFacts(soc="SM8650", android="14"))
    suite = msgspec.structs.replace(run.plan.suite, devices=(cooled,))
    plan = msgspec.structs.replace(run.plan, suite=suite, facts={"local": facts})
    found = {c.name: [v.value for v in c.values] for c in analyse([msgspec.structs.replace(run, plan=plan)]).conditions}
    assert found["cooling"] == ["cooled from outside"]
    assert (found["chip"], found["Android"], found["platform"]) == (["SM8650"], ["14"], ["the phone does not say"])
    assert found["setting system/screen_brightness"] == ["10"]
    assert found["mode of fixed performance"] == ["refused"]
    assert found["cores that the program could use"] == ["4, 5"]
    assert found["before the run"] == [
        "battery 81 %; cores busy with other work 0.1; the screen is on; not seen: skin_c"
    ]


# ---- a link that waits


class Phone:
    """Answers after so many losses."""

    name = "p"

    def __init__(self, losses: int) -> None:
        self.losses, self.connected, self.closed = losses, 0, 0

    def connect(self) -> Connection:
        self.connected += 1
        return self  # type: ignore[return-value]

    def close(self) -> None:
        self.closed += 1

    def ask(self, _: object) -> str:
        if self.losses:
            self.losses -= 1
            raise DeviceLostError("cable")
        return "here"


def test_a_link_asks_again_until_the_phone_is_back() -> None:
    phone = Phone(losses=3)
    assert Link(phone.connect, patience_s=60, pause_s=0).ask(phone.ask) == "here"
    assert (phone.connected, phone.closed) == (4, 3)


def test_a_link_without_patience_says_that_the_phone_is_lost() -> None:
    phone = Phone(losses=3)
    with pytest.raises(DeviceLostError, match="cable"):
        Link(phone.connect, patience_s=0, pause_s=0).ask(phone.ask)
    with pytest.raises(DeviceLostError, match="cable"):
        Link(phone.connect, patience_s=60, pause_s=0).once(phone.ask)


def test_other_errors_are_not_waited_out() -> None:
    def refuse(_: object) -> None:
        raise UnauthorizedDeviceError("dialog")

    phone = Phone(losses=0)
    with pytest.raises(UnauthorizedDeviceError):
        Link(phone.connect, patience_s=60, pause_s=0).ask(refuse)
    assert phone.connected == 1


def test_another_thread_ends_the_waiting() -> None:
    phone, link_made = Phone(losses=10**9), threading.Event()
    link = Link(phone.connect, patience_s=600, pause_s=600)
    seen: list[BaseException] = []

    def wait() -> None:
        link_made.set()
        try:
            link.ask(phone.ask)
        except KeyboardInterrupt as stopped:
            seen.append(stopped)

    thread = threading.Thread(target=wait)
    thread.start()
    assert link_made.wait(10)
    link.stopped.set()
    thread.join(10)
    assert not thread.is_alive() and len(seen) == 1
