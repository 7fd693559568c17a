"""Runs → history: which of them are nights, in which order, and what each series was on each of them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.analyse.history.acknowledging import Acknowledged, readable_acks
from harness.analyse.history.assembling import assemble
from harness.analyse.history.found import Confirmed, readable_found
from harness.analyse.history.judging import judged
from harness.analyse.history.nights import STAMP, RunSeen, see_run
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import History, Night, Series
from harness.many_runs import ask_each
from harness.store import PLAN, find_runs

FUTURE = timedelta(days=1)
"""No clock of this world is further ahead of ours."""


def read_history(
    where: Path | Sequence[Path],
    *,
    made: datetime | None = None,
    settings: Settings | None = None,
    suites: Sequence[str] = (),
    devices: Sequence[str] = (),
) -> History:
    """The history of all runs in folders, with its changes, and what nights found and people said of them.

    Args:
        where: run folders, or folders of runs, in which only runs with a time in their names are nights.
        made: now, if it is another time than the clock says; UTC.
        suites: only these; none: all.
        devices: only series of these.
    """
    now = made or datetime.now(UTC)
    places = [where] if isinstance(where, Path) else list(where)
    runs, unreadable = _read(_folders(places), now)
    runs = [run for run in runs if not suites or run.suite in suites]
    runs.sort(key=lambda run: (run.started, run.run))
    series = [one for one in assemble(runs, now, settings or Settings()) if not devices or one.device in devices]
    confirmed, acks, damaged = _said([one for one in places if not (one / PLAN).is_file()])
    history = History(
        made=iso(now),
        nights=tuple(Night(run=r.run, started=iso(r.started), suite=r.suite, host=_host(r)) for r in runs),
        series=tuple(sorted(series, key=_order)),
        unreadable=(*unreadable, *damaged),
    )
    return judged(history, confirmed, acks)


def _said(folders: Sequence[Path]) -> tuple[list[Confirmed], list[Acknowledged], list[str]]:
    """What nights found and people said, and why some of it cannot be read: nobody sleeps better for that."""
    confirmed: list[Confirmed] = []
    acks: list[Acknowledged] = []
    damaged: list[str] = []
    for folder in folders:
        found, unreadable = readable_found(folder)
        known, wrong = readable_acks(folder)
        confirmed += [one for night in found for one in night.confirmations]
        acks, damaged = [*acks, *known], [*damaged, *unreadable, *wrong]
    return confirmed, acks, damaged


def iso(when: datetime) -> str:
    """UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _folders(where: Iterable[Path]) -> list[Path]:
    """Each run once, by its name: a copy of a run is the run, and the copy with more records is further."""
    found: dict[str, Path] = {}
    for place in where:
        for folder in find_runs(place):
            # The example that ships with the project is no night: it has no time in its name.
            if not STAMP.match(folder.name) and not (place / PLAN).is_file():
                continue
            known = found.get(folder.name)
            if known is None or _size(folder) > _size(known):
                found[folder.name] = folder
    return [found[name] for name in sorted(found)]


def _size(folder: Path) -> int:
    records = folder / "records.jsonl"
    return records.stat().st_size if records.is_file() else -1


def _read(folders: Sequence[Path], now: datetime) -> tuple[list[RunSeen], list[str]]:
    runs: list[RunSeen] = []
    unreadable: list[str] = []
    for found in ask_each(see_run, folders):
        if isinstance(found, str):
            unreadable.append(found)
        elif found is not None and found.started > now + FUTURE:
            unreadable.append(
                f"{found.run}: begins in the future ({iso(found.started)}): a clock was wrong, and it is left out"
            )
        elif found is not None:
            runs.append(found)
    return runs, unreadable


def _host(run: RunSeen) -> str:
    return run.places[0][1] if run.places else ""


def _order(series: Series) -> tuple[object, ...]:
    return (
        series.suite,
        series.device,
        series.host,
        series.runtime or "",
        series.workload,
        series.metric,
        series.variant or "",
    )
