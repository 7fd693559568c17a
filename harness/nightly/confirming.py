"""Tonight's watches measured again at once: tonight's artifacts and runners against those of the last good night."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec
from msgspec import UNSET

from harness import pipeline
from harness.analyse.cells import SeenCell, read_cells
from harness.analyse.history.confirming import confirmed
from harness.analyse.history.found import Confirmed
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Confirmation, History, Series
from harness.analyse.history.watch import Watch
from harness.errors import BuildError, DeviceError, InputError, SetupError, StoreError
from harness.machine_name import machine_name
from harness.measure.devices import planned_facts
from harness.measure.pairing import Pair, pair_plan, side_of
from harness.nightly.begun import recent
from harness.nightly.keeping import missing_of
from harness.nightly.values import Reruns
from harness.progress import Progress
from harness.store import Run, create_run, read_run
from harness.values import Bandwidth, Cell, Plan, Timed, digest

Read = Callable[[str], Run]
Rounds = Mapping[int, float]


class Wanted(msgspec.Struct, frozen=True):
    """A watch with the cell that may confirm it."""

    watch: Watch
    series: Series
    pair: Pair
    more: tuple[Cell, ...]
    """Cells without a variant that its metric needs, such as the read bandwidth."""
    seconds: float
    """How long one pair will take."""


def confirm(
    watches: Sequence[Watch],
    history: History,
    reruns: Reruns,
    results: Path,
    progress: Progress,
    settings: Settings,
) -> tuple[Confirmed, ...]:
    """Every watch with its confirmation, or with the reason why there is none, in their order.

    One run holds all pairs: a cell serves every metric that follows from it. A run that a killed night left is gone
    on with.
    """
    if not watches:
        return ()
    series, read = {one.id: one for one in history.series}, _reader(results)
    asked = [_asked(watch, series[watch.series], history) for watch in watches]
    wanted = _within([_wanted(watch, series[watch.series], read) for watch in watches], reruns)
    chosen = [one for one in wanted if isinstance(one, Wanted)]
    try:
        judged = iter(_measured(chosen, reruns, results, progress, settings) if chosen else ())
    except (BuildError, DeviceError, InputError, SetupError) as error:
        judged = iter([f"the rerun failed: {error}"] * len(chosen))
    answers = (next(judged) if isinstance(one, Wanted) else one for one in wanted)
    return tuple(
        msgspec.structs.replace(one, **{"reason" if isinstance(answer, str) else "confirmation": answer})
        for one, answer in zip(asked, answers, strict=True)
    )


def _measured(
    chosen: Sequence[Wanted], reruns: Reruns, results: Path, progress: Progress, settings: Settings
) -> list[Confirmation | str]:
    """One run of all pairs, and what it says of each watch."""
    night = read_run(results / chosen[0].watch.new_run).plan
    devices = {one.series.device for one in chosen}
    rerun = pair_plan(
        night,
        [one.pair for one in chosen],
        reruns.pairs,
        name=f"confirm-{night.suite.name}",
        title=f"{chosen[0].watch.new_run} against its last good nights",
        facts={s.name: planned_facts(s, connected=True) for s in night.suite.devices if s.name in devices},
        more=tuple({cell.key: cell for one in chosen for cell in one.more}.values()),
    )
    progress.say(f"measuring again what {len(chosen)} watches say: {len(rerun.plan.trials)} trials")
    folder = run_pairs(rerun.plan, results, progress)
    run = read_run(folder)
    values = {seen.cell.key: seen.values for seen in read_cells(run)}
    found = []
    for one, couple in zip(chosen, rerun.couples, strict=True):
        new, good = (values[key].get(one.series.metric, {}) for key in couple)
        found.append(_judged(one, run.id, new, good, settings))
    return found


def _reader(results: Path) -> Read:
    runs: dict[str, Run] = {}

    def read(name: str) -> Run:
        return runs[name] if name in runs else runs.setdefault(name, read_run(results / name))

    return read


def _wanted(watch: Watch, series: Series, read: Read) -> Wanted | str:
    """What would confirm the watch, or why nothing can."""
    new, good = read(watch.new_run), read(watch.good_run)
    seen = cell_of_series(series, new)
    if seen is None or seen.cell.variant is None:
        return "it belongs to the device alone: there is no artifact to set against another one"
    if not isinstance(seen.cell.workload, Timed):
        return "its value follows from the artifact alone: measured again, it would be the same"
    sides = side_of(new, seen.cell), side_of(good, seen.cell)
    if sides[0] is None or sides[1] is None:
        return f"{(new if sides[0] is None else good).id} does not say what was measured"
    pair = Pair(cell=seen.cell, new=sides[0], good=sides[1])
    if pair.alike:
        return "artifact and runner are those of the last good night: what changed is the machine"
    if (gone := missing_of(pair.new) or missing_of(pair.good)) is not None:
        return gone
    more = tuple(c for c in new.plan.cells if isinstance(c.workload, Bandwidth) and c.device == series.device)
    durations = [record.duration_ns / 1e9 for record in new.records if record.cell == seen.cell.key]
    needed = more if series.metric == "bandwidth_share" else ()
    return Wanted(watch, series, pair, needed, 2 * median(durations))


def cell_of_series(series: Series, run: Run) -> SeenCell | None:
    """The cell of a run that gave the series its value; None: it gave none."""
    for seen in read_cells(run):
        names = (seen.workload, f"{seen.cell.measure} {seen.workload}".strip())
        place = (seen.cell.variant, seen.cell.device, seen.runtime)
        if place == (series.variant, series.device, series.runtime) and series.workload in names and seen.counted:
            return seen
    return None


def _within(found: Sequence[Wanted | str], reruns: Reruns) -> list[Wanted | str]:
    """As many as the budget holds, most important first; a cell that is measured anyway costs nothing more."""
    left_s, taken = 60 * reruns.minutes, set[str]()
    kept: list[Wanted | str] = []
    for one in found:
        if isinstance(one, Wanted):
            key = digest(one.pair)
            needed_s = 0.0 if key in taken else reruns.pairs * one.seconds
            if needed_s > left_s:
                kept.append(f"its rerun would take {needed_s / 60:.1f} minutes, and {left_s / 60:.1f} are left tonight")
                continue
            left_s -= needed_s
            taken.add(key)
        kept.append(one)
    return kept


def run_pairs(planned: Plan, results: Path, progress: Progress) -> Path:
    """Measure a plan of pairs; one of the same pairs that a killed process left is gone on with."""

    def open_run(plan: Plan, _: object) -> Path:
        return _begun(results, plan) or create_run(results, plan, host=machine_name())

    return pipeline.run_plan(planned, None, progress, open_run)


def _begun(results: Path, planned: Plan) -> Path | None:
    """A rerun of the same pairs that a killed night left behind, complete or not."""
    for folder in recent(results):
        if f"-{planned.suite.name}-" not in folder.name:
            continue
        with suppress(StoreError):  # a damaged run is not gone on with
            plan = read_run(folder).plan
            if plan.compares is not UNSET and (plan.compares, plan.cells) == (planned.compares, planned.cells):
                return folder
    return None


def _judged(one: Wanted, run: str, new: Rounds, good: Rounds, settings: Settings) -> Confirmation | str:
    """The ratio of each pair, and what they say of the change; or why they say nothing."""
    ratios = [new[number] / good[number] for number in sorted(new.keys() & good.keys()) if good[number]]
    if len(ratios) < settings.fewest_pairs:
        return f"{run} has {len(ratios)} whole pairs of it, too few to judge by"
    ratio, bound, holds = confirmed(ratios, one.series.better, settings)
    return Confirmation(run=run, pairs=len(ratios), ratio=ratio, bound=bound, confirmed=holds)


def _asked(watch: Watch, series: Series, history: History) -> Confirmed:
    """What was to be confirmed, without an answer yet."""
    return Confirmed(
        series=watch.series,
        since=history.nights[series.points[watch.change.at].night].run,
        new_run=watch.new_run,
        good_run=watch.good_run,
    )
