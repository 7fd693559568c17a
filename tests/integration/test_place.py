"""Files brought to their place on a phone: skipped, resumed, verified, and every fault in every phase of it."""

import hashlib
import os
import struct
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from harness.errors import DeviceError, DeviceLostError, NoSpaceError, UnauthorizedDeviceError
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.adb.open import Via, open_connection
from harness.measure.devices.phone import place as module
from harness.measure.devices.phone.place import PlaceResult, place
from tests.integration.test_adb import TMP, again
from tests.standin.device import StandIn
from tests.standin.fixtures import MakePhone
from tests.standin.phone import ANDROID_6

TARGET = f"{TMP}/bench/files/it's a model"
SIZE = 5_000_000


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five pieces of a megabyte."""
    monkeypatch.setattr(module, "PIECE_BYTES", 1_000_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(SIZE))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def put(connection: Connection, source: Path, told: list[int] | None = None) -> PlaceResult:
    on_bytes = told.append if told is not None else None
    return place(connection, source, TARGET, sha256(source), on_bytes)


def leftovers(connection: Connection) -> list[bytes]:
    """What lies beside the file itself."""
    return connection.shell(f'ls {TMP}/bench/files | grep -v -x "it\'s a model"').stdout.splitlines()


def test_a_file_is_sent_once_and_is_the_same(connection: Connection, phone: StandIn, source: Path) -> None:
    told: list[int] = []
    assert put(connection, source, told) == PlaceResult(
        target=TARGET, size_bytes=SIZE, sent_bytes=SIZE, kept_bytes=0, unverified=None
    )
    assert phone.read(TARGET) == source.read_bytes()
    assert told == sorted(told) and told[-1] == SIZE
    assert leftovers(connection) == []
    told.clear()
    assert put(connection, source, told).sent_bytes == 0 and not told


def test_another_file_of_the_same_size_is_replaced(connection: Connection, phone: StandIn, source: Path) -> None:
    put(connection, source)
    source.write_bytes(os.urandom(SIZE))
    assert put(connection, source).sent_bytes == SIZE
    assert phone.read(TARGET) == source.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 999_999, 1_000_000, 1_000_001])
def test_sizes_around_a_piece(connection: Connection, phone: StandIn, source: Path, size: int) -> None:
    source.write_bytes(os.urandom(size))
    assert put(connection, source).size_bytes == size
    assert phone.read(TARGET) == source.read_bytes()


@pytest.mark.parametrize("kept", [1, 1_000_000, 2_345_678, SIZE])
def test_a_part_of_it_that_is_there_is_kept(connection: Connection, phone: StandIn, source: Path, kept: int) -> None:
    phone.write(f"{TARGET}.part", source.read_bytes()[:kept])
    phone.write(f"{TARGET}.piece", b"left over")
    told: list[int] = []
    result = put(connection, source, told)
    assert (result.kept_bytes, result.sent_bytes) == (kept, SIZE - kept)
    assert phone.read(TARGET) == source.read_bytes()
    assert all(done > kept for done in told)


@pytest.mark.parametrize("part", [b"x" * 2_000_000, b"x" * (SIZE + 1), b""])
def test_a_part_of_something_else_is_not(connection: Connection, phone: StandIn, source: Path, part: bytes) -> None:
    phone.write(f"{TARGET}.part", part)
    assert put(connection, source).kept_bytes == 0
    assert phone.read(TARGET) == source.read_bytes()
    assert leftovers(connection) == []


FAULTS: dict[str, dict[str, object]] = {
    "cable pulled before anything": {"cut_before": "sync:"},
    "cable pulled in the first piece": {"cut_after_bytes": 500_000},
    "cable pulled in a later piece": {"cut_after_bytes": 2_500_000},
    "cable pulled, and adbd keeps what it got": {"cut_after_bytes": 500_000, "keep_partial": True},
    "cable pulled while appending": {"cut_after": "cat "},
    "cable pulled before appending": {"cut_before": "cat "},
    "cable pulled while verifying": {"cut_after": "sha256sum"},
    "no exit code while appending": {"drop_exit": True},
    "cable pulled while renaming": {"cut_after": "mv -f"},
    "cable pulled before renaming": {"cut_before": "mv -f"},
    "output cut": {"cut_output_after": 1},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_after_a_fault_the_same_call_goes_on(
    connection: Connection, phone: StandIn, source: Path, fault: dict[str, object]
) -> None:
    phone.fault(**fault)
    try:
        result = put(connection, source)
    except DeviceLostError:
        result = put(again(connection), source)
        if fault.get("cut_after_bytes") == 2_500_000:
            assert result.kept_bytes >= 1_000_000
    assert result.size_bytes == SIZE
    assert not any(phone.switch(name) for name in fault if name != "keep_partial"), "the fault never happened"
    assert phone.read(TARGET) == source.read_bytes()
    assert leftovers(connection) == []


def test_a_reboot_in_the_middle(connection: Connection, phone: StandIn, source: Path) -> None:
    def reboot(done: int) -> None:
        if done == 3_000_000:
            phone.halt()

    with pytest.raises(DeviceLostError):
        place(connection, source, TARGET, sha256(source), reboot)
    phone.boot()
    assert put(again(connection), source).kept_bytes >= 2_000_000
    assert phone.read(TARGET) == source.read_bytes()


def test_trust_that_ends_in_the_middle(phone: StandIn, via: Via, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.measure.devices.adb.direct.ACCEPT_S", 0.3)
    connection = open_connection(None, phone.address, via)

    def revoke(done: int) -> None:
        if done == 3_000_000:
            phone.fault(auth="ask")
            phone.restart_adbd()

    with pytest.raises(DeviceLostError):
        place(connection, source, TARGET, sha256(source), revoke)
    with pytest.raises(UnauthorizedDeviceError, match="Always allow"):
        for _ in range(100):  # the server first notices that the phone is gone
            with suppress(DeviceLostError):
                put(connection, source)
    phone.accept()
    phone.restart_adbd()
    assert put(again(connection), source).kept_bytes >= 2_000_000
    assert phone.read(TARGET) == source.read_bytes()


def test_a_phone_without_room_is_not_begun_with(make_phone: MakePhone, via: Via, source: Path) -> None:
    phone = make_phone(quota_bytes=10_000_000)
    connection = open_connection(None, phone.address, via)
    with pytest.raises(NoSpaceError, match=r"needs 23 MB there, and 10 MB are free"):
        put(connection, source)
    assert leftovers(connection) == []


@pytest.mark.parametrize("quota", [600_000, 2_500_000, 3_900_000])
def test_room_that_goes_meanwhile(
    make_phone: MakePhone, via: Via, source: Path, quota: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE_BYTES", -SIZE * 2)
    phone = make_phone(quota_bytes=quota)
    connection = open_connection(None, phone.address, via)
    phone.write(f"{TMP}/bench/files/somebody else's", b"x" * 10_000)
    with pytest.raises(NoSpaceError, match="No space left on device"):
        put(connection, source)
    # Only what was ours is gone.
    assert leftovers(connection) == [b"somebody else's"]
    phone.limit_space(20_000_000)
    assert put(connection, source).sent_bytes == SIZE


def test_what_arrives_damaged_is_removed(connection: Connection, source: Path) -> None:
    with pytest.raises(DeviceError, match="arrived damaged"):
        place(connection, source, TARGET, "0" * 64)
    assert connection.stat(TARGET) is None and leftovers(connection) == []


def test_a_place_that_is_none(connection: Connection, phone: StandIn, source: Path) -> None:
    phone.write(f"{TARGET}/inside", b"")
    with pytest.raises(DeviceError, match="is a folder there"):
        put(connection, source)
    with pytest.raises(DeviceError, match=r"mkdir -p /proc/x: exit code 1: .*"):
        place(connection, source, "/proc/x/file", sha256(source))


def test_android_6_without_a_hash(make_phone: MakePhone, via: Via, source: Path) -> None:
    phone = make_phone(ANDROID_6)
    connection = open_connection(None, phone.address, via)
    connection.shell("rm /system/bin/sha256sum")
    result = put(connection, source)
    assert result.unverified == "the phone has no sha256sum: only the size was compared"
    assert phone.read(TARGET) == source.read_bytes()
    assert put(connection, source).sent_bytes == SIZE, "what cannot be compared is not believed"


def exits_with(code: int) -> bytes:
    """The smallest static program of aarch64: `mov x0, code; mov x8, 93; svc 0`."""
    text = struct.pack("<3I", 0xD2800000 | code << 5, 0xD2800000 | 93 << 5 | 8, 0xD4000001)
    base, start = 0x400000, 64 + 56
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 0xB7, 1, base + start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    size = start + len(text)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + text


def test_a_program_of_aarch64_runs(make_phone: MakePhone, via: Via, tmp_path: Path) -> None:
    phone = make_phone(aarch64=True)
    connection = open_connection(None, phone.address, via)
    program = tmp_path / "program"
    program.write_bytes(exits_with(42))
    put(connection, program)
    assert connection.shell(module.quote(TARGET)).exit_code == 126
    program.chmod(0o700)
    assert put(connection, program).sent_bytes == 0
    assert connection.shell(module.quote(TARGET)).exit_code == 42
    phone.forbid_execution()
    assert connection.shell(module.quote(TARGET)).exit_code == 126
    phone.forbid_execution(False)
    phone.reboot()
    assert again(connection).shell(module.quote(TARGET)).exit_code == 42


def test_a_result_is_a_value(connection: Connection, source: Path) -> None:
    result = put(connection, source)
    assert msgspec.json.decode(msgspec.json.encode(result), type=PlaceResult) == result
