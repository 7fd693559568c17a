"""A phone as a device, beside the table of faults: what is taken for a job's own, what an interrupt leaves, what a
phone that lost power has lost."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from harness.errors import DeviceBusyError, DeviceError, InputError, NoSpaceError, WrongDeviceError
from harness.measure.devices.adb.open import Via, open_connection
from harness.measure.devices.phone import device as device_module
from harness.measure.devices.phone import lock, wrapper
from harness.measure.devices.phone.device import PhoneDevice
from harness.measure.devices.phone.reach import connect
from harness.measure.devices.phone.session import NotRestoredError
from harness.measure.execute import Equipment, unfit
from harness.measure.jobs import FileNeeded, Outcome
from harness.progress import Bar, Silent
from harness.values import DeviceReach, PhoneSpec, Preflight, Trial
from tests.phone_faults import (
    CELL,
    GO,
    MODEL_BYTES,
    OWN_SETTINGS,
    OWNER,
    QUESTIONS,
    ROOT,
    SPEC,
    STARTS,
    WAITS,
    Host,
    answer,
    make_job,
)
from tests.shell_phone import Session, ShellPhone, is_dead, wait_for
from tests.standin.device import StandIn
from tests.standin.fixtures import MakePhone
from tests.standin.phone import ANDROID_6, ONEPLUS_12
from tests.unit.test_execute import ARTIFACT
from tests.unit.test_plan import FACTS

ALL = b"".join(answer(n) for n in range(QUESTIONS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "host"
    path.mkdir()
    make_job(path, interpreter="/system/bin/sh")
    return path


@pytest.fixture
def host(folder: Path, phone: StandIn) -> Iterator[Host]:
    one = Host(folder, phone.address, None, lambda: None)
    yield one
    one.device.release()


def let_go(phone: StandIn, *waits: int) -> None:
    for number in waits or WAITS:
        phone.write(f"{GO}.{number}", "")


def answers(folder: Path) -> bytes:
    return (folder / "answers.jsonl").read_bytes()


def starts(phone: StandIn) -> int:
    return (phone.read(STARTS) or b"").count(b"started")


def holder(phone: StandIn) -> wrapper.Holder | None:
    with closing(open_connection(None, phone.address, "direct")) as connection:
        return lock.peek(connection)


def jobs_on(phone: StandIn) -> list[str]:
    return sorted(path.name for path in (phone.root / ROOT.lstrip("/") / "jobs").iterdir())


def assert_own_settings(phone: StandIn) -> None:
    assert {key: phone.read(f"/standin/settings/{key}") for key in OWN_SETTINGS} == OWN_SETTINGS


def at_first_wait(host: Host, then: "list[object]") -> threading.Thread:
    """Run the job in a thread, as a lane does, until its program waits for the first time."""
    waits = threading.Event()

    def tell(done: int, total: int) -> None:
        del total
        if done >= WAITS[0]:
            waits.set()

    def go() -> None:
        try:
            work = host.folder / "work"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            then.append(host.device.run(make_job(host.folder), work, tell))
        except (DeviceError, KeyboardInterrupt) as error:
            then.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    wait_for(lambda: waits.is_set() or not thread.is_alive())
    return thread


# ---------------------------------------------------------------- what is whose


def test_what_other_inputs_left_is_not_taken_for_a_jobs_own(host: Host, folder: Path, phone: StandIn) -> None:
    let_go(phone)
    host.run()
    (folder / "answers.jsonl").unlink()
    (folder / "requests.jsonl").write_text('{"id":0,"word":"another"}\n')
    host.run()
    assert answers(folder) == b'{"id":0,"word":"another"}\n' and starts(phone) == 2
    (folder / "answers.jsonl").unlink()
    host.run()
    assert answers(folder) == b'{"id":0,"word":"another"}\n' and starts(phone) == 2, "it had ended, and was fetched"
    host.device.forget(make_job(folder).id)
    assert jobs_on(phone) == []


def test_a_file_that_the_phone_cannot_hash_is_a_doubt_on_what_it_was_measured_with(
    host: Host, folder: Path, phone: StandIn
) -> None:
    let_go(phone)
    assert not any("verified" in doubt for doubt in host.run().doubts)
    (phone.root / "system/bin/sha256sum").unlink()
    (folder / "model.gguf").write_bytes(b"another")
    assert any("model.gguf was not verified on the phone: the phone has no" in d for d in host.run().doubts)


def test_a_phone_without_room_for_all_that_a_run_needs_is_refused_before_its_first_job(
    host: Host, folder: Path, phone: StandIn
) -> None:
    let_go(phone)
    large = FileNeeded(sha256="0" * 64, size_bytes=1 << 50, memory_bytes=1)
    host.device.hold(OWNER, [large])
    with pytest.raises(NoSpaceError, match=r"storage are free, 10737.* are needed .*fewer variants"):
        host.run()
    assert starts(phone) == 0
    host.device.hold(OWNER, [msgspec.structs.replace(large, memory_bytes=1 << 50)])
    host.run()
    assert starts(phone) == 1, "what no job can load is not brought"


def test_a_job_of_the_same_run_that_nobody_waits_for_is_stopped(host: Host, folder: Path, phone: StandIn) -> None:
    """As after a host that was killed, and whose run goes on with another build."""
    other: list[object] = []
    thread = at_first_wait(host, other)
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir()
    make_job(elsewhere, interpreter="/system/bin/sh")
    (elsewhere / "requests.jsonl").write_text('{"id":0,"word":"another"}\n')
    second = Host(elsewhere, phone.address, None, lambda: None)
    second.run()
    assert answers(elsewhere) == b'{"id":0,"word":"another"}\n'
    thread.join(60)
    assert "stopped by somebody else" in str(other[0])
    second.device.release()
    assert_own_settings(phone)


def test_what_memory_is_left_beside_a_job_says_nothing_of_what_fits(host: Host, folder: Path, phone: StandIn) -> None:
    """As after a host that was killed: another one looks, whose trial is the job that takes the memory."""
    begins, other = make_job(folder).id.removesuffix("0"), "another-run-t7-"
    ended: list[object] = []
    thread = at_first_wait(host, ended)
    phone.write("/standin/proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable: 1 kB\n")
    again = Host(folder, phone.address, None, lambda: None).device
    trial = Trial(id=begins.removeprefix(f"{OWNER}-").removesuffix("-"), cell=CELL.key, round=0)
    kit = Equipment(device=again, facts=FACTS, artifact=ARTIFACT, inputs=None, runner_sha256=None, run=OWNER)
    assert unfit(trial, CELL, kit) is None, "it runs"
    assert again.begun(other), "whatever runs takes memory"
    let_go(phone)
    thread.join(60)
    assert unfit(trial, CELL, kit) is None, "it has ended, and is to be fetched"
    host.device.forget(begins)
    lacks = unfit(trial, CELL, kit)
    assert lacks is not None and lacks.status == "does_not_fit" and str(lacks.reason).startswith("0 MiB available")
    again.release()


def test_a_job_without_a_name_leaves_nothing(host: Host, folder: Path, phone: StandIn) -> None:
    let_go(phone)
    work = folder / "work"
    work.mkdir()
    host.device.run(msgspec.structs.replace(make_job(folder), id=""), work)
    assert answers(folder) == ALL and jobs_on(phone) == []


def test_the_lock_is_the_runs_from_its_first_job_to_its_end(host: Host, folder: Path, phone: StandIn) -> None:
    let_go(phone)
    host.run()
    held = holder(phone)
    assert held is not None and held.owner == OWNER
    another = Host(folder, phone.address, None, lambda: None)
    another.device.hold("another.run")
    with pytest.raises(DeviceBusyError, match="continue that run"):
        another.run()
    another.device.release()
    assert (held := holder(phone)) is not None and held.owner == OWNER, "who is refused frees nothing"
    host.device.forget(make_job(folder).id)
    host.device.release()
    assert holder(phone) is None


def test_what_cannot_be_forgotten_now_is_forgotten_later(host: Host, folder: Path, phone: StandIn) -> None:
    let_go(phone)
    host.run()
    phone.fault(refuse=True)
    phone.restart_adbd()
    host.device.forget(make_job(folder).id)
    phone.fault(refuse=False)
    assert jobs_on(phone)
    host.device.forget("nothing-begins-so")
    assert jobs_on(phone) == []


def test_what_ended_with_the_phone_is_forgotten_and_what_runs_is_not(host: Host, folder: Path, phone: StandIn) -> None:
    """Nobody was left to write that everything was put back."""
    let_go(phone)
    host.run()
    (job,) = jobs_on(phone)
    phone.remove(f"{ROOT}/jobs/{job}/run/done")
    phone.reboot()
    again = Host(folder, phone.address, None, lambda: None)
    again.run()
    assert starts(phone) == 1, "it had ended, and was fetched"
    again.device.forget(make_job(folder).id)
    assert jobs_on(phone) == []
    (folder / "answers.jsonl").unlink()
    for number in WAITS:
        phone.remove(f"{GO}.{number}")
    ended: list[object] = []
    thread = at_first_wait(host, ended)
    host.device.forget(make_job(folder).id)
    assert jobs_on(phone) == [job], "it runs"
    let_go(phone)
    thread.join(60)
    host.device.forget("nothing-begins-so")
    assert jobs_on(phone) == []
    again.device.release()


def test_a_guard_whose_job_was_removed_does_nothing(tmp_path: Path) -> None:
    """Its supervisor has ended, and the file that says so is gone with the folder."""
    phone = ShellPhone(tmp_path, "mksh")
    try:
        session = Session(phone)
        folder = session.start("sleep", "0.3", poll_s=1.0)
        guard = session.pid("guard")
        wait_for(lambda: (folder / "run/done").exists())
        shutil.rmtree(folder)
        wait_for(lambda: is_dead(guard))
        assert lock.holder(phone, session.wrapper) is None
        assert not folder.exists()
    finally:
        phone.close()


# ---------------------------------------------------------------- interrupts


def test_an_interrupt_stops_the_job_and_the_run_goes_on_later(host: Host, folder: Path, phone: StandIn) -> None:
    ended: list[object] = []
    thread = at_first_wait(host, ended)
    host.device.interrupt()
    thread.join(60)
    assert isinstance(ended[0], KeyboardInterrupt)
    host.device.release()
    assert holder(phone) is None
    assert_own_settings(phone)
    let_go(phone)
    again = Host(folder, phone.address, None, lambda: None)
    again.run()
    again.device.release()
    assert answers(folder) == ALL and starts(phone) == 2 and holder(phone) is None


def test_an_interrupted_probe_leaves_no_lock(host: Host, phone: StandIn) -> None:
    """The doctor's."""
    ended: list[object] = []

    def probe() -> None:
        try:
            host.device.probe(("sleep", "1000"))
        except KeyboardInterrupt as error:
            ended.append(error)

    thread = threading.Thread(target=probe)
    thread.start()
    wait_for(lambda: phone.read(f"{ROOT}/jobs/probe/run/program"))
    host.device.interrupt()
    thread.join(60)
    assert ended
    host.device.release()
    assert holder(phone) is None
    assert_own_settings(phone)


