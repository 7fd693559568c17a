"""Runs as pandas frames, and frames as files: for notebooks and other programs."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError, SetupError
from harness.metrics import metric
from harness.store import Run, find_runs, read_run

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.analyse.findings import Row

NAMES = ("run", "cell", "variant", "baseline", "runtime", "device", "workload", "metric", "unit", "status")
"""Columns with few distinct values: categories."""
UNSEEN: dict[Any, Any] = {None: None}
"""Metric and value of a trial without any."""
FIGURES = ("value", "baseline_value", "ratio", "ratio_low", "ratio_high", "diff", "diff_low", "diff_high")


def load_results(path: str | Path) -> "DataFrame":
    """See `harness.load_results`."""
    return results_frame(read_runs(Path(path)))


def load_records(path: str | Path) -> "DataFrame":
    """See `harness.load_records`."""
    return records_frame(read_runs(Path(path)))


def read_runs(where: Path) -> list[Run]:
    """All runs below a folder, or the one that it is.

    Raises:
        InputError: there is none.
    """
    folders = find_runs(where)
    if not folders:
        raise InputError(f"no run in {where}: neither it nor a folder in it has a plan.json")
    return [read_run(folder) for folder in folders]


def results_frame(runs: Sequence[Run]) -> "DataFrame":
    """The rows of the runs: figures are nullable floats, names are categories, notes one text a row."""
    from harness.analyse.findings import Row

    rows = results_rows(runs)
    return _frame({name: [_plain(getattr(row, name)) for row in rows] for name in Row.__struct_fields__})


def results_rows(runs: Sequence[Run]) -> "list[Row]":
    """The rows of the runs, each compared within its own run only."""
    from harness.analyse.rows import run_rows

    return [row for run in runs for row in run_rows(run)]


def records_frame(runs: Sequence[Run]) -> "DataFrame":
    """One row a trial and metric; a trial without a value has one row, without a metric and with its reason."""
    import numpy as np

    from harness.analyse.trial_values import read_trials

    columns: dict[str, list[Any]] = {name: [] for name in ("run", *_OF_TRIAL)}
    names: list[str | None] = []
    values: list[float | None] = []
    counts: list[int] = []
    for run in runs:
        for trial in read_trials(run):
            said = trial.values or UNSEEN
            columns["run"].append(run.id)
            for name, of in _OF_TRIAL.items():
                columns[name].append(of(trial))
            counts.append(len(said))
            names += said
            values += said.values()
    repeated = np.repeat(np.arange(len(counts)), counts)
    frame = _frame(columns).take(repeated).reset_index(drop=True)
    units = {name: metric(name).unit for name in dict.fromkeys(names) if name is not None}
    more = _frame({"metric": names, "unit": [name and units[name] for name in names], "value": values})
    return frame.assign(metric=more["metric"], unit=more["unit"], value=more["value"])[list(RECORD_COLUMNS)]


RECORD_COLUMNS = (
    *("run", "cell", "variant", "runtime", "device", "workload", "metric", "unit", "round", "value"),
    *("status", "reason", "noise", "started", "artifact_sha256"),
)
_OF_TRIAL: dict[str, Any] = {
    "cell": lambda t: t.record.cell,
    "variant": lambda t: t.cell.cell.variant,
    "runtime": lambda t: t.cell.runtime,
    "device": lambda t: t.cell.cell.device,
    "workload": lambda t: t.cell.workload,
    "round": lambda t: t.record.round,
    "status": lambda t: t.status,
    "reason": lambda t: t.reason,
    "noise": lambda t: "; ".join(t.noise),
    "started": lambda t: t.record.started or None,
    "artifact_sha256": lambda t: t.record.artifact_sha256,
}


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


WRITERS: "dict[str, Callable[[DataFrame], bytes]]" = {"csv": as_csv, "json": as_json, "parquet": as_parquet}


def _plain(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, tuple) else value


def _frame(columns: dict[str, list[Any]]) -> "DataFrame":
    import pandas as pd

    return pd.DataFrame({name: _typed(name, values) for name, values in columns.items()})


def _typed(name: str, values: list[Any]) -> Any:
    import pandas as pd

    if name in FIGURES:
        return pd.array(values, dtype="Float64")
    if name in ("n", "round"):
        return pd.array(values, dtype="Int64")
    if name in NAMES:
        return _category(values)
    if name == "started":
        return pd.to_datetime(values, utc=True, format="ISO8601", errors="coerce")
    return pd.array(values, dtype="string")


def _category(values: Iterable[str | None]) -> Any:
    """Categories in the order of their first appearance, which is that of the plan."""
    import pandas as pd

    values = list(values)
    known = {name: code for code, name in enumerate(n for n in dict.fromkeys(values) if n is not None)}
    codes = [-1 if name is None else known[name] for name in values]
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(known), dtype=object))
