"""Jobs on a phone that is a folder, with the shells that phones have: whatever is killed, the end is known and the
settings come back."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import DeviceBusyError, DeviceError
from harness.measure.devices.phone import job, lock
from harness.measure.devices.phone.job import SamplerWish, parse_cores
from harness.measure.devices.phone.settings import Recorded, Setting, SettingsWish, doubts, parse_settings
from harness.measure.devices.phone.wrapper import command
from tests.shell_phone import SHELLS, Session, ShellPhone, found, is_dead, wait_for, write_program

OWN = {"system.screen_brightness": "102", "system.screen_brightness_mode": "1", "global.airplane_mode_on": "1"}
CHANGED = {**OWN, "system.screen_brightness": "10", "system.screen_brightness_mode": "0", "global.low_power": "0"}
WISH = SettingsWish(
    change=(
        Setting(space="system", key="screen_brightness_mode", value="0"),
        Setting(space="system", key="screen_brightness", value="10"),
        Setting(space="global", key="low_power", value="0"),
    ),
    record=(Recorded(space="global", key="airplane_mode_on"),),
)
ROLES = ("supervisor", "guard", "runner", "program")


@pytest.fixture(params=["mksh", "dash"])
def session(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Session]:
    phone = ShellPhone(tmp_path, request.param)
    for name, value in OWN.items():
        phone.setting(*name.split(".", 1), value)
    phone.clock("policy0", 1_000_000, 2_000_000, 2_000_000)
    yield Session(phone)
    phone.close()


def waiting(session: Session, name: str = "one", **more: object) -> Path:
    """A job that waits for the test: its program ends with 7 once the file `go` is there."""
    program = session.phone.home / "waits"
    write_program(
        program, '#!/bin/sh\nwhile [ ! -e "$1/go" ]; do sleep 0.02; done; echo answer >>"$1/answers.jsonl"; exit 7\n'
    )
    more = {"settings": WISH, "sampler": SamplerWish(period_s=0.05, status_s=0), **more}
    folder = session.start(str(program), str(session.folder(name)), name=name, **more)
    session.pid("program", name)
    return folder


def kill(session: Session, *roles: str, number: int = signal.SIGKILL) -> None:
    pids = [session.pid(role) for role in roles]
    for pid in pids:
        os.kill(pid, number)
    if number == signal.SIGKILL:
        wait_for(lambda: all(map(is_dead, pids)))


def assert_restored(session: Session) -> None:
    assert session.phone.settings() == OWN
    assert lock.holder(session.phone, session.wrapper) is None
    assert not session.poll().settings_changed


@pytest.mark.parametrize("session", SHELLS, indirect=True)
def test_a_job_from_its_start_to_its_end(session: Session) -> None:
    folder = waiting(session, cores=tuple(os.sched_getaffinity(0))[:1])
    seen = session.phase("one", "running")
    assert seen.rc is None and seen.settings_changed and seen.pid == session.pid("program")
    assert session.phone.settings() == CHANGED
    with pytest.raises(DeviceBusyError, match=r"me\.run1 runs on it"):
        lock.take(session.phone, session.wrapper, "b.1", 300)
    wait_for(lambda: session.poll().affinity)
    (folder / "go").touch()
    seen = session.phase("one", "ended")
    assert seen.rc is not None and seen.rc.code == 7 and seen.rc.signal is None and seen.rc.cause == "ended"
    assert seen.rc.start_ms and seen.rc.end_ms and seen.rc.start_ms < seen.rc.end_ms <= (seen.uptime_ms or 0)
    assert seen.bytes["answers.jsonl"] == len("answer\n") and "events.jsonl" not in seen.bytes
    assert_restored(session)
    told = parse_settings((folder / "settings.txt").read_bytes())
    by_key = {one.key: (one.before, one.during) for one in told.settings}
    assert by_key["low_power"] == ("null", "0") and by_key["screen_brightness"] == ("102", "10")
    assert by_key["airplane_mode_on"] == ("1", "1") and told.restored == "yes" and told.saved
    assert "delete global low_power" in (session.phone.fake / "settings.log").read_text()
    assert all(is_dead(int((folder / "run" / role).read_text().split()[0])) for role in ("sampler", "runner"))


def test_the_program_runs_where_it_should(session: Session) -> None:
    cores = tuple(sorted(os.sched_getaffinity(0)))[-1:]
    wish = session.wish("sleep", "1000", cores=cores)
    assert job.start(session.phone, session.wrapper, wish)
    seen = wait_for(lambda: (state := session.poll()).affinity and state)
    assert os.sched_getaffinity(session.pid("program")) == set(cores)
    assert parse_cores(seen.affinity) == set(cores)
    job.stop(session.phone, session.wrapper, wish.folder)


def test_arguments_arrive_as_they_are(session: Session) -> None:
    program, odd = session.phone.home / "says", ["a b", "$(id)", "`id`", "'", '"', "\\", "*", "", "x;id", "--", "ä"]
    write_program(program, '#!/bin/sh\nfor one in "$@"; do echo "<$one>"; done; echo "$ODD"\n')
    folder = session.start(str(program), *odd, env={"ODD": "$(id) '\""})
    assert session.phase("one", "ended").rc is not None
    said = (folder / "stdout.txt").read_text().splitlines()
    assert said == [*(f"<{one}>" for one in odd), "$(id) '\""]


@pytest.mark.parametrize("session", SHELLS, indirect=True)
@pytest.mark.parametrize("role", ["program", "supervisor", "guard", "sampler", "runner"])
def test_one_process_is_killed(session: Session, role: str) -> None:
    folder = waiting(session)
    for each in (*ROLES, "sampler"):
        session.pid(each)
    program = session.pid("program")
    kill(session, role)
    if role != "program":
        assert not is_dead(program)
        assert session.poll().phase == "running"
        (folder / "go").touch()
    seen = session.phase("one", "ended")
    assert seen.rc is not None
    code = {"program": 137, "runner": None}.get(role, 7)
    assert (seen.rc.code, seen.rc.cause) == (code, "lost" if role == "runner" else "ended")
    assert seen.rc.signal == (9 if role == "program" else None)
    assert_restored(session)
    if role != "program":
        assert (folder / "answers.jsonl").read_text() == "answer\n"


def test_a_supervisor_that_dies_in_the_gate_ends_the_job(session: Session) -> None:
    write_program(session.phone.bin / "dumpsys", "#!/bin/sh\nsleep 1000\n")
    wish = session.wish("sleep", "1000", settings=WISH, gate=job.GateWish(skin_start_c=30.0))
    assert job.start(session.phone, session.wrapper, wish)
    wait_for(lambda: session.phone.settings() == CHANGED)
    session.pid("guard")
    kill(session, "supervisor")
    seen = session.phase("one", "ended")
    assert seen.rc is not None and seen.rc.cause == "lost" and seen.rc.start_ms is None
    assert_restored(session)


def test_a_program_that_lost_both_supervisors_is_adopted(session: Session) -> None:
    folder = waiting(session)
    kill(session, "supervisor", "guard")
    assert session.poll().phase == "running"
    assert session.phone.settings() == CHANGED
    assert job.recover(session.phone, session.wrapper, "me.run1").recover == "adopted"
    wait_for(lambda: (seen := lock.holder(session.phone, session.wrapper)) and seen.alive)
    (folder / "go").touch()
    seen = session.phase("one", "ended")
    assert seen.rc is not None and seen.rc.code == 7
    wait_for(lambda: (folder / "run/done").exists())
    assert_restored(session)


def test_a_program_that_nobody_watches_keeps_others_away(session: Session) -> None:
    waiting(session, expire_s=0)
    kill(session, "supervisor", "guard")
    with pytest.raises(DeviceBusyError, match="one runs on it"):
        session.start("sleep", "1", name="two")
    assert session.poll("two").phase == "absent"
    ended = job.stop(session.phone, session.wrapper, str(session.folder()))
    assert ended.phase == "ended" and ended.rc is not None and ended.rc.cause == "stopped"
    assert_restored(session)
    session.start("sleep", "0", name="two")
    assert session.phase("two", "ended").rc is not None


@pytest.mark.parametrize("session", SHELLS, indirect=True)
def test_all_processes_die_at_once(session: Session) -> None:
    """As when the phone's daemon takes all its children with it."""
    waiting(session)
    kill(session, *ROLES, "sampler")
    seen = session.poll()
    assert seen.phase == "gone" and seen.rc is None and seen.settings_changed
    done = job.recover(session.phone, session.wrapper, "me.run1")
    assert (done.recover, done.settings) == ("done", "yes")
    assert_restored(session)
    assert job.recover(session.phone, session.wrapper, "me.run1").settings == "none"


