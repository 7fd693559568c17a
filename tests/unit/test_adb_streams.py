"""Both streams of ADB on a pair of sockets: nothing is lost, nobody waits for the other, and a limit is one."""

import base64
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from adb_shell.auth.keygen import encode_pubkey

from harness.errors import DeviceError, DeviceLostError, SetupError
from harness.measure.devices.adb import keys
from harness.measure.devices.adb.direct_stream import DirectStream
from harness.measure.devices.adb.direct_transport import OutOfStepError, Transport
from harness.measure.devices.adb.frames import FrameBlock
from harness.measure.devices.adb.keys import public_key, signers
from harness.measure.devices.adb.socket_stream import SocketStream
from tests.standin.wire import pack_header, read_packet, signed

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    yield ours, theirs
    ours.close()
    theirs.close()


def over(ours: socket.socket) -> Transport:
    transport = Transport("phone", 5555)
    transport._connection = ours
    ours.setblocking(False)
    return transport


def beside(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def all_of(connected: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += connected.recv(length - len(data))
    return data


def test_a_write_larger_than_any_buffer_arrives_whole(pair: Pair) -> None:
    ours, theirs = pair
    data = bytes(range(256)) * 8192
    got: list[bytes] = []
    thread = beside(lambda: got.append(all_of(theirs, 2 * len(data) + 3)))
    transport = over(ours)
    assert transport.write_all([data[:1], b"", data[1:], b"abc"], 30) == len(data) + 3
    assert transport.bulk_write(data, 30) == len(data)
    thread.join(30)
    assert got == [data + b"abc" + data]


def test_a_read_is_whole_or_an_error(pair: Pair) -> None:
    ours, theirs = pair
    transport = over(ours)
    theirs.sendall(b"abcdef")
    assert transport.bulk_read(4, 5) == b"abcd"
    assert transport.readable()
    with pytest.raises(TimeoutError):
        transport.bulk_read(4, 0.05)
    assert not transport.readable()
    with pytest.raises(TimeoutError):
        transport.bulk_write(bytes(10_000_000), 0.05)
    theirs.close()
    with pytest.raises(OSError, match=r"hung up|reset"):
        transport.bulk_read(1, 5)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request", struct.pack("<4s5I", b"WRTE", 1, 1, 2 << 20, 0, 0)])
def test_what_is_no_packet_is_out_of_step(pair: Pair, said: bytes) -> None:
    ours, theirs = pair
    theirs.sendall(said)
    with pytest.raises(OutOfStepError, match="does not speak ADB"):
        over(ours).read_packet(5)


@pytest.mark.parametrize("version", [0x01000000, 0x01000001])
def test_a_packet_has_its_sum_where_the_phone_looks_at_it(pair: Pair, version: int) -> None:
    ours, theirs = pair
    transport = over(ours)
    transport.send_packet(b"WRTE", 3, 4, b"\xff" * 100, checksum=version == 0x01000000, timeout_s=5)
    packet = read_packet(theirs, check_sum=version == 0x01000000)
    assert packet == (b"WRTE", 3, 4, b"\xff" * 100)
    head = pack_header(b"OKAY", 1, 2, b"yes", version)
    theirs.sendall(head + b"yes")
    seen = transport.read_packet(5)
    assert (seen.command, seen.first, seen.second, seen.data) == (b"OKAY", 1, 2, b"yes")


def direct(ours: socket.socket, lost: Callable[[], None] = lambda: None) -> DirectStream:
    return DirectStream("phone", over(ours), 7, block_bytes=100, checksum=False, lost=lost)


def say(theirs: socket.socket, command: bytes, first: int, second: int, data: bytes = b"") -> None:
    theirs.sendall(pack_header(command, first, second, data, 0x01000001) + data)


def test_a_service_in_packets(pair: Pair) -> None:
    ours, theirs = pair
    stream = direct(ours)
    say(theirs, b"CLSE", 99, 6)  # of a service before
    say(theirs, b"OKAY", 40, 7)
    stream.open(b"sync:")
    say(theirs, b"WRTE", 40, 7, b"hello")
    say(theirs, b"OKAY", 40, 7)
    stream.write(b"x" * 150)
    assert stream.answered() and stream.read(2) == b"he" and stream.read(9) == b"llo" and not stream.answered()
    said = [read_packet(theirs, check_sum=False) for _ in range(4)]
    assert [(one.command, one.first, one.second, len(one.data)) for one in said if one] == [
        (b"OPEN", 7, 0, 6),
        (b"WRTE", 7, 40, 100),
        (b"OKAY", 7, 40, 0),
        (b"WRTE", 7, 40, 50),
    ]
    say(theirs, b"CLSE", 40, 7)
    assert stream.read(1) == b"" and stream.answered()
    with pytest.raises(DeviceLostError, match="ended the service"):
        stream.write(b"more")


def test_a_service_that_is_refused_is_no_lost_phone(pair: Pair) -> None:
    ours, theirs = pair
    say(theirs, b"CLSE", 0, 7)
    with pytest.raises(DeviceError, match="refuses 'shell,v2,raw'") as caught:
        direct(ours).open(b"shell,v2,raw:true")
    assert not isinstance(caught.value, DeviceLostError)


def test_a_service_that_is_silent_is_given_up_with_its_connection(pair: Pair) -> None:
    lost: list[bool] = []
    stream = direct(pair[0], lambda: lost.append(True))
    stream.within(0.05)
    with pytest.raises(DeviceLostError, match=r"no answer within 0\.05 s"):
        stream.open(b"sync:")
    assert lost


def test_two_sides_that_both_write_do_not_wait_for_each_other(pair: Pair) -> None:
    ours, theirs = pair
    stream, data = SocketStream("phone", ours), bytes(3_000_000)
    back: list[bytes] = []

    def answer_first() -> None:
        theirs.sendall(data)
        back.append(all_of(theirs, len(data)))

    thread = beside(answer_first)
    stream.write(data)
    assert stream.answered()
    got = b""
    while len(got) < len(data):
        got += stream.read(70_000)
    thread.join(30)
    assert got == data and back == [data] and not stream.answered()


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000, 250_001])
def test_frames_of_a_file_are_the_same_by_both_streams(tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))

    def head(length: int) -> bytes:
        return b"<%5d>" % length

    whole = source.read_bytes()
    wanted = b"".join(head(len(whole[i : i + 100])) + whole[i : i + 100] for i in range(0, size, 100))
    ours, theirs = socket.socketpair()
    stream = SocketStream("phone", ours)
    got: list[bytes] = []
    thread = beside(lambda: got.append(all_of(theirs, len(wanted))))
    with open(source, "rb", buffering=0) as file:
        sent = [0]
        while done := stream.write_frames(file.fileno(), head, 100):
            sent.append(done)
    thread.join(30)
    assert sum(sent) == size and got == [wanted]
    with open(source, "rb", buffering=0) as file:
        block = FrameBlock(head, 100, 1000)
        again = b""
        while (frames := block.read(file.fileno()))[1]:
            again += frames[0]
    assert again == wanted
    ours.close()
    theirs.close()


