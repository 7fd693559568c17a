"""The figures of a claim file as intervals, and what a row gained over its baseline."""

from collections.abc import Iterator

from harness.analyse.audit.intervals import ROUNDING, exactly, minus, over, times
from harness.published import ClaimFile, Printed, PublishedRow, PublishedTask, printed, published_metric, scale_of

ONE, HUNDRED = exactly(1.0), exactly(100.0)


def scale(file: ClaimFile, metric: str) -> float:
    """How many of the metric's own unit one unit of its column is."""
    known = published_metric(metric)
    found = scale_of(known, file.columns[metric].unit) if known else None
    return found or 1.0


def figure(file: ClaimFile, row: str, metric: str) -> Printed | None:
    """As printed, in the column's unit."""
    text = file.rows[row].values.get(metric)
    return None if text is None else printed(text)


def compared(file: ClaimFile) -> Iterator[tuple[str, PublishedRow, str]]:
    """(name, row, baseline) of all rows that have one."""
    for name, row in file.rows.items():
        if row.baseline is not None:
            yield name, row, row.baseline


def score(task: PublishedTask, row: str) -> Printed | None:
    """In percent."""
    text = task.values.get(row)
    return None if text is None else printed(text, 100.0 if task.unit == "fraction" else 1.0)


def own_tasks(file: ClaimFile) -> list[PublishedTask]:
    """Those that are no mean of others."""
    return [task for task in file.tasks if not task.mean_of]


def lower_is_better(metric: str) -> bool:
    known = published_metric(metric)
    return known is not None and known.better == "lower"


def title(metric: str) -> str:
    known = published_metric(metric)
    return known.title if known else metric


def times_better(metric: str, value: Printed, base: Printed) -> Printed:
    """`2.6×`: above 1 is better, whichever direction that is."""
    return over(base, value) if lower_is_better(metric) else over(value, base)


def percent_change(value: Printed, base: Printed) -> Printed:
    """`−54.1 %`"""
    return times(minus(over(value, base), ONE), HUNDRED)


def reduction(value: Printed, base: Printed) -> Printed:
    """`54.1 %` less"""
    return times(minus(ONE, over(value, base)), HUNDRED)


def above(value: float, limit: float) -> bool:
    """Above by more than floating point can explain."""
    return value > limit + ROUNDING * max(abs(value), abs(limit))
