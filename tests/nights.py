"""Histories for tests: plain series from numbers, and folders of real runs from `tests/builders.py`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from harness.analyse.history.cuts import find_cuts
from harness.analyse.history.values import Point, Series
from harness.metrics import metric
from harness.values import Cell, Size, Speed, Task, TrialRecord, digest
from tests.builders import TRUTHS, build_run

FIRST = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)
MEASURES = (Size(), Speed(prompt_tokens=64, generated_tokens=8, rounds=3, repetitions=1))
WITH_TASK = (*MEASURES, Task(task="knowledge_200"))


def series_of(
    values: Sequence[float | None],
    *,
    name: str = "decode_tok_s",
    conditions: Sequence[dict[str, str]] = ({},),
    which: Sequence[int] | None = None,
    artifacts: Sequence[str] | None = None,
    **changes: Any,
) -> Series:
    """A series of these values; `which` names the conditions of each night."""
    of = metric(name)
    points = tuple(
        Point(
            night=night,
            value=value,
            reason=None if value is not None else "failed",
            conditions=which[night] if which else 0,
            artifact_sha256=digest(artifacts[night] if artifacts else night),
        )
        for night, value in enumerate(values)
    )
    made = Series(
        id="0" * 16, suite="nightly", device="local", host="5f2c", runtime="llama.cpp", variant="int8",
        workload="speed p64+g8", metric=name, title=of.title, unit=of.unit, better=of.better, kind=of.kind,
        points=points, conditions=tuple(conditions), cuts=find_cuts(points, conditions, of.kind),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def night(number: int) -> str:
    """Name of the run of that night."""
    return f"{FIRST + timedelta(days=number):%Y%m%dT%H%M%SZ}-quick-host-{number:04x}"


def build_night(
    results: Path,
    number: int,
    *,
    decode: float = 1.0,
    started: str | None = None,
    name: str | None = None,
    artifact: str | None = None,
    measures: Sequence[Any] = MEASURES,
    change: Callable[[Cell, TrialRecord], TrialRecord | None] | None = None,
    accuracy: float | None = None,
) -> Path:
    """One night's run; int8 decodes `decode` times as fast as it should, and answers with `accuracy` where given."""
    truths = {n: t for n, t in TRUTHS.items() if n in ("f16", "int8")}
    truths["int8"] = replace(truths["int8"], decode_tok_s=truths["int8"].decode_tok_s * decode)
    if accuracy is not None:
        truths["int8"] = replace(truths["int8"], accuracy=accuracy, flips=1 - accuracy)
    begun = started or f"{FIRST + timedelta(days=number, minutes=1):%Y-%m-%dT%H:%M:%SZ}"

    def tonight(cell: Cell, record: TrialRecord) -> TrialRecord | None:
        sha = digest([artifact or number, cell.variant]) if cell.variant else None
        record = msgspec.structs.replace(record, started=begun, artifact_sha256=sha)
        return change(cell, record) if change else record

    return build_run(
        results, name=name or night(number), seed=number, truths=truths, baselines=("f16",), measures=measures,
        items=60, noise=0.01, change=tonight,
    )  # fmt: skip


def with_facts(folder: Path, **facts: Any) -> None:
    """Put other facts of the device into a run's plan."""
    path = folder / "plan.json"
    plan = msgspec.json.decode(path.read_bytes())
    plan["facts"]["local"] |= facts
    path.write_bytes(msgspec.json.encode(plan))
