"""One run as a night: when it was, and what it gave each series. Runs are read each on its own, several at once."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from harness.analyse.cells import HOLDS_NO_SPEED, SeenCell, read_cells
from harness.analyse.history.scores import Scores, scores_of
from harness.analyse.history.surroundings import surroundings
from harness.analyse.levels import Measured, MeasuredCell, measure_cells
from harness.analyse.trials import observed
from harness.errors import StoreError
from harness.metrics import BY_ROUND, metric
from harness.store import Run, read_run
from harness.values import FAILED, Surroundings

STAMP = re.compile(r"(\d{8}T\d{6})Z")
SLACK = timedelta(minutes=10)
"""A run is made so long before its first trial says it began, at most, where nobody moved the clock."""
LIMITED = "thermally limited"
CLOCK = "clock"
SLOWED = 2
"""Android's thermal status from which it holds the cores back."""


class Cell(msgspec.Struct, frozen=True):
    """What identifies a series but for its metric."""

    suite: str
    device: str
    host: str
    runtime: str | None
    variant: str | None
    workload: str


class Seen(msgspec.Struct, frozen=True):
    """One metric of one cell in one run."""

    cell: Cell
    metric: str
    value: float | None
    reason: str | None
    failed: bool
    """Whether the cell ought to have given a value: its trials failed or are not there."""
    rounds: tuple[float, ...]
    marks: tuple[str, ...]
    conditions: int
    """Index into the run's conditions."""
    artifact_sha256: str | None
    scores: Scores | None
    """Of an accuracy cell."""


class RunSeen(msgspec.Struct, frozen=True):
    """A run in as little room as a history needs."""

    run: str
    started: datetime
    suite: str
    places: tuple[tuple[str, str], ...]
    """(device, host) of each device of the plan."""
    command: tuple[str, ...]
    conditions: tuple[dict[str, str], ...]
    seen: tuple[Seen, ...]


def see_run(folder: Path) -> RunSeen | str | None:
    """A night; in words why the run is none; or None where it is not meant to be one."""
    try:
        run = read_run(folder)
        if run.plan.compares is not msgspec.UNSET:
            return None
        if run.plan.shard is not None:
            return f"{run.id}: is shard {run.plan.shard} of a night: `bench merge` joins the shards"
        started, marks = when(run)
        if started is None:
            return f"{run.id}: no trial has begun, and its name holds no time"
        conditions: dict[tuple[tuple[str, str], ...], int] = {}
        seen = tuple(_seen(run, conditions, marks))
    except StoreError as error:
        return f"{folder.name}: {error}"
    places = tuple((d.name, host_of(run, d.name)) for d in run.plan.suite.devices)
    return RunSeen(
        run.id,
        started,
        run.plan.suite.name,
        places,
        run.plan.command,
        tuple(dict(one) for one in conditions),
        seen,
    )


def when(run: Run) -> tuple[datetime | None, tuple[str, ...]]:
    """Start of the first trial, UTC; where it cannot be right the time in the run's name, and a mark that says so."""
    named = STAMP.match(run.id)
    made = time_of(f"{named[1]}Z") if named else None
    text = next((record.started for record in run.records if record.started), None)
    begun = utc(text) if text else None
    if begun is None:
        return made, () if not text else (f"{CLOCK}: the first trial began at {text!r}, which is no time",)
    if made is not None and begun < made - SLACK:
        return made, (f"{CLOCK}: the first trial says {begun:%Y-%m-%d %H:%M} UTC, which is before the run was made",)
    return begun, ()


def utc(text: str) -> datetime | None:
    """A time in ISO 8601, of any zone; without one it is UTC. None: it is no time."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def time_of(stamp: str) -> datetime | None:
    """What a run's name begins with, such as `20260714T101500Z`. None: it is no time."""
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def host_of(run: Run, device: str) -> str:
    facts = run.plan.facts.get(device)
    return facts.host_hash if facts else ""


def _seen(run: Run, conditions: dict[tuple[tuple[str, str], ...], int], marks: tuple[str, ...]) -> Iterator[Seen]:
    for cell in measure_cells(run, read_cells(run)):
        seen = cell.seen
        if seen.status == "unsupported":
            continue
        key = Cell(
            suite=run.plan.suite.name,
            device=seen.cell.device,
            host=host_of(run, seen.cell.device),
            runtime=seen.runtime,
            variant=seen.cell.variant,
            workload=f"{seen.cell.measure} {seen.workload}".strip(),
        )
        around = conditions.setdefault(tuple(surroundings(run, seen).items()), len(conditions))
        for one in cell.metrics.values():
            yield _one(key, cell, one, around, marks)


def _rounds(one: Measured) -> tuple[float, ...]:
    """By their numbers from 0 on, so that those of two variants of a run are pairs; none where one is missing."""
    numbers = [number for number, _ in one.rounds]
    values = tuple(value for _, value in one.rounds)
    return values if numbers == list(range(len(numbers))) and all(map(math.isfinite, values)) else ()


def _one(key: Cell, cell: MeasuredCell, one: Measured, conditions: int, marks: tuple[str, ...]) -> Seen:
    seen = cell.seen
    value, reason = one.value, one.reason
    if value is not None and not math.isfinite(value):
        value, reason = None, f"the value is no number ({one.value})"
    of_rounds = metric(one.metric).kind in BY_ROUND
    return Seen(
        cell=key,
        metric=one.metric,
        value=value,
        reason=None if value is not None else reason or "no reason was recorded",
        failed=seen.status in FAILED or seen.status == "not_measured",
        rounds=_rounds(one) if of_rounds and value is not None else (),
        marks=(*marks, *map(_mark, one.notes if of_rounds else seen.notes), *_heat(seen))
        if value is not None
        else marks,
        conditions=conditions,
        artifact_sha256=seen.artifact_sha256,
        scores=scores_of(cell, one.metric),
    )


def _heat(seen: SeenCell) -> Iterator[str]:
    """What a phone said of its heat: shown, while the value counts all the same."""
    around = observed(seen.counted, Surroundings)
    worst = max((one.thermal_status for one in around if one.thermal_status is not None), default=0)
    if worst >= SLOWED:
        yield f"thermal: Android's thermal status reached {worst}"
    if warm := sum(one.gate == "not_settled" for one in around):
        yield f"thermal: the phone had not cooled before {warm} of {len(around)} processes"


def _mark(note: str) -> str:
    return f"{LIMITED}: {note}" if HOLDS_NO_SPEED in note else note
