"""Trials that another tool told → a run like any other; nothing is measured."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harness import __version__
from harness.errors import InputError, one_line
from harness.measure.foreign.detect import read_told
from harness.measure.foreign.told import Machine, Told, ToldTrial, name_of
from harness.progress import Progress
from harness.run_checks import plan_contradicts
from harness.store import DAMAGE, append_record, create_run, encode, find_runs, hold_run, write_durably, write_lines
from harness.values import (
    Answers,
    Cell,
    DeviceFacts,
    DeviceSpec,
    FileSource,
    Model,
    Plan,
    Sha256,
    Suite,
    Trial,
    TrialRecord,
    Value,
    Variant,
    Workload,
    digest,
)

IMPORTED = "imported.json"
DOES_NOT_FIT = (
    *(KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError, OSError),
    msgspec.MsgspecError,
)
"""What reading a forged or broken file as a tool's comes to."""
UNKNOWN = "unknown"
FACTS = ("model", "os", "arch", "cpu", "logical_cpus", "usable_cores", "memory_bytes", "llc_bytes")


class ToldBy(Value, frozen=True, kw_only=True):
    """Where a run's numbers came from; lies beside its records."""

    tool: str
    file: str
    """Its name."""
    told_sha256: Sha256
    """Of all that was read."""
    remarks: tuple[str, ...]
    at: str
    """UTC, ISO 8601."""


def import_told(path: Path, results: Path, progress: Progress) -> Path:
    """Make the run; returns its folder.

    Raises:
        InputError: nothing that is known, or what was imported before.
        StoreError: a file is damaged.
    """
    try:
        told = read_told(path)
        if not told.trials:
            raise InputError(f"{path}: {told.tool} told no result")
        identity = digest([[one.workload, one.reported, one.items] for one in told.trials])
        plan, records = planned(told, path.name)
        _check(plan, records)
    except DOES_NOT_FIT as error:
        raise InputError(f"{path}: it is not what its tool writes: {one_line(repr(error))[:200]}") from error
    _refuse_twice(identity, results)
    made = create_run(results, plan, host=UNKNOWN)
    try:
        with hold_run(made):
            for one, record in records:
                append_record(made, _with_answers(made, one, record))
            about = ToldBy(
                tool=told.tool,
                file=path.name,
                told_sha256=identity,
                remarks=told.remarks,
                at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            )
            write_durably(made / IMPORTED, msgspec.json.format(encode(about), indent=1))
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)  # half an import would look like a run that can go on
        raise
    for remark in told.remarks:
        progress.say(remark)
    return made


def _check(plan: Plan, records: Sequence[tuple[ToldTrial, TrialRecord]]) -> None:
    """Whether all can be read again. Limits of values hold on reading only.

    Raises:
        MsgspecError, ValueError: they are not kept.
        InputError: the parts of the plan do not fit.
    """
    if (wrong := plan_contradicts(msgspec.json.decode(encode(plan), type=Plan))) is not None:
        raise InputError(wrong)
    for one, record in records:
        msgspec.json.decode(encode(record), type=TrialRecord)
        for line in (*one.items, *one.requests, *one.answers):
            encode(line)


def planned(told: Told, file: str) -> tuple[Plan, list[tuple[ToldTrial, TrialRecord]]]:
    """The plan that these trials would have had, and their records. Trials of one cell are its rounds."""
    machines = list(dict.fromkeys(one.machine for one in told.trials))
    names = {m: "elsewhere" if len(machines) == 1 else f"elsewhere-{i}" for i, m in enumerate(machines, 1)}
    by_cell: dict[tuple[Any, ...], list[ToldTrial]] = {}
    for one in told.trials:
        by_cell.setdefault((one.variant, one.runtime, names[one.machine], one.workload), []).append(one)
    cells: list[Cell] = []
    trials: list[Trial] = []
    records: list[tuple[ToldTrial, TrialRecord]] = []
    for (variant, runtime, device, load), rounds in by_cell.items():
        workload = _with_rounds(load, rounds)
        key = digest([variant, runtime, device, workload])[:16]
        cells.append(Cell(key=key, variant=variant, runtime=runtime, device=device, workload=workload))
        for number, one in enumerate(rounds):
            trial = Trial(id=f"{key}-r{number}", cell=key, round=number)
            trials.append(trial)
            record = TrialRecord(
                trial=trial.id,
                cell=key,
                round=number,
                status="ok",
                reason=None,
                observations=(one.reported,),
                started=one.started,
            )
            records.append((one, record))
    plan = Plan(
        suite=_suite(told, file, cells, names),
        facts={name: _facts(name, machine, told.tool) for machine, name in names.items()},
        cells=tuple(cells),
        trials=tuple(trials),
        bench_version=__version__,
    )
    return plan, records


