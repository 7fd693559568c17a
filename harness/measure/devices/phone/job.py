"""A program on a phone that goes on without its host: started once, looked at, fetched bit by bit."""

import math
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import msgspec

from harness.errors import DeviceError, DeviceLostError, InputError
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone.gate import GateEnd, GateWish, Zones, zone_lines
from harness.measure.devices.phone.gate import conf_lines as gate_lines
from harness.measure.devices.phone.settings import SettingsWish
from harness.measure.devices.phone.settings import conf_lines as settings_lines
from harness.measure.devices.phone.wrapper import Wrapper, ask, complaint, write

OVERLAP = 1024
MOST_BYTES = 8 << 20
"""Fetched by one command."""
NO_FILE = 44
STOP_S = 60.0


class SamplerWish(msgspec.Struct, frozen=True, kw_only=True):
    """How often the sampler looks."""

    period_s: float = 1.0
    status_s: int = 30
    """Seconds between two questions to the thermal and battery services, which wake the system; 0: never."""


class JobWish(msgspec.Struct, frozen=True, kw_only=True):
    """A program, and what is done around it. All paths are the phone's."""

    folder: str
    """Below the root; `events.jsonl` and `answers.jsonl` in it are told of by `poll`."""
    owner: str
    """Holds the lock; the same for all jobs of one run, also of a resumed one."""
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    limit_s: float
    """Counted in looks at the program, `poll_s` apart: while a phone sleeps, its program has no time."""
    cores: tuple[int, ...] = ()
    """The program may run on; empty: as the system likes."""
    little_cores: tuple[int, ...] = ()
    """The sampler and the supervisor run on."""
    expire_s: int = 300
    """Until the lock of a job that died with all its processes may be taken by others."""
    keep_s: int = 0
    """After the job the lock stays with its owner for so long, for its next job."""
    poll_s: float = 1.0
    settings: SettingsWish | None = None
    zones: Zones = Zones()
    gate: GateWish | None = None
    sampler: SamplerWish | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended, in the phone's uptime."""

    code: int | None
    """As a shell tells it, 128 + N for signal N; None: nobody was left to see it."""
    signal: int | None
    cause: Literal["ended", "timed_out", "stopped", "lost"]
    start_ms: int | None
    end_ms: int | None
    boot_id: str


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """What a job looks like from outside."""

    phase: Literal["absent", "gate", "running", "ended", "gone"]
    """`ended`: nothing of it runs and its end is in `rc`; `gone`: it was lost, by a reboot or all its processes'
    death, and has no end."""
    pid: int | None
    rc: Ended | None
    gate: GateEnd | None
    affinity: str | None
    """Cores that the program could really use, as the kernel lists them."""
    settings_changed: bool
    """The phone's settings are not its own at the moment: `recover` once no job runs."""
    bytes: dict[str, int]
    """Of each file that can be fetched and is there."""
    uptime_ms: int | None
    boot_id: str


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What was left by a dead wrapper or an earlier boot, and what became of it."""

    recover: Literal["gate", "running", "adopted", "done"]
    """`adopted`: a program still ran and has a supervisor again; `gate`, `running`: it never lost it."""
    job: str | None = None
    settings: Literal["none", "yes", "failed"] | None = None


class _Started(msgspec.Struct, frozen=True, kw_only=True):
    start: Literal["started", "already"]


def conf(wish: JobWish) -> str:
    """The job's wrapper.conf."""
    lines = [
        f"owner {wish.owner}",
        f"limit_turns {math.ceil(wish.limit_s / wish.poll_s)}",
        f"expire_s {wish.expire_s}",
        f"keep_s {wish.keep_s}",
        f"poll_s {wish.poll_s:g}",
    ]
    if wish.cores:
        lines.append(f"mask {mask(wish.cores)}")
    if wish.little_cores:
        lines.append(f"little_mask {mask(wish.little_cores)}")
    lines += zone_lines(wish.zones)
    if wish.settings is not None:
        lines += settings_lines(wish.settings)
    if wish.gate is not None:
        lines += gate_lines(wish.gate)
    if wish.sampler is not None:
        lines += [f"sample_s {wish.sampler.period_s:g}", f"status_s {wish.sampler.status_s}"]
    if any(not line.isprintable() for line in lines):
        raise InputError(f"a setting of job {wish.folder} holds a line break or the like")
    return "\n".join(lines) + "\n"


def prepare(connection: Connection, wish: JobWish) -> None:
    """Write the job's folder and its wrapper.conf."""
    write(connection, conf(wish).encode(), f"{wish.folder}/wrapper.conf")


