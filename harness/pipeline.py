"""The paths, readable from top to bottom. Heavy rooms are imported inside: `bench --help` must be instant."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness import cards
from harness.build.cache import in_use
from harness.claim_files import load_claims
from harness.config import Known, load_suite, locate_task
from harness.device_files import load_devices
from harness.errors import InputError, UnknownNameError
from harness.machine_name import machine_name
from harness.metrics import check_names
from harness.progress import Progress
from harness.store import Run, create_run, hold_run, read_run, resolve_run
from harness.values import (
    FAILED,
    CheckpointSource,
    DeviceFacts,
    DeviceSpec,
    FileSource,
    HubSource,
    PhoneFacts,
    Plan,
    Shard,
    Suite,
    Task,
    is_task_file,
)

if TYPE_CHECKING:
    from harness.analyse.audit.findings import Audit
    from harness.analyse.compare import Report
    from harness.analyse.sides import SideBySide
    from harness.analyse.verdicts.values import Check
    from harness.building import Made
    from harness.health import Health
    from harness.measure.bundle.make import Bundled
    from harness.measure.devices.phone.roster import Listed
    from harness.measure.ready import Ready

    OpenRun = Callable[[Plan, Ready], Path]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks of a run."""

    suite: str
    devices: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    limit: int | None = None
    rounds: int | None = None
    until: float | None = None
    shard: Shard | None = None
    cross_check: int = 0
    allow_task_code: bool = False
    """Whether task files that the suite names may run; those of `tasks` were named by the user."""
    data: Path | None = None


def known_names() -> Known:
    """All names that a suite may use."""
    from harness.build.recipes import RECIPES, SETTINGS
    from harness.data.sources import TEXTS
    from harness.measure.runtimes import RUNTIMES, load_runtime
    from harness.measure.tasks import TASKS, wrong_task

    recipes = {name: SETTINGS.get(name, ()) for name in RECIPES}
    return Known(
        recipes=recipes,
        runtimes={name: load_runtime(name).SETTINGS for name in RUNTIMES},
        tasks=tuple(TASKS),
        texts=tuple(TEXTS),
        wrong_task=wrong_task,
    )


def plan(
    wish: Wish,
    command: Sequence[str],
    *,
    to_run: bool = False,
    facts_of: "Callable[[DeviceSpec], DeviceFacts] | None" = None,
) -> Plan:
    """Read the suite, look at the devices, decide what can be done. Touches nothing.

    Unless it is `to_run`, a phone need not be there, and neither need a model's file that the user must get.
    `facts_of`: what is known of a device, instead of a look at it.

    Raises:
        InputError: a wrong suite, an unknown name, a missing model or data file, nothing possible.
        DeviceError: a phone that is needed is out of reach.
    """
    from harness.build.compressed import unmade
    from harness.build.hub_models import settled
    from harness.measure.devices import planned_facts
    from harness.measure.plan import make_plan, only_asking, select

    known, devices = known_names(), load_devices()
    tasks = [locate_task(task, Path.cwd()) for task in wish.tasks]
    for task in tasks:
        if (why := known.wrong_task(task)) is not None:
            raise InputError(why)
    suite = select(
        load_suite(wish.suite, known, devices),
        variants=wish.variants,
        devices=[_device(name, devices) for name in wish.devices],
        tasks=tasks,
        limit=wish.limit,
        rounds=wish.rounds,
        measures=wish.measures,
        until=wish.until,
    )
    if wish.shard is not None:
        suite = only_asking(suite)
    suite, refused = settled(suite, fetch=to_run)
    _check_files(suite, wish.data, hub=to_run, but=frozenset(refused))
    look = facts_of or (lambda spec: planned_facts(spec, connected=to_run))
    facts = {spec.name: look(spec) for spec in suite.devices}
    _check_apart(facts)
    planned = make_plan(suite, facts, tuple(command), {**unmade(suite.variants), **refused})
    return msgspec.structs.replace(planned, shard=wish.shard, cross_check=wish.cross_check)


def run(wish: Wish, command: Sequence[str], results: Path, progress: Progress) -> Path:
    """plan → build → run → grade; returns the run's folder.

    Raises:
        InputError: as `plan`, and a task file that only the suite names, without leave to run it.
    """
    planned = plan_to_run(wish, command, progress)
    return run_plan(planned, wish.data, progress, lambda plan, _: create_run(results, plan, host=machine_name()))


