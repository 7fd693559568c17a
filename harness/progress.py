"""What long work tells whoever waits for it. The terminal's bars live in `harness.terminal`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    def update(self, done: int, total: int | None = None) -> None: ...


class Progress(Protocol):
    def bar(self, what: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Bar]:
        """A bar for one piece of work; `unit` is `B` for bytes."""
        ...

    def say(self, line: str) -> None:
        """One line for the person who waits."""
        ...


class _SilentBar:
    def update(self, done: int, total: int | None = None) -> None:
        del done, total


class Silent:
    """Says nothing: for tests and for output that machines read."""

    @contextmanager
    def bar(self, what: str, total: int | None = None, unit: str = "") -> Iterator[Bar]:
        del what, total, unit
        yield _SilentBar()

    def say(self, line: str) -> None:
        del line
