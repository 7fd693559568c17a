"""Both ways to a phone, by the real adb server and straight, against the stand-in."""

import os
import shlex
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import DeviceError, DeviceLostError, NoSpaceError, UnauthorizedDeviceError
from harness.measure.devices.adb.attached import attached
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.adb.open import Via, open_connection
from tests.standin.device import StandIn
from tests.standin.fixtures import MakePhone, free_port
from tests.standin.phone import ANDROID_6, Phone

TMP = "/data/local/tmp"


def test_a_command_has_its_output_its_errors_and_its_exit_code(connection: Connection) -> None:
    done = connection.shell("echo out; echo err >&2; exit 7")
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert connection.shell("getprop ro.product.model").stdout == b"CPH2581\n"
    assert connection.shell("no-such-program").exit_code == 127
    assert connection.shell("kill -9 $$").exit_code == 137


def test_every_argument_arrives_as_it_is(connection: Connection) -> None:
    words = ["a;id", "$(id)", "`id`", "x y", "'", '"', "\\", "*", "~", "", "\n", "é€😀", "&& reboot", "-n"]
    done = connection.shell(shlex.join(["printf", "%s\\0", *words]))
    assert done.stdout.decode().split("\0")[:-1] == words


def test_much_output_and_much_input(connection: Connection) -> None:
    data = os.urandom(3_000_000)
    done = connection.shell("cat; cat /data/none", stdin=data)
    assert done.stdout == data and done.exit_code == 1
    assert connection.shell("true", stdin=data).exit_code == 0


def test_a_quiet_command_may_take_its_time_and_a_limit_is_one(connection: Connection, phone: StandIn) -> None:
    assert connection.shell("sleep 1.2; echo done", timeout_s=60).stdout == b"done\n"
    started = time.monotonic()
    with pytest.raises(DeviceLostError, match=r"no answer within 0\.4 s"):
        connection.shell(f"sleep 600; touch {TMP}/late", timeout_s=0.4)
    assert time.monotonic() - started < 60
    # The connection is used again, and the command was hung up on.
    wait_until(lambda: connection.shell("ps | grep '[s]leep 600'").exit_code == 1)
    assert phone.read(f"{TMP}/late") is None


def test_a_file_gets_there(connection: Connection, phone: StandIn, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(2_500_001))
    source.chmod(0o750)
    target = f"{TMP}/a folder/it's $HOME; id"
    assert connection.stat(target) is None
    sent: list[int] = []
    connection.push(source, target, sent.append)
    seen = connection.stat(target)
    assert seen is not None and seen.size_bytes == 2_500_001 and sent[-1] == 2_500_001
    assert stat.S_ISREG(seen.mode) and seen.mode & 0o700 == 0o700 and seen.modified_s == int(source.stat().st_mtime)
    assert phone.read(target) == source.read_bytes()
    source.write_bytes(b"")
    connection.push(source, target)
    assert phone.read(target) == b""


def test_what_a_phone_refuses_is_said(connection: Connection, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(5_000_000))
    with pytest.raises(DeviceError, match=r"/system/x: couldn't create file: Permission denied"):
        connection.push(source, "/system/x")
    assert connection.shell("echo still there").stdout == b"still there\n"


def test_a_full_phone(make_phone: MakePhone, via: Via, tmp_path: Path) -> None:
    phone = make_phone(quota_bytes=3_000_000)
    connection = open_connection(None, phone.address, via)
    source = tmp_path / "source"
    source.write_bytes(bytes(8_000_000))
    with pytest.raises(NoSpaceError, match="No space left on device"):
        connection.push(source, f"{TMP}/large")
    assert connection.stat(f"{TMP}/large") is None


def test_an_answer_that_is_cut_is_a_lost_phone_and_never_a_success(connection: Connection, phone: StandIn) -> None:
    for fault in ({"drop_exit": True}, {"cut_output_after": 4}, {"cut_after": "echo"}, {"cut_before": "echo"}):
        phone.fault(**fault)
        with pytest.raises(DeviceLostError):
            connection.shell("echo much too much")
        # The same connection finds the phone again, as soon as it answers.
        assert again(connection).shell("echo back").stdout == b"back\n"


def test_adbd_restarts_and_reboots(connection: Connection, phone: StandIn) -> None:
    boot = connection.shell("cat /proc/sys/kernel/random/boot_id").stdout
    # It has a session of its own once it has said so, and not before.
    connection.shell(
        f"setsid sh -c 'echo > {TMP}/pid; exec sleep 12345' >/dev/null 2>&1 </dev/null & "
        f"while [ ! -e {TMP}/pid ]; do sleep 0.02; done"
    )
    running = "ps | grep '[s]leep 12345'"
    phone.restart_adbd()
    assert again(connection).shell(running).exit_code == 0
    assert connection.shell("cat /proc/sys/kernel/random/boot_id").stdout == boot
    phone.halt()
    with pytest.raises(DeviceLostError):
        connection.shell("true")
    phone.boot()
    assert again(connection).shell("cat /proc/sys/kernel/random/boot_id").stdout != boot
    assert connection.shell(running).exit_code == 1
    assert float(connection.shell("cat /proc/uptime").stdout.split()[0]) < 160
    assert connection.stat(f"{TMP}/pid") is not None


