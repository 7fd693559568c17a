"""Two sides in a terminal: what must be said, what differs, then the numbers."""

from collections.abc import Iterator

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from harness.analyse.sides import Side, SideBySide, SideRow
from harness.metrics import metric
from harness.render.accuracy import pairs_table
from harness.render.page import Cell, Group, Notes, Table, cells
from harness.render.terminal import ANSWERS, SHOWN, Aligned
from harness.render.words import clean, points, quantity, times

NOTHING = "–"
FEW = 4
"""Cells of one side alone that are named."""


def side_by_side(found: SideBySide, metrics: tuple[str, ...] = ()) -> RenderableType:
    """Warnings and differing conditions first; of the metrics the main ones and those of tasks, unless asked."""
    return Lines(*_parts(found, metrics))


def _parts(found: SideBySide, metrics: tuple[str, ...]) -> Iterator[RenderableType]:
    how = "paired by round and item" if found.paired else "not paired unless noted" if found.accuracy else "not paired"
    yield Text(clean(f"first: {_side(found.side)}"), style="bold")
    yield Text(clean(f"second: {_side(found.other)}"), style="bold")
    yield from (Text(clean(warning), style="bold yellow") for warning in found.warnings)
    if found.differing:
        rows = [cells(one.name, one.value, one.other) for one in found.differing]
        yield Aligned(Table(header=("what differs", "first", "second"), groups=(Group("", tuple(rows)),)))
    else:
        yield Text("no condition that was seen differs")
    yield Text("")
    notes = Notes()
    yield Aligned(_numbers(found, metrics, notes, how))
    if found.accuracy:
        table = Aligned(pairs_table(found.accuracy, notes, str))
        yield Padding(Lines(Text(ANSWERS, style="bold"), table), (1, 0, 0, 0))
    said = [*_alone(found), *(f"[{number}] {note}" for number, note in enumerate(notes.all, 1))]
    if said:
        yield Padding(Lines(*(Text(clean(line), style="dim") for line in said)), (1, 0, 0, 0))


def _alone(found: SideBySide) -> Iterator[str]:
    """One line a side, however many cells it has of its own."""
    for which, cells_alone in (("first", found.alone), ("second", found.other_alone)):
        if cells_alone:
            more = f" and {len(cells_alone) - FEW} more" if len(cells_alone) > FEW else ""
            yield f"only the {which} has: {', '.join(cells_alone[:FEW])}{more}"


def _numbers(found: SideBySide, metrics: tuple[str, ...], notes: Notes, how: str) -> Table:
    groups: dict[str, list[tuple[Cell, ...]]] = {}
    for row in found.rows:
        if not metrics and row.metric not in SHOWN and metric(row.metric).kind not in ("accuracy", "device"):
            continue
        title = " ".join(part for part in (metric(row.metric).title, row.workload) if part)
        groups.setdefault(title, []).append(_line(row, notes, paired=found.paired))
    parts = tuple(Group(title, tuple(lines)) for title, lines in groups.items())
    return Table(header=("variant", "first", "second", f"first against second, {how}", "n"), groups=parts, numeric=1)


def _line(row: SideRow, notes: Notes, *, paired: bool) -> tuple[Cell, ...]:
    who = row.variant if row.variant == row.other_variant else f"{row.variant} / {row.other_variant}"
    devices = "" if row.device == row.other_device else f" ({row.device} / {row.other_device})"
    count = f"{row.n}" if paired or row.n == row.other_n else f"{row.n} / {row.other_n}"
    return (
        Cell(f"{who or 'the device'}{devices}"),
        Cell(NOTHING if row.value is None else quantity(row.metric, row.value, None, None)),
        Cell(NOTHING if row.other_value is None else quantity(row.metric, row.other_value, None, None)),
        Cell(_against(row), notes.refs(row.notes)),
        Cell(count),
    )


def _against(row: SideRow) -> str:
    if row.diff is not None and row.unit == "fraction":
        return points(row.diff, row.diff_low, row.diff_high)
    if row.ratio is None:
        return NOTHING
    return times(row.ratio, row.ratio_low, row.ratio_high, exact=metric(row.metric).kind == "exact")


def _side(side: Side) -> str:
    return f"{side.variant or 'each variant'} on {side.device or 'each device'} in {side.run}"
