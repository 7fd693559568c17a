"""The script that runs on a phone: put together, installed under its hash, and asked.

Its parts are `script/*.sh`; on the phone they are one file. A job that runs keeps the file it was started with:
another version is another file.
"""

import hashlib
import secrets
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from harness.errors import DeviceBusyError, DeviceError
from harness.measure.devices.adb.connection import Completed, Connection
from harness.measure.devices.phone.place import place

ROOT = "/data/local/tmp/bench"
PARTS = ("base", "lock", "conf", "settings", "sensors", "gate", "sampler", "job", "host")
BUSY = 75
Said = TypeVar("Said")


class Wrapper(msgspec.Struct, frozen=True, kw_only=True):
    """An installed script."""

    path: str
    root: str = ROOT
    """Folder of everything on the phone: the lock, the jobs, what settings were saved."""
    environment: dict[str, str] = {}
    """For tests: `SYSROOT` is put before the paths of sensors and of /proc."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a phone's lock."""

    owner: str
    alive: bool
    """Its process runs; else the lock is only kept until it expires."""
    left_s: int
    """Until it expires; may be negative while its process runs."""


def script() -> bytes:
    """The whole script."""
    folder = Path(__file__).parent / "script"
    return b"\n".join((folder / f"{part}.sh").read_bytes() for part in PARTS)


def install(connection: Connection, root: str = ROOT, environment: dict[str, str] | None = None) -> Wrapper:
    """Bring the script to the phone unless it is there.

    Raises:
        DeviceError, DeviceLostError, NoSpaceError: as `place`.
    """
    content = script()
    sha256 = hashlib.sha256(content).hexdigest()
    path = f"{root}/wrapper-{sha256[:16]}.sh"
    with _file(content) as source:
        # Before the lock: another host may be doing the same.
        place(connection, source, path, sha256, mark=f".{secrets.token_hex(4)}")
    return Wrapper(path=path, root=root, environment=environment or {})


def write(connection: Connection, content: bytes, path: str) -> None:
    """A small file as a whole: pushed beside its place and renamed."""
    part = f"{path}.part"
    with _file(content) as source:
        connection.push(source, part)
    done = connection.shell(shlex.join(["mv", "-f", part, path]))
    if done.exit_code != 0:
        raise DeviceError(f"{connection.name}: cannot write {path}: {complaint(done)}")


def command(wrapper: Wrapper, *words: str) -> str:
    """The command line of one call, quoted."""
    environment = {"BENCH_ROOT": wrapper.root, **wrapper.environment}
    assignments = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    return " ".join([*assignments, shlex.join(["sh", wrapper.path, *words])])


def ask(connection: Connection, wrapper: Wrapper, *words: str, answer: type[Said], timeout_s: float = 60.0) -> Said:
    """Call the script and read the one line that it prints.

    Raises:
        DeviceBusyError: another owner holds the phone.
        DeviceError: the call failed, or its answer is not understood.
        DeviceLostError: the phone is out of reach; what was asked may have happened.
    """
    done = connection.shell(command(wrapper, *words), timeout_s=timeout_s)
    line = (done.stdout.strip().splitlines() or [b""])[-1]
    if done.exit_code == BUSY:
        raise DeviceBusyError(busy(connection.name, line))
    if done.exit_code != 0:
        why = complaint(done)
        raise DeviceError(f"{connection.name}: `{words[0]}` on the phone ended with {done.exit_code}: {why}")
    try:
        return msgspec.json.decode(line, type=answer)
    except (msgspec.MsgspecError, RecursionError) as error:
        text = line.decode(errors="replace")
        what = f"the phone's answer to `{words[0]}` is not understood ({error}): {text}"
        raise DeviceError(f"{connection.name}: {what}") from error


def busy(name: str, line: bytes) -> str:
    """A message for people: who holds the phone, and until when."""
    try:
        holder = msgspec.json.decode(line, type=Holder)
    except (msgspec.MsgspecError, RecursionError):
        return f"{name} is in use by another run of bench; wait for its end"
    if holder.alive:
        return f"{name} is in use: {holder.owner} runs on it; wait for its end or stop that run"
    return f"{name} is in use: {holder.owner} holds it for another {holder.left_s} s; wait, or continue that run"


def complaint(done: Completed) -> str:
    """What a failed command said, in one piece."""
    said = (done.stderr or b"").strip() or done.stdout.strip() or b"no message"
    return said.decode(errors="replace")


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield Path(file.name)
