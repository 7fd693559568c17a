"""What stands between a good and a bad end: nights of a series, runners of the store, or programs that are built."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import msgspec

from harness.analyse.history.values import History, Series
from harness.build.cache import sha256_file
from harness.build.recipes.stored import runner_folder
from harness.build.runners.llama_cpp_build import PROGRAM
from harness.errors import BuildError, InputError
from harness.measure.pairing import Side, side_of
from harness.nightly.keeping import missing_of
from harness.progress import Progress
from harness.store import Run

LONGEST_BUILD_S = 4 * 3600


class Candidate(msgspec.Struct, frozen=True):
    """One place where it may have changed."""

    name: str
    side: Callable[[], Side]
    """What it is measured with, made when it is first asked for; raises BuildError where that cannot be."""


def nights_between(
    series: Series, history: History, good: str, bad: str, read: Callable[[str], Run]
) -> list[Candidate]:
    """The nights of a series from a good one to a bad one, each artifact and runner once, oldest first.

    Raises:
        InputError: one of the ends measured nothing of the series, or nothing differs between them.
    """
    runs = [history.nights[point.night].run for point in series.points if point.value is not None]
    for end in (good, bad):
        if end not in runs:
            raise InputError(f"{end} has no value of series {series.id}")
    if runs.index(good) >= runs.index(bad):
        raise InputError(f"{good} is not before {bad}")
    found: list[Candidate] = []
    last: tuple[str, str | None] | None = None
    for name in runs[runs.index(good) : runs.index(bad) + 1]:
        side = _side(read(name), series)
        if side is not None and side.identity != last:
            found.append(Candidate(name, _kept(side)))
            last = side.identity
    if len(found) < 2:
        raise InputError(f"artifact and runner of {series.id} are the same from {good} to {bad}: the machine changed")
    return found


def runners_of(given: Sequence[str], side: Side, runs: Iterable[Run]) -> list[Candidate]:
    """Runners of the store, by what records call them or at least its first 8 digits, with the artifact of a side.

    Args:
        runs: those in whose records a short name is looked up, newest first.

    Raises:
        InputError: no run was measured with it, or it is no longer in the store.
    """
    full = {name: name for name in given if len(name) == 64}
    for run in runs:
        if len(full) == len(set(given)):
            break
        for record in run.records:
            seen = record.environment.runner_sha256 if record.environment else None
            full |= {name: seen for name in given if seen and len(name) >= 8 and seen.startswith(name)}
    if unknown := [name for name in given if name not in full]:
        raise InputError(f"no run was measured with the runner {unknown[0]!r}")
    return [Candidate(name, _kept(msgspec.structs.replace(side, runner_sha256=full[name]))) for name in given]


def built_of(names: Sequence[str], command: str, side: Side, progress: Progress) -> list[Candidate]:
    """Programs that a command builds, with the artifact of a side.

    The command is run without a shell, with `BENCH_CANDIDATE` (the name) and `BENCH_PROGRAM` (the file that it has to
    write) in its environment.
    """

    def making(name: str) -> Callable[[], Side]:
        return cache(lambda: msgspec.structs.replace(side, runner_sha256=_built(name, command, progress)))

    return [Candidate(name, making(name)) for name in names]


def _side(run: Run, series: Series) -> Side | None:
    for cell in run.plan.cells:
        runtime = cell.runtime.name if cell.runtime else None
        if (cell.variant, cell.device, runtime) == (series.variant, series.device, series.runtime):
            return side_of(run, cell)
    return None


def _kept(side: Side) -> Callable[[], Side]:
    def still_there() -> Side:
        if (gone := missing_of(side)) is not None:
            raise BuildError(gone)
        return side

    return still_there


def _built(name: str, command: str, progress: Progress) -> str:
    """Build a candidate's program into the store; returns the sha256 of its bytes.

    Raises:
        BuildError: the command failed, or wrote no program.
    """
    with tempfile.TemporaryDirectory(prefix="bench-candidate-") as folder, progress.bar(f"building {name}"):
        target = Path(folder, PROGRAM)
        surroundings = {**os.environ, "BENCH_CANDIDATE": name, "BENCH_PROGRAM": str(target)}
        try:
            done = subprocess.run(
                shlex.split(command), env=surroundings, capture_output=True, text=True, errors="replace",
                timeout=LONGEST_BUILD_S, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"building {name} failed: {error}") from error
        if done.returncode != 0 or not target.is_file():
            said = (done.stderr.strip().splitlines() or ["it wrote no program"])[-1]
            raise BuildError(f"building {name} failed ({done.returncode}): {said}")
        sha256 = sha256_file(target)
        place = runner_folder(sha256)
        place.mkdir(parents=True, exist_ok=True)
        part = place / f".{PROGRAM}.{os.getpid()}.part"
        part.write_bytes(target.read_bytes())
        part.chmod(0o755)
        part.rename(place / PROGRAM)
    return sha256