def plan_to_run(wish: Wish, command: Sequence[str], progress: Progress) -> Plan:
    """The plan of a run that is to begin now; says what it leaves out.

    Raises:
        InputError: as `run`.
    """
    from harness.build.compressed import unmade

    planned = plan(wish, command, to_run=True)
    if not (wish.tasks or wish.allow_task_code):
        _refuse_task_files(planned.suite)
    for name, why in unmade(planned.suite.variants).items():
        progress.say(f"left out: {name}: {why}")
    return planned


def run_plan(planned: Plan, data: Path | None, progress: Progress, open_run: "OpenRun") -> Path:
    """build → run → grade; returns the run's folder.

    `open_run`: gives the folder, of a new run or of one of this plan that is gone on with, once all is made.
    """
    from harness.measure.ready import prepare

    with in_use():
        with _kept(progress):
            ready = prepare(planned, progress)
        folder = open_run(planned, ready)
        progress.say(f"run {folder.name}: {len(planned.trials)} trials of {len(planned.cells)} cells")
        _go_on(folder, planned, ready, data, progress)
    return folder


def bundle(wish: Wish, command: Sequence[str], target: Path, progress: Progress) -> "Bundled":
    """plan → build → one archive that measures a phone by itself.

    Raises:
        InputError: a bundle cannot hold what was asked for.
        BuildError: a runner, a reference or a request could not be made.
    """
    from harness.measure.bundle.make import ASSUMED_CORES, check_plan, make_bundle
    from harness.measure.devices.phone.expected import expected_facts
    from harness.measure.ready import prepare

    def unseen(spec: DeviceSpec) -> DeviceFacts:
        if spec.kind != "phone":
            raise InputError(f"a bundle is for a phone, and device {spec.name!r} is none (`phone` is any phone)")
        return expected_facts(spec, ASSUMED_CORES)

    planned = plan(wish, command, to_run=True, facts_of=unseen)
    check_plan(planned)
    with in_use():
        return make_bundle(planned, prepare(planned, progress), wish.data, target, progress)


def build(wish: Wish, command: Sequence[str], progress: Progress) -> "list[Made]":
    """plan → build; nothing is measured. Returns what there is of each variant and format.

    Raises:
        InputError: a base model does not exist, or no variant at all could be made.
    """
    from harness.building import made_of
    from harness.measure.ready import prepare

    planned = plan(wish, command, to_run=True)
    with in_use(), _kept(progress):
        return made_of(prepare(planned, progress))


def import_result(archive: Path, results: Path, data: Path | None, progress: Progress) -> Path:
    """The result of a bundle, or of another tool → a run, graded; returns its folder. Nothing is measured.

    Raises:
        InputError: no result that is known, or one that was imported before.
        StoreError: it is damaged.
        BuildError: its answers cannot be graded here; the run is there.
    """
    from harness.measure.bundle.importing import import_result as make_run
    from harness.measure.foreign.detect import is_archive
    from harness.measure.foreign.making import import_told
    from harness.measure.grading import grade_missing

    if not is_archive(archive):
        return import_told(archive, results, progress)
    with in_use():
        folder = make_run(archive, results, data, progress)
        with hold_run(folder):
            grade_missing(folder, read_run(folder).plan, data, progress)
    return folder


def resume(name: str, results: Path, data: Path | None, progress: Progress) -> Path:
    """Go on with a run where it stopped: trials with a record are not measured again."""
    from harness.measure.ready import prepare

    folder = resolve_run(name, results)
    planned = _own(folder).plan
    _check_files(planned.suite, data)
    with in_use():
        _go_on(folder, planned, prepare(planned, progress), data, progress)
    return folder


def _own(folder: Path) -> Run:
    """Raises InputError: another tool measured it, so that nothing of it can be done again here."""
    run = read_run(folder)
    if run.told_by is not None:
        raise InputError(f"{folder.name} was imported from {run.told_by}: it cannot be resumed, graded or merged")
    return run


def regrade(name: str, results: Path, data: Path | None, progress: Progress) -> Path:
    """Grade a run's answers again; nothing is measured."""
    from harness.measure.grading import forget_items, grade_missing

    folder = resolve_run(name, results)
    planned = _own(folder).plan
    _check_files(planned.suite, data, models=False)
    with in_use(), hold_run(folder):
        forget_items(folder)
        grade_missing(folder, planned, data, progress)
    return folder


