"""One trial → one TrialRecord. A failing program is a record; a bug here is a traceback."""

import platform
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev

import msgspec

from harness import __version__
from harness.errors import one_line
from harness.measure.events import parse_events
from harness.measure.jobs import Conditions, Device, Inputs, OnProgress, Outcome, Parsed
from harness.measure.runtimes import load_runtime
from harness.values import (
    Artifact,
    BandwidthSeen,
    Cell,
    DeviceFacts,
    Environment,
    Files,
    Load,
    LoadSeen,
    Memory,
    MemorySeen,
    Observation,
    Size,
    Speed,
    Status,
    Stretch,
    Sustained,
    Timing,
    Trial,
    TrialRecord,
    digest,
)

OTHER_LOAD_CORES = 0.3
SHORTEST_WALL_NS = 200_000_000
"""Windows that are shorter together say nothing of other load: /proc/stat counts in ticks of 10 ms a core."""
VARIATION = 0.10
CANARY_BYTES = 96 << 20
"""That the canary reads on each thread."""
MOST_WAITING = 0.03
"""Share of the timed windows that a thread may wait for a CPU."""
STILL_CACHED = 0.01
"""Share of a file that may be left in the page cache after it was dropped, or be missing when it should be whole."""
MOST_CANARY_LOSS = 0.03
"""The same fixed work took so much longer: the machine was slower, whatever its sensors say."""
ROOM = 1.3
"""Available memory must be at least this many times the need."""


