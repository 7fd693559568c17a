"""What must be so before the first job of a run, and again after each boot of the phone."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from shlex import quote

import msgspec

from harness.errors import DeviceBusyError, DeviceError, DeviceLostError, NoSpaceError
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone import job as jobs
from harness.measure.devices.phone import lock
from harness.measure.devices.phone.gate import read_heat, zones_of
from harness.measure.devices.phone.job import JobWish
from harness.measure.devices.phone.link import Link
from harness.measure.devices.phone.preflight import preflight
from harness.measure.devices.phone.remote import KEPT_S, RemoteJob, file_target
from harness.measure.devices.phone.state import read_phone_state
from harness.measure.devices.phone.wrapper import Wrapper, install
from harness.measure.jobs import FileNeeded
from harness.values import DeviceSpec, PhoneSpec, Preflight


class NotRestoredError(DeviceError):
    """A phone does not take back its own settings, which a job changed."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One boot of a phone that belongs to this run."""

    wrapper: Wrapper
    boot_id: str
    running: str | None
    """Folder of a job of this run that was found running."""
    fit: bool = False
    """It was looked at and found fit to be measured."""

    def idle(self) -> "Session":
        return msgspec.structs.replace(self, running=None)

    def found_fit(self) -> "Session":
        return msgspec.structs.replace(self, fit=True)


def open_session(link: Link, root: str, environment: dict[str, str], owner: str) -> Session:
    """Take the phone for this run, and put back what an earlier run or boot left of its settings.

    Raises:
        DeviceBusyError: another run holds it.
        NotRestoredError: its settings cannot be put back; the lock is not kept for that.
        DeviceError: it is out of reach.
    """
    wrapper = link.ask(lambda c: install(c, root, environment))
    try:
        # A phone that has only just started does not let its settings be changed yet.
        found = link.insist(lambda c: jobs.recover(c, wrapper, owner))
    except (DeviceBusyError, DeviceLostError):
        raise
    except DeviceError as error:
        _check_restored(link, wrapper, owner, error)
        raise
    running = f"{root}/jobs/{found.job}" if found.recover != "done" and found.job else None
    holder = link.ask(lambda c: lock.holder(c, wrapper))
    # A job's own lock lives as long as the job; one that is taken here would end before a long job does.
    if running is None or holder is None or holder.owner != owner:
        link.ask(lambda c: lock.take(c, wrapper, owner, KEPT_S))
    boot_id = link.ask(lambda c: jobs.poll(c, wrapper, f"{root}/jobs/none")).boot_id
    return Session(wrapper=wrapper, boot_id=boot_id, running=running)


def _check_restored(link: Link, wrapper: Wrapper, owner: str, error: DeviceError) -> None:
    """Raises NotRestoredError where that is what failed; says what a person can do."""
    file = f"{wrapper.root}/settings.saved"
    saved = link.ask(lambda c: c.shell(f"cat {quote(file)} 2>/dev/null")).stdout.decode(errors="replace").splitlines()
    if not saved:
        return
    with suppress(DeviceError):
        link.once(lambda c: lock.free(c, wrapper, owner))
    own = ", ".join(line.removeprefix("setting ") for line in saved if line != "end")
    raise NotRestoredError(
        f"{error}; {file} there holds the phone's own settings ({own}): set them by hand, then remove the file "
        f"(`adb shell rm {file}`)"
    ) from error


def has_begun(connection: Connection, root: str, environment: dict[str, str], begins: str) -> bool:
    """Whether the phone has begun a job whose id begins so, or a job of whatever run runs on it.

    Raises:
        DeviceError: it is out of reach, or does not say.
    """
    begun = connection.shell(
        f'for run in {quote(f"{root}/jobs/{begins}")}*/run; do [ ! -d "$run" ] || echo "$run"; done'
    )
    if begun.stdout.strip():
        return True
    last = connection.shell(f"cat {quote(f'{root}/active')} 2>/dev/null").stdout.decode(errors="replace").strip()
    if not last:
        return False
    return jobs.poll(connection, install(connection, root, environment), last).phase in ("gate", "running")


def read_fitness(
    link: Link, session: Session, spec: DeviceSpec, there: RemoteJob, owner: str, files: Sequence[FileNeeded]
) -> tuple[Preflight, float | None]:
    """How the phone is now, and how warm its surface is (°C).

    Raises:
        NoSpaceError: what the job and all others will need does not fit.
        DeviceError: it is not fit to be measured, or out of reach.
    """
    phone = spec.phone
    assert isinstance(phone, PhoneSpec)
    wrapper = session.wrapper
    state = link.ask(lambda c: read_phone_state(c, phone))
    wanted = {target: source.stat().st_size for source, target in there.files}
    for one in files:
        if state.available_bytes is None or one.memory_bytes <= state.available_bytes:  # else it is never brought
            wanted[file_target(wrapper.root, one.sha256)] = one.size_bytes
    needed = link.ask(lambda c: _missing_bytes(c, wanted))
    found = preflight(spec, state, push_bytes=needed)
    if refused := found.refused:
        why = "; ".join(f"{one.seen} ({one.advice})" for one in refused)
        kind = NoSpaceError if {one.name for one in refused} == {"free_bytes"} else DeviceError
        raise kind(f"{spec.name} is not fit to be measured: {why}")
    if state.skin_c is not None:
        return found, state.skin_c
    probe = JobWish(folder=f"{wrapper.root}/probe", owner=owner, argv=(), limit_s=1, zones=zones_of(phone.cool_down))
    link.ask(lambda c: jobs.prepare(c, probe))
    milli = link.ask(lambda c: read_heat(c, wrapper, probe.folder)).skin_milli
    return found, None if milli is None else milli / 1000


def _missing_bytes(connection: Connection, wanted: Mapping[str, int]) -> int:
    """Of files on the phone and their sizes, what is not there yet."""
    missing = 0
    for target, size in wanted.items():
        seen = connection.stat(target) or connection.stat(f"{target}.part")
        missing += max(0, size - (seen.size_bytes if seen is not None else 0))
    return missing


def check_started(connection: Connection) -> None:
    """Raises DeviceError: adb answers already, the rest of the system does not."""
    done = connection.shell("getprop sys.boot_completed")
    if done.stdout.strip() != b"1":
        raise DeviceError(f"{connection.name} has not finished starting (sys.boot_completed is not 1)")
