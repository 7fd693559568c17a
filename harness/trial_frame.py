"""The trials of runs as one frame: each run read on its own, several at once where there is much to read."""

import math
from array import array
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.columns import Coded, coded, figures, joined
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

    columns: dict[str, Coded]
    counts: "array[int]"
    """How many metrics each trial has."""
    metrics: Coded
    values: "array[float]"
    """NaN: no value; the store holds none of its own."""


def trials_frame(folders: Sequence[Path]) -> "DataFrame":
    """One row a trial and metric of these runs.

    Raises:
        StoreError: a run is damaged.
    """
    import harness.analyse.trial_values  # noqa: F401 - before the processes part

    parts = list(ask_each(read_part, folders, lambda: import_module("pandas")))
    import numpy as np
    import pandas as pd

    counts = np.concatenate([np.frombuffer(part.counts, dtype=np.int32) for part in parts])
    columns = {name: joined(name, [part.columns[name] for part in parts], counts) for name in ("run", *OF_TRIAL)}
    metrics = [part.metrics for part in parts]
    units = [Coded([None if n is None else metric(n).unit for n in one.values], one.codes) for one in metrics]
    columns |= {"metric": joined("metric", metrics), "unit": joined("unit", units)}
    columns["value"] = figures(np.concatenate([np.frombuffer(part.values) for part in parts]))
    return pd.DataFrame({name: columns[name] for name in COLUMNS})


def read_part(folder: Path) -> Part:
    """One run's trials."""
    from harness.analyse.trial_values import read_trials

    trials = read_trials(read_run(folder))
    columns = {name: coded([of(trial) for trial in trials]) for name, of in OF_TRIAL.items()}
    metrics: list[str | None] = []
    values: array[float] = array("d")
    for trial in trials:
        metrics += trial.values or (None,)
        values.extend(trial.values.values() or (math.nan,))
    return Part(
        columns={**columns, "run": coded([folder.name] * len(trials))},
        counts=array("i", [len(trial.values) or 1 for trial in trials]),
        metrics=coded(metrics),
        values=values,
    )