def test_a_push_that_is_cut_is_a_lost_phone(connection: Connection, phone: StandIn, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(40_000_000))
    phone.fault(cut_after_bytes=10_000_000)
    with pytest.raises(DeviceLostError):
        connection.push(source, f"{TMP}/x")
    again(connection).push(source, f"{TMP}/x")
    seen = connection.stat(f"{TMP}/x")
    assert seen is not None and seen.size_bytes == 40_000_000


def test_nobody_is_there(via: Via) -> None:
    with pytest.raises(DeviceLostError, match="cannot connect"):
        open_connection(None, f"127.0.0.1:{free_port()}", via)


def test_a_phone_that_hangs_up_or_says_nothing(phone: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.measure.devices.adb.direct.CONNECT_S", 0.3)
    phone.fault(refuse=True)
    with pytest.raises(DeviceLostError, match="cannot connect"):
        open_connection(None, phone.address, "direct")
    phone.fault(refuse=False, silent=True)
    with pytest.raises(DeviceLostError, match="no answer"):
        open_connection(None, phone.address, "direct")


def test_execution_that_is_forbidden(connection: Connection, phone: StandIn) -> None:
    script = f"printf '#!/system/bin/sh\\nexit 5\\n' > {TMP}/x; chmod 755 {TMP}/x; {TMP}/x"
    assert connection.shell(script).exit_code == 5
    phone.forbid_execution()
    assert connection.shell(f"{TMP}/x").exit_code == 126
    phone.forbid_execution(False)
    assert connection.shell(f"{TMP}/x").exit_code == 5


def test_a_phone_that_does_not_trust_us(phone: StandIn, via: Via, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.measure.devices.adb.direct.ACCEPT_S", 0.3)
    phone.fault(auth="ask")
    with pytest.raises(UnauthorizedDeviceError, match="accept 'Allow USB debugging"):
        open_connection(None, phone.address, via)
    phone.fault(auth="accept")
    phone.restart_adbd()
    connection = again(None, phone, via)
    assert connection.shell("echo trusted").stdout == b"trusted\n"
    # The key is remembered: no dialog any more.
    phone.fault(auth="ask")
    phone.restart_adbd()
    assert again(connection).shell("echo again").stdout == b"again\n"


def test_a_dialog_that_is_accepted_in_time(phone: StandIn) -> None:
    phone.fault(auth="ask")
    threading.Timer(0.3, phone.accept).start()
    assert open_connection(None, phone.address, "direct").shell("echo yes").stdout == b"yes\n"


def test_android_6(make_phone: MakePhone, via: Via, tmp_path: Path) -> None:
    old = make_phone(ANDROID_6)
    connection = open_connection(None, old.address, via)
    done = connection.shell("echo out; echo err >&2; exit 7")
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\nerr\n", None)
    assert connection.shell("echo 'open quote").exit_code != 0
    words = ["a;id", "$(id)", "x y", "'", '"']
    assert connection.shell(shlex.join(["printf", "%s\\n", *words])).stdout.decode().split("\n")[:-1] == words
    with pytest.raises(DeviceError, match="takes no input"):
        connection.shell("cat", stdin=b"x")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_000))
    connection.push(source, f"{TMP}/x")
    seen = connection.stat(f"{TMP}/x")
    assert seen is not None and seen.size_bytes == 300_000 and connection.stat(f"{TMP}/y") is None
    assert old.read(f"{TMP}/x") == source.read_bytes()
    old.fault(cut_output_after=2)
    with pytest.raises(DeviceLostError):
        connection.shell("echo out")


def test_two_phones_at_once(make_phone: MakePhone, via: Via) -> None:
    phones = [make_phone(Phone(serial=f"S{i}", model=f"Model {i}")) for i in range(2)]
    connections = [open_connection(None, phone.address, via) for phone in phones]
    told = [connection.shell("getprop ro.product.model").stdout for connection in connections]
    assert told == [b"Model 0\n", b"Model 1\n"]


def test_what_is_attached(phone: StandIn, adb_server: int) -> None:
    open_connection(None, phone.address, "server")
    (seen,) = (one for one in attached() if one.serial == phone.address)
    assert (seen.state, seen.model, seen.product) == ("device", "CPH2581", "CPH2581")
    assert open_connection(phone.address, None).shell("echo by serial").stdout == b"by serial\n"
    with pytest.raises(DeviceLostError, match="not attached"):
        open_connection("x; reboot", None)


def test_a_server_that_cannot_be_had_is_no_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "none")
    assert attached() == ()
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    monkeypatch.setenv("ADBUTILS_ADB_PATH", "/none/adb")
    monkeypatch.setattr("adbutils.adb_path", lambda: "/none/adb")
    assert attached() == ()


def test_the_stand_in_serves_the_real_adb(phone: StandIn, adb_server: int, tmp_path: Path) -> None:
    from adbutils import adb_path

    def adb(*words: str) -> "subprocess.CompletedProcess[bytes]":
        argv = [adb_path(), "-P", str(adb_server), "-s", phone.address, *words]
        return subprocess.run(argv, capture_output=True, timeout=60, check=False)

    adb("connect", phone.address)
    done = adb("shell", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    assert adb("push", str(source), f"{TMP}/x").returncode == 0
    assert adb("pull", f"{TMP}/x", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert b"x" in adb("shell", "ls", TMP).stdout


def again(connection: Connection | None, phone: StandIn | None = None, via: Via = "server") -> Connection:
    """A connection once the phone answers: a server takes a moment to notice that one is back."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if connection is None:
                assert phone is not None
                connection = open_connection(None, phone.address, via)
            connection.shell("true")
        except DeviceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return connection


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
