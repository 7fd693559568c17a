"""What the store must keep for the next nights: artifacts and runners of the last nights and of the last good ones.

One pin a suite, device and folder of runs; each night writes it anew, so that what is no longer needed is let go.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.analyse.history.values import History, Series
from harness.build.artifacts import stored_folder
from harness.build.recipes.stored import runner_folder
from harness.build.runners.llama_cpp_build import PROGRAM
from harness.housekeeping import hold
from harness.measure.pairing import Side
from harness.store import read_run
from harness.values import digest

KEPT_NIGHTS = 10
"""A change can be seen some nights after it came: the last night before it is still among these."""


def pin_last_good(history: History, results: Path, suite: str, devices: Sequence[str]) -> None:
    """Pin what the last nights of these series were measured with, and what each open change is set against.

    Runs of other machines have nothing in this store; what is not there cannot be pinned.
    """
    runs: dict[str, None] = {}
    for series in history.series:
        if series.suite == suite and series.device in devices:
            runs |= dict.fromkeys(_needed(series, history))
    hold(pin_name(results, suite, devices), sorted(set(_entries(runs, results))))


def pin_name(results: Path, suite: str, devices: Sequence[str]) -> str:
    """What `bench gc --unpin` takes."""
    return f"nightly-{suite}-{'-'.join(devices)}-{digest(str(results.resolve()))[:8]}"


def missing_of(side: Side) -> str | None:
    """Which half of a side is gone from the store, in words; None: both are there."""
    if stored_folder(side.artifact_sha256) is None:
        return f"the artifact {side.artifact_sha256[:16]} of {side.run} is no longer in the store"
    if side.runner_sha256 is not None and not (runner_folder(side.runner_sha256) / PROGRAM).is_file():
        return f"the runner {side.runner_sha256[:16]} of {side.run} is no longer in the store"
    return None


def _needed(series: Series, history: History) -> Iterator[str]:
    """Runs whose artifacts may be asked for: the newest ones, and the last one before each open change."""
    measured = [point for point in series.points if point.value is not None]
    yield from (history.nights[point.night].run for point in measured[-KEPT_NIGHTS:])
    for change in series.changes:
        if change.worse and change.acknowledged is None:
            before = [point for point in series.points[: change.at] if point.value is not None]
            yield from (history.nights[point.night].run for point in before[-1:])


def _entries(runs: Iterable[str], results: Path) -> Iterator[str]:
    """Entries of the cache (`kind/name`) that the runs were measured with and that are there."""
    artifacts, runners = set[str](), set[str]()
    for name in runs:
        for record in read_run(results / name).records:
            artifacts |= {record.artifact_sha256} if record.artifact_sha256 else set()
            runners |= {record.environment.runner_sha256 or ""} if record.environment else set()
    for folder in (stored_folder(sha256) for sha256 in artifacts):
        if folder is not None:
            yield f"artifacts/{folder.name}"
    for folder in (runner_folder(sha256) for sha256 in runners - {""}):
        if folder.is_dir():
            yield f"runners/{folder.name}"