def test_a_number_that_another_process_has_by_now_is_not_the_job(session: Session) -> None:
    folder = waiting(session)
    kill(session, *ROLES, "sampler")
    for role in (*ROLES, "sampler"):
        (folder / "run" / role).write_text(f"{os.getpid()} 1\n")
    assert session.poll().phase == "gone" and session.poll().pid is None
    assert job.stop(session.phone, session.wrapper, str(folder)).phase == "gone"
    assert job.recover(session.phone, session.wrapper, "me.run1").recover == "done"


def test_a_reboot(session: Session) -> None:
    waiting(session)
    kill(session, *ROLES, "sampler")
    session.phone.boot("33333333-3333-4333-8333-333333333333")
    assert session.poll().phase == "gone"
    assert job.recover(session.phone, session.wrapper, "somebody.else").settings == "yes"
    assert_restored(session)
    assert job.clear(session.phone, session.wrapper, str(session.folder())).phase == "absent"
    waiting(session)
    (session.folder() / "go").touch()
    assert session.phase("one", "ended").rc is not None
    assert_restored(session)


def test_the_next_job_restores_what_a_dead_one_left(session: Session) -> None:
    waiting(session)
    kill(session, *ROLES, "sampler")
    session.start("env", name="two", settings=WISH)
    session.phase("two", "ended")
    assert_restored(session)


