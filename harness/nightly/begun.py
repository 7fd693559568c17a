"""Which run a night goes on with that another one left unfinished."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.analyse.history.found import FOLDER
from harness.analyse.history.nights import time_of
from harness.errors import StoreError
from harness.machine_name import machine_name
from harness.measure.ready import Ready, check_artifacts
from harness.nightly.turns import Turn
from harness.store import Run, create_run, find_runs, read_run, safe_host
from harness.values import Plan

SAME_NIGHT = timedelta(hours=20)
"""What began earlier belongs to a night that is over."""
_STAMP = re.compile(r"\d{8}T\d{6}Z")


def open_night(results: Path, mine: Turn) -> Callable[[Plan, Ready], Path]:
    """What gives the night its run, once all is made: the one begun tonight, or a new one; it is remembered."""

    def open_run(plan: Plan, ready: Ready) -> Path:
        folder = _begun(results, mine.begun(), plan, ready) or create_run(results, plan, host=machine_name())
        mine.begin(folder.name)
        return folder

    return open_run


def _begun(results: Path, named: str | None, plan: Plan, ready: Ready) -> Path | None:
    for folder in recent(results):
        with suppress(StoreError):  # a damaged run is not gone on with
            run = read_run(folder)
            unfinished = not run.complete or folder.name == named
            alike = run.plan.cells == plan.cells and _machines(run.plan) == _machines(plan)
            if unfinished and alike and _same_programs(run, ready):
                return folder
    return None


def _machines(plan: Plan) -> dict[str, str]:
    """Device → hash of its machine: names of hosts may end alike."""
    return {device: facts.host_hash for device, facts in plan.facts.items()}


def is_own(run: str) -> bool:
    """Whether this machine made the run, by its name."""
    return run.rpartition("-")[0].endswith(f"-{safe_host(machine_name())}")


def recent(results: Path) -> Iterator[Path]:
    """This machine's runs since this time yesterday that no night ended with, newest first."""
    now = datetime.now(UTC)
    for folder in reversed(find_runs(results)):
        stamp = _STAMP.match(folder.name)
        made = stamp and time_of(stamp[0])
        if made is None or not is_own(folder.name) or (results / FOLDER / f"{folder.name}.json").exists():
            continue
        age = now - made
        if timedelta(0) <= age <= SAME_NIGHT:
            yield folder


def _same_programs(run: Run, ready: Ready) -> bool:
    """Whether what the run has records of is what would be measured now.

    Raises:
        StoreError: it has measured another artifact.
    """
    known = {made.runner.sha256 for made in ready.preparations.values()}
    known |= {runner.sha256 for builds in ready.builds.values() for runner in builds.values()}
    seen = {record.environment.runner_sha256 for record in run.records if record.environment}
    check_artifacts(run, ready)
    return seen - {None} <= known
