"""Runs as pandas frames, and frames as files: for notebooks and other programs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.columns import frame_of
from harness.errors import InputError, SetupError
from harness.many_runs import ask_each
from harness.prometheus_text import as_prometheus
from harness.store import find_runs, read_run
from harness.trial_frame import trials_frame

__all__ = ["WRITERS", "load_records", "load_results", "results_frame", "trials_frame"]

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.analyse.findings import Row


def load_results(path: str | Path) -> "DataFrame":
    """See `harness.load_results`."""
    return results_frame(runs_below(Path(path)))


def load_records(path: str | Path) -> "DataFrame":
    """See `harness.load_records`."""
    return trials_frame(runs_below(Path(path)))


def runs_below(where: Path) -> list[Path]:
    """Folders of all runs below a folder, or the one that it is.

    Raises:
        InputError: there is none.
    """
    folders = find_runs(where)
    if not folders:
        raise InputError(f"no run in {where}: neither it nor a folder in it has a plan.json")
    return folders


def results_frame(folders: Sequence[Path]) -> "DataFrame":
    """The rows of the runs, each compared within its own run only; notes are one text a row."""
    import harness.analyse.rows  # noqa: F401 - before the processes part
    from harness.analyse.findings import Row

    rows = [row for of_run in ask_each(read_rows, folders) for row in of_run]
    columns = {name: [getattr(row, name) for row in rows] for name in Row.__struct_fields__}
    return frame_of({**columns, "notes": ["; ".join(row.notes) for row in rows]})


def read_rows(folder: Path) -> "list[Row]":
    """One run's rows."""
    from harness.analyse.rows import run_rows

    return run_rows(read_run(folder))


def as_csv(frame: "DataFrame") -> bytes:
    """Text with a header; what was not seen is an empty field."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


def as_json(frame: "DataFrame") -> bytes:
    """A list of objects; what was not seen is null."""
    return (frame.to_json(orient="records", date_format="iso", double_precision=15) + "\n").encode()


def as_parquet(frame: "DataFrame") -> bytes:
    """Typed columns with their categories.

    Raises:
        SetupError: pyarrow is not installed.
    """
    try:
        return frame.to_parquet(None, engine="pyarrow", index=False)
    except ImportError:
        raise SetupError("Parquet needs pyarrow: `pip install pyarrow` (CSV and JSON need nothing)") from None


WRITERS: "dict[str, Callable[[DataFrame], bytes]]" = {
    "csv": as_csv,
    "json": as_json,
    "parquet": as_parquet,
    "prometheus": as_prometheus,
}
