"""What a peak of memory is made of."""

from harness.analyse.findings import Part, Waterfall
from harness.analyse.levels import MeasuredCell
from harness.analyse.trials import observed
from harness.derivations import peak_rss_bytes
from harness.values import Loaded, MemorySeen

KINDS = ("model", "lora", "kv", "compute", "output")


def waterfall(run: str, measured: MeasuredCell) -> Waterfall | None:
    """Of the round whose peak is the median one (the lower of two); None for anything but a memory cell."""
    seen = measured.seen
    peaks = []
    for record in seen.counted:
        memory, loaded = observed([record], MemorySeen), observed([record], Loaded)
        peak = peak_rss_bytes(memory[0]) if memory else None
        if peak is not None and loaded:
            peaks.append((peak, record.round, memory[0], loaded[0]))
    if not peaks:
        return None
    peaks.sort(key=lambda p: p[:2])
    peak, _, memory_seen, load = peaks[(len(peaks) - 1) // 2]
    parts = [
        Part(kind=kind, name=buffer.name, bytes=buffer.bytes)
        for kind in KINDS
        for buffer in load.buffers
        if buffer.kind == kind
    ]
    before = memory_seen.rss_before_load_bytes
    if before is not None:
        parts.append(Part(kind="runtime", name="before loading", bytes=before))
    read = memory_seen.rss_before_weights_bytes
    if before is not None and read is not None:
        parts.append(Part(kind="vocabulary", name="vocabulary and metadata", bytes=max(0, read - before)))
    missing = [] if load.buffers else ["the runtime reported no buffers"]
    missing += [] if before is not None else ["memory before loading was not seen"]
    missing += [] if read is not None else ["memory before the weights was not seen"]
    total = sum(part.bytes for part in parts)
    return Waterfall(
        run=run,
        variant=seen.cell.variant,
        runtime=seen.runtime,
        device=seen.cell.device,
        workload=seen.workload,
        peak_bytes=peak,
        parts=tuple(parts),
        unexplained_bytes=peak - total,
        explained=total / peak,
        beside_weights_bytes=_beside_weights(memory_seen, load),
        missing="; ".join(missing) or None,
    )


def _beside_weights(memory: MemorySeen, load: Loaded) -> int | None:
    """What came with the load and is no weight and no cache; compute buffers are untouched until then."""
    before = memory.rss_before_weights_bytes or memory.rss_before_load_bytes
    if memory.rss_after_load_bytes is None or before is None or not load.buffers:
        return None
    buffers = sum(b.bytes for b in load.buffers if b.kind in ("model", "lora", "kv"))
    return max(0, memory.rss_after_load_bytes - before - buffers)