def test_an_interrupt_while_bytes_travel_ends_at_once(host: Host, folder: Path, phone: StandIn) -> None:
    with open(folder / "model.gguf", "r+b") as file:
        file.truncate(40 << 20)
    phone.fault(cut_after_bytes=8 << 20)
    asked: list[int] = []

    def strike() -> None:
        asked.append(1)
        threading.Timer(0.01, host.device.interrupt).start()

    host.phase, host.strike = "pushing", strike
    with pytest.raises(KeyboardInterrupt):
        host.run()
    assert asked and starts(phone) == 0
    host.device.release()
    assert holder(phone) is None


def test_an_interrupt_of_a_lost_phone_does_not_wait(host: Host, folder: Path, phone: StandIn) -> None:
    ended: list[object] = []
    thread = at_first_wait(host, ended)
    phone.fault(refuse=True)
    phone.restart_adbd()
    host.device.interrupt()
    thread.join(60)
    assert isinstance(ended[0], KeyboardInterrupt)
    host.device.release()
    phone.fault(refuse=False)
    let_go(phone)
    again = Host(folder, phone.address, None, lambda: None)
    again.run()
    again.device.release()
    assert answers(folder) == ALL and starts(phone) == 1, "the job went on by itself"
    assert holder(phone) is None


# ---------------------------------------------------------------- power, boots, state


