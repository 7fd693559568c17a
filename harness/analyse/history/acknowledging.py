"""Acknowledged changes: a small file each in the folder of runs, so that two hosts never write to the same one."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from harness.analyse.history.values import Acknowledgement, Change, History, Series
from harness.errors import InputError, StoreError, UnknownNameError
from harness.store import DAMAGE, encode, write_durably
from harness.values import Value, digest

ACKS_SCHEMA = 1
FOLDER = "acks"
"""In the folder of runs; it holds no run."""
LONGEST = 2000
"""Characters of a reason."""
LONGEST_NAME = 200
MUCH_LARGER = 1.5
"""So many times the step that is known of is another step beside it."""


class Acknowledged(Value, frozen=True, kw_only=True):
    """That somebody knows of a change of a series, and why it may stand."""

    schema: int = ACKS_SCHEMA
    series: str
    """Id."""
    title: str
    """What the series is, in words: for those who read the file."""
    earliest: str
    latest: str
    """Runs between which the change lies, both included; a change that is found there later is the same."""
    worse: bool
    ratio: float | None = None
    """Level after / level before, when it was acknowledged; a change that is much larger is another one."""
    by: Annotated[str, Meta(max_length=LONGEST_NAME)]
    reason: Annotated[str, Meta(max_length=LONGEST)]
    at: str
    """UTC, ISO 8601."""


def name_of(history: History, series: Series, change: Change) -> str:
    """What a change is called: the series' id, and the run of the first night after the step."""
    return f"{series.id}@{history.nights[series.points[change.at].night].run}"


def find_change(history: History, name: str) -> tuple[Series, Change]:
    """The change of that name, or the newest worse one of a series that is named by its id or the beginning of it.

    Raises:
        UnknownNameError: no series or change is called so.
        InputError: the series has no change, or several series begin so.
    """
    asked, at, run = name.partition("@")
    found = [one for one in history.series if one.id.startswith(asked)] if asked else []
    if not found:
        changed = [one.id for one in history.series if one.changes]
        raise UnknownNameError("series", asked, changed, where="with changes")
    if len(found) > 1:
        raise InputError(f"{len(found)} series begin with {asked!r}: give more of the id")
    series = found[0]
    if at:
        for change in series.changes:
            if name_of(history, series, change) == f"{series.id}@{run}":
                return series, change
        raise UnknownNameError("change", name, [name_of(history, series, one) for one in series.changes])
    known = [one for one in series.changes if one.worse] or list(series.changes)
    if not known:
        raise InputError(f"series {series.id} has no change")
    return series, known[-1]


def acknowledge(
    results: Path, history: History, name: str, *, by: str, reason: str, now: datetime | None = None
) -> Path:
    """Write the acknowledgement; returns its file.

    Raises:
        InputError: no such change, or no reason.
        StoreError: it cannot be written.
    """
    if not reason.strip() or len(reason) > LONGEST:
        raise InputError(f"a reason has 1 to {LONGEST:,} characters")
    series, change = find_change(history, name)
    runs = [history.nights[series.points[index].night].run for index in (change.earliest, change.latest)]
    value = Acknowledged(
        series=series.id,
        title=words(series),
        earliest=runs[0],
        latest=runs[1],
        worse=change.worse,
        ratio=change.ratio,
        by=by.strip()[:LONGEST_NAME] or "unknown",
        reason=reason.strip(),
        at=(now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    path = results / FOLDER / f"{digest(value)[:16]}.json"
    try:
        write_durably(path, encode(value))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    return path


def covers(ack: Acknowledged, ratio: float | None, step_share: float) -> bool:
    """Whether a step of that ratio is no more than what was acknowledged."""
    if ack.ratio is None or ratio is None or ack.ratio <= 0 or ratio <= 0:
        return ack.ratio is None and ratio is None
    room = MUCH_LARGER * abs(math.log(ack.ratio)) + 2 * step_share
    return abs(math.log(ratio)) <= room


def words(series: Series) -> str:
    """What a series is, in one line."""
    parts = (series.title, series.variant, series.workload, series.runtime, series.device, series.suite)
    return " · ".join(part for part in parts if part)


def read_acks(results: Path) -> tuple[Acknowledged, ...]:
    """All acknowledgements of a folder of runs, oldest first.

    Raises:
        StoreError: a file is damaged, or written by a newer bench.
    """
    return tuple(sorted(map(_read, sorted((results / FOLDER).glob("[!.]*.json"))), key=lambda one: one.at))


def readable_acks(results: Path) -> tuple[list[Acknowledged], list[str]]:
    """(acknowledgements, why others cannot be read): one damaged file, as of a copy under way, hides no other."""
    found: list[Acknowledged] = []
    unreadable: list[str] = []
    for path in sorted((results / FOLDER).glob("[!.]*.json")):
        try:
            found.append(_read(path))
        except StoreError as error:
            unreadable.append(str(error))
    return found, unreadable


def _read(path: Path) -> Acknowledged:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Acknowledged)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except DAMAGE as error:
        raise StoreError(f"{path}: damaged: {error}") from error
    if found.schema > ACKS_SCHEMA:
        raise StoreError(f"{path}: written by a newer bench (schema {found.schema}, this one reads {ACKS_SCHEMA})")
    return found


def acknowledgement(one: Acknowledged) -> Acknowledgement:
    """What stands beside the change."""
    return Acknowledgement(by=one.by, reason=one.reason, at=one.at)