def merge(names: Sequence[str], results: Path) -> Path:
    """The runs of all shards of one plan → one new run; returns its folder."""
    from harness.measure.merge import merge_runs

    runs = [_own(resolve_run(name, results)) for name in names]
    return merge_runs(runs, results, host=machine_name())


def failures(folder: Path) -> int:
    """How many trials of a run failed; unsupported and too large are results, no failures."""
    return sum(record.status in FAILED for record in read_run(folder).records)


def analyse(names: Sequence[str], results: Path) -> "Report":
    """Any runs → everything a page needs."""
    from harness.analyse.compare import analyse as analyse_runs

    return analyse_runs([read_run(resolve_run(name, results)) for name in names])


def rows(names: Sequence[str], results: Path, form: str, *, trials: bool = False, metrics: Sequence[str] = ()) -> bytes:
    """Rows of any runs as csv, json or parquet: one a comparison, or one a trial and metric.

    Raises:
        UnknownNameError: a metric that nobody knows.
        SetupError: Parquet without pyarrow.
    """
    from harness import frames

    folders = list(dict.fromkeys(resolve_run(name, results) for name in names))
    frame = frames.trials_frame(folders) if trials else frames.results_frame(folders)
    if metrics:
        check_names(metrics, frame["metric"].dropna().unique())
        frame = frame[frame["metric"].isin(metrics)]
    return frames.WRITERS[form](frame)


def side_by_side(
    name: str,
    against: str | None,
    results: Path,
    *,
    variants: tuple[str, ...] = (),
    devices: tuple[str, ...] = (),
    metrics: tuple[str, ...] = (),
    different_artifacts: bool = False,
) -> "SideBySide":
    """Any two sides: variants of a run, devices, or a run against another one.

    Raises:
        InputError: more than two names, the same side twice, or different artifacts that nobody asked for.
    """
    from harness.analyse.side_by_side import Asked, side_by_side

    for kind, named in (("variants", variants), ("devices", devices)):
        if len(named) > 2:
            raise InputError(f"two {kind} can be compared, not {len(named)}: {', '.join(named)}")
    run = read_run(resolve_run(name, results))
    other = run if against is None else read_run(resolve_run(against, results))
    asked = Asked(variants=variants, devices=devices, different_artifacts=different_artifacts)
    found = side_by_side(run, other, asked)
    check_names(metrics, {row.metric for row in found.rows})
    if not metrics:
        return found
    rows = tuple(row for row in found.rows if row.metric in metrics)
    pairs = tuple(pair for pair in found.accuracy if pair.metric in metrics)
    return msgspec.structs.replace(found, rows=rows, accuracy=pairs)


def report(names: Sequence[str], results: Path, out: Path, formats: Sequence[str] = ()) -> list[Path]:
    """Any runs → report.md, index.html, report.json, plots and items; with the claims that their suites name.

    Args:
        formats: of `html`, `md`, `json`, `pdf`; none: all but the last.
    """
    from harness.analyse.compare import analyse as analyse_runs
    from harness.analyse.compare import measure
    from harness.analyse.drill import drill_downs
    from harness.analyse.verdicts.check import check
    from harness.analyse.verdicts.values import Check
    from harness.render.report import FORMATS, write_report

    runs = [read_run(resolve_run(name, results)) for name in names]
    measured = [measure(run) for run in runs]
    analysed = analyse_runs(runs, measured)
    checks: list[Check] = []
    for name in dict.fromkeys(name for run in runs for name in run.plan.suite.claims):
        named = [run for run in runs if name in run.plan.suite.claims]
        together = [named] if len(named) > 1 else []
        for group in (*together, *([run] for run in named)):
            ids = tuple(run.id for run in group)
            try:
                checks.append(check(load_claims(name), analysed if group == runs else analyse_runs(group)))
            except InputError as error:  # a page of a run outlives a claim file that was renamed
                if group not in together:
                    checks.append(Check(name=name, title=f"{name}, not checked: {error}", runs=ids))
                continue
            if group in together:
                break
    drills = (one for run, known in zip(runs, measured, strict=True) for one in drill_downs(run, known.cells))
    return write_report(msgspec.structs.replace(analysed, claims=tuple(checks)), out, drills, formats or FORMATS)


def check_claims(file: str, names: Sequence[str], results: Path) -> "Check":
    """A claim file and runs → a verdict for each claim."""
    from harness.analyse.verdicts.check import check

    return check(load_claims(file), analyse(names, results))


