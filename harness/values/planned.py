"""What a run will do."""

from msgspec import UNSET, UnsetType

from harness.values.basic import SCHEMA_VERSION, CellKey, Count, Name, Positive, Value, Whole
from harness.values.seen import DeviceFacts
from harness.values.wished import Runtime, Suite
from harness.values.workloads import Workload


class Shard(Value, frozen=True):
    """One of several parts of each accuracy job, by ranges of its requests."""

    number: Positive
    of: Positive

    def __post_init__(self) -> None:
        if self.number > self.of:
            raise ValueError(f"there is no shard {self.number} of {self.of}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class Cell(Value, frozen=True):
    """One thing to find out: variant × runtime × device × workload."""

    key: CellKey
    """16 hex digits: hash of the wish."""
    variant: Name | None
    """None for what belongs to the device alone."""
    runtime: Runtime | None
    device: Name
    workload: Workload
    unsupported: str | None = None
    """Why this cell is impossible; its one trial is recorded without running anything."""

    @property
    def measure(self) -> str:
        return type(self.workload).__struct_config__.tag  # type: ignore[return-value]


class Trial(Value, frozen=True):
    """The unit of execution: one cell, one round, one process."""

    id: str
    cell: str
    round: Count


class Compared(Value, frozen=True):
    """Two variants of a rerun that stand side by side: what one run measured, and what an earlier one did."""

    variant: Name
    """As those runs call it."""
    new: Name
    good: Name
    """As this run calls the two."""
    new_run: str
    good_run: str


class Plan(Value, frozen=True, kw_only=True):
    """What a run will do, in order; the head of every run folder."""

    schema: Whole = SCHEMA_VERSION
    suite: Suite
    facts: dict[Name, DeviceFacts]
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    command: tuple[str, ...] = ()
    """The command that measures this again."""
    bench_version: str = ""
    cross_check: Count = 0
    """How many questions of each task lm-eval's own model scores again."""
    shard: Shard | None = None
    """None: whole jobs."""
    compares: tuple[Compared, ...] | UnsetType = UNSET
    """Set exactly for a rerun of what other runs measured; it is no night of a history."""