@pytest.mark.parametrize("session", SHELLS, indirect=True)
def test_hang_ups_end_nothing(session: Session) -> None:
    folder = waiting(session)
    for role in (*ROLES, "sampler"):
        pid = session.pid(role)
        os.kill(pid, signal.SIGHUP)
        os.killpg(os.getpgid(pid), signal.SIGHUP)
    (folder / "go").touch()
    seen = session.phase("one", "ended")
    assert seen.rc is not None and seen.rc.code == 7
    assert_restored(session)


def test_each_has_a_session_of_its_own(session: Session) -> None:
    waiting(session)
    sessions = {os.getsid(session.pid(role)) for role in (*ROLES, "sampler")}
    assert len(sessions) == 5 and os.getsid(0) not in sessions


SETSID = """#!/bin/sh
# One that leads a group before it wants a session, as one toybox's does: it leaves a child behind and ends.
wait=no
if [ "$1" = -w ]; then CAN_WAIT || exit 1; wait=yes; shift; fi
LIES && [ "$2" = -c ] && exec "$@"
REAL "$@" &
if [ $wait = yes ]; then wait $!; exit $?; fi
if LIES && [ "$3" = _program ]; then while [ ! -e "$4/run/program" ]; do :; done; fi
exit 0
"""


@pytest.mark.parametrize(
    ("can_wait", "lies", "code"),
    [(True, False, 7), (False, False, 7), (False, True, None)],
    ids=["it can wait", "it cannot", "not seen beforehand"],
)
def test_a_setsid_that_ends_at_once_ends_no_job(session: Session, can_wait: bool, lies: bool, code: int | None) -> None:
    text = SETSID.replace("CAN_WAIT", str(can_wait).lower()).replace("LIES", str(lies).lower())
    tool = session.phone.bin / "setsid"
    tool.unlink()
    write_program(tool, text.replace("REAL", found("setsid")))
    folder = waiting(session)
    assert session.phase("one", "running").rc is None
    assert not is_dead(session.pid("program"))
    (folder / "go").touch()
    seen = session.phase("one", "ended")
    assert seen.rc is not None and (seen.rc.code, seen.rc.cause) == (code, "lost" if lies else "ended")
    assert (folder / "answers.jsonl").read_text() == "answer\n"
    assert_restored(session)
    waiting(session, name="two")
    ended = job.stop(session.phone, session.wrapper, str(session.folder("two")))
    assert ended.rc is not None and ended.rc.cause == "stopped" and is_dead(session.pid("program", "two"))