@pytest.mark.parametrize(
    "left",
    [b"", answer(0) + answer(1)[:7], answer(0) + bytes(300), answer(0) + b"{}\n" * 20],
    ids=["nothing", "torn", "zeros", "others"],
)
def test_answers_that_a_phone_lost_with_its_power_were_fetched(
    host: Host, folder: Path, phone: StandIn, left: bytes
) -> None:
    def reboot() -> None:
        phone.halt()
        (path,) = (phone.root / ROOT.lstrip("/") / "jobs").glob("*/answers.jsonl")
        path.write_bytes(left)
        let_go(phone)
        phone.boot()

    host.phase, host.strike = "running", reboot
    host.run()
    assert answers(folder) == ALL


def test_a_phone_that_still_starts_is_waited_for(host: Host, folder: Path, phone: StandIn) -> None:
    let_go(phone)
    properties = phone.read("/standin/properties") or b""
    phone.write("/standin/properties", properties.replace(b"sys.boot_completed=1", b"sys.boot_completed="))
    timer = threading.Timer(1.0, phone.write, ("/standin/properties", properties))
    timer.start()
    host.run()
    timer.join()
    assert answers(folder) == ALL


def test_a_look_at_the_phone_is_told_once(host: Host, folder: Path, phone: StandIn) -> None:
    let_go(phone)
    host.run()
    (seen,) = host.device.noticed()
    assert isinstance(seen, Preflight) and seen.state.battery_percent == phone.phone.battery.level
    assert host.device.noticed() == ()


