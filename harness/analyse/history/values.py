"""What a history says: derived from runs on reading, never stored with them.

A series is one metric of one cell, night after night. Indices count from 0; times are UTC, ISO 8601.
"""

from typing import Literal

from harness.metrics import Kind
from harness.values import Value

HISTORY_SCHEMA = 1
Tier = Literal["watch", "alert"]


class Night(Value, frozen=True):
    """One run as a point in time."""

    run: str
    started: str
    """UTC, ISO 8601, of the run's first trial."""
    suite: str
    host: str
    """Hash that tells machines apart without naming them."""


class Difference(Value, frozen=True):
    """One condition that is not what it was; None: it was not there."""

    what: str
    before: str | None
    after: str | None


class Point(Value, frozen=True):
    """One night of one series."""

    night: int
    """Index into the history's nights."""
    value: float | None
    reason: str | None
    """Why there is no value."""
    rounds: tuple[float, ...] = ()
    """One value a process; empty for metrics over items and for exact ones."""
    marks: tuple[str, ...] = ()
    """What makes the value doubtful, such as thermal limits or other load."""
    conditions: int = 0
    """Index into the series' conditions."""
    artifact_sha256: str | None = None


class Missing(Value, frozen=True):
    """Nights in a row that gave the series no value that counts."""

    first: int
    """Index into the series' points; for nights without a run, of the first point after them."""
    nights: int
    what: str
    """`no run`, `not planned`, `thermally limited: …`, or why the cells failed."""
    alert: bool
    """Whether there are more of them than the limit allows, up to the newest night."""


class Cut(Value, frozen=True):
    """Where a series begins anew: points on both sides are not comparable."""

    at: int
    """Index of the first point after it."""
    differences: tuple[Difference, ...]
    before: float | None = None
    after: float | None = None
    """Medians of the values on both sides: told, never judged."""


class Confirmation(Value, frozen=True):
    """An interleaved rerun of the new artifacts against the last good ones."""

    run: str
    pairs: int
    ratio: float
    """New / last good, on the same device in the same run."""
    bound: float
    """One-sided bound of the ratio, on the side of no change."""
    confirmed: bool


class Acknowledgement(Value, frozen=True):
    """Somebody knows of a change, and says why it may stand."""

    by: str
    reason: str
    at: str


class Change(Value, frozen=True):
    """A step in a series that lasts until the series ends, is cut, or changes again."""

    at: int
    """Index of the first point after the step."""
    earliest: int
    latest: int
    """Where else it may lie, both included."""
    before: float
    after: float
    """Medians of the levels beside it."""
    ratio: float | None
    """after / before; None where before is 0."""
    ratio_low: float | None
    ratio_high: float | None
    worse: bool
    tier: Tier
    rule: str
    """Why it has this tier, in words, with the numbers that decided."""
    nights: int
    """Points with a value since."""
    between: tuple[Difference, ...] = ()
    """Artifacts, versions and settings that changed with it, without cutting the series."""
    confirmation: Confirmation | None = None
    acknowledged: Acknowledgement | None = None


class Series(Value, frozen=True):
    """One metric of one cell, night after night, oldest first."""

    id: str
    """16 hex digits, the same in every history: hash of suite, device, host, runtime, variant, workload and metric."""
    suite: str
    device: str
    host: str
    runtime: str | None
    variant: str | None
    workload: str
    metric: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    kind: Kind
    points: tuple[Point, ...]
    conditions: tuple[dict[str, str], ...]
    cuts: tuple[Cut, ...] = ()
    changes: tuple[Change, ...] = ()
    missing: tuple[Missing, ...] = ()
    command: tuple[str, ...] = ()
    """What measures its newest point again."""


class History(Value, frozen=True, kw_only=True):
    """All series of a folder of runs, the worst first."""

    schema: int = HISTORY_SCHEMA
    made: str
    nights: tuple[Night, ...]
    """Oldest first."""
    series: tuple[Series, ...]
    unreadable: tuple[str, ...] = ()
    """Runs that could not be read, and why."""