def test_the_time_limit_ends_the_program_and_its_children(session: Session) -> None:
    program = session.phone.home / "family"
    note = session.phone.home / "child"
    write_program(program, f"#!/bin/sh\ntrap '' TERM\nsleep 1000 & echo $! >{note}\nwait\n")
    session.start(str(program), limit_s=1, settings=WISH)
    seen = session.phase("one", "ended")
    assert seen.rc is not None and (seen.rc.cause, seen.rc.signal) == ("timed_out", 9)
    child = int(note.read_text())
    wait_for(lambda: is_dead(child))
    assert_restored(session)


def test_time_that_a_phone_sleeps_does_not_count(session: Session) -> None:
    """Its uptime goes on meanwhile."""
    session.phone.uptime(1000)
    folder = waiting(session, limit_s=300)
    session.phone.uptime(1_000_000)
    samples = folder / "samples.jsonl"
    wait_for(lambda: samples.exists() and samples.read_text().count('"t_ms":1000000') >= 10)
    assert session.poll().phase == "running"
    (folder / "go").touch()
    seen = session.phase("one", "ended")
    assert seen.rc is not None and (seen.rc.code, seen.rc.cause) == (7, "ended")


def test_a_phone_is_woken_where_its_settings_are_changed_and_only_then(session: Session) -> None:
    log = session.phone.fake / "input.log"
    session.start("env", name="untimed")
    session.phase("untimed", "ended")
    assert not log.exists()
    session.start("env", settings=WISH)
    session.phase("one", "ended")
    assert log.read_text() == "input keyevent 224 at brightness 10\n"


@pytest.mark.parametrize("supervised", [True, False])
def test_stop_ends_a_job(session: Session, supervised: bool) -> None:
    waiting(session)
    if not supervised:
        kill(session, "supervisor", "guard")
    seen = job.stop(session.phone, session.wrapper, str(session.folder()))
    assert seen.phase == "ended" and seen.rc is not None
    assert (seen.rc.cause, seen.rc.signal) == ("stopped", 15)
    assert_restored(session)


def test_a_supervisor_told_to_end_ends_its_job_first(session: Session) -> None:
    waiting(session)
    kill(session, "supervisor", number=signal.SIGTERM)
    seen = session.phase("one", "ended")
    assert seen.rc is not None and seen.rc.cause == "stopped"
    assert_restored(session)


def test_a_job_starts_once(session: Session) -> None:
    folder = waiting(session)
    wish = session.wish("sleep", "1000")
    assert not job.start(session.phone, session.wrapper, wish)
    said = session.phone.shell(command(session.wrapper, "start", str(folder), "--", "sleep", "1"))
    assert b"already" in said.stdout
    holder = lock.holder(session.phone, session.wrapper)
    assert holder is not None and holder.alive, "the second start did not touch the first one's lock"
    (folder / "go").touch()
    assert (seen := session.phase("one", "ended")).rc and seen.rc.code == 7


def test_the_owners_lock_is_kept_for_its_next_job(session: Session) -> None:
    lock.take(session.phone, session.wrapper, "me.run1", 300)
    session.start("env", keep_s=200)
    session.phase("one", "ended")
    holder = lock.holder(session.phone, session.wrapper)
    assert holder is not None and holder.owner == "me.run1" and not holder.alive and 100 < holder.left_s <= 200
    session.start("env", name="two")
    session.phase("two", "ended")
    assert lock.holder(session.phone, session.wrapper) is None


def test_another_owner_gets_no_job_started(session: Session) -> None:
    lock.take(session.phone, session.wrapper, "b.1", 300)
    with pytest.raises(DeviceBusyError, match=r"b\.1 holds it"):
        session.start("env", settings=WISH)
    assert session.poll().phase == "absent" and session.phone.settings() == OWN
    lock.free(session.phone, session.wrapper, "b.1")
    session.start("env")
    assert session.phase("one", "ended").rc is not None


