"""Between which two candidates a series changed: reruns of the middle one against the good end, until one step is
left.

Every step is a run folder of interleaved pairs like a night's confirming rerun. How sure: `bisection.doubts`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from harness.analyse.cells import SeenCell, read_cells
from harness.analyse.history.reading import read_history
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Change, History, Series
from harness.errors import BuildError, InputError
from harness.measure.devices import planned_facts
from harness.measure.pairing import Pair, pair_plan, side_of
from harness.metrics import BY_ROUND
from harness.nightly.bisection import Narrowed, Side, Step, doubts, midpoint, narrowed, side_of_interval
from harness.nightly.candidates import Candidate, built_of, nights_between, runners_of
from harness.nightly.confirming import cell_of_series, run_pairs
from harness.nightly.turns import turn
from harness.progress import Progress
from harness.render.dashboard.states import standing
from harness.stats import ratio_interval
from harness.store import Run, read_run
from harness.values import Cell, Plan, Timed, Value

LEVEL = 0.995
"""One-sided, of each decision."""


class Sought(Value, frozen=True, kw_only=True):
    """What is asked of a bisection."""

    series: str | None = None
    """Id of a series, or its beginning; None: the worst one that has an open change."""
    good: str | None = None
    bad: str | None = None
    """Runs; None: the last one before the newest change, and the newest one."""
    runners: tuple[str, ...] = ()
    """Runners of the store from good to bad, in the place of nights."""
    between: tuple[str, ...] = ()
    build: str = ""
    """Names of what a command builds, from good to bad, in the place of nights."""
    pairs: int = 6


class Bisected(Value, frozen=True, kw_only=True):
    """What was found."""

    series: str
    metric: str
    candidates: tuple[str, ...]
    steps: tuple[Step, ...]
    """The first one is the bad end against the good one."""
    found: Narrowed | None = None
    """None: the ends could not be told apart."""
    doubt: float | None = None
    """Largest chance that one of the decisions is wrong."""


def bisect(sought: Sought, results: Path, progress: Progress, say: Callable[[str], None]) -> Bisected:
    """Measure candidates until it is known between which two neighbours the series changed.

    Raises:
        InputError: no such series or run, fewer than two candidates, or a metric that a rerun cannot show.
        BuildError: an end cannot be made, or is no longer in the store.
    """
    history = read_history(results, settings=Settings(across_runtimes=True))
    series = _series(history, sought.series)
    good, bad = _ends(series, history, sought)
    newest = read_run(results / bad)
    seen = cell_of_series(series, newest)
    if seen is None or not isinstance(seen.cell.workload, Timed) or seen.cell.variant is None:
        raise InputError(f"series {series.id} ({series.metric}): a rerun cannot tell candidates apart by it")
    candidates = _candidates(sought, series, history, (good, bad), results, seen, newest, progress)
    place = _Place(series, newest.plan, seen.cell, candidates, results, progress, say)
    with turn(results, [series.device], 0, progress):
        return _narrow(place, sought.pairs)


class _Place(msgspec.Struct, frozen=True):
    """What is measured, where, and for whom."""

    series: Series
    night: Plan
    cell: Cell
    candidates: Sequence[Candidate]
    results: Path
    progress: Progress
    say: Callable[[str], None]


def _narrow(place: _Place, pairs: int) -> Bisected:
    last = len(place.candidates) - 1
    steps = [_step(place, last, pairs, None)]
    found: Narrowed | None = None
    if steps[0].side == "bad":
        known: dict[int, Side] = {0: "good", last: "bad"}
        while (number := midpoint(last + 1, known)) is not None:
            steps.append(_step(place, number, pairs, steps[0].ratio))
            known[number] = steps[-1].side
        found = narrowed(last + 1, known)
    return Bisected(
        series=place.series.id,
        metric=place.series.metric,
        candidates=tuple(one.name for one in place.candidates),
        steps=tuple(steps),
        found=found,
        doubt=doubts(steps, LEVEL, pairs) if found is not None else None,
    )


def _step(place: _Place, number: int, pairs: int, at_bad: float | None) -> Step:
    """One candidate against the good end; where it cannot be told, once more with twice the pairs.

    `at_bad`: ratio of the bad end; None: this is the bad end, which is bad if it differs at all.
    """
    found = _set_against_good(place, number, pairs, at_bad)
    if found.side == "unsure" and found.ratio is not None:
        place.say(f"{_words(place, found)}: once more with {2 * pairs} pairs")
        found = _set_against_good(place, number, 2 * pairs, at_bad)
    place.say(_words(place, found))
    return found


def _set_against_good(place: _Place, number: int, pairs: int, at_bad: float | None) -> Step:
    good, *_ = place.candidates
    candidate = place.candidates[number]
    place.progress.say(f"{candidate.name} against {good.name}")
    try:
        pair = Pair(cell=place.cell, new=candidate.side(), good=good.side())
        run, values, goods = _measured(place, pair, pairs)
    except (BuildError, InputError) as error:
        if at_bad is None:
            raise
        return Step(candidate=number, side="unsure", reason=str(error))
    both = sorted(values.keys() & goods.keys())
    interval = ratio_interval([values[n] for n in both], [goods[n] for n in both], 2 * LEVEL - 1)
    if interval is None:
        return Step(candidate=number, side="unsure", run=run, pairs=len(both), reason="too few whole pairs")
    low, high = interval.low, interval.high
    differs: Side = "unsure" if low <= 1 <= high else "bad"
    return Step(
        candidate=number,
        side=differs if at_bad is None else side_of_interval(low, high, at_bad),
        pairs=len(both),
        ratio=(low * high) ** 0.5,
        low=low,
        high=high,
        run=run,
    )


def _measured(place: _Place, pair: Pair, pairs: int) -> tuple[str, dict[int, float], dict[int, float]]:
    """The rerun's name, and the metric of the candidate and of the good end by round."""
    plan, device = place.night, place.series.device
    spec = next(spec for spec in plan.suite.devices if spec.name == device)
    rerun = pair_plan(
        plan,
        [pair],
        pairs,
        name=f"bisect-{plan.suite.name}",
        title=f"bisection of {place.series.metric}",
        facts={device: planned_facts(spec, connected=True)},
    )
    run = read_run(run_pairs(rerun.plan, place.results, place.progress))
    values = {seen.cell.key: seen.values for seen in read_cells(run)}
    new, good = (values[key].get(place.series.metric, {}) for key in rerun.couples[0])
    return run.id, new, good