class Equipment(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial is executed with."""

    device: Device
    facts: DeviceFacts
    artifact: Artifact | None
    inputs: Inputs | None
    runner_sha256: str | None


def execute(trial: Trial, cell: Cell, kit: Equipment, work: Path, on_progress: OnProgress | None) -> TrialRecord:
    """Run the trial in the empty folder `work` and record what was seen."""
    started, clock = datetime.now(UTC), time.monotonic_ns()
    conditions = kit.device.conditions()
    status: Status = "ok"
    reason: str | None = None
    seen: tuple[Observation, ...] = ()
    warmups: tuple[Observation, ...] = ()
    discards: tuple[Observation, ...] = ()
    if cell.unsupported is not None:
        status, reason = "unsupported", cell.unsupported
    elif isinstance(cell.workload, Size):
        seen = (files_of(kit.artifact),)
    elif (lack := _does_not_fit(kit, cell, conditions)) is not None:
        status, reason = "does_not_fit", lack
    else:
        outcome, parsed, broken = _run(cell, kit, work, on_progress)
        status, reason = judge(cell, kit.artifact, outcome, parsed, broken)
        facts = (files_of(kit.artifact),) if kit.artifact else ()
        seen = (*facts, *parsed.observations, outcome.process)
        warmups, discards = parsed.warmups, parsed.discards
    return TrialRecord(
        trial=trial.id,
        cell=cell.key,
        round=trial.round,
        status=status,
        reason=reason,
        noise=tuple(noise(seen, discards)),
        observations=seen,
        warmups=warmups,
        discards=discards,
        artifact_sha256=kit.artifact.sha256 if kit.artifact else None,
        environment=environment(kit, conditions),
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        duration_ns=time.monotonic_ns() - clock,
    )


def judge(
    cell: Cell, artifact: Artifact | None, outcome: Outcome, parsed: Parsed, broken: str | None
) -> tuple[Status, str | None]:
    """Status and reason of a program that has ended; a reason is one line, whatever the program printed."""
    status, reason = _judged(cell, artifact, outcome, parsed, broken)
    return status, None if reason is None else one_line(reason)


def _judged(
    cell: Cell, artifact: Artifact | None, outcome: Outcome, parsed: Parsed, broken: str | None
) -> tuple[Status, str | None]:
    process = outcome.process
    if outcome.timed_out:
        return "timed_out", f"no end after {process.wall_ns / 1e9:.0f} s"
    if outcome.out_of_memory:
        return "oom_killed", "the kernel's out-of-memory killer ended the program"
    if process.signal is not None:
        hint = " (often the out-of-memory killer)" if process.signal == "SIGKILL" else ""
        return "failed", f"the program died by {process.signal}{hint}"
    if broken is not None:
        return "failed", f"the program printed what is no event: {broken}"
    if parsed.error is not None:
        return "failed", parsed.error
    if process.exit_code != 0 or not parsed.done:
        last = (outcome.stderr_tail.strip().splitlines() or ["no message"])[-1]
        return "failed", f"the program ended with exit code {process.exit_code} before it was done: {last}"
    wrong = _impossible(cell, artifact, parsed.observations)
    return ("invalid", wrong) if wrong else ("ok", None)


def noise(seen: Sequence[Observation], discards: Sequence[Observation] = ()) -> list[str]:
    """What makes the timed windows of one process doubtful; discarded ones only tell how fast it had been."""
    windows = [o for o in seen if isinstance(o, Timing | BandwidthSeen | Stretch)]
    if not windows:
        return []
    doubts = []
    load = other_load_cores(windows)
    if load is not None and load > OTHER_LOAD_CORES:
        doubts.append(f"other load {load:.2f} cores during the timed windows")
    faults = sum(w.major_faults or 0 for w in windows if not isinstance(w, Stretch))
    if faults:
        doubts.append(f"{faults} major page faults in timed windows")
    waited = waiting_share([w for w in windows if isinstance(w, Timing)])
    if waited is not None and waited > MOST_WAITING:
        doubts.append(f"a thread of the model waited {waited:.0%} of the timed windows for a CPU")
    timings, gone = ([w for w in some if isinstance(w, Timing)] for some in (windows, discards))
    loss = canary_loss(timings, gone)
    if loss is not None and loss > MOST_CANARY_LOSS:
        doubts.append(f"beside a timed window the machine was {loss:.0%} slower than at its best (canary)")
    for what, values in _repeated([w for w in windows if not isinstance(w, Stretch)]).items():
        if len(values) >= 2 and (spread := stdev(values) / mean(values)) > VARIATION:
            doubts.append(f"{what} varies by {spread:.0%} between repetitions")
    return doubts


def waiting_share(windows: Sequence[Timing]) -> float | None:
    """Share of these windows that the thread which had to wait longest for a CPU waited; None where unseen."""
    wall = sum(w.wall_ns for w in windows)
    waits = [max((t.wait_ns for t in w.threads if t.wait_ns is not None), default=None) for w in windows]
    seen = [wait for wait in waits if wait is not None]
    return sum(seen) / wall if seen and wall else None


def canary_loss(windows: Sequence[Timing], discards: Sequence[Timing] = ()) -> float | None:
    """Largest share of time lost by a canary beside these windows, against the fastest of the process.

    None without a canary. Where the machine slowed down for good, the fast ones stand beside discarded windows.
    """
    seen = [c for w in windows for c in (w.canary_before, w.canary_after) if c is not None]
    every = [*seen, *(c for w in discards for c in (w.canary_before, w.canary_after) if c is not None)]
    if not seen:
        return None
    compute, read = min(c.compute_ns for c in every), min(c.read_ns for c in every)
    return max(max(c.compute_ns / compute, c.read_ns / read) for c in seen) - 1


def other_load_cores(windows: Sequence[Timing | BandwidthSeen | Stretch]) -> float | None:
    """Cores that others kept busy, or a hypervisor took away, during the windows together.

    None where the machine does not say, or where the windows are too short to tell.
    """
    busy = wall = 0
    for window in windows:
        if window.machine_busy_ns is None or window.cpu_ns is None:
            return None
        busy += window.machine_busy_ns - window.cpu_ns + (window.machine_steal_ns or 0)
        wall += _wall_ns(window)
    return max(0, busy) / wall if wall >= SHORTEST_WALL_NS else None  # summed first: ticks round both ways


def _wall_ns(window: Timing | BandwidthSeen | Stretch) -> int:
    match window:
        case Timing():
            return window.wall_ns
        case BandwidthSeen():
            return window.ns
        case Stretch():
            return window.prefill_ns + window.decode_ns


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


def _run(cell: Cell, kit: Equipment, work: Path, on_progress: OnProgress | None) -> tuple[Outcome, Parsed, str | None]:
    assert cell.runtime is not None and kit.inputs is not None
    runtime = load_runtime(cell.runtime.name)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        outcome = kit.device.run(runtime.job(cell, kit.inputs, kit.facts), work, on_progress)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    try:
        return outcome, parse_events(outcome.events), None
    except ValueError as error:
        nothing = Parsed(observations=(), warmups=(), error=None, done=False)
        return outcome, nothing, str(error)


def _does_not_fit(kit: Equipment, cell: Cell, conditions: Conditions) -> str | None:
    if kit.artifact is None or conditions.available_bytes is None:
        return None
    beside = load_runtime(cell.runtime.name).beside_bytes(kit.artifact) if cell.runtime else 0
    if isinstance(cell.workload, Speed) and cell.workload.canary:
        beside += CANARY_BYTES * kit.facts.usable_cores
    need = ROOM * (sum(f.bytes for f in kit.artifact.files) + beside)
    if conditions.available_bytes >= need:
        return None
    rule = f"{ROOM} × (weights + {beside >> 20} MiB)"
    return f"{conditions.available_bytes >> 20} MiB available, {int(need) >> 20} MiB needed: {rule}"


def _impossible(cell: Cell, artifact: Artifact | None, seen: Sequence[Observation]) -> str | None:
    """Why what was seen cannot be true or is not what was asked for."""
    match cell.workload:
        case Speed() as load:
            timings = [o for o in seen if isinstance(o, Timing)]
            if len(timings) != load.repetitions:
                return f"{len(timings)} repetitions instead of {load.repetitions}"
            for timing in timings:
                counts = (
                    timing.prefix_tokens,
                    timing.prompt_tokens,
                    timing.generated_tokens,
                    len(timing.token_ns),
                )
                if counts != (load.depth, load.prompt_tokens, load.generated_tokens, load.generated_tokens):
                    return f"token counts {counts} are not those asked for"
        case Load() as load:
            return _not_as_cached(load, [o for o in seen if isinstance(o, LoadSeen)])
        case Sustained() as load:
            return _not_sustained(load, [o for o in seen if isinstance(o, Stretch)])
        case Memory() as load:
            memory = [o for o in seen if isinstance(o, MemorySeen)]
            if not memory or memory[0].vm_hwm_bytes is None:
                return "the program saw no peak memory"
            least = artifact.tensor_bytes if artifact and load.load_mode == "none" else None
            if least is not None and memory[0].vm_hwm_bytes < least:
                return f"a peak of {memory[0].vm_hwm_bytes} bytes is below the {least} bytes of weights it holds"
    return None


def _not_as_cached(load: Load, seen: Sequence[LoadSeen]) -> str | None:
    if not seen:
        return "the program did not say what of its file was in memory"
    cached, whole = seen[0].cached_bytes, seen[0].file_bytes
    if cached is None:
        return "how much of the file was in the page cache cannot be seen here"
    if load.cold and cached > STILL_CACHED * whole:
        return f"{cached / whole:.0%} of the file could not be dropped from the page cache: no cold load"
    if not load.cold and cached < (1 - STILL_CACHED) * whole:
        return f"only {cached / whole:.0%} of the file stayed in the page cache: no warm load"
    return None


def _not_sustained(load: Sustained, seen: Sequence[Stretch]) -> str | None:
    wanted = (load.prompt_tokens, load.generated_tokens)
    for stretch in seen:
        if (stretch.prompt_tokens, stretch.generated_tokens) != wanted:
            return f"token counts {(stretch.prompt_tokens, stretch.generated_tokens)} are not those asked for"
    worked = (seen[-1].start_ns + seen[-1].prefill_ns + seen[-1].decode_ns) / 1e9 if seen else 0.0
    return None if worked >= load.seconds * 0.99 else f"worked for {worked:.1f} s instead of {load.seconds:g} s"


def _repeated(windows: Sequence[Timing | BandwidthSeen]) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {"prefill": [], "decode": [], "read bandwidth": []}
    for window in windows:
        if isinstance(window, BandwidthSeen):
            rates["read bandwidth"].append(window.bytes / window.ns)
            continue
        rates["prefill"].append(1e9 / window.logits_ns)
        if len(window.token_ns) >= 2:
            rates["decode"].append(1e9 / (window.token_ns[-1] - window.token_ns[0]))
    return rates
