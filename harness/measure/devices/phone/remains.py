"""What a job that has ended left on a phone, fetched."""

import re
from pathlib import Path
from shlex import quote

from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone.job import JobState, fetch_new
from harness.measure.devices.phone.link import Link
from harness.measure.devices.phone.outcome import Remains
from harness.measure.devices.phone.remote import EVENTS, RemoteJob, cores_of
from harness.values import PhoneFacts, PhoneSpec

STDERR, SAMPLES, GATE, SETTINGS = "stderr.txt", "samples.jsonl", "gate.jsonl", "settings.txt"
STDERR_TAIL = 4000


def fetch_remains(
    link: Link, there: RemoteJob, state: JobState, facts: PhoneFacts, spec: PhoneSpec, work: Path
) -> Remains:
    """Fetched into the folder `work`.

    Raises:
        DeviceLostError: the phone is out of reach; what was fetched is not fetched again.
        DeviceError: a file cannot be read.
    """
    found: dict[str, bytes] = {}
    for name in (EVENTS, STDERR, SAMPLES, GATE, SETTINGS):
        local = work / name
        link.ask(lambda c, n=name, to=local: fetch_new(c, f"{there.folder}/{n}", to))  # type: ignore[misc]
        found[name] = local.read_bytes() if local.exists() else b""
    return Remains(
        state=state,
        events=found[EVENTS],
        stderr=found[STDERR][-STDERR_TAIL:],
        samples=found[SAMPLES],
        gate=found[GATE],
        settings=found[SETTINGS],
        cores=cores_of(facts, spec)[0],
        skin_zones=facts.skin_zones,
        killed_for_memory=_was_killed(state) and link.ask(lambda c: killed_for_memory(c, there.folder)),
    )


def _was_killed(state: JobState) -> bool:
    return state.rc is not None and state.rc.signal == 9 and state.rc.cause == "ended"


def killed_for_memory(connection: Connection, folder: str) -> bool:
    """Whether Android's log says that the low-memory killer struck the job's program; False where it does not say."""
    script = (
        f"cat {quote(folder)}/run/program; "
        "logcat -d -b all -t 2000 2>/dev/null | grep -i -E 'lowmemorykiller|lmkd|oom-kill|Out of memory'; true"
    )
    program, *lines = connection.shell(script).stdout.splitlines() or [b""]
    pid = program.split()[0] if program.split() else b""
    return pid.isdigit() and any(re.search(rb"\b%b\b" % pid, line) for line in lines)
