"""Jobs on the stand-in phone, over both ways to it: the cable is pulled, adbd restarts, the phone reboots."""

from pathlib import Path

import pytest

from harness.errors import DeviceLostError
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone import gate, job, lock, samples, wrapper
from harness.measure.devices.phone.gate import GateWish
from harness.measure.devices.phone.job import JobState, JobWish, SamplerWish
from harness.measure.devices.phone.settings import SettingsWish, parse_settings
from harness.measure.devices.phone.wrapper import Wrapper
from tests.shell_phone import wait_for
from tests.standin.device import StandIn

ROOT = "/data/local/tmp/bench"
FOLDER = f"{ROOT}/jobs/one"
PROGRAM = f"{ROOT}/waits"
ANSWERS = f"{FOLDER}/answers.jsonl"
WAITS = f"echo began >>{ANSWERS}; while [ ! -e {FOLDER}/go ]; do sleep 0.05; done; echo ended >>{ANSWERS}"


@pytest.fixture
def installed(connection: Connection) -> Wrapper:
    return wrapper.install(connection)


def wish(script: str = WAITS) -> JobWish:
    return JobWish(
        folder=FOLDER,
        owner="me.1",
        argv=("sh", "-c", script),
        limit_s=120,
        poll_s=0.1,
        cores=(0,),
        settings=SettingsWish(),
        gate=GateWish(least_s=0, most_s=1, blind_s=0, stable_s=0, poll_s=0.1, skin_start_c=40.0),
        sampler=SamplerWish(period_s=0.1),
    )


def ended(connection: Connection, installed: Wrapper) -> JobState:
    return wait_for(lambda: (seen := job.poll(connection, installed, FOLDER)).phase == "ended" and seen)


def brightness(phone: StandIn) -> bytes | None:
    return phone.read("/standin/settings/system/screen_brightness")


def assert_restored(phone: StandIn, connection: Connection, installed: Wrapper) -> None:
    assert brightness(phone) == b"102\n"
    assert phone.read("/standin/settings/global/low_power") is None, "it was not there before"
    assert lock.holder(connection, installed) is None and lock.peek(connection) is None


def test_a_job_goes_on_while_the_cable_is_pulled(
    phone: StandIn, connection: Connection, installed: Wrapper, tmp_path: Path
) -> None:
    assert job.start(connection, installed, wish())
    wait_for(lambda: job.poll(connection, installed, FOLDER).bytes.get("answers.jsonl"))
    holder = lock.peek(connection)
    assert brightness(phone) == b"10\n" and holder is not None and holder.alive
    local = tmp_path / "answers.jsonl"
    assert job.fetch_new(connection, ANSWERS, local) == len("began\n")
    phone.restart_adbd()
    phone.write(f"{FOLDER}/go", "")
    wait_for(lambda: phone.read(f"{FOLDER}/run/done"))
    phone.fault(cut_output_after=3)
    with pytest.raises(DeviceLostError):
        while True:  # the way through the server may need one try to see that adbd was restarted
            job.fetch_new(connection, ANSWERS, local)
    assert local.read_bytes() == b"began\n"
    wait_for(lambda: _reachable(connection))
    job.fetch_new(connection, ANSWERS, local)
    assert local.read_bytes() == b"began\nended\n"
    seen = ended(connection, installed)
    assert seen.rc is not None and (seen.rc.code, seen.rc.cause) == (0, "ended")
    assert seen.gate is not None and seen.gate.result in ("settled", "not_settled", "unknown")
    assert_restored(phone, connection, installed)
    _traces_are_there(phone)


def _reachable(connection: Connection) -> bool:
    try:
        return connection.shell("true").exit_code == 0
    except DeviceLostError:
        return False


def _traces_are_there(phone: StandIn) -> None:
    told = samples.parse_samples(phone.read(f"{FOLDER}/samples.jsonl") or b"")
    assert told.head is not None and told.lines and told.broken == 0
    assert told.lines[0].level == phone.phone.battery.level and told.lines[0].powered is phone.phone.battery.usb
    assert told.lines[0].status == 0 and any(khz for khz in told.lines[0].khz)
    steps = gate.parse_trace(phone.read(f"{FOLDER}/gate.jsonl") or b"")
    assert steps and steps[0].skin_milli and steps[0].cpu_milli and steps[0].status == 0
    seen = parse_settings(phone.read(f"{FOLDER}/settings.txt") or b"")
    assert {one.key: one.before for one in seen.settings}["airplane_mode_on"] == "0" and seen.restored == "yes"


def test_a_start_whose_answer_is_lost_starts_once(phone: StandIn, connection: Connection, installed: Wrapper) -> None:
    phone.fault(cut_after=f"start {FOLDER}")
    with pytest.raises(DeviceLostError):
        job.start(connection, installed, wish())
    wait_for(lambda: _reachable(connection))
    assert not job.start(connection, installed, wish())
    phone.write(f"{FOLDER}/go", "")
    assert ended(connection, installed).rc is not None
    assert phone.read(ANSWERS) == b"began\nended\n"
    assert_restored(phone, connection, installed)


def test_a_reboot_is_seen_and_put_right(phone: StandIn, connection: Connection, installed: Wrapper) -> None:
    job.start(connection, installed, wish())
    wait_for(lambda: job.poll(connection, installed, FOLDER).bytes.get("answers.jsonl"))
    before = job.poll(connection, installed, FOLDER).boot_id
    phone.reboot()
    wait_for(lambda: _reachable(connection))
    seen = job.poll(connection, installed, FOLDER)
    assert seen.phase == "gone" and seen.boot_id != before and seen.settings_changed and brightness(phone) == b"10\n"
    assert lock.peek(connection) is None
    assert job.recover(connection, installed, "another.host").settings == "yes"
    assert_restored(phone, connection, installed)
    assert job.clear(connection, installed, FOLDER).phase == "absent"
    phone.write(f"{FOLDER}/go", "")
    assert job.start(connection, installed, wish())
    assert ended(connection, installed).rc is not None
    assert phone.read(ANSWERS) == b"began\nbegan\nended\n"


def test_a_forbidden_program_is_126(phone: StandIn, connection: Connection, installed: Wrapper) -> None:
    phone.write(PROGRAM, "#!/system/bin/sh\n")
    phone.chmod(PROGRAM, 0o755)
    phone.forbid_execution()
    job.start(connection, installed, JobWish(folder=FOLDER, owner="me.1", argv=(PROGRAM,), limit_s=9, poll_s=0.1))
    seen = ended(connection, installed)
    assert seen.rc is not None and seen.rc.code == 126
