"""Status and reason of a program that has ended: what it said, and whether that can be true. Pure."""

from collections.abc import Sequence

from harness.errors import one_line
from harness.measure.jobs import Outcome, Parsed
from harness.values import (
    Artifact,
    Cell,
    Load,
    LoadSeen,
    Memory,
    MemorySeen,
    Observation,
    Speed,
    Status,
    Stretch,
    Sustained,
    Timing,
    Warmed,
)

STILL_CACHED = 0.01
"""Share of a file that may be left in the page cache after it was dropped, or be missing when it should be whole."""


def judge(
    cell: Cell, artifact: Artifact | None, outcome: Outcome, parsed: Parsed, broken: str | None
) -> tuple[Status, str | None]:
    """Status and reason of a program that has ended; a reason is one line, whatever the program printed."""
    status, reason = _judged(cell, artifact, outcome, parsed, broken)
    return status, None if reason is None else one_line(reason)


def is_spoiled_by_heat(cell: Cell) -> bool:
    """Whether a window in which the device slowed down is none: sustained work is measured for just that."""
    return isinstance(cell.workload, Warmed) and not isinstance(cell.workload, Sustained)


def _judged(
    cell: Cell, artifact: Artifact | None, outcome: Outcome, parsed: Parsed, broken: str | None
) -> tuple[Status, str | None]:
    process = outcome.process
    if outcome.lost is not None:
        return "lost_device", outcome.lost
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
    if wrong is None and is_spoiled_by_heat(cell):
        wrong = outcome.worthless
    return ("invalid", wrong) if wrong else ("ok", None)


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
