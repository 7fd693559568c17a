"""Between which two candidates a series changed: reruns of the middle one against the good end, until one step is
left.

Every step is a run folder of interleaved pairs like a night's confirming rerun. How sure: `bisection.doubts`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.analyse.cells import SeenCell, read_cells
from harness.analyse.history.reading import read_history
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Change, History, Series
from harness.errors import BuildError, DeviceError, InputError, SetupError
from harness.measure.devices import planned_facts
from harness.measure.pairing import Pair, pair_plan, side_of
from harness.metrics import BY_ROUND
from harness.nightly.bisection import Narrowed, Side, Step, doubts, midpoint, narrowed, side_of_interval
from harness.nightly.candidates import Candidate, built_of, nights_between, pair_of, runners_of
from harness.nightly.confirming import cell_of_series, run_pairs
from harness.nightly.turns import turn
from harness.progress import Progress
from harness.render.dashboard.states import standing
from harness.stats import ratio_interval
from harness.store import Run, read_run
from harness.values import Timed, Value

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
    bench = _Bench(series, newest, seen, candidates, sought.pairs, results, progress, say)
    with turn(results, [series.device], 0, progress):
        return _narrow(bench)


class _Bench:
    """Sets candidates against the good end."""

    def __init__(
        self,
        series: Series,
        night: Run,
        seen: SeenCell,
        candidates: Sequence[Candidate],
        pairs: int,
        results: Path,
        progress: Progress,
        say: Callable[[str], None],
    ) -> None:
        self.series, self.night, self.cell, self.candidates = series, night, seen.cell, candidates
        self.pairs, self.results, self.progress, self.say = pairs, results, progress, say
        self.at_bad: float | None = None

    def step(self, number: int) -> Step:
        """One candidate against the good end; where it cannot be told, once more with twice the pairs."""
        found = self._step(number, self.pairs)
        if found.side == "unsure" and found.ratio is not None:
            self.say(f"{self._words(found)}: once more with {2 * self.pairs} pairs")
            found = self._step(number, 2 * self.pairs)
        self.say(self._words(found))
        return found

    def _step(self, number: int, pairs: int) -> Step:
        candidate = self.candidates[number]
        self.progress.say(f"{candidate.name} against {self.candidates[0].name}")
        try:
            pair = pair_of(self.cell, candidate, self.candidates[0])
            run, new, good = self._measured(pair, pairs)
        except (BuildError, DeviceError, InputError, SetupError) as error:
            if number == len(self.candidates) - 1:
                raise
            return Step(candidate=number, side="unsure", reason=str(error))
        both = sorted(new.keys() & good.keys())
        interval = ratio_interval([new[n] for n in both], [good[n] for n in both], 2 * LEVEL - 1)
        if interval is None:
            return Step(candidate=number, side="unsure", run=run, pairs=len(both), reason="too few whole pairs")
        ratio = (interval.low * interval.high) ** 0.5
        return Step(
            candidate=number,
            side=self._side(interval.low, interval.high),
            pairs=len(both),
            ratio=ratio,
            low=interval.low,
            high=interval.high,
            run=run,
        )

    def _side(self, low: float, high: float) -> Side:
        """The bad end is bad if it differs at all; each of the others, if it is nearer to that one."""
        if self.at_bad is None:
            return "unsure" if low <= 1 <= high else "bad"
        return side_of_interval(low, high, self.at_bad)

    def _measured(self, pair: Pair, pairs: int) -> tuple[str, dict[int, float], dict[int, float]]:
        plan = self.night.plan
        spec = next(spec for spec in plan.suite.devices if spec.name == self.series.device)
        rerun = pair_plan(
            plan,
            [pair],
            pairs,
            name=f"bisect-{plan.suite.name}",
            title=f"{pair.new.run} against {pair.good.run}",
            facts={spec.name: planned_facts(spec, connected=True)},
        )
        run = read_run(run_pairs(rerun.plan, self.results, self.progress))
        values = {seen.cell.key: seen.values for seen in read_cells(run)}
        new, good = (values[key].get(self.series.metric, {}) for key in rerun.couples[0])
        return run.id, new, good

    def _words(self, step: Step) -> str:
        name = self.candidates[step.candidate].name
        if step.ratio is None or step.low is None or step.high is None:
            return f"{name}: cannot be told: {step.reason}"
        word = {"good": "as the good end", "bad": "as the bad end", "unsure": "cannot be told"}[step.side]
        return f"{name}: {step.ratio:.3f}× ({step.low:.3f}–{step.high:.3f}) in {step.pairs} pairs: {word}"


def _narrow(bench: _Bench) -> Bisected:
    last = len(bench.candidates) - 1
    steps = [bench.step(last)]
    found: Narrowed | None = None
    if steps[0].side == "bad" and steps[0].ratio is not None:
        bench.at_bad = steps[0].ratio
        known: dict[int, Side] = {0: "good", last: "bad"}
        while (number := midpoint(last + 1, known)) is not None:
            steps.append(bench.step(number))
            known[number] = steps[-1].side
        found = narrowed(last + 1, known)
    return Bisected(
        series=bench.series.id,
        metric=bench.series.metric,
        candidates=tuple(one.name for one in bench.candidates),
        steps=tuple(steps),
        found=found,
        doubt=doubts(steps, LEVEL) if found is not None else None,
    )


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
