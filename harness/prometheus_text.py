"""Rows of runs in Prometheus' text format (version 0.0.4), for a node exporter's textfile collector."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.metrics import METRICS

if TYPE_CHECKING:
    from pandas import DataFrame

PLACE = ("run", "variant", "runtime", "device", "workload", "metric")
"""Labels of a value; of a ratio also its baseline. The metric is one since two may have the same name of a family."""
_OTHER = re.compile(r"[^A-Za-z0-9_]")


def as_prometheus(frame: "DataFrame") -> bytes:
    """Gauges `bench_METRIC` in the metric's own unit, and `bench_METRIC_ratio` against each baseline.

    What was not seen has no sample.
    """
    families: dict[str, list[str]] = {}
    for metric in frame["metric"].dropna().unique():
        families.setdefault(_OTHER.sub("_", metric), []).append(metric)
    lines = [line for name, all_ in families.items() for line in _family(name, frame[frame["metric"].isin(all_)])]
    return "".join(f"{line}\n" for line in lines).encode()


def _family(name: str, rows: "DataFrame") -> Iterator[str]:
    known = METRICS.get(name)
    said = f"{known.title} ({known.unit})" if known else name
    values = rows.dropna(subset=["value"]).drop_duplicates(subset=list(PLACE))
    yield from _samples(f"bench_{name}", said, values, PLACE, "value")
    ratios = rows.dropna(subset=["ratio", "baseline"])
    yield from _samples(
        f"bench_{name}_ratio", f"{said}, over that of the baseline", ratios, (*PLACE, "baseline"), "ratio"
    )


def _samples(name: str, said: str, rows: "DataFrame", labels: tuple[str, ...], column: str) -> Iterator[str]:
    if rows.empty:
        return
    yield f"# HELP {name} {_escaped(said, quotes=False)}"
    yield f"# TYPE {name} gauge"
    for row in rows.to_dict("records"):
        given = ",".join(f'{label}="{_escaped(row[label])}"' for label in labels if _known(row[label]))
        yield f"{name}{{{given}}} {float(row[column])!r}"


def _known(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _escaped(text: str, *, quotes: bool = True) -> str:
    plain = text.replace("\\", "\\\\").replace("\n", "\\n")
    return plain.replace('"', '\\"') if quotes else plain
