"""The values of a comparison of any two sides: variants of a run, runs, or devices."""

from harness.analyse.findings import PairedItems
from harness.values import Value


class Side(Value, frozen=True):
    """One of the two that are compared."""

    run: str
    variant: str | None
    """None: every variant, each with itself on the other side."""
    device: str | None
    """None: every device, each with itself on the other side."""


class Differs(Value, frozen=True):
    """A condition that is not alike on both sides."""

    name: str
    value: str
    other: str


class SideRow(Value, frozen=True, kw_only=True):
    """One metric in one cell on both sides; every None is explained in `notes`."""

    variant: str | None
    other_variant: str | None
    runtime: str | None
    device: str
    other_device: str
    workload: str
    other_runtime: str | None
    other_workload: str
    """Another one where a test of another tool did the same work."""
    metric: str
    unit: str
    value: float | None
    other_value: float | None
    ratio: float | None = None
    """value / other_value."""
    ratio_low: float | None = None
    ratio_high: float | None = None
    diff: float | None = None
    diff_low: float | None = None
    diff_high: float | None = None
    n: int
    """Pairs, or rounds or items of the first side where nothing is paired."""
    other_n: int
    notes: tuple[str, ...] = ()
    artifact_sha256: str | None
    other_artifact_sha256: str | None


class SideBySide(Value, frozen=True, kw_only=True):
    """Two sides: first what differs between them, then their numbers."""

    side: Side
    other: Side
    paired: bool
    """Within one run and on one device, by round and item; across runs never by round."""
    warnings: tuple[str, ...]
    """What must be said before any number."""
    differing: tuple[Differs, ...]
    rows: tuple[SideRow, ...]
    accuracy: tuple[PairedItems, ...] = ()
    """Tasks on the same items, the second side in the place of the baseline. Of two runs only those whose questions
    were asked in the same words on both sides."""
    alone: tuple[str, ...]
    """Cells that only the first side has, in words."""
    other_alone: tuple[str, ...]
