"""Where something was seen."""

from typing import TYPE_CHECKING

from harness.values import Value, Workload

if TYPE_CHECKING:
    from harness.analyse.levels import MeasuredCell

Place = tuple[str | None, str | None, str, Workload]
"""(variant, runtime, device, workload): unique within a run."""


class InCell(Value, frozen=True):
    run: str
    variant: str | None
    runtime: str | None
    device: str
    workload: str


def place(cell: "MeasuredCell", variant: str | None = None) -> Place:
    """The cell's place, or that of another variant beside it."""
    seen = cell.seen
    return variant or seen.cell.variant, seen.runtime, seen.cell.device, seen.cell.workload
