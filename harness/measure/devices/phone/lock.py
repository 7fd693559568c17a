"""One run at a time on a phone. The lock lies on the phone, so that it holds between hosts.

A lock that was taken here has no process on the phone: it is held until it expires, and must be taken again before.
A job takes it with its own process: held as long as that lives. A reboot frees it.
"""

import re
import shlex
from typing import Literal

import msgspec

from harness.errors import DeviceError
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone.wrapper import ROOT, Holder, Wrapper, ask, command, complaint

OWNER = r"^[A-Za-z0-9._:@-]{1,128}$(?!\n)"


class _Lock(msgspec.Struct, frozen=True, kw_only=True):
    lock: Literal["free", "held", "busy"]
    owner: str = ""
    alive: bool = False
    left_s: int = 0


def take(connection: Connection, wrapper: Wrapper, owner: str, expire_s: int) -> None:
    """Take the lock, or take it again with another expiry.

    Raises:
        DeviceBusyError: another owner holds it.
        ValueError: an owner is made of letters, digits and `._:@-`.
    """
    if not re.match(OWNER, owner) or owner == "free":
        raise ValueError(f"no name for an owner: {owner!r}")
    ask(connection, wrapper, "lock", owner, str(expire_s), answer=_Lock)


def free(connection: Connection, wrapper: Wrapper, owner: str) -> bool:
    """False when the lock was not this owner's any more."""
    done = connection.shell(command(wrapper, "unlock", owner))
    if done.exit_code in (0, 1) and b'"lock"' in done.stdout:
        return done.exit_code == 0
    raise DeviceError(f"{connection.name}: cannot free the phone's lock: {complaint(done)}")


def holder(connection: Connection, wrapper: Wrapper) -> Holder | None:
    """Who holds the lock now."""
    seen = ask(connection, wrapper, "holder", answer=_Lock)
    return None if seen.lock == "free" else Holder(owner=seen.owner, alive=seen.alive, left_s=seen.left_s)


def peek(connection: Connection, root: str = ROOT, sysroot: str = "") -> Holder | None:
    """Who holds the lock, without installing anything on the phone.

    Raises:
        DeviceLostError: the phone is out of reach.
    """
    lock, proc = shlex.quote(f"{root}/lock"), shlex.quote(f"{sysroot}/proc")
    lines = connection.shell(
        f'top=$(ls {lock} 2>/dev/null | sort -n | tail -n 1); [ -n "$top" ] || exit 0\n'
        f'held=$(readlink {lock}/"$top"); echo "$held"; set -- $held\n'
        f"cat {proc}/sys/kernel/random/boot_id {proc}/uptime\n"
        'cat "/proc/$2/stat" 2>/dev/null; true'
    ).stdout
    return parse_peek(lines)


def parse_peek(text: bytes) -> Holder | None:
    """The link's text, boot_id, uptime, and the line of the process if it lives → who holds the lock, if anybody."""
    lines = text.decode(errors="replace").splitlines()
    words = lines[0].split() if lines else []
    if len(lines) < 3 or len(words) != 5 or not words[4].isdigit() or words[3] != lines[1].strip():
        return None
    uptime = lines[2].split(".")[0]
    if not uptime.isdigit():
        return None
    fields = lines[3].rpartition(")")[2].split() if len(lines) > 3 else []
    alive = len(fields) > 19 and fields[0] not in "ZX" and fields[19] == words[2]
    left_s = int(words[4]) - int(uptime)
    return Holder(owner=words[0], alive=alive, left_s=left_s) if alive or left_s > 0 else None
