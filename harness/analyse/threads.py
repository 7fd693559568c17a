"""A common thread count for all variants, and each variant's best."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from harness.analyse.findings import ThreadCounts, ThreadsGain
from harness.analyse.levels import Measured, MeasuredCell
from harness.metrics import METRICS
from harness.stats import bounds, ratio_interval
from harness.store import Run
from harness.values import Runtime, Speed

SWEPT = ("prefill_tok_s", "decode_tok_s")
Counts = dict[int, Measured]


def thread_counts(run: Run, cells: Sequence[MeasuredCell]) -> list[ThreadCounts]:
    """One a variant, workload and metric that was measured with more than one count.

    The best count is chosen by the values that it is then shown with, which flatters it a little: the more so
    the more counts were tried and the noisier the rounds are.
    """
    runtimes = {runtime.name: runtime for runtime in run.plan.suite.runtimes}
    groups: dict[tuple[str, str, str | None, str], dict[str, Counts]] = defaultdict(dict)
    commons: dict[tuple[str, str | None], int] = {}
    for cell in cells:
        load, runtime = cell.seen.cell.workload, cell.seen.cell.runtime
        if not isinstance(load, Speed) or runtime is None or load.idle_s or not isinstance(runtime.threads, int):
            continue
        if load.threads is None:
            commons[cell.seen.cell.device, runtime.name] = runtime.threads
        base = msgspec.structs.replace(load, threads=None).label
        for name in SWEPT:
            measured = cell.metrics.get(name)
            if measured is not None and measured.value is not None:
                key = (base, cell.seen.cell.device, runtime.name, name)
                groups[key].setdefault(str(cell.seen.cell.variant), {})[runtime.threads] = measured
    found: list[ThreadCounts] = []
    for (base, device, runtime_name, name), variants in groups.items():
        common = commons.get((device, runtime_name)) or _common(runtimes[str(runtime_name)], variants)
        found += _of_group(run, (base, device, runtime_name, name), variants, common)
    return found


def _common(runtime: Runtime, variants: dict[str, Counts]) -> int:
    """Where no cell ran with the runtime's own count: that count, or else the largest that was tried."""
    if isinstance(runtime.threads, int):
        return runtime.threads
    return max(threads for counts in variants.values() for threads in counts)


def _of_group(
    run: Run, key: tuple[str, str, str | None, str], variants: dict[str, Counts], common: int
) -> Iterator[ThreadCounts]:
    base, device, runtime, name = key
    for variant, counts in variants.items():
        if len(counts) < 2:
            continue
        best = _best(counts, name)
        gains = [
            _gain(counts[best], other, variants[other], name)
            for other in run.plan.suite.baselines_of(variant)
            if other in variants
        ]
        yield ThreadCounts(
            run=run.id,
            variant=variant,
            runtime=runtime,
            device=device,
            workload=base,
            metric=name,
            common=common,
            common_value=counts[common].value if common in counts else None,
            best=best,
            best_value=_value(counts[best]),
            counts=tuple((threads, _value(counts[threads])) for threads in sorted(counts)),
            gains=tuple(gains),
        )


def _best(counts: Counts, name: str) -> int:
    """Of equal ones the one with fewer threads."""
    sign = 1 if METRICS[name].better == "higher" else -1
    return max(sorted(counts), key=lambda threads: sign * _value(counts[threads]))


def _gain(own: Measured, baseline: str, counts: Counts, name: str) -> ThreadsGain:
    best = _best(counts, name)
    theirs = dict(counts[best].rounds)
    pairs = [(value, theirs[r]) for r, value in own.rounds if r in theirs]
    low, high = bounds(ratio_interval([v for v, _ in pairs], [b for _, b in pairs]))
    ratio = _value(own) / _value(counts[best])
    return ThreadsGain(baseline=baseline, threads=best, ratio=ratio, low=low, high=high)


def _value(measured: Measured) -> float:
    assert measured.value is not None
    return measured.value