def start(connection: Connection, wrapper: Wrapper, wish: JobWish) -> bool:
    """Start a job; False when it was started before, as after a lost answer.

    Raises:
        DeviceBusyError: another owner holds the phone, or a program of an earlier job still runs.
        DeviceLostError: the phone is out of reach; call again, it starts once.
    """
    if poll(connection, wrapper, wish.folder).phase != "absent":
        return False
    prepare(connection, wish)
    argv = ["env", *(f"{name}={value}" for name, value in wish.env.items())] if wish.env else []
    words = ("start", wish.folder, "--", *argv, *wish.argv)
    return ask(connection, wrapper, *words, answer=_Started).start == "started"


def poll(connection: Connection, wrapper: Wrapper, folder: str) -> JobState:
    """Look at a job."""
    return ask(connection, wrapper, "state", folder, answer=JobState)


def stop(connection: Connection, wrapper: Wrapper, folder: str) -> JobState:
    """End a job and wait until its settings are restored."""
    return ask(connection, wrapper, "stop", folder, answer=JobState, timeout_s=STOP_S)


def clear(connection: Connection, wrapper: Wrapper, folder: str) -> JobState:
    """Make an ended or lost job's folder ready for another start; events and answers stay.

    Raises:
        DeviceBusyError: it runs.
    """
    return ask(connection, wrapper, "clear", folder, answer=JobState)


def recover(connection: Connection, wrapper: Wrapper, owner: str) -> Recovered:
    """Put back what a dead wrapper or an earlier boot left, or give a running program its supervisor again.

    Raises:
        DeviceBusyError: another owner holds the phone.
        DeviceError: a setting cannot be put back; try again later.
    """
    return ask(connection, wrapper, "recover", owner, answer=Recovered, timeout_s=STOP_S)


def mask(cores: Collection[int]) -> str:
    """Cores as taskset's hexadecimal mask."""
    return f"{sum(1 << core for core in set(cores)):x}"


def parse_cores(text: str) -> frozenset[int]:
    """The kernel's list of cores, such as `0-3,7`.

    Raises:
        ValueError: it is none.
    """
    cores: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if not 0 <= low <= high < 4096:
            raise ValueError(f"no list of cores: {text!r}")
        cores |= set(range(low, high + 1))
    return frozenset(cores)


def fetch_new(connection: Connection, remote: str, local: Path) -> int:
    """Append to `local` what the phone's file has beyond it; the number of bytes by which it grew.

    What is there already must be the beginning of the phone's file. A last line that the phone's program cut off
    because it was torn is cut off here too. A file that is not there yet is 0 bytes long. After a lost connection
    call again.

    Raises:
        DeviceError: the phone's file is another one than what was fetched before, or cannot be read.
        DeviceLostError: the phone is out of reach, or the answer was cut.
    """
    before = _size(local)
    cut = False
    while True:
        have = _size(local)
        overlap = _end(local, min(have, OVERLAP))
        got = _read_from(connection, remote, have - len(overlap))
        if got is None and have == 0:
            return 0
        if got is not None and got[: len(overlap)] == overlap:
            with open(local, "ab") as file:
                file.write(got[len(overlap) :])
            if len(got) < MOST_BYTES:
                return _size(local) - before
        elif not cut and _cut_torn_line(local):
            cut = True
        else:
            raise DeviceError(
                f"{connection.name}: {remote} does not begin as what was fetched of it before: remove {local} "
                "to fetch it anew"
            )


def _read_from(connection: Connection, remote: str, offset: int) -> bytes | None:
    """Bytes from `offset` on, at most MOST_BYTES; None when there is no such file. Its growth meanwhile is left."""
    script = (
        f'f={shlex.quote(remote)}; [ -e "$f" ] || exit {NO_FILE}\n'
        '[ -r "$f" ] && n=$(stat -c %s "$f") || { echo "permission denied"; exit 1; }\n'
        f"n=$((n - {offset})); [ $n -ge 0 ] || n=0; [ $n -le {MOST_BYTES} ] || n={MOST_BYTES}\n"
        f'echo $n; tail -c +{offset + 1} "$f" | head -c $n'
    )
    done = connection.shell(script, timeout_s=120.0)
    if done.exit_code == NO_FILE:
        return None
    if done.exit_code != 0:
        raise DeviceError(f"{connection.name}: cannot read {remote}: {complaint(done)}")
    head, newline, body = done.stdout.partition(b"\n")
    if not newline or not head.strip().isdigit() or len(body) != int(head):
        raise DeviceLostError(f"{connection.name}: what came of {remote} was cut; reconnect and try again")
    return body


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _end(path: Path, length: int) -> bytes:
    if length == 0:
        return b""
    with open(path, "rb") as file:
        file.seek(-length, 2)
        return file.read(length)


def _cut_torn_line(path: Path) -> bool:
    """False where the file ends with a whole line."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole == len(content):
        return False
    with open(path, "r+b") as file:
        file.truncate(whole)
    return True
