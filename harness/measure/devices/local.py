"""This machine as a device: programs are child processes, waited for without spinning."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.errors import SetupError
from harness.measure.devices.local_facts import available_bytes, oom_kills, power_source, read_facts
from harness.measure.jobs import Conditions, FileNeeded, Job, OnProgress, Outcome
from harness.progress import Progress
from harness.values import DeviceFacts, DeviceSpec, Observation, ProcessSeen

STDERR_TAIL = 4000
MOST_EVENTS = 64 << 20
"""Of a program that prints without end, so much is read: cut, it has no last event, and the trial has failed."""


class LocalDevice:
    """The machine that bench runs on."""

    def __init__(self, spec: DeviceSpec, progress: Progress | None = None) -> None:
        del progress  # nothing is brought here
        self.spec = spec
        self._families: set[int] = set()
        self._interrupted = threading.Event()

    def facts(self) -> DeviceFacts:
        return read_facts(self.spec.name)

    def conditions(self) -> Conditions:
        return Conditions(load_average=os.getloadavg()[0], available_bytes=available_bytes(), power=power_source())

    def run(self, job: Job, work: Path, on_progress: OnProgress | None = None) -> Outcome:
        """Run a job in `work`; on Ctrl-C the program is ended before the interrupt goes on.

        Raises:
            SetupError: the program does not exist or cannot be started.
        """
        events = work / "events.jsonl"
        (work / "job.json").write_bytes(msgspec.json.encode(job.spec))
        argv = [
            part.format(job=work / "job.json", events=events) if part in ("{job}", "{events}") else part
            for part in job.argv
        ]
        kills_before, started = oom_kills(), time.monotonic_ns()
        with open(work / "stderr.txt", "wb") as stderr:
            try:
                process = subprocess.Popen(
                    argv,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "BENCH_DIE_WITH_PARENT": "1", **job.env},
                    start_new_session=True,  # the whole family can be ended by one signal
                )
            except OSError as error:
                raise SetupError(f"cannot start {argv[0]}: {error.strerror}") from error
        timed_out = False
        self._families.add(process.pid)
        try:
            timed_out = not self._interrupted.is_set() and not _wait(process, job.timeout_s, on_progress)
        finally:
            if process.returncode is None:
                _end_family(process.pid)
            self._families.discard(process.pid)
            seen = _reap(process, started)
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        return Outcome(
            process=seen,
            events=_head(events),
            stderr_tail=_tail(work / "stderr.txt").decode(errors="replace"),
            timed_out=timed_out,
            out_of_memory=seen.signal == "SIGKILL" and not timed_out and oom_kills() > kills_before,
        )

    def hold(self, run: str, files: Sequence[FileNeeded] = ()) -> None:
        del run, files  # two runs on one machine are not prevented: the other load is seen

    def release(self) -> None:
        """Nothing was taken."""

    def begun(self, begins: str) -> bool:
        del begins  # no program outlives its host
        return False

    def forget(self, begins: str) -> None:
        del begins  # its files ended with the program

    def noticed(self) -> tuple[Observation, ...]:
        return ()

    def interrupt(self) -> None:
        """See `Device`: a program for a phone's lane, such as one that makes references, runs in another thread."""
        self._interrupted.set()
        for family in tuple(self._families):
            _end_family(family)


def _head(path: Path) -> bytes:
    if not path.exists():
        return b""
    with open(path, "rb") as file:
        return file.read(MOST_EVENTS)


def _tail(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - STDERR_TAIL))
        return file.read(STDERR_TAIL)


def _wait(process: "subprocess.Popen[bytes]", timeout_s: float, on_progress: OnProgress | None) -> bool:
    """Sleep until the program ends; False when the time limit came first. Progress lines are passed on."""
    deadline = time.monotonic() + timeout_s
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    pidfd = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            selector.register(process.stdout, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                if process.stdout.fileno() in ready:
                    chunk = process.stdout.read()
                    if not chunk:
                        selector.unregister(process.stdout)
                    elif on_progress is not None:
                        _pass_on(chunk, on_progress)
                if pidfd in ready:
                    return True
            return False
    finally:
        os.close(pidfd)


def _pass_on(chunk: bytes, on_progress: OnProgress) -> None:
    for line in chunk.split(b"\n"):
        words = line.split()
        if len(words) == 3 and words[0] == b"progress" and words[1].isdigit() and words[2].isdigit():
            on_progress(int(words[1]), int(words[2]))


def _end_family(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap(process: "subprocess.Popen[bytes]", started: int) -> ProcessSeen:
    """Collect the exit status with the kernel's own accounting of this one process."""
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    process.returncode = code  # so that Popen does not wait again
    if process.stdout is not None:
        process.stdout.close()
    return ProcessSeen(
        exit_code=code if code >= 0 else None,
        signal=signal.Signals(-code).name if code < 0 else None,
        wall_ns=time.monotonic_ns() - started,
        user_ns=int(usage.ru_utime * 1e9),
        system_ns=int(usage.ru_stime * 1e9),
        major_faults=usage.ru_majflt,
    )
