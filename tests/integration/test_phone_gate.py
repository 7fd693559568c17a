"""The cool-down gate and the sampler on a phone whose sensors and clock are the test's."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from harness.measure.devices.phone import gate, job, samples
from harness.measure.devices.phone.gate import GateSeen, GateWish, Heat
from harness.measure.devices.phone.job import SamplerWish
from harness.measure.devices.phone.parsers.thermal import parse_thermalservice
from tests import phone_texts as texts
from tests.shell_phone import SHELLS, Session, ShellPhone, is_dead, wait_for

START_S = 2_500_000
"""More milliseconds than 31 bits hold."""
WISH = GateWish(poll_s=0.05, skin_start_c=30.0)


@pytest.fixture(params=["mksh", "dash"])
def session(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Session]:
    phone = ShellPhone(tmp_path, request.param)
    phone.uptime(START_S)
    phone.zone(0, "cpu-0-0", 38_000)
    phone.zone(1, "cpu-1-0", 41_000)
    phone.zone(2, "battery", 99_000)
    phone.zone(10, "shell_skin", 31_000)
    phone.thermal(0, cpu="40.5", skin="30.25")
    yield Session(phone)
    phone.close()


def steps(session: Session) -> tuple[gate.GateStep, ...]:
    file = session.folder() / "gate.jsonl"
    return gate.parse_trace(file.read_bytes()) if file.exists() else ()


def looks(session: Session) -> None:
    """The gate has looked twice more: the second time at all that is so now."""
    seen, over = len(steps(session)), session.folder() / "gate.json"
    wait_for(lambda: over.exists() or len(steps(session)) >= seen + 2)


def at(session: Session, seconds: float) -> None:
    """The clock is so long after the start, and the gate has seen it."""
    session.phone.uptime(START_S + seconds)
    looks(session)


def ended(session: Session) -> GateSeen:
    seen = session.phase("one", "ended")
    assert seen.rc is not None and seen.rc.code == 0, "the program runs whatever the gate says"
    found = gate.seen(seen.gate, (session.folder() / "gate.jsonl").read_bytes())
    assert found is not None
    return found


def begin(session: Session, wish: GateWish = WISH) -> None:
    session.start("env", gate=wish)
    at(session, 0)


def test_a_cool_phone_waits_for_the_shortest_time(session: Session) -> None:
    begin(session)
    at(session, 59.9)
    assert session.poll().phase == "gate"
    at(session, 60)
    seen = ended(session)
    assert (seen.result, seen.waited_s) == ("settled", 60)
    assert gate.doubt(seen) is None
    assert {(one.status, one.skin_milli, one.cpu_milli, one.judged) for one in seen.steps} == {
        (0, 31_000, 41_000, "cool")
    }
    assert seen.steps[0].t_ms == START_S * 1000


@pytest.mark.parametrize("session", SHELLS, indirect=True)
def test_a_hot_phone_cools_down(session: Session) -> None:
    session.phone.zone(1, "cpu-1-0", 45_001)
    begin(session)
    at(session, 100)
    session.phone.zone(1, "cpu-1-0", 45_000)
    looks(session)
    at(session, 120)
    session.phone.thermal(0, skin="32.001")
    at(session, 130)
    session.phone.thermal(0, skin="32.0")
    looks(session)
    assert session.poll().phase == "gate"
    at(session, 159)
    assert session.poll().phase == "gate", "cool for 29 s"
    at(session, 160)
    seen = ended(session)
    assert (seen.result, seen.waited_s) == ("settled", 160)


@pytest.mark.parametrize(
    ("cpu", "skin", "status", "words"),
    [
        (46_000, "30", 0, "hottest CPU zone 46.0 °C"),
        (40_000, "32.1", 0, "skin 32.1 °C"),
        (40_000, "30", 1, "thermal status 1"),
    ],
)
def test_a_phone_that_stays_hot_is_said_so(session: Session, cpu: int, skin: str, status: int, words: str) -> None:
    session.phone.zone(1, "cpu-1-0", cpu)
    session.phone.thermal(status, skin=skin)
    begin(session)
    at(session, 299)
    assert session.poll().phase == "gate"
    at(session, 301)
    seen = ended(session)
    assert (seen.result, seen.waited_s) == ("not_settled", 301)
    doubt = gate.doubt(seen)
    assert doubt is not None and doubt.startswith("thermal_not_settled after 301 s") and words in doubt


def test_a_skin_above_its_limit_is_hot_whatever_it_was_at_the_start(session: Session) -> None:
    session.phone.thermal(0, skin="35.1")
    begin(session, msgspec.structs.replace(WISH, skin_start_c=34.0))
    at(session, 300)
    assert ended(session).result == "not_settled"


@pytest.mark.parametrize("unseen", ["status", "cpu", "skin", "start", "nonsense"])
def test_a_sensor_that_cannot_be_read_is_never_cool(session: Session, unseen: str) -> None:
    phone = session.phone
    if unseen == "status":
        phone.thermal(None)
    elif unseen == "cpu":
        phone.zone(0, "cpu-0-0", None)
        phone.zone(1, "cpu-1-0", None)
        phone.thermal(0, skin="30")
    elif unseen == "skin":
        phone.zone(10, "shell_skin", None)
        phone.thermal(0, cpu="40")
    elif unseen == "nonsense":
        phone.zone(0, "cpu-0-0", 0)
        phone.zone(1, "cpu-1-0", -40_000)
        phone.thermal(0, cpu="NaN", skin="30")
    begin(session, msgspec.structs.replace(WISH, skin_start_c=None) if unseen == "start" else WISH)
    at(session, 100)
    assert session.poll().phase == "gate"
    at(session, 180)
    seen = ended(session)
    assert (seen.result, seen.waited_s) == ("unknown", 180)
    assert {one.judged for one in seen.steps} == {"blind"}
    assert "unknown" in str(gate.doubt(seen))


def test_what_can_be_read_of_a_blind_phone_must_be_cool(session: Session) -> None:
    session.phone.thermal(None)
    session.phone.zone(0, "cpu-0-0", 90_000)
    begin(session)
    at(session, 200)
    assert session.poll().phase == "gate"
    session.phone.zone(0, "cpu-0-0", 40_000)
    looks(session)
    at(session, 229)
    assert session.poll().phase == "gate", "not hot for 29 s"
    at(session, 230)
    assert ended(session).result == "unknown"


def test_a_job_can_be_stopped_while_it_cools(session: Session) -> None:
    begin(session)
    seen = job.stop(session.phone, session.wrapper, str(session.folder()))
    assert seen.phase == "ended" and seen.rc is not None and (seen.rc.cause, seen.rc.code) == ("stopped", None)
    assert seen.gate is not None and seen.gate.result == "stopped"
    assert not (session.folder() / "stdout.txt").exists()


def test_one_reading(session: Session) -> None:
    job.prepare(session.phone, session.wish("env"))
    heat = gate.read_heat(session.phone, session.wrapper, str(session.folder()))
    assert heat == Heat(t_ms=START_S * 1000, status=0, skin_milli=31_000, cpu_milli=41_000)


@pytest.mark.parametrize(
    ("said", "milli"),
    [("45.3", 45_300), ("45.05", 45_050), ("7", 7_000), ("45.123456", 45_123), ("45300", 45_300), ("0.0", None)]
    + [(odd, None) for odd in ("-5.0", "NaN", "1.4E-45", "", "900", "200000", "4 5", "$(id)", "9999999999")],
)
def test_what_the_thermal_service_may_say(session: Session, said: str, milli: int | None) -> None:
    session.phone.thermal(0, skin=said)
    session.phone.zone(10, "shell_skin", None)
    job.prepare(session.phone, session.wish("env"))
    assert gate.read_heat(session.phone, session.wrapper, str(session.folder())).skin_milli == milli


HAL = "Current temperatures from HAL:\n"
CPU, SKIN = (
    "\tTemperature{mValue=41.5, mType=0, mName=CPU0, mStatus=0}\n",
    "\tTemperature{mValue=33.0, mType=3, mName=s, mStatus=0}\n",
)


@pytest.mark.parametrize("session", SHELLS, indirect=True)
@pytest.mark.parametrize(
    "text",
    [
        texts.THERMAL,
        texts.THERMAL.replace("IsStatusOverride: false", "IsStatusOverride: true"),
        f"IsStatusOverride: true\nThermal Status: 0\n{HAL}{CPU}{SKIN}",
        f"IsStatusOverride: false\nThermal Status: 2\n{HAL}{CPU}{SKIN}",
        f"Thermal Status: 0\n{HAL}\tTemperature{{mValue=36.5, mType=4, mName=TYPE_SKIN, mStatus=0}}\n",
        f"Thermal Status: 0\n{HAL}\tTemperature{{mValue=61.5, mType=3, mName=TYPE_CPU, mStatus=0}}\n",
        f"Thermal Status: 0\n{HAL}{CPU}\tTemperature{{mValue=77.0, mType=0, mName=TYPE_BATTERY, mStatus=0}}\n",
        f"Thermal Status: 0\n{HAL}{CPU}\tTemperature{{mValue=77.0, mType=0, mName=TYPE_CPU_2, mStatus=0}}\n",
    ],
    ids=["none", "override", "override 0", "2", "a skin by name", "a processor by name", "a battery by name", "longer"],
)
def test_the_gate_reads_the_thermal_service_as_the_host_does(session: Session, text: str) -> None:
    (session.phone.fake / "dumpsys.thermalservice").write_text(text)
    for number in (0, 1, 10):
        session.phone.zone(number, "unknown", None)
    job.prepare(session.phone, session.wish("env"))
    heat, host = gate.read_heat(session.phone, session.wrapper, str(session.folder())), parse_thermalservice(text)
    assert heat.status == host.status
    for place, milli in (("cpu", heat.cpu_milli), ("skin", heat.skin_milli)):
        celsius = host.hottest(place)  # type: ignore[arg-type]
        assert (milli is None) == (celsius is None), place
        assert milli is None or celsius is None or milli == round(celsius * 1000)


def sampled(session: Session) -> samples.Samples:
    file = session.folder() / "samples.jsonl"
    return samples.parse_samples(file.read_bytes() if file.exists() else b"")


@pytest.mark.parametrize("session", SHELLS, indirect=True)
def test_the_sampler_writes_down_what_it_can_read(session: Session) -> None:
    phone = session.phone
    phone.clock("policy0", 1_000_000, 2_000_000, 2_000_000)
    phone.clock("policy4", 3_000_000, 3_300_000, 3_300_000)
    phone.zone(0, "cpu-0-0", None)
    (phone.fake / "dumpsys.battery").write_text(
        "  AC powered: false\n  USB powered: true\n  level: 87\n  temperature: 274\n"
    )
    session.start("sleep", "1000", sampler=SamplerWish(period_s=0.05, status_s=10))
    wait_for(lambda: len(sampled(session).lines) >= 3)
    phone.uptime(START_S + 10)
    phone.clock("policy4", 3_000_000, 2_000_000, 3_300_000)
    wait_for(lambda: any(one.most_khz[-1] == 2_000_000 for one in sampled(session).lines))
    job.stop(phone, session.wrapper, str(session.folder()))
    seen = sampled(session)
    assert seen.head is not None and seen.broken == 0
    assert seen.head.zones == ("cpu-0-0", "cpu-1-0", "shell_skin") and seen.head.clocks == ("policy0", "policy4")
    assert seen.head.top_khz == (2_000_000, 3_300_000) and seen.head.period_s == 0.05
    first = seen.lines[0]
    assert first.t_ms == START_S * 1000 and first.zone == (None, 41_000, 31_000) and first.khz == (1_000_000, 3_000_000)
    assert (first.status, first.skin_milli, first.level, first.battery_deci, first.powered) == (
        0,
        30_250,
        87,
        274,
        True,
    )
    assert sum(one.status is not msgspec.UNSET for one in seen.lines) == 2
    summed = samples.summarise(seen, START_S * 1000, START_S * 1000 + 10_000)
    assert (summed.hottest_c, summed.worst_status) == (41.0, 0)
    assert summed.discard is not None and "policy4" in summed.discard


def test_a_phone_without_policies_has_a_clock_a_core(session: Session) -> None:
    for core in range(2):
        folder = session.phone.sys / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(f"{core + 1}000000\n")
    session.start("sleep", "1000", sampler=SamplerWish(period_s=0.05, status_s=0))
    wait_for(lambda: sampled(session).lines)
    head, line = sampled(session).head, sampled(session).lines[0]
    assert head is not None and head.clocks == ("cpu0", "cpu1") and head.top_khz == (None, None)
    assert line.khz == (1_000_000, 2_000_000) and line.most_khz == (None, None) and line.status is msgspec.UNSET


def test_the_sampler_ends_with_the_last_of_its_job(session: Session) -> None:
    session.start("sleep", "1000", sampler=SamplerWish(period_s=0.05, status_s=0))
    sampler = session.pid("sampler")
    for role in ("supervisor", "guard", "runner"):
        os.kill(session.pid(role), signal.SIGKILL)
    wait_for(lambda: is_dead(sampler))
