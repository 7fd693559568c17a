"""What a phone's sensors saw around the trials of a cell: temperature and clocks, so that each value has its heat."""

from collections.abc import Iterable, Sequence
from statistics import median

from harness.analyse.findings import Heat
from harness.analyse.levels import MeasuredCell
from harness.analyse.trials import observed
from harness.values import ClusterSeen, ParitySeen, Surroundings, Timing, TrialRecord


def heats(run: str, cells: Sequence[MeasuredCell]) -> list[Heat]:
    """One a cell whose trials have surroundings."""
    return [
        heat
        for cell in cells
        if (heat := _heat_of(run, cell, cell.seen.counted, observed(cell.seen.counted, Surroundings))) is not None
    ]


def _heat_of(
    run: str, cell: MeasuredCell, records: Sequence[TrialRecord], around: Sequence[Surroundings]
) -> Heat | None:
    if not around:
        return None
    parity = observed(records, ParitySeen)
    gone = sum(len(record.discards) for record in records)
    return Heat(
        run=run,
        variant=cell.seen.cell.variant,
        runtime=cell.seen.cell.runtime.name if cell.seen.cell.runtime else None,
        device=cell.seen.cell.device,
        workload=cell.seen.workload,
        trials=len(around),
        settled=sum(one.gate == "settled" for one in around),
        unknown=sum(one.gate == "unknown" for one in around),
        gate_s=_middle(one.gate_s for one in around),
        cpu_before_c=_middle(one.cpu_before_c for one in around),
        cpu_highest_c=_highest(one.cpu_highest_c for one in around),
        skin_highest_c=_highest(one.skin_highest_c for one in around),
        thermal_status=_highest(one.thermal_status for one in around),
        clock_share=_lowest(share for one in around for share in _shares(one)),
        capped=sum(_capped(one) for one in around),
        discarded=gone,
        windows=gone + len(observed(records, Timing)),
        largest_kl_nats=_highest(one.largest_kl_nats for one in parity),
        missing=tuple(sorted({f"{name}: {why}" for one in around for name, why in one.missing.items()})),
    )


def _shares(around: Surroundings) -> Iterable[float]:
    """Median clock over the highest one, of each cluster that the program might use."""
    for cluster in _used(around):
        if cluster.median_khz and cluster.most_khz:
            yield cluster.median_khz / cluster.most_khz


def _capped(around: Surroundings) -> bool:
    """Whether the system held back a cluster that the program might use."""
    return any(c.cap_khz is not None and c.most_khz is not None and c.cap_khz < c.most_khz for c in _used(around))


def _used(around: Surroundings) -> list[ClusterSeen]:
    cpus = set(around.allowed if around.allowed is not None else around.affinity)
    return [cluster for cluster in around.clusters if not cpus or cpus & set(cluster.cpus)]


def _middle(values: Iterable[float | None]) -> float | None:
    seen = [value for value in values if value is not None]
    return median(seen) if seen else None


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _lowest(values: Iterable[float]) -> float | None:
    return min(values, default=None)
