"""A phone that may go out of reach and come back: what is asked of it is asked again, for some time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from harness.errors import DeviceLostError
from harness.measure.devices.adb.connection import Connection

PATIENCE_S = 120.0
PAUSE_S = 2.0
Said = TypeVar("Said")


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
            try:
                return what(self.connection())
            except DeviceLostError:
                self.drop()
                if time.monotonic() - begun >= self._patience_s:
                    raise
            self.rest(self._pause_s)

    def once(self, what: Callable[[Connection], Said]) -> Said:
        """Without patience, for what a person waits for.

        Raises:
            DeviceLostError: out of reach.
        """
        try:
            return what(self.connection())
        except DeviceLostError:
            self.drop()
            raise

    def rest(self, seconds: float) -> None:
        """Raises KeyboardInterrupt: another thread has ended this."""
        if self.stopped.wait(seconds):
            raise KeyboardInterrupt

    def connection(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
