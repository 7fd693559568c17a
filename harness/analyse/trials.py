"""What a single trial's record says: does it count, is it doubtful, under which conditions it ran."""

from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import TypeVar

from harness.derivations import peak_rss_bytes, trial_values
from harness.values import (
    Bandwidth,
    Cell,
    Files,
    Hello,
    Load,
    Loaded,
    Memory,
    MemorySeen,
    Opened,
    RandomSource,
    Reported,
    Speed,
    Timing,
    TrialRecord,
    Variant,
    Workload,
)

T = TypeVar("T")
SETTINGS = (
    "context",
    "batch",
    "ubatch",
    "threads",
    "threads_batch",
    "load_mode",
    "repack",
    "kv_type",
    "flash_attn",
)
"""Fields of `Loaded` that identify a cell."""
OPENED = ("dtype", "device", "threads", "context", "prefix_sharing", "cpu_capability")
"""The same of `Opened`."""
ASKED = ("threads", "threads_batch", "kv_type", "flash_attn")
"""Fields that a suite may fix, and a runtime may not follow."""
ASKED_OF = {"executorch": ("threads",)}
"""The same of runtimes that know only some of them."""


def has_random_weights(variant: Variant) -> bool:
    return isinstance(variant.model.source, RandomSource) or "random" in variant.model.label.lower()


def observed(records: Sequence[TrialRecord], kind: type[T]) -> list[T]:
    """All observations of that kind, in the order of the records."""
    return [o for record in records for o in record.observations if isinstance(o, kind)]


def rejected(workload: Workload, record: TrialRecord) -> str | None:
    """Why a trial that ended well cannot be right."""
    if isinstance(workload, Speed):
        wanted = (workload.depth, workload.prompt_tokens, workload.generated_tokens)
        for timing in observed([record], Timing):
            seen = (timing.prefix_tokens, timing.prompt_tokens, len(timing.token_ns))
            if seen != wanted:
                return f"token counts (depth, prompt, generated) are {seen}, asked for {wanted}"
            if timing.token_ns[0] <= 0 or (len(timing.token_ns) > 1 and timing.token_ns[-1] <= timing.token_ns[0]):
                return "token times do not rise"
    if isinstance(workload, Memory) and workload.load_mode == "none":
        files, memory = observed([record], Files), observed([record], MemorySeen)
        weights = (files[0].tensor_bytes or 0) if files else 0
        peak = peak_rss_bytes(memory[0]) if memory else None
        if peak is not None and peak < weights:
            return f"a peak of {peak:,} bytes is impossible: the weights alone have {weights:,}"
    return None


def noise(record: TrialRecord) -> list[str]:
    """What makes a trial doubtful: what the machine's watcher said, and page faults while timing."""
    said = list(record.noise)
    if not any("fault" in what for what in said) and (faults := _faults(record)):
        said.append(f"{faults} major page faults in timed windows")
    return said


def _faults(record: TrialRecord) -> int:
    return sum(timing.major_faults or 0 for timing in observed([record], Timing))


def conditions_of(record: TrialRecord) -> dict[str, str]:
    """What must be alike for records to be put together, by name."""
    found: dict[str, str] = {}
    if record.environment is not None:
        found["machine facts"] = record.environment.facts_sha256[:12]
        found["runner"] = (record.environment.runner_sha256 or "none")[:12]
        found["power"] = record.environment.power or "unknown"
    for hello in observed([record], Hello):
        found |= {"llama.cpp": hello.llama_version} if hello.llama_version else hello.versions
    for opened in observed([record], Opened):
        found |= {field: str(getattr(opened, field)) for field in OPENED}
    for told in observed([record], Reported):
        found |= {"told by": told.tool, **told.conditions}
    for loaded in observed([record], Loaded):
        found |= {field: str(getattr(loaded, field)) for field in SETTINGS}
        found["cpu_features"] = " ".join(sorted(loaded.cpu_features))
    return found


def conditions_key(record: TrialRecord, *, timed: bool = True) -> tuple[object, ...]:
    """Equal for records of one artifact under the same `conditions_of`, and quicker to make.

    What is not timed does not depend on the machine's power or on facts such as its memory.
    """
    environment = record.environment
    seen: list[object] = [record.artifact_sha256]
    if environment is not None:
        seen.append(environment.runner_sha256)
        if timed:
            seen += (environment.facts_sha256, environment.power)
    for one in record.observations:
        if isinstance(one, Loaded):
            seen += (_settings(one), frozenset(one.cpu_features))
        elif isinstance(one, Opened):
            seen.append(_opened(one))
        elif isinstance(one, Hello):
            seen.append(one.llama_version)
        elif isinstance(one, Reported):
            seen += (one.tool, frozenset(one.conditions.items()))
    return tuple(seen)


_settings, _opened = attrgetter(*SETTINGS), attrgetter(*OPENED)


def not_as_asked(cell: Cell, record: TrialRecord) -> list[str]:
    """Settings that the runtime did not take as they were asked for."""
    loaded = observed([record], Loaded)
    if cell.runtime is None or not loaded:
        return []
    mode = cell.workload.load_mode if isinstance(cell.workload, Memory | Load) else cell.runtime.load_mode
    asked = {"load_mode": mode, **{f: getattr(cell.runtime, f) for f in ASKED_OF.get(cell.runtime.name, ASKED)}}
    if not cell.runtime.repack:  # asked for, it is done only where the format has a repacked form
        asked["repack"] = False
    differ = [
        f"{field} {wanted}, ran with {seen}"
        for field, wanted in asked.items()
        if wanted != "auto" and wanted != (seen := getattr(loaded[0], field))
    ]
    return [f"asked for {'; '.join(differ)}"] if differ else []


class ReadBandwidth:
    """The read bandwidth of each device and round, in bytes a second."""

    def __init__(self, cells: Sequence[Cell], by_cell: dict[str, list[TrialRecord]]) -> None:
        self._seen: dict[tuple[str, int], dict[str | None, float]] = defaultdict(dict)
        for cell in cells:
            if not isinstance(cell.workload, Bandwidth):
                continue
            for record in by_cell[cell.key]:
                value = trial_values(record).get("read_bandwidth_bytes_s")
                if record.status == "ok" and value is not None:
                    runtime = cell.runtime.name if cell.runtime else None
                    self._seen[cell.device, record.round][runtime] = value

    def of(self, cell: Cell, round_number: int) -> float | None:
        """As seen with the cell's own runtime's threads, or else with any runtime's on that device."""
        seen = self._seen.get((cell.device, round_number), {})
        own = seen.get(cell.runtime.name if cell.runtime else None)
        return own if own is not None else next(iter(seen.values()), None)
