"""The protocols of ADB on bytes alone: packets cut anywhere, answers cut in the middle, words that mean harm."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DeviceError, DeviceLostError, InputError, NoSpaceError, UnauthorizedDeviceError
from harness.measure.devices.adb import old_shell, shell_v2, sync
from harness.measure.devices.adb.address import Address, parse_address
from harness.measure.devices.adb.attached import Attached, parse_devices
from harness.measure.devices.adb.frames import FrameBlock, Head
from harness.measure.devices.adb.open import choose
from harness.measure.devices.adb.stream import Octets, checked_script, from_server, gone
from harness.measure.devices.phone.parsers.storage import parse_df

KINDS = st.sampled_from([shell_v2.STDOUT, shell_v2.STDERR])


class Told:
    """A stream that says what it was given, in pieces of any size, and keeps what is written."""

    name, block_bytes = "phone", 1 << 20

    def __init__(self, said: bytes, pieces: int = 7, *, hangs_up_on_write: bool = False) -> None:
        self.written = bytearray()
        self._said, self._pieces, self._hangs_up = said, pieces, hangs_up_on_write

    def within(self, seconds: float) -> None:
        assert seconds > 0

    def write(self, data: Octets) -> None:
        if self._hangs_up and self.written:
            raise gone(self.name, "the connection broke")
        self.written += data

    def write_frames(self, file: int, head: Head, frame_bytes: int) -> int:
        block, got = FrameBlock(head, frame_bytes, self.block_bytes).read(file)
        self.write(block)
        return got

    def read(self, most: int) -> bytes:
        most = min(most, self._pieces)
        said, self._said = self._said[:most], self._said[most:]
        return said

    def answered(self) -> bool:
        return False

    def close(self) -> None: ...


@given(st.lists(st.tuples(KINDS, st.binary(max_size=300))), st.integers(0, 255), st.integers(1, 50))
def test_a_command_says_the_same_however_its_packets_are_cut(
    packets: list[tuple[int, bytes]], code: int, pieces: int
) -> None:
    said = b"".join(shell_v2.pack(kind, data) for kind, data in packets) + shell_v2.pack(shell_v2.EXIT, bytes([code]))
    done = shell_v2.converse(Told(said, pieces), b"")
    assert done.exit_code == code
    assert done.stdout == b"".join(data for kind, data in packets if kind == shell_v2.STDOUT)
    assert done.stderr == b"".join(data for kind, data in packets if kind == shell_v2.STDERR)


@given(st.binary(max_size=200), st.integers(0, 255), st.data())
def test_a_command_whose_stream_is_cut_never_has_an_exit_code(output: bytes, code: int, data: st.DataObject) -> None:
    said = shell_v2.pack(shell_v2.STDOUT, output) + shell_v2.pack(shell_v2.EXIT, bytes([code]))
    kept = data.draw(st.integers(0, len(said) - 1))
    with pytest.raises(DeviceLostError, match="before the command told its exit code"):
        shell_v2.converse(Told(said[:kept]), b"")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_packets_are_a_lost_phone(said: bytes) -> None:
    try:
        done = shell_v2.converse(Told(said), b"")
    except DeviceLostError:
        return
    # Only an exit packet at the start of one can have been taken for the end.
    assert bytes([shell_v2.EXIT]) in said and 0 <= done.exit_code <= 255


def test_a_length_that_no_phone_sends_is_out_of_step() -> None:
    with pytest.raises(DeviceLostError, match="out of step"):
        shell_v2.converse(Told(struct.pack("<BI", 1, 1 << 31)), b"")


@given(st.binary(max_size=300_000))
def test_input_arrives_whole_and_ends(stdin: bytes) -> None:
    stream = Told(shell_v2.pack(shell_v2.EXIT, b"\0"))
    shell_v2.converse(stream, stdin)
    packets = list(shell_v2.Unpacker().feed(bytes(stream.written)))
    assert b"".join(packet.data for packet in packets[:-1]) == stdin
    assert packets[-1] == shell_v2.Packet(shell_v2.CLOSE_STDIN, b"")


def test_a_command_that_does_not_read_its_input_still_tells_its_exit_code() -> None:
    stream = Told(shell_v2.pack(shell_v2.EXIT, b"\3"), hangs_up_on_write=True)
    assert shell_v2.converse(stream, bytes(1 << 20)).exit_code == 3


OUTPUT = st.binary(max_size=100).filter(lambda output: b"\r" not in output)


@given(OUTPUT, st.integers(0, 255), st.sampled_from([b"\n", b"\r\n", b"\r\r\n"]), st.integers(1, 9))
def test_an_old_shell_has_its_line_ends_undone(output: bytes, code: int, end: bytes, pieces: int) -> None:
    said = (output + b"\nword:%d\n" % code).replace(b"\n", end)
    done = old_shell.converse(Told(said, pieces), "word")
    assert (done.exit_code, done.stdout, done.stderr) == (code, output, None)


@given(st.binary(max_size=50), st.data())
def test_an_old_shell_that_is_cut_is_a_lost_phone(output: bytes, data: st.DataObject) -> None:
    said = output + b"\r\nword:0\r\n"
    with pytest.raises(DeviceLostError):
        old_shell.converse(Told(said[: data.draw(st.integers(0, len(said) - 1))]), "word")


def test_an_old_shell_cannot_be_told_an_exit_code_by_the_command() -> None:
    token = old_shell.new_token()
    assert token != old_shell.new_token()
    assert old_shell.parse(b"\nbench-0000:0\n", token) is None


@pytest.mark.parametrize("script", ["a\0b", "x" * 101])
def test_a_script_that_would_arrive_cut_is_not_sent(script: str) -> None:
    with pytest.raises(DeviceError):
        checked_script("phone", script, 100)


def stat_v2(error: int = 0, mode: int = 0o100644, size: int = 0) -> bytes:
    return struct.pack("<4sIQQIIIIQqqq", b"STA2", error, 1, 2, mode, 1, 2000, 2000, size, 5, 6, 7)


def test_a_file_is_looked_at() -> None:
    stream = Told(stat_v2(size=5 << 30))
    seen = sync.stat(stream, "/a b", v2=True)
    assert seen is not None and (seen.size_bytes, seen.mode, seen.modified_s) == (5 << 30, 0o100644, 6)
    assert stream.written == b"STA2" + struct.pack("<I", 4) + b"/a b"
    assert sync.stat(Told(stat_v2(error=2)), "/a", v2=True) is None
    with pytest.raises(DeviceError, match="Permission denied"):
        sync.stat(Told(stat_v2(error=13)), "/a", v2=True)


def test_a_file_is_looked_at_before_android_8() -> None:
    seen = sync.stat(Told(struct.pack("<4sIII", b"STAT", 0o100600, 9, 3)), "/a", v2=False)
    assert seen is not None and (seen.size_bytes, seen.mode, seen.modified_s) == (9, 0o100600, 3)
    assert sync.stat(Told(struct.pack("<4sIII", b"STAT", 0, 0, 0)), "/a", v2=False) is None


def frames(written: bytes) -> tuple[bytes, list[bytes]]:
    """What a SEND says: the wish, and the data of its frames."""
    assert written[:4] == b"SEND"
    length = int.from_bytes(written[4:8], "little")
    wish, at, data = written[8 : 8 + length], 8 + length, []
    while written[at : at + 4] == b"DATA":
        size = int.from_bytes(written[at + 4 : at + 8], "little")
        assert 0 < size <= sync.DATA_BYTES
        data.append(written[at + 8 : at + 8 + size])
        at += 8 + size
    assert written[at : at + 4] == b"DONE" and at + 8 == len(written)
    return wish, data


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 15 * 65536, 15 * 65536 + 1, 40 * 65536 - 1])
def test_a_file_is_sent_in_frames(tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    source.chmod(0o640)
    stream, told = Told(b"OKAY" + bytes(4)), list[int]()
    sync.send(stream, source, "/to,here", told.append)
    wish, data = frames(bytes(stream.written))
    assert wish == b"/to,here,%d" % 0o100640
    assert b"".join(data) == source.read_bytes()
    assert told[-1:] == ([size] if size else []) and told == sorted(told)


def test_a_phone_that_refuses_is_heard(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(3 << 20))
    message = b"write failed: No space left on device"
    failure = b"FAIL" + struct.pack("<I", len(message)) + message
    for hangs_up in (False, True):
        with pytest.raises(NoSpaceError, match="/there: write failed: No space left on device"):
            sync.send(Told(failure, hangs_up_on_write=hangs_up), source, "/there")
    with pytest.raises(DeviceError, match="couldn't create file"):
        sync.send(Told(b"FAIL" + struct.pack("<I", 20) + b"couldn't create file"), source, "/there")
    with pytest.raises(DeviceLostError):
        sync.send(Told(b"OK", hangs_up_on_write=True), source, "/there")


@pytest.mark.parametrize("path", ["/" + "x" * 1024, "/a\0b"])
def test_a_path_that_a_phone_would_cut_is_not_sent(path: str) -> None:
    stream = Told(b"")
    with pytest.raises(DeviceError, match="not a path"):
        sync.stat(stream, path, v2=True)
    assert not stream.written


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("10.0.0.7", "10.0.0.7", 5555), ("rack-3.lab:5037", "rack-3.lab", 5037), ("[fe80::1]:77", "fe80::1", 77)],
)
def test_an_address(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)
    assert parse_address(str(parse_address(text))) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["", "a b", "a;reboot", "$(id)", "host:", "host:0", "host:65536", "host:x", "-P:1", "a:1:2"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no address"):
        parse_address(text)


LONG_LIST = """\
0A271FDD4002NL         device usb:1-2 product:husky model:Pixel_8_Pro device:husky transport_id:4
127.0.0.1:40123        offline product:CPH2581 model:CPH2581 device:OP5929L1 transport_id:12
R5CT1234               unauthorized usb:3-1 transport_id:2
????????????           no permissions (user in plugdev group; are your udev rules wrong?); see [http://x/y] usb:1-1 transport_id:1
"""  # noqa: E501


def test_what_is_attached_as_adb_36_lists_it() -> None:
    seen = {one.serial: one for one in parse_devices(LONG_LIST)}
    assert seen["0A271FDD4002NL"] == Attached(
        serial="0A271FDD4002NL", state="device", model="Pixel_8_Pro", product="husky", transport_id=4
    )
    assert (seen["R5CT1234"].state, seen["R5CT1234"].model) == ("unauthorized", None)
    assert seen["127.0.0.1:40123"].state == "offline"
    assert seen["????????????"].state.startswith("no permissions (user in plugdev group")


@given(st.text(max_size=200))
def test_any_list_is_read(text: str) -> None:
    for one in parse_devices(text):
        assert one.serial and not any(c.isspace() for c in one.serial)


def test_the_phone_that_is_meant() -> None:
    ready, dark = Attached(serial="A", state="device"), Attached(serial="B", state="offline")
    strange = Attached(serial="C", state="unauthorized")
    assert choose("A", (ready, dark, strange)) == choose(None, (ready,)) == ready
    for serial, there, error, words in (
        (None, (ready, dark), InputError, "name one by its serial .*A .device., B .offline."),
        ("A; reboot", (ready,), DeviceLostError, "not attached .attached: A"),
        (None, (), DeviceLostError, "none"),
        ("B", (ready, dark), DeviceLostError, "offline"),
        ("C", (strange,), UnauthorizedDeviceError, "Allow USB debugging"),
    ):
        with pytest.raises(error, match=words):
            choose(serial, there)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set", UnauthorizedDeviceError),
        ("device still authorizing", DeviceLostError),
        ("device offline", DeviceLostError),
        ("device 'x' not found", DeviceLostError),
        ("closed", DeviceLostError),
        ("", DeviceLostError),
    ],
)
def test_what_the_server_says_is_one_line_of_ours(message: str, error: type[DeviceError]) -> None:
    made = from_server("phone", message)
    assert type(made) is error and str(made).startswith("phone: ") and "\n" not in str(made)


TOYBOX = """\
Filesystem       1K-blocks     Used Available Use% Mounted on
/dev/block/dm-52 113226732 22001420  91094240  20% /data/user/0
"""
BUSYBOX = """\
Filesystem           1K-blocks      Used Available Use% Mounted on
/dev/a/very/long/name/of/it
                       976        12       964   1% /data
"""
ANDROID_6 = """\
Filesystem               Size     Used     Free   Blksize
/data                   10.9G     1.3G     9.6G   4096
"""


@pytest.mark.parametrize(
    ("text", "free"), [(TOYBOX, 91094240 << 10), (BUSYBOX, 964 << 10), (ANDROID_6, int(9.6 * 2**30)), ("", None)]
)
def test_free_space_as_toybox_busybox_and_android_6_tell_it(text: str, free: int | None) -> None:
    assert parse_df(text) == free
