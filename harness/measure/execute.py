"""One trial → one TrialRecord. A failing program is a record; a bug here is a traceback."""

import gzip
import platform
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness import __version__
from harness.measure.events import parse_events
from harness.measure.jobs import Conditions, Device, Inputs, OnProgress, Outcome, Parsed
from harness.measure.judging import is_spoiled_by_heat, judge
from harness.measure.noise import noise
from harness.measure.runtimes import load_runtime
from harness.store import write_durably
from harness.values import (
    Artifact,
    Cell,
    DeviceFacts,
    Environment,
    Files,
    Observation,
    Size,
    Speed,
    Status,
    Surroundings,
    Timing,
    Trial,
    TrialRecord,
    digest,
)

CANARY_BYTES = 96 << 20
"""That the canary reads on each thread."""
MOST_REPEATS = 3
"""Of a trial whose timed windows the device finds worthless."""
TRACE, GATE_TRACE = "samples.jsonl", "gate.jsonl"
"""Files of its work folder in which a device with sensors leaves what they saw, and how it waited before."""
ROOM = 1.3
"""Available memory must be at least this many times the need."""


class Equipment(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial is executed with."""

    device: Device
    facts: DeviceFacts
    artifact: Artifact | None
    inputs: Inputs | None
    runner_sha256: str | None
    run: str = ""
    """Name of the run: with the trial's, it names the job on a device that outlives this program."""
    traces: Path | None = None
    """Folder for what a device's sensors saw."""


def execute(trial: Trial, cell: Cell, kit: Equipment, work: Path, on_progress: OnProgress | None) -> TrialRecord:
    """Run the trial in the empty folder `work` and record what was seen."""
    started, clock = datetime.now(UTC), time.monotonic_ns()
    conditions = kit.device.conditions()
    status: Status = "ok"
    reason: str | None = None
    seen: tuple[Observation, ...] = ()
    warmups: tuple[Observation, ...] = ()
    discards: tuple[Observation, ...] = ()
    doubts: tuple[str, ...] = ()
    if cell.unsupported is not None:
        status, reason = "unsupported", cell.unsupported
    elif isinstance(cell.workload, Size):
        seen = (files_of(kit.artifact),)
    elif (lack := _does_not_fit(trial, cell, kit, conditions)) is not None:
        status, reason = "does_not_fit", lack
    else:
        outcome, parsed, broken, spoiled = _run_fairly(trial, cell, kit, work, on_progress)
        status, reason = judge(cell, kit.artifact, outcome, parsed, broken)
        facts = (files_of(kit.artifact),) if kit.artifact else ()
        around = (outcome.surroundings,) if outcome.surroundings else ()
        seen = (*facts, *parsed.observations, outcome.process, *around)
        doubts = outcome.doubts
        warmups, discards = parsed.warmups, (*spoiled, *parsed.discards)
    return TrialRecord(
        trial=trial.id,
        cell=cell.key,
        round=trial.round,
        status=status,
        reason=reason,
        noise=(*doubts, *noise(seen, discards)),
        observations=seen,
        warmups=warmups,
        discards=discards,
        artifact_sha256=kit.artifact.sha256 if kit.artifact else None,
        environment=environment(kit, conditions),
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        duration_ns=time.monotonic_ns() - clock,
    )


def unfit(trial: Trial, cell: Cell, kit: Equipment) -> TrialRecord | None:
    """The record of a trial for which the device has not enough memory now; None where it has, or does not say."""
    started, conditions = datetime.now(UTC), kit.device.conditions()
    lack = None if isinstance(cell.workload, Size) else _does_not_fit(trial, cell, kit, conditions)
    if lack is None:
        return None
    return TrialRecord(
        trial=trial.id,
        cell=cell.key,
        round=trial.round,
        status="does_not_fit",
        reason=lack,
        artifact_sha256=kit.artifact.sha256 if kit.artifact else None,
        environment=environment(kit, conditions),
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def ids_begin(run: str, trial: Trial) -> str:
    """What the ids of all jobs of a trial begin with, in the run of this name."""
    return f"{run}-{trial.id}-"


def files_of(artifact: Artifact | None) -> Files:
    """The artifact as an observation."""
    assert artifact is not None
    return Files(
        files=artifact.files,
        parameters=artifact.parameters,
        tensor_bytes=artifact.tensor_bytes,
        decode_bytes=artifact.decode_bytes,
        tensor_types=artifact.tensor_types,
    )


def environment(kit: Equipment, conditions: Conditions) -> Environment:
    return Environment(
        device=kit.facts.device,
        facts_sha256=digest(kit.facts),
        bench_version=__version__,
        python=platform.python_version(),
        runner_sha256=kit.runner_sha256,
        load_average=conditions.load_average,
        available_bytes=conditions.available_bytes,
        power=conditions.power,
    )


def _run_fairly(
    trial: Trial, cell: Cell, kit: Equipment, work: Path, on_progress: OnProgress | None
) -> tuple[Outcome, Parsed, str | None, tuple[Observation, ...]]:
    """Run until the device finds the timed windows worth something; those of earlier attempts come last."""
    spoiled: list[Observation] = []
    traces: list[str] = []
    for attempt in range(MOST_REPEATS + 1):
        outcome, parsed, broken = _run(f"{ids_begin(kit.run, trial)}{attempt}", cell, kit, work, on_progress)
        if outcome.worthless is None or attempt == MOST_REPEATS or not is_spoiled_by_heat(cell):
            break
        windows = (o for o in parsed.observations if isinstance(o, Timing))
        spoiled += [msgspec.structs.replace(window, discarded=True) for window in windows]
        if (around := outcome.surroundings) is not None:
            traces += [one for one in (around.trace, around.gate_trace) if one is not None]
    if outcome.surroundings is not None and traces:
        around = msgspec.structs.replace(outcome.surroundings, discarded_traces=tuple(traces))
        outcome = msgspec.structs.replace(outcome, surroundings=around)
    return outcome, parsed, broken, tuple(spoiled)


def _run(
    job_id: str, cell: Cell, kit: Equipment, work: Path, on_progress: OnProgress | None
) -> tuple[Outcome, Parsed, str | None]:
    assert cell.runtime is not None and kit.inputs is not None
    runtime = load_runtime(cell.runtime.name)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        job = msgspec.structs.replace(runtime.job(cell, kit.inputs, kit.facts), id=job_id)
        outcome = kit.device.run(job, work, on_progress)
        if kit.traces is not None and outcome.surroundings is not None:
            around = _with_traces(outcome.surroundings, work, kit.traces, job_id)
            outcome = msgspec.structs.replace(outcome, surroundings=around)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    try:
        return outcome, parse_events(outcome.events), None
    except ValueError as error:
        nothing = Parsed(observations=(), warmups=(), error=None, done=False)
        return outcome, nothing, str(error)


def _with_traces(around: Surroundings, work: Path, traces: Path, job_id: str) -> Surroundings:
    """The sensors' own lines and the steps of the wait, kept beside the records."""
    kept = {"trace": (TRACE, f"{job_id}.jsonl.gz"), "gate_trace": (GATE_TRACE, f"{job_id}.gate.jsonl.gz")}
    found: dict[str, str] = {}
    for field, (name, target) in kept.items():
        if (work / name).is_file() and (seen := (work / name).read_bytes()):
            write_durably(traces / target, gzip.compress(seen, mtime=0))
            found[field] = f"{traces.name}/{target}"
    return msgspec.structs.replace(around, **found)


def _does_not_fit(trial: Trial, cell: Cell, kit: Equipment, conditions: Conditions) -> str | None:
    """Where the device has begun the trial already, its own program may be what takes the memory."""
    lack = _lack(cell, kit, conditions)
    return None if lack is None or kit.device.begun(ids_begin(kit.run, trial)) else lack


def _lack(cell: Cell, kit: Equipment, conditions: Conditions) -> str | None:
    if kit.artifact is None or conditions.available_bytes is None:
        return None
    fixed, per_core = needed_bytes(kit.artifact, cell)
    need = fixed + per_core * kit.facts.cores
    if conditions.available_bytes >= need:
        return None
    beside = int(need / ROOM) - sum(f.bytes for f in kit.artifact.files)
    rule = f"{ROOM} × (weights + {beside >> 20} MiB)"
    return f"{conditions.available_bytes >> 20} MiB available, {int(need) >> 20} MiB needed: {rule}"


def needed_bytes(artifact: Artifact, cell: Cell) -> tuple[float, float]:
    """Available memory that a trial of the cell needs: in all, and beside that for each core it runs on."""
    beside = load_runtime(cell.runtime.name).beside_bytes(artifact) if cell.runtime else 0
    canary = CANARY_BYTES if isinstance(cell.workload, Speed) and cell.workload.canary else 0
    return ROOM * (sum(f.bytes for f in artifact.files) + beside), ROOM * canary
