"""Progress for people at a terminal, and single lines where no terminal is.

Bars are redrawn only when something has happened: a thread that redraws ten times a second would be
other load beside whatever is being timed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from harness.progress import Bar

REDRAW_S = 0.25
LINE_EVERY_S = 15.0


class _TerminalBar:
    def __init__(self, progress: RichProgress, task: TaskID) -> None:
        self._progress, self._task, self._drawn = progress, task, 0.0

    def update(self, done: int, total: int | None = None) -> None:
        self._progress.update(self._task, completed=done)
        if total is not None:
            self._progress.update(self._task, total=total)
        now = time.monotonic()
        if now - self._drawn >= REDRAW_S or done == total:
            self._drawn = now
            self._progress.refresh()


class _LineBar:
    """Where output goes to a file: a line when it begins, and now and then how far it is."""

    def __init__(self, console: Console, what: str) -> None:
        self._console, self._what = console, what
        self._begun = self._said = time.monotonic()
        self._first: int | None = None

    def update(self, done: int, total: int | None = None) -> None:
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if now - self._said < LINE_EVERY_S or not total:
            return
        self._said = now
        made = done - self._first
        left = f", about {(now - self._begun) / made * (total - done):.0f} s left" if made > 0 else ""
        self._console.print(f"{self._what}: {done} of {total}{left}", markup=False, highlight=False)


class TerminalProgress:
    """Bars with the time left, or lines where standard error is no terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live: RichProgress | None = None

    @contextmanager
    def bar(self, what: str, total: int | None = None, unit: str = "") -> Iterator[Bar]:
        if not self._console.is_terminal:
            self._console.print(what, markup=False, highlight=False)
            yield _LineBar(self._console, what)
            return
        outermost = self._live is None
        live = self._live or RichProgress(*_columns(unit), console=self._console, auto_refresh=False)
        if outermost:
            self._live = live
            live.start()
        task = live.add_task(what, total=total)
        live.refresh()
        try:
            yield _TerminalBar(live, task)
        finally:
            live.remove_task(task)
            if outermost:
                live.stop()
                self._live = None

    def say(self, line: str) -> None:
        console = self._live.console if self._live else self._console
        console.print(line, markup=False, highlight=False)


def _columns(unit: str) -> list[ProgressColumn]:
    count: ProgressColumn = DownloadColumn() if unit == "B" else MofNCompleteColumn()
    return [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        count,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
