"""One night, from top to bottom: build → run → detect → confirm → keep → tell.

Everything a night knows lies beside the runs, so that one which was killed at any moment is gone on with by the next
call, and one that ended can be told again.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness import pipeline
from harness.analyse.history.found import Confirmed, NightFound, NotMeasured, Told, readable_found
from harness.analyse.history.judging import judged
from harness.analyse.history.reading import iso, read_history
from harness.analyse.history.values import Change, History, Series
from harness.analyse.history.watch import watches
from harness.config import load_suite
from harness.device_files import load_devices
from harness.errors import StoreError
from harness.nightly.begun import open_night
from harness.nightly.confirming import confirm
from harness.nightly.keeping import pin_last_good
from harness.nightly.publishing import publish, with_troubles, write_found
from harness.nightly.shared import Shared
from harness.nightly.telling import causes
from harness.nightly.turns import turn
from harness.nightly.values import Alert, Asked, Night, Outputs
from harness.pipeline import Wish
from harness.progress import Progress
from harness.render.dashboard.states import open_gap, standing
from harness.store import read_run
from harness.values import FAILED


def nightly(asked: Asked, outputs: Outputs, command: Sequence[str], results: Path, progress: Progress) -> Night:
    """Measure the suite, say what got worse and whether a rerun confirms it, and tell it.

    Raises:
        InputError: as `pipeline.run`, or a night runs on one of the devices already.
        DeviceError: a device is out of reach; the next call goes on.
        StoreError: the folder of runs, or a file that was asked for, cannot be written.
    """
    with turn(results, _devices(asked.wish), asked.wait_s, progress) as mine:
        troubles = _exchanged(asked.shared, "pull", results, progress)
        planned = pipeline.plan_to_run(asked.wish, command, progress)
        folder = pipeline.run_plan(planned, asked.wish.data, progress, open_night(results, mine))
        night = _seen(asked, folder, results, troubles, progress, delivered=outputs.webhook is None)
        pin_last_good(night.history, results, night.found.suite, night.found.devices)
        night = publish(night, outputs, results, progress)
        return with_troubles(night, _exchanged(asked.shared, "push", results, progress), results)


def exit_code(found: NightFound) -> int:
    """3 an alert, or a series that is missing for too long; 1 a cell failed; 0 fine."""
    if found.alerts or found.missing:
        return 3
    return 1 if found.failures else 0


def _devices(wish: Wish) -> tuple[str, ...]:
    """Names of the devices that the night needs, before anything is looked at."""
    suite = load_suite(wish.suite, pipeline.known_names(), load_devices())
    return wish.devices or tuple(spec.name for spec in suite.devices)


def _seen(
    asked: Asked, folder: Path, results: Path, troubles: Sequence[str], progress: Progress, *, delivered: bool
) -> Night:
    """What the night's run says beside all runs before it; measures again what may have got worse."""
    settings = msgspec.structs.replace(asked.settings, strict=asked.reruns is None)
    history, (before, _) = read_history(results, settings=settings), readable_found(results)
    again: tuple[Confirmed, ...] = ()
    if asked.reruns is not None:
        earlier = [one for night in before for one in night.confirmations]
        asks = watches(history, folder.name, settings, earlier)
        again = confirm(asks, history, asked.reruns, results, progress, settings)
        history = judged(history, again, ())
    found = _found(folder, again, (*troubles, *history.unreadable))
    if all(night.run != folder.name for night in history.nights):
        found = msgspec.structs.replace(found, failures=(*found.failures, _unseen(folder)))
    own = _own(history, folder.name)
    open_ones = [Alert(series=one, change=change) for one in own for change in standing(one) if _is_open(change)]
    alerts = tuple(one for one in open_ones if one.change.tier == "alert")
    fresh = [alert for alert in alerts if not _was_told(alert, history, before)]
    found = msgspec.structs.replace(
        found,
        messages=causes(fresh, history),
        watches=tuple(_told(one, history) for one in open_ones if one.change.tier == "watch"),
        alerts=tuple(_told(one, history) for one in alerts),
        missing=tuple(one.id for one in own if (gap := open_gap(one)) is not None and gap.alert),
        delivered=delivered,
    )
    write_found(found, results)
    return Night(folder=folder, found=found, history=history, series=tuple(own), alerts=alerts)


def _found(folder: Path, again: tuple[Confirmed, ...], troubles: Sequence[str]) -> NightFound:
    run = read_run(folder)
    cells = {cell.key: cell for cell in run.plan.cells}
    failures: dict[str, NotMeasured] = {}
    for record in run.records:
        if record.status in FAILED:
            cell = cells[record.cell]
            what = " ".join(part for part in (cell.variant, cell.measure, cell.workload.label) if part)
            failures[cell.key] = NotMeasured(
                cell=cell.key, what=what, device=cell.device, status=record.status, reason=str(record.reason)
            )
    return NightFound(
        run=folder.name,
        suite=run.plan.suite.name,
        devices=tuple(spec.name for spec in run.plan.suite.devices),
        ended=iso(datetime.now(UTC)),
        confirmations=again,
        failures=tuple(failures.values()),
        troubles=tuple(troubles),
    )


def _unseen(folder: Path) -> NotMeasured:
    """Tonight's run, of which nothing can be said: the reason stands among the troubles."""
    return NotMeasured(
        cell="", what="the night", device="", status="invalid", reason=f"{folder.name} is no night of the history"
    )


def _own(history: History, run: str) -> list[Series]:
    """The series of the night's suite, devices and machine, also those that it gave no value."""
    number = next((n for n, night in enumerate(history.nights) if night.run == run), None)
    places = {(s.suite, s.device, s.host) for s in history.series if any(p.night == number for p in s.points)}
    return [series for series in history.series if (series.suite, series.device, series.host) in places]


def _is_open(change: Change) -> bool:
    """It made things worse, and nobody has acknowledged it."""
    return change.worse and change.acknowledged is None


def _told(one: Alert, history: History) -> Told:
    series, change = one.series, one.change
    before = [point for point in series.points[: change.at] if point.value is not None]
    return Told(
        series=series.id,
        since=history.nights[series.points[change.at].night].run,
        good_run=history.nights[before[-1].night].run if before else None,
        ratio=change.ratio,
        rule=change.rule,
    )


def _was_told(alert: Alert, history: History, before: Sequence[NightFound]) -> bool:
    """Whether a night before told of the same step, which it may have seen some nights earlier or later.

    A night whose messages a webhook did not take, or that was killed before, has told nobody.
    """
    series, change = alert.series, alert.change
    nights = {history.nights[point.night].run for point in series.points[change.earliest : change.latest + 1]}
    told = (one for found in before if found.delivered for one in found.alerts)
    return any(one.series == series.id and one.since in nights for one in told)


def _exchanged(address: str | None, way: str, results: Path, progress: Progress) -> list[str]:
    """Pull or push; a store that is out of reach ends no night."""
    if address is None:
        return []
    try:
        shared = Shared(address)
        (shared.pull if way == "pull" else shared.push)(results, progress)
    except StoreError as error:
        progress.say(str(error))
        return [str(error)]
    return []
