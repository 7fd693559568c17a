"""A phone that may go out of reach and come back: what is asked of it is asked again, for some time."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from harness.errors import DeviceBusyError, DeviceError, DeviceLostError
from harness.measure.devices.adb.connection import Connection

PATIENCE_S = 120.0
PAUSE_S = 2.0
SHORTEST_S, LONGEST_S, GROWTH = 0.2, 5.0, 1.3
"""Between two looks at a job: a short one is not waited for long, and a long one is seldom disturbed."""
Said = TypeVar("Said")


def pace() -> Iterator[float]:
    """Seconds to wait before each look at a job: after some 20 of them, the longest."""
    pause_s = SHORTEST_S
    while True:
        yield pause_s
        pause_s = min(LONGEST_S, pause_s * GROWTH)


class Link:
    """`connect` finds the phone by its name, and raises DeviceLostError where it is not there."""

    def __init__(
        self, connect: Callable[[], Connection], patience_s: float = PATIENCE_S, pause_s: float = PAUSE_S
    ) -> None:
        self._connect, self._patience_s, self._pause_s = connect, patience_s, pause_s
        self._connection: Connection | None = None
        self.stopped = threading.Event()
        """Set by another thread: nothing more is asked of the phone."""

    def ask(self, what: Callable[[Connection], Said]) -> Said:
        """What may be asked twice: a lost answer does not tell whether it was done.

        Raises:
            DeviceLostError: out of reach for `patience_s` seconds.
            KeyboardInterrupt: another thread has ended this.
        """
        begun = time.monotonic()
        while True:
            self.rest(0)
            try:
                return what(self._connected())
            except DeviceLostError:
                self.drop()
                if time.monotonic() - begun >= self._patience_s:
                    raise
            except KeyboardInterrupt:
                self.drop()
                raise
            self.rest(self._pause_s)

    def insist(self, what: Callable[[Connection], Said]) -> Said:
        """What a phone may refuse for a while, as one does that has just been started.

        Raises:
            DeviceBusyError: another run holds it; that is no matter of patience.
            DeviceError: it still refuses after `patience_s` seconds, or is out of reach.
            KeyboardInterrupt: another thread has ended this.
        """
        begun = time.monotonic()
        while True:
            try:
                return self.ask(what)
            except (DeviceBusyError, DeviceLostError):
                raise
            except DeviceError:
                if time.monotonic() - begun >= self._patience_s:
                    raise
            self.rest(self._pause_s)

    def once(self, what: Callable[[Connection], Said]) -> Said:
        """Without patience, for what a person waits for; also when another thread has ended this.

        Raises:
            DeviceLostError: out of reach.
        """
        try:
            return what(self._connected())
        except (DeviceLostError, KeyboardInterrupt):
            self.drop()
            raise

    def rest(self, seconds: float) -> None:
        """Raises KeyboardInterrupt: another thread has ended this."""
        if self.stopped.wait(seconds):
            raise KeyboardInterrupt

    def drop(self) -> None:
        """Whatever was asked last may be half answered: the next question gets a connection of its own."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection
