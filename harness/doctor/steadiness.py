"""What the windows of an A/A test say of the machine beside their own times: its canary, and where threads ran."""

from collections.abc import Iterable

from harness.health import CanaryNoise, Placement
from harness.stats import coefficient_of_variation
from harness.values import Surroundings, Timing, TrialRecord


def canary_noise(records: Iterable[TrialRecord]) -> CanaryNoise | None:
    """Over all windows, warm-ups too; None where there are not two readings."""
    seen = [c for w in _windows(records) for c in (w.canary_before, w.canary_after) if c is not None]
    compute = coefficient_of_variation([one.compute_ns for one in seen])
    read = coefficient_of_variation([one.read_ns for one in seen])
    if compute is None or read is None:
        return None
    return CanaryNoise(readings=len(seen), compute_cv=compute, read_cv=read)


def placement(records: Iterable[TrialRecord]) -> Placement | None:
    """Where the threads of timed windows ran; None where the kernel says of none."""
    kept = list(records)
    windows = [w for w in _windows(kept) if w.threads and not w.warmup]
    if not windows:
        return None
    cores = {cpu for w in windows for t in w.threads for cpu in (t.cpu_before, t.cpu_after)}
    asked = {cpu for r in kept for o in r.observations if isinstance(o, Surroundings) for cpu in o.affinity}
    waits = [t.wait_ns / w.wall_ns for w in windows for t in w.threads if t.wait_ns is not None]
    return Placement(
        windows=len(windows),
        cores=tuple(sorted(cores)),
        outside=tuple(sorted(cores - asked)) if asked else (),
        moved=sum(any(t.cpu_before != t.cpu_after for t in w.threads) for w in windows),
        waited_share=max(waits, default=None),
    )


def _windows(records: Iterable[TrialRecord]) -> list[Timing]:
    return [o for record in records for o in record.observations if isinstance(o, Timing)]
