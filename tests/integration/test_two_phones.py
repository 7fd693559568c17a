"""Two phones of one run: side by side, interrupted together, one lost while the other goes on."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from harness.config import PROJECT
from harness.errors import DeviceBusyError, DeviceLostError
from harness.measure.devices.adb.open import open_connection
from harness.measure.devices.phone import device, lock, wrapper
from harness.measure.devices.phone.link import Link
from harness.store import read_run
from harness.values import Preflight
from tests.phone_faults import OTHER, OWN_SETTINGS, ROOT
from tests.phone_runs import GO, HERE, WAITS, go, set_up
from tests.shell_phone import wait_for
from tests.standin.device import StandIn
from tests.standin.fixtures import MakePhone

ROUNDS = 2


@pytest.fixture
def phones(make_phone: MakePhone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, StandIn]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device, "Link", partial(Link, patience_s=2.0, pause_s=0.1))
    return {"a": make_phone(), "b": make_phone()}


@pytest.fixture
def run(phones: dict[str, StandIn], tmp_path: Path) -> Path:
    return set_up(tmp_path / "host", {name: one.address for name, one in phones.items()}, WAITS, ROUNDS)


def here(phone: StandIn) -> int:
    return (phone.read(HERE) or b"").count(b"here")


def assert_complete(run: Path) -> None:
    """Every trial once."""
    lines = [json.loads(line)["trial"] for line in (run / "records.jsonl").read_text().splitlines()]
    assert sorted(lines) == sorted(trial.id for trial in read_run(run).plan.trials)
    assert {record.status for record in read_run(run).records} == {"ok"}


def assert_left_as_found(phone: StandIn) -> None:
    assert {key: phone.read(f"/standin/settings/{key}") for key in OWN_SETTINGS} == OWN_SETTINGS
    with closing(open_connection(None, phone.address, "direct")) as connection:
        assert lock.peek(connection) is None
        assert connection.shell(f"ls {ROOT}/jobs").stdout == b""


def test_two_phones_work_at_the_same_time(phones: dict[str, StandIn], run: Path) -> None:
    """Each program waits until both run."""
    thread = threading.Thread(target=go, args=(run,))
    thread.start()
    wait_for(lambda: all(here(one) for one in phones.values()) or not thread.is_alive())
    assert thread.is_alive()
    for one in phones.values():
        one.write(GO, "")
    thread.join()
    assert_complete(run)
    for one in phones.values():
        assert_left_as_found(one)
    seen = [(r.trial, o) for r in read_run(run).records for o in r.observations if isinstance(o, Preflight)]
    assert len(seen) == len(phones), "each phone is looked at once"


def test_an_interrupt_stops_both_and_the_run_goes_on(phones: dict[str, StandIn], run: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.phone_runs", str(run.parents[1])],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: all(here(one) for one in phones.values()) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert "KeyboardInterrupt" in said and read_run(run).records == ()
    for one in phones.values():
        assert one.read("/standin/settings/system/screen_brightness") == b"102\n"
        one.write(GO, "")
    go(run)
    assert_complete(run)
    for one in phones.values():
        assert_left_as_found(one)


def test_a_lost_phone_ends_its_own_lane_only(phones: dict[str, StandIn], run: Path) -> None:
    phones["b"].write(GO, "")
    ended: list[BaseException] = []

    def one_run() -> None:
        try:
            go(run)
        except DeviceLostError as error:
            ended.append(error)

    thread = threading.Thread(target=one_run)
    thread.start()
    wait_for(lambda: here(phones["a"]) or not thread.is_alive())
    phones["a"].fault(refuse=True)
    phones["a"].restart_adbd()
    thread.join()
    assert f"`bench run --resume {run.name}` goes on" in str(ended[0])
    cells = {cell.key: cell.device for cell in read_run(run).plan.cells}
    assert [cells[record.cell] for record in read_run(run).records] == ["b"] * ROUNDS
    phones["a"].fault(refuse=False)
    phones["a"].write(GO, "")
    go(run)
    assert_complete(run)
    for one in phones.values():
        assert_left_as_found(one)
    assert here(phones["a"]) == here(phones["b"]) == ROUNDS, "what went on by itself was fetched"


def test_a_phone_that_another_holds_ends_its_own_lane_only(phones: dict[str, StandIn], run: Path) -> None:
    for one in phones.values():
        one.write(GO, "")
    with closing(open_connection(None, phones["a"].address, "direct")) as connection:
        theirs = wrapper.install(connection)
        lock.take(connection, theirs, OTHER, 600)
        with pytest.raises(DeviceBusyError, match=f"{OTHER} holds it.*--resume"):
            go(run)
        assert len(read_run(run).records) == ROUNDS
        holder = lock.peek(connection)
        assert holder is not None and holder.owner == OTHER
        lock.free(connection, theirs, OTHER)
    go(run)
    assert_complete(run)
