"""What lies folded at the end of a page: a command for each cell, and every row as it is."""

import shlex
from collections.abc import Sequence

from harness.analyse.findings import Row
from harness.render.page import Cell, Group, Notes, Table, table
from harness.render.settings import Setting
from harness.render.tables import NOTHING, no_value
from harness.values import Task, Timed, Workload

MOST_ROWS = 1000
COMMANDS = (
    "Each command measures one cell again, and the baselines beside it, since every ratio needs them. All "
    "workloads of that kind in the suite are measured with it."
)
_VALUED = ("--device", "--variants", "--measures", "--tasks", "--limit", "--rounds")


def commands_table(setting: Setting) -> Table | None:
    """A command for each variant and workload; None where the run does not know its own."""
    own = setting.run.command
    if not own:
        return None
    rows = []
    for variant, name in dict.fromkeys((r.variant, r.workload) for r in setting.rows):
        workload = setting.run.workloads.get(name)
        if workload is None:
            continue
        command = shlex.join(cell_command(own, variant, setting.device.name, workload))
        what = f"{_kind(workload)} {name}".strip()
        rows.append((Cell(setting.named(variant)), Cell(what), Cell(command, code=True)))
    return table(("variant", "measure", "command"), rows)


def cell_command(own: Sequence[str], variant: str | None, device: str, workload: Workload) -> tuple[str, ...]:
    """The run's own command, narrowed to one cell."""
    words, options = _split(own)
    words += ["--device", device]
    if variant is not None:
        words += ["--variants", variant]
    words += ["--measures", _kind(workload)]
    if isinstance(workload, Task) and "--tasks" in options:  # the suite's own tasks may have settings of their own
        words += ["--tasks", workload.task]
    if isinstance(workload, Task) and "--limit" in options:
        words += ["--limit", options["--limit"]]
    if isinstance(workload, Timed) and "--rounds" in options:
        words += ["--rounds", options["--rounds"]]
    return tuple(words)


def raw_table(setting: Setting, notes: Notes) -> tuple[str, Table]:
    """(what is shown of how much, the rows of report.json with their values by round)"""
    rows = setting.rows[:MOST_ROWS]
    left = len(setting.rows) - len(rows)
    said = f"{len(rows):,} rows, as in report.json."
    if left:
        said = f"The first {len(rows):,} rows; {left:,} more are left out here and stand in report.json."
    header = ("variant", "baseline", "workload", "metric", "value", "baseline's value", "ratio", "ratio's interval",
              "difference", "difference's interval", "n", "by round")  # fmt: skip
    lines = tuple(_line(setting, row, notes) for row in rows)
    return said, Table(header, (Group("", lines),), numeric=5)


def _line(setting: Setting, row: Row, notes: Notes) -> tuple[Cell, ...]:
    level = setting.levels.get((row.variant, row.workload, row.metric))
    rounds = " ".join(_exact(r.value) for r in level.rounds) if level else ""
    return (
        Cell(setting.named(row.variant)),
        Cell(row.baseline or NOTHING),
        Cell(row.workload or NOTHING),
        Cell(f"{row.metric}, {row.unit}" if row.unit else row.metric),
        Cell(no_value(row) if row.value is None else _exact(row.value), notes.refs(row.notes)),
        Cell(_exact(row.baseline_value)),
        Cell(_exact(row.ratio)),
        Cell(_between(row.ratio_low, row.ratio_high)),
        Cell(_exact(row.diff)),
        Cell(_between(row.diff_low, row.diff_high)),
        Cell(str(row.n)),
        Cell(rounds or NOTHING),
    )


def _between(low: float | None, high: float | None) -> str:
    return NOTHING if low is None or high is None else f"{_exact(low)} to {_exact(high)}"


def _exact(value: float | None) -> str:
    return NOTHING if value is None else str(int(value)) if value == int(value) else f"{value:.6g}"


def _kind(workload: Workload) -> str:
    return str(type(workload).__struct_config__.tag)


def _split(own: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """(words that stay, options that a cell narrows)"""
    words: list[str] = []
    options: dict[str, str] = {}
    rest = iter(own)
    for word in rest:
        if word in _VALUED:
            options[word] = next(rest, "")
        else:
            words.append(word)
    return words, options