def test_a_phone_without_room_for_what_is_pushed_is_refused(folder: Path, make_phone: MakePhone) -> None:
    phone = make_phone(quota_bytes=64 << 20)
    host = Host(folder, phone.address, None, lambda: None)
    with pytest.raises(NoSpaceError, match="MiB are needed"):
        host.run()
    host.device.release()
    assert holder(phone) is None, "a run that ends by an error frees the lock"


class Watching(Silent):
    """Keeps what bars were told."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[int, int | None]]] = {}
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    @contextmanager
    def bar(self, what: str, total: int | None = None, unit: str = "") -> Iterator[Bar]:
        told = self.told.setdefault(f"{what} ({unit})", [])
        yield SimpleNamespace(update=lambda done, total=None: told.append((done, total)))


def test_large_files_show_how_far_they_are(
    folder: Path, phone: StandIn, via: Via, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "SHOWN_BYTES", MODEL_BYTES)
    let_go(phone)
    host = Host(folder, phone.address, None, lambda: None, via)
    host.device.progress = watching = Watching()
    host.run()
    host.device.release()
    ((what, told),) = watching.told.items()
    assert what == "model.gguf to standin (B)"
    assert told == sorted(told) and told[-1] == (MODEL_BYTES, MODEL_BYTES)


def test_a_phone_that_does_not_take_back_its_settings_gives_its_result_and_no_more(
    host: Host, folder: Path, phone: StandIn
) -> None:
    tool = phone.read("/system/bin/settings") or b""
    ended: list[object] = []
    host.device.progress = watching = Watching()
    thread = at_first_wait(host, ended)
    phone.write("/system/bin/settings", '#!/system/bin/sh\n[ "$1" = get ] || exit 1\n')
    let_go(phone)
    thread.join(60)
    assert isinstance(ended[0], Outcome) and ended[0].process.exit_code == 0 and answers(folder) == ALL
    (said,) = watching.said
    assert "system screen_brightness 102" in said and f"adb shell rm {ROOT}/settings.saved" in said
    host.device.release()
    assert holder(phone) is None
    (folder / "answers.jsonl").unlink()
    again = Host(folder, phone.address, None, lambda: None)
    assert again.run().process.exit_code == 0 and answers(folder) == ALL, "as after a host that died meanwhile"
    with pytest.raises(NotRestoredError, match=r"settings\.saved"):
        again.device.run(msgspec.structs.replace(make_job(folder), id="another"), folder / "work")
    again.device.release()
    assert holder(phone) is None and starts(phone) == 1
    phone.write("/system/bin/settings", tool)
    Host(folder, phone.address, None, lambda: None).run()
    assert_own_settings(phone)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("changes", [{"models": ("SM-S92*",)}, {"memory_bytes": 8 << 30}, {"soc_models": ("SM8450",)}])
def test_another_phone_than_the_named_one_is_refused(folder: Path, phone: StandIn, changes: dict[str, object]) -> None:
    assert isinstance(SPEC.phone, PhoneSpec)
    spec = msgspec.structs.replace(SPEC, phone=msgspec.structs.replace(SPEC.phone, **changes))
    host = Host(folder, phone.address, None, lambda: None)
    host.device = PhoneDevice(spec, host.link)
    with pytest.raises(WrongDeviceError, match="the phone"):
        host.run()
    assert not (phone.root / ROOT.lstrip("/")).exists(), "nothing was brought to it"


def test_a_phone_before_android_7_does_the_whole_job(folder: Path, make_phone: MakePhone) -> None:
    phone = make_phone(msgspec.structs.replace(ANDROID_6, model="CPH2581"))
    let_go(phone)
    host = Host(folder, phone.address, None, lambda: None)
    outcome = host.run()
    host.device.release()
    assert outcome.process.exit_code == 0 and answers(folder) == ALL
    assert_own_settings(phone)
    assert holder(phone) is None


def test_sensors_that_cannot_be_read_are_unknown_and_never_cool(folder: Path, make_phone: MakePhone) -> None:
    hidden = tuple(msgspec.structs.replace(zone, readable=False) for zone in ONEPLUS_12.zones)
    phone = make_phone(msgspec.structs.replace(ONEPLUS_12, zones=hidden))
    phone.write("/standin/dumpsys/thermalservice", "")
    let_go(phone)
    host = Host(folder, phone.address, None, lambda: None)
    outcome = host.run()
    (seen,) = host.device.noticed()
    host.device.release()
    around = outcome.surroundings
    assert around is not None and around.gate == "unknown" and around.cpu_before_c is None
    assert "cpu_before_c" in around.missing and outcome.doubts[0].startswith("thermal_unknown")
    assert isinstance(seen, Preflight) and seen.state.cpu_c is None and "cpu_c" in seen.state.missing


def test_output_that_is_cut_in_a_line_is_asked_for_again(host: Host, folder: Path, phone: StandIn) -> None:
    def cut() -> None:
        let_go(phone)
        phone.fault(cut_output_after=17)

    host.phase, host.strike, host.strikes = "running", cut, 2
    host.run()
    assert answers(folder) == ALL and starts(phone) == 1


def test_a_direct_address_with_shell_characters_is_refused_unasked() -> None:
    for address in ("127.0.0.1;id:5555", "$(id):1", "`id`", "a b:1", "-s:1"):
        with pytest.raises(InputError, match="address"):
            open_connection(None, address, "direct")


def test_file_names_with_shell_characters_execute_nothing(folder: Path, phone: StandIn, tmp_path: Path) -> None:
    odd = tmp_path / "a b;touch ${IFS}x"
    folder.rename(odd)
    (odd / "bench-llama").rename(program := odd / "$(touch y);'z\" `touch y`")
    let_go(phone)
    host = Host(odd, phone.address, None, lambda: None)
    work = odd / "work"
    work.mkdir()
    job = make_job(odd)
    host.device.run(msgspec.structs.replace(job, argv=(str(program), *job.argv[1:]), id="t0;touch y"), work)
    host.device.forget("t0;touch y")
    host.device.release()
    assert answers(odd) == ALL and jobs_on(phone) == []
    assert not [path for path in phone.root.rglob("*") if path.name in ("x", "y")]


@pytest.mark.parametrize("way", ["server", "direct", "auto"])
def test_an_address_is_connected_to_in_each_way(phone: StandIn, adb_server: int, way: str) -> None:
    del adb_server
    connection = connect(SPEC, msgspec.convert({"tcp": phone.address, "via": way}, DeviceReach))
    try:
        assert connection.shell("echo there").stdout == b"there\n"
    finally:
        connection.close()


def test_two_phones_that_match_are_not_chosen_from(make_phone: MakePhone, adb_server: int) -> None:
    del adb_server
    open_connection(None, make_phone().address, "server")
    open_connection(None, make_phone().address, "server")
    with pytest.raises(InputError, match="may be any of"):
        connect(SPEC, DeviceReach())
