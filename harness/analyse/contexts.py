"""Memory with caches of other sizes than the measured one, and what compression saves of it."""

from collections.abc import Iterator, Mapping, Sequence

from harness.analyse.levels import MeasuredCell
from harness.analyse.limits import Footprint, Saving
from harness.analyse.places import Place, place
from harness.analyse.trials import observed
from harness.values import Loaded, Memory

CONTEXTS = (512, 1024, 2048, 4096, 8192)
KV_UNSEEN = "the runtime did not report the KV cache's bytes"


def footprints(run: str, cells: Sequence[MeasuredCell], baselines: Sequence[str]) -> list[Footprint]:
    """One a memory cell and context, rising; the measured context is always among them."""
    memory = [c for c in cells if isinstance(c.seen.cell.workload, Memory)]
    by_place = {place(c): c for c in memory}
    return [one for cell in memory for one in _of_cell(run, cell, by_place, baselines)]


def _of_cell(
    run: str, cell: MeasuredCell, by_place: Mapping[Place, MeasuredCell], baselines: Sequence[str]
) -> Iterator[Footprint]:
    seen = cell.seen
    others = () if seen.cell.variant in baselines else baselines
    for context in _contexts(cell):
        total, kv, reason = _at(cell, context)
        loaded = _loaded(cell)
        yield Footprint(
            run=run,
            variant=seen.cell.variant,
            runtime=seen.runtime,
            device=seen.cell.device,
            workload=seen.workload,
            context=context,
            computed=loaded is None or context != loaded.context,
            bytes=total,
            kv_bytes=kv,
            rest_bytes=None if total is None or kv is None else total - kv,
            savings=tuple(_saving(total, name, by_place.get(place(cell, name)), context) for name in others),
            reason=reason,
        )


def _contexts(cell: MeasuredCell) -> list[int]:
    loaded = _loaded(cell)
    return sorted({*CONTEXTS, loaded.context} if loaded else CONTEXTS)


def _at(cell: MeasuredCell, context: int) -> tuple[int | None, int | None, str | None]:
    """(bytes, bytes of the KV cache, why there are none)"""
    peak, loaded = cell.metrics["peak_rss_bytes"], _loaded(cell)
    if peak.value is None:
        return None, None, peak.reason
    if loaded is None:
        return None, None, "the context that was measured is not known"
    measured = round(peak.value)
    if context == loaded.context:
        return measured, loaded.kv_bytes, None
    if context > loaded.context_trained:
        return None, None, f"beyond the {loaded.context_trained:,} tokens that the model was trained for"
    if loaded.kv_bytes is None:
        return None, None, KV_UNSEEN
    kv = round(loaded.kv_bytes / loaded.context * context)
    return measured - loaded.kv_bytes + kv, kv, None


def _saving(own: int | None, baseline: str, other: MeasuredCell | None, context: int) -> Saving:
    if own is None:
        return Saving(baseline=baseline, saved=None, reason="the variant has no value here")
    total, _, reason = _at(other, context) if other else (None, None, "it has no such cell")
    if not total:
        return Saving(baseline=baseline, saved=None, reason=f"the baseline has no value: {reason or 'it is 0'}")
    return Saving(baseline=baseline, saved=1 - own / total, reason=None)


def _loaded(cell: MeasuredCell) -> Loaded | None:
    return next(iter(observed(cell.seen.counted, Loaded)), None)