def _words(place: _Place, step: Step) -> str:
    name = place.candidates[step.candidate].name
    if step.ratio is None or step.low is None or step.high is None:
        return f"{name}: cannot be told: {step.reason}"
    word = {"good": "as the good end", "bad": "as the bad end", "unsure": "cannot be told"}[step.side]
    return f"{name}: {step.ratio:.3f}× ({step.low:.3f}–{step.high:.3f}) in {step.pairs} pairs: {word}"


def _series(history: History, wanted: str | None) -> Series:
    """By its id, or the worst one with an open change that a rerun can show."""
    if wanted is not None:
        found = [series for series in history.series if series.id.startswith(wanted)]
        if len(found) != 1:
            raise InputError(f"{len(found)} series begin with {wanted!r} (`bench history` lists them)")
        return found[0]
    for series in history.series:
        if series.kind in BY_ROUND and _open(series) is not None:
            return series
    raise InputError("no series has got worse in a way that a rerun can show: name one with --series")


def _open(series: Series) -> Change | None:
    found = [change for change in standing(series) if change.worse]
    return found[-1] if found else None


def _ends(series: Series, history: History, sought: Sought) -> tuple[str, str]:
    measured = [point for point in series.points if point.value is not None]
    runs = [history.nights[point.night].run for point in measured]
    if not runs:
        raise InputError(f"series {series.id} has no value")
    change = _open(series)
    count = len(series.points) if change is None else change.earliest
    before = [point for point in series.points[:count] if point.value is not None]
    last_good = runs[0] if change is None or not before else history.nights[before[-1].night].run
    return sought.good or last_good, sought.bad or runs[-1]


def _candidates(
    sought: Sought,
    series: Series,
    history: History,
    ends: tuple[str, str],
    results: Path,
    seen: SeenCell,
    newest: Run,
    progress: Progress,
) -> list[Candidate]:
    def read(name: str) -> Run:
        return read_run(results / name)

    if not (sought.runners or sought.between):
        return nights_between(series, history, *ends, read)
    side = side_of(newest, seen.cell)
    if side is None:
        raise InputError(f"{newest.id} does not say what was measured")
    runs = (history.nights[point.night].run for point in reversed(series.points))
    found = (
        runners_of(sought.runners, side, map(read, runs))
        if sought.runners
        else built_of(sought.between, sought.build, side, progress)
    )
    if len(found) < 2:
        raise InputError("a bisection needs at least two candidates, the good end and the bad one")
    return found
