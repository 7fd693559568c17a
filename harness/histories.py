"""What the commands that read a history ask: which folders, which series, since when."""

import getpass
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.analyse.history.acknowledging import acknowledge, read_acks
from harness.analyse.history.gate import Gate, gate
from harness.analyse.history.reading import read_history
from harness.analyse.history.settings import Settings
from harness.analyse.history.surroundings import VERSION
from harness.analyse.history.values import Change, History, Series
from harness.errors import InputError, UnknownNameError
from harness.metrics import check_names
from harness.store import find_runs, resolve_run


def history_of(folders: Sequence[str], results: Path, settings: Settings, suites: Sequence[str] = ()) -> History:
    """The history of these folders of runs, or else of the usual one.

    Raises:
        InputError: there is no night.
    """
    places = [Path(folder) for folder in folders] or [results]
    found = read_history(places, settings=settings, suites=suites)
    if not found.nights and not found.unreadable:
        raise InputError(f"no night in {', '.join(map(str, places))}: `bench run` and `bench nightly` make them")
    return found


def chosen(history: History, words: str, metrics: Sequence[str]) -> tuple[Series, ...]:
    """Series of these metrics that hold each of the words in their id, names or workload; upper and lower case alike.

    Raises:
        UnknownNameError: a metric that no series has.
    """
    check_names(metrics, {one.metric for one in history.series})
    wanted = words.lower().split()
    found = []
    for one in history.series:
        parts = (one.id, one.suite, one.device, one.runtime, one.variant, one.workload, one.metric, one.title)
        text = " ".join(part for part in parts if part).lower()
        if (not metrics or one.metric in metrics) and all(word in text for word in wanted):
            found.append(one)
    return tuple(found)


def worse_since(history: History, since: str | None) -> tuple[tuple[Series, Change], ...]:
    """Changes for the worse since a date, a version or a run; alerts first, then the newest.

    Raises:
        UnknownNameError: it is none of them.
    """
    first = 0 if since is None else first_night(history, since)
    found = [
        (series, change)
        for series in history.series
        for change in series.changes
        if change.worse and series.points[change.at].night >= first
    ]
    rank = {"alert": 0, "watch": 1}
    found.sort(key=lambda one: (one[1].acknowledged is not None, rank[one[1].tier], -one[0].points[one[1].at].night))
    return tuple(found)


def first_night(history: History, since: str) -> int:
    """Index of the first night that is meant: from a day on, the run of that name, or the first with that version."""
    try:
        day = datetime.fromisoformat(since)
    except ValueError:
        day = None
    if day is not None:
        begin = day.replace(tzinfo=UTC) if day.tzinfo is None else day
        times = [datetime.fromisoformat(night.started) for night in history.nights]
        return next((index for index, time in enumerate(times) if time >= begin), len(times))
    for index, night in enumerate(history.nights):
        if night.run == since:
            return index
    nights = _of_version(history, since)
    if not nights:
        versions = {v for one in history.series for c in one.conditions for n, v in c.items() if n.endswith(VERSION)}
        raise UnknownNameError("date, run or version", since, versions)
    return min(nights)


def _of_version(history: History, version: str) -> set[int]:
    return {
        point.night
        for series in history.series
        for point in series.points
        if any(
            value == version and name.endswith(VERSION) for name, value in series.conditions[point.conditions].items()
        )
    }


def acknowledged(results: Path, name: str, reason: str, by: str | None, settings: Settings) -> Path:
    """Write that a change is known of; returns the file."""
    history = history_of((), results, settings)
    return acknowledge(results, history, name, by=by or somebody(), reason=reason)


def somebody() -> str:
    """Who asks: git's user name, or else the system's."""
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False, timeout=10)
        name = done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        name = ""
    try:
        return name or getpass.getuser()
    except OSError:  # no entry in the system's list of users, as in a container
        return "unknown"


def gated(base: str, head: str, results: Path, settings: Settings) -> Gate:
    """Two runs, or the newest runs of two folders.

    Raises:
        StoreError: no run there.
    """
    return gate(_run(base, results), _run(head, results), settings, read_acks(results))


def _run(name: str, results: Path) -> Path:
    below = find_runs(Path(name))
    return below[-1] if below else resolve_run(name, results)
