"""`top -b -n 2`: who uses the CPU."""

from collections.abc import Iterator

from harness.values import BusyProcess

SHARE = ("%CPU", "CPU%", "PCPU")
NAME = ("ARGS", "CMDLINE", "CMD", "NAME", "COMMAND")
LEAST_PERCENT = 5.0
OWN = ("top", "sh", "adbd", "dumpsys")
"""What asks is not what is asked about."""


def parse_top(text: str, most: int = 5) -> tuple[BusyProcess, ...]:
    """The busiest programs of the last table, those of at least 5 % of a core, the busiest first."""
    tables = list(_tables(text))
    found = [] if not tables else [p for p in tables[-1] if p.cpu_percent >= LEAST_PERCENT and p.name not in OWN]
    return tuple(sorted(found, key=lambda p: -p.cpu_percent)[:most])


def _tables(text: str) -> Iterator[list[BusyProcess]]:
    """A heading in which `PID` stands, then a line a program."""
    columns: list[str] = []
    rows: list[BusyProcess] = []
    for line in text.splitlines():
        # The column that is sorted by stands in brackets, which may touch the column before it.
        words = line.replace("[", " ").replace("]", " ").upper().split()
        if "PID" in words:
            if columns:
                yield rows
            columns, rows = words, []
        elif columns and (row := _row(line.split(), columns)) is not None:
            rows.append(row)
    if columns:
        yield rows


def _row(words: list[str], columns: list[str]) -> BusyProcess | None:
    share = next((columns.index(name) for name in SHARE if name in columns), None)
    name = next((columns.index(name) for name in NAME if name in columns), None)
    if share is None or name is None or len(words) <= max(share, name) or not words[columns.index("PID")].isdigit():
        return None
    try:
        percent = float(words[share].rstrip("%"))
    except ValueError:
        return None
    program = words[name].rpartition("/")[2][:64]
    return BusyProcess(name=program, cpu_percent=percent) if 0 <= percent < 1e5 else None