def test_a_socket_that_is_silent_or_gone_is_a_lost_phone(pair: Pair, tmp_path: Path) -> None:
    ours, theirs = pair
    stream = SocketStream("phone", ours)
    for act in (lambda: stream.read(1), lambda: stream.write(bytes(10_000_000))):
        stream.within(0.05)
        with pytest.raises(DeviceLostError, match="no answer within"):
            act()
    source = tmp_path / "source"
    source.write_bytes(bytes(10_000_000))
    with open(source, "rb") as file:
        stream.within(0.05)
        with pytest.raises(DeviceLostError, match="no answer within"):
            stream.write_frames(file.fileno(), lambda length: b"head", 65536)
    theirs.close()
    stream.within(5)
    with open(source, "rb") as file, pytest.raises(DeviceLostError, match="broke"):
        stream.write_frames(file.fileno(), lambda length: b"head", 65536)
    with pytest.raises(DeviceLostError, match="broke"):
        stream.write(b"x" * 100_000)


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANDROID_USER_HOME", str(tmp_path / "android"))
    return tmp_path


def test_a_key_is_made_once_and_only_its_owner_reads_it(homes: Path) -> None:
    (first,), (again,) = signers(), signers()
    assert first.GetPublicKey() == again.GetPublicKey()
    path = homes / "cache" / "adb" / "adbkey"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = first.GetPublicKey()
    keygen = encode_pubkey(str(path))
    assert base64.b64decode(key.split()[0]) == keygen
    token = bytes(range(20))
    assert signed(key.encode(), token, first.Sign(token)) and not signed(key.encode(), token[::-1], first.Sign(token))


def test_the_users_own_key_comes_first(homes: Path) -> None:
    (homes / "android").mkdir()
    users = homes / "android" / "adbkey"
    keys._make(users)
    assert signers()[0].GetPublicKey() == public_key(users.read_text())
    assert not (homes / "cache").exists()
    users.write_text("no key")
    with pytest.raises(SetupError, match=r"cannot use the adb key .*adbkey: .*move it away"):
        signers()