@pytest.mark.parametrize(("argv", "code"), [(("/no/such/program",), 127), (("FOLDER/data",), 126)])
def test_a_program_that_cannot_be_started(session: Session, argv: tuple[str, ...], code: int) -> None:
    (session.phone.home / "data").write_text("no program")
    session.start(*(one.replace("FOLDER", str(session.phone.home)) for one in argv), cores=(0,), settings=WISH)
    seen = session.phase("one", "ended")
    assert seen.rc is not None and seen.rc.code == code
    assert (session.folder() / "stderr.txt").read_text().strip()
    assert_restored(session)


def test_what_the_phone_had_is_on_flash_before_anything_is_changed(session: Session) -> None:
    fake, timeout = session.phone.fake, session.phone.bin / "timeout"
    timeout.unlink()  # busybox's calls its own sync
    write_program(timeout, '#!/bin/sh\nshift\nexec "$@"\n')
    write_program(
        session.phone.bin / "sync",
        f'#!/bin/sh\n[ -z "$1" ] && cat {session.phone.root}/settings.saved >"$FAKE/synced"\n'
        'echo sync >>"$FAKE/settings.log"\nexit 1\n',
    )
    session.start("env", settings=WISH)
    session.phase("one", "ended")
    assert "setting system screen_brightness 102" in (fake / "synced").read_text().splitlines()
    log = (fake / "settings.log").read_text().splitlines()
    assert "sync" in log and not any(line.startswith(("put", "delete")) for line in log[: log.index("sync")])
    assert any(line.startswith("put") for line in log), "a sync that fails hinders nothing"


def test_settings_that_cannot_be_restored_now_are_restored_later(session: Session) -> None:
    folder = waiting(session)
    (session.phone.fake / "settings.down").touch()
    (folder / "go").touch()
    seen = session.phase("one", "ended")
    assert seen.settings_changed
    assert parse_settings((folder / "settings.txt").read_bytes()).restored == "failed"
    with pytest.raises(DeviceError, match="recover"):
        job.recover(session.phone, session.wrapper, "me.run1")
    (session.phone.fake / "settings.down").unlink()
    assert job.recover(session.phone, session.wrapper, "me.run1").settings == "yes"
    assert_restored(session)


def test_a_setting_that_the_phone_refuses_is_said_and_left(session: Session) -> None:
    (session.phone.fake / "settings/system.screen_brightness.denied").touch()
    folder = session.start("env", settings=WISH)
    session.phase("one", "ended")
    told = parse_settings((folder / "settings.txt").read_bytes())
    assert {one.key: one.missing for one in told.settings}["screen_brightness"] == "the phone refused the change"
    assert told.restored == "yes"
    (session.phone.fake / "settings/system.screen_brightness.denied").unlink()
    assert_restored(session)


def test_a_value_that_the_phone_makes_another_of_is_a_doubt(session: Session) -> None:
    tool = session.phone.bin / "settings"
    tool.write_text(tool.read_text().replace('echo "$4" >"$f"', 'n=$4; [ "$4" != 10 ] || n=24; echo $n >"$f"'))
    folder = session.start("env", settings=WISH)
    session.phase("one", "ended")
    told = parse_settings((folder / "settings.txt").read_bytes())
    by_key = {one.key: one for one in told.settings}
    assert by_key["screen_brightness"].during == "24" and by_key["low_power"].missing is None
    assert doubts(told) == ("setting system/screen_brightness: the phone made 24 of 10",)
    assert_restored(session)


@pytest.mark.parametrize("refuses", [False, True])
def test_the_fixed_performance_mode(session: Session, refuses: bool) -> None:
    if refuses:
        (session.phone.fake / "cmd.refuses").touch()
    folder = session.start("env", settings=SettingsWish(fixed_performance=True))
    session.phase("one", "ended")
    asked = (session.phone.fake / "cmd.log").read_text().splitlines()
    modes = [line.rsplit(" ", 1)[1] for line in asked if line.startswith("power set-fixed-performance-mode-enabled")]
    assert modes == (["true"] if refuses else ["true", "false"])
    told = parse_settings((folder / "settings.txt").read_bytes())
    assert told.fixed_performance == ("refused" if refuses else "on") and told.restored == "yes"


def test_a_changed_wrapper_is_installed_anew(session: Session) -> None:
    path = Path(session.wrapper.path)
    path.write_text("exit 1\n")
    Session(session.phone)
    assert path.read_bytes().startswith(b"#!/system/bin/sh")
