"""One night at a time on each device of this machine; what the night before left unfinished is remembered.

The locks lie in `nights/.turns/` of the folder of runs, by host and device, so that hosts that share the folder do not
wait for each other. The kernel lets go of the lock of a process that died.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.analyse.history.found import FOLDER
from harness.errors import InputError, StoreError
from harness.machine_name import machine_name
from harness.progress import Progress
from harness.store import safe_host

POLL_S = 0.5
LONGEST_NAME = 200


class Turn:
    """What a night may write while it has the devices."""

    def __init__(self, files: Sequence[int]) -> None:
        self._files = files

    def begun(self) -> str | None:
        """Name of the run that a night on these devices last began with."""
        texts = {os.pread(fd, LONGEST_NAME, 0).decode(errors="replace").strip() for fd in self._files}
        return texts.pop() or None if len(texts) == 1 else None

    def begin(self, run: str) -> None:
        """Remember the run, so that a night which is killed can be gone on with.

        One write of a fixed length: a kill between two would leave no name.
        """
        if run != self.begun():
            for fd in self._files:
                os.pwrite(fd, run.encode().ljust(LONGEST_NAME), 0)
                os.fsync(fd)


@contextmanager
def turn(results: Path, devices: Sequence[str], wait_s: float, progress: Progress) -> Iterator[Turn]:
    """Hold the devices for one night; `wait_s`: so long for a night that runs there already, 0: not at all.

    Raises:
        InputError: a night runs on one of them, and goes on for longer.
        StoreError: the folder cannot be written.
    """
    folder, deadline = results / FOLDER / ".turns", time.monotonic() + wait_s
    with ExitStack() as held:
        files = []
        for device in sorted(set(devices)):  # in one order everywhere: two nights never wait for each other
            fd = _opened(folder, device)
            held.callback(os.close, fd)
            _lock(fd, device, deadline, wait_s, progress)
            files.append(fd)
        yield Turn(files)


def _opened(folder: Path, device: str) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / f"{safe_host(machine_name())}-{device}", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot lock {folder}: {error.strerror}") from error


def _lock(fd: int, device: str, deadline: float, wait_s: float, progress: Progress) -> None:
    said = False
    while True:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                waited = f", after {wait_s / 60:.0f} minutes of waiting" if wait_s else " (--wait MINUTES waits)"
                raise InputError(f"a night runs on {device} already{waited}") from None
            if not said:
                progress.say(f"a night runs on {device} already: waiting for at most {wait_s / 60:.0f} minutes")
                said = True
            time.sleep(min(POLL_S, left))
        else:
            return
