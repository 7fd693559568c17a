"""Nights → series: the points of one metric of one cell in the order of time, with their cuts and gaps."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec.structs import replace

from harness.analyse.history.cuts import find_cuts
from harness.analyse.history.missing import Place, find_missing
from harness.analyse.history.nights import Cell, RunSeen, Seen
from harness.analyse.history.plateaus import Compare
from harness.analyse.history.scores import Paired, Scores, in_pairs
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Point, Series
from harness.analyse.history.watch import changes
from harness.metrics import metric
from harness.values import digest


def assemble(runs: Sequence[RunSeen], now: datetime, settings: Settings) -> Iterator[Series]:
    """Every series of nights that are in order, with its changes."""
    asked: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    found: dict[tuple[Cell, str], list[tuple[int, Seen]]] = defaultdict(list)
    for night, run in enumerate(runs):
        for device, host in run.places:
            asked[run.suite, device, host].append(night)
        for seen in run.seen:
            found[seen.cell, seen.metric].append((night, seen))
    times = [run.started for run in runs]
    for (cell, name), those in found.items():
        nights = asked[cell.suite, cell.device, cell.host]
        series = _series(runs, cell, name, those, Place(nights, times, now), settings)
        scores = [seen.scores for _, seen in those]
        yield replace(series, changes=changes(series, settings, _comparer(scores)))


def _comparer(scores: Sequence[Scores | None]) -> Compare:
    def compare(old: int, new: int) -> Paired | None:
        return in_pairs(scores[old], scores[new])

    return compare


def series_id(cell: Cell, name: str) -> str:
    """The same in every history."""
    parts = [cell.suite, cell.device, cell.host, cell.runtime, cell.variant, cell.workload, name]
    return digest(parts)[:16]


def _series(
    runs: Sequence[RunSeen],
    cell: Cell,
    name: str,
    those: Sequence[tuple[int, Seen]],
    place: Place,
    settings: Settings,
) -> Series:
    known: dict[tuple[tuple[str, str], ...], int] = {}
    points = []
    for night, seen in those:
        around = runs[night].conditions[seen.conditions]
        points.append(
            Point(
                night=night,
                value=seen.value,
                reason=seen.reason,
                rounds=seen.rounds,
                marks=seen.marks,
                conditions=known.setdefault(tuple(sorted(around.items())), len(known)),
                artifact_sha256=seen.artifact_sha256,
            )
        )
    of = metric(name)
    conditions = tuple(dict(one) for one in known)
    return Series(
        id=series_id(cell, name),
        suite=cell.suite,
        device=cell.device,
        host=cell.host,
        runtime=cell.runtime,
        variant=cell.variant,
        workload=cell.workload,
        metric=name,
        title=of.title,
        unit=of.unit,
        better=of.better,
        kind=of.kind,
        points=tuple(points),
        conditions=conditions,
        cuts=find_cuts(points, conditions, of.kind, across_runtimes=settings.across_runtimes),
        missing=find_missing(points, [seen.failed for _, seen in those], place, settings),
        command=_command(runs[those[-1][0]].command, cell),
    )


def _command(command: tuple[str, ...], cell: Cell) -> tuple[str, ...]:
    """The run's command, narrowed to the series' variant and kind of measure where it was not already."""
    wanted = {"--variants": cell.variant, "--measures": cell.workload.split(" ")[0]}
    given = {part.split("=")[0] for part in command}
    more = [part for option, value in wanted.items() if value and option not in given for part in (option, value)]
    return (*command, *more) if command else ()
