"""The trials of runs as one frame: each run read on its own, several at once where there is much to read."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.columns import frame_of
from harness.many_runs import ask_each
from harness.metrics import metric
from harness.store import read_run

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.analyse.trial_values import SeenTrial

COLUMNS = (
    *("run", "cell", "variant", "runtime", "device", "workload", "metric", "unit", "round", "value"),
    *("status", "reason", "noise", "started", "artifact_sha256"),
)
OF_TRIAL: "dict[str, Callable[[SeenTrial], Any]]" = {
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


class Part(msgspec.Struct, frozen=True):
    """The trials of one run, column by column; a trial without a value counts as one, without a metric."""

    columns: dict[str, list[Any]]
    counts: list[int]
    """How many metrics each trial has."""
    metrics: list[str | None]
    values: list[float | None]


def trials_frame(folders: Sequence[Path]) -> "DataFrame":
    """One row a trial and metric of these runs.

    Raises:
        StoreError: a run is damaged.
    """
    import numpy as np

    import harness.analyse.trial_values  # noqa: F401 - before the processes part

    parts = list(ask_each(read_part, folders))
    columns = {name: _joined(part.columns[name] for part in parts) for name in ("run", *OF_TRIAL)}
    counts = _joined(part.counts for part in parts)
    names = _joined(part.metrics for part in parts)
    units = {name: None if name is None else metric(name).unit for name in dict.fromkeys(names)}
    frame = frame_of(columns).take(np.repeat(np.arange(len(counts)), counts)).reset_index(drop=True)
    values = _joined(part.values for part in parts)
    more = frame_of({"metric": names, "unit": [units[name] for name in names], "value": values})
    return frame.assign(metric=more["metric"], unit=more["unit"], value=more["value"])[list(COLUMNS)]


def read_part(folder: Path) -> Part:
    """One run's trials."""
    from harness.analyse.trial_values import read_trials

    trials = read_trials(read_run(folder))
    columns: dict[str, list[Any]] = {name: [of(trial) for trial in trials] for name, of in OF_TRIAL.items()}
    columns["run"] = [folder.name] * len(trials)
    metrics: list[str | None] = []
    values: list[float | None] = []
    for trial in trials:
        metrics += trial.values or (None,)
        values += trial.values.values() or (None,)
    return Part(columns, [len(trial.values) or 1 for trial in trials], metrics, values)


def _joined(lists: Iterable[list[Any]]) -> list[Any]:
    whole: list[Any] = []
    for one in lists:
        whole += one
    return whole