def _suite(told: Told, file: str, cells: Sequence[Cell], names: dict[Machine, str]) -> Suite:
    variants: dict[str, Variant] = {}
    full: list[str] = []
    for one in told.trials:
        model = Model(
            name=one.variant,
            source=FileSource(path=one.model_file or UNKNOWN),
            label=f"{one.model_file or one.variant}, imported from {told.tool}",
        )
        variants[one.variant] = Variant(name=one.variant, model=model, recipe="released", scheme=one.scheme)
        if one.sixteen_bit and one.variant not in full:
            full.append(one.variant)
    return Suite(
        name="imported",
        title=f"{file}, imported from {told.tool}",
        variants=tuple(variants.values()),
        baselines=tuple(full[:1] or list(variants)[:1]),
        runtimes=tuple(dict.fromkeys(c.runtime for c in cells if c.runtime is not None)),
        devices=tuple(DeviceSpec(name=name, title=f"a machine that {told.tool} ran on") for name in names.values()),
        measures=tuple(dict.fromkeys(cell.workload for cell in cells)),
        source=name_of(file),
    )


def _facts(name: str, machine: Machine, tool: str) -> DeviceFacts:
    return DeviceFacts(
        device=name,
        model=machine.model or UNKNOWN,
        os=machine.os or UNKNOWN,
        arch=machine.arch or UNKNOWN,
        cpu=machine.cpu or UNKNOWN,
        logical_cpus=machine.logical_cpus,
        usable_cores=None,
        memory_bytes=machine.memory_bytes,
        llc_bytes=None,
        missing={field: f"{tool} does not say" for field in FACTS if getattr(machine, field, None) is None},
    )


def _with_rounds(load: Workload, rounds: Sequence[ToldTrial]) -> Workload:
    """As many as there are; of a program's repetitions as many as it told."""
    fields = {field.name for field in msgspec.structs.fields(load)}
    told = max((len(v) for one in rounds for v in one.reported.repetitions.values()), default=1)
    changes = {"rounds": len(rounds), "repetitions": told}
    return msgspec.structs.replace(load, **{k: v for k, v in changes.items() if k in fields})


def _with_answers(run: Path, one: ToldTrial, record: TrialRecord) -> TrialRecord:
    """Questions lie in files of their own, as in any run."""
    if not one.items:
        return record
    places = {name: f"{name}/{record.trial}.jsonl.gz" for name in ("requests", "answers", "items")}
    for name, lines in (("requests", one.requests), ("answers", one.answers), ("items", one.items)):
        write_lines(run / places[name], list(lines))
    answers = Answers(
        **places,
        count=len(one.requests),
        tokens=0,
        questions=len(one.items),
        of=len(one.items),
        task_versions=one.versions,
        label=one.label,
    )
    return msgspec.structs.replace(record, observations=(*record.observations, answers))


def _refuse_twice(identity: str, results: Path) -> None:
    for run, about in _told_before(results):
        if about.told_sha256 == identity:
            raise InputError(f"these results were imported before: they are run {run.name}")


def _told_before(results: Path) -> Iterator[tuple[Path, ToldBy]]:
    for run in find_runs(results):
        if (path := run / IMPORTED).is_file():
            try:
                yield run, msgspec.json.decode(path.read_bytes(), type=ToldBy)
            except DAMAGE:
                continue  # of a bundle, or damaged, which is no reason to refuse this one