def audit(claims: str, keep: Path | None = None) -> "Audit":
    """A claim file or a card → all that follows from it, does not follow, or is not said. No run is needed.

    Args:
        keep: where the draft of a claim file goes that is read from a card.

    Raises:
        InputError: no such file, or a wrong one.
    """
    from harness.analyse.audit import audit as audit_file

    if not cards.is_card(claims):
        if keep is not None:
            raise InputError(f"{claims} is a claim file already: a draft is read from a card")
        return audit_file(load_claims(claims))
    return audit_file(cards.claim_file_of(claims, keep))


def write_audit(found: "Audit", out: Path) -> list[Path]:
    """An audit → index.html, audit.md, audit.json."""
    from harness.render.audit_page import write_audit as write

    return write(found, out)


def doctor(device: str, progress: Progress, *, quick: bool) -> "Health":
    """What is installed, whether the machine is quiet, and the smallest difference it can show now.

    Raises:
        InputError: no such device.
        SetupError: the cache folder cannot be made.
    """
    from harness.doctor.examine import examine
    from harness.measure.devices import open_device

    devices = load_devices()
    opened = open_device(_device(device, devices), progress)
    return examine(opened, load_suite("quick", known_names(), devices), progress, quick=quick)


def list_devices() -> "tuple[Listed, ...]":
    """Every known device and every attached phone, with its state.

    Raises:
        ConfigError: devices.yaml is wrong.
    """
    from harness.measure.devices.phone.look import list_devices as look

    return look()


def data_folder(given: Path | None) -> Path | None:
    """`--data`, or the environment's BENCH_DATA.

    Raises:
        InputError: it is no folder.
    """
    value = given or (Path(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None)
    if value is not None and not value.is_dir():
        raise InputError(f"the data folder {value} (BENCH_DATA or --data) does not exist")
    return value


def _go_on(folder: Path, planned: Plan, ready: object, data: Path | None, progress: Progress) -> None:
    from harness.measure.grading import grade_missing
    from harness.measure.ready import Ready
    from harness.measure.session import execute_missing

    assert isinstance(ready, Ready)
    try:
        with hold_run(folder):
            execute_missing(folder, planned, ready, data, progress)
            grade_missing(folder, planned, data, progress)
    except KeyboardInterrupt:
        progress.say(f"nothing recorded is lost: `bench run --resume {folder.name}` goes on")
        raise


@contextmanager
def _kept(progress: Progress) -> Iterator[None]:
    """While variants are made: Ctrl-C says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        progress.say("what was made and learned so far is kept: the same command goes on with it")
        raise


def _check_apart(facts: dict[str, DeviceFacts]) -> None:
    """Raises InputError: two names of phones mean one phone, which two lanes cannot measure at once."""
    seen: dict[str, str] = {}
    for name, one in facts.items():
        first = seen.setdefault(one.host_hash, name) if isinstance(one.phone, PhoneFacts) and one.host_hash else name
        if first != name:
            raise InputError(f"the devices {first!r} and {name!r} are one and the same phone: name it once")


def _device(name: str, devices: dict[str, DeviceSpec]) -> DeviceSpec:
    if name not in devices:
        raise UnknownNameError("device", name, devices)
    return devices[name]


def _refuse_task_files(suite: Suite) -> None:
    """Functions, templates and metrics of a task file run in the worker; a suite may have come from anywhere."""
    for task in (m.task for m in suite.measures if isinstance(m, Task) and is_task_file(m.task)):
        raise InputError(
            f"suite {suite.name!r} names the task file {task}, and a task file can run Python code with your rights:"
            " read it, then add --allow-task-code"
        )


def _check_files(
    suite: Suite, data: Path | None, *, models: bool = True, hub: bool = True, but: frozenset[str] = frozenset()
) -> None:
    """What a plan can know to be missing is said before anything is made; `hub`: also models known by hub names;
    `but`: variants that are left out."""
    from harness.build.checkpoints import find_checkpoint
    from harness.build.hub_models import hub_file
    from harness.measure.tasks import resolve_task

    for variant in suite.variants if models else ():
        source = variant.model.source
        if isinstance(source, FileSource) and not Path(source.path).is_file():
            raise InputError(f"model {variant.model.name!r}: no file at {source.path}")
        if isinstance(source, HubSource) and hub and variant.name not in but:
            hub_file(variant.model.name, source)
        if isinstance(source, CheckpointSource):
            find_checkpoint(variant.model.name, source.path)
    for measure in suite.measures:
        if isinstance(measure, Task):
            resolve_task(measure.task, data, measure.fewshot)
