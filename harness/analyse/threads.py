"""A common thread count for all variants, and each variant's best."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

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
    groups: dict[Group, dict[str, Counts]] = defaultdict(dict)
    names: dict[Speed, str] = {}
    # A measure without a count of its own is the suite's common one: where a sweep has that count too, it stays.
    for cell in sorted(cells, key=lambda c: getattr(c.seen.cell.workload, "threads", None) is None):
        load, runtime = cell.seen.cell.workload, cell.seen.cell.runtime
        if not isinstance(load, Speed) or runtime is None or load.idle_s:
            continue
        base = _base(load)
        names[base] = cell.seen.workload if load.threads is None else names.get(base, base.label)
        for name in SWEPT:
            measured, threads = cell.metrics.get(name), _threads(runtime, name)
            if measured is not None and measured.value is not None and threads is not None:
                group = Group(base, cell.seen.cell.device, runtime.name, name)
                groups[group].setdefault(str(cell.seen.cell.variant), {})[threads] = measured
    return [one for group, variants in groups.items() for one in _of_group(run, group, names[group.base], variants)]


class Group(NamedTuple):
    """What is compared over thread counts."""

    base: Speed
    device: str
    runtime: str
    metric: str


def _base(load: Speed) -> Speed:
    """The shape alone: a sweep may have other rounds and repetitions than the measure with the common count."""
    return Speed(
        prompt_tokens=load.prompt_tokens,
        generated_tokens=load.generated_tokens,
        depth=load.depth,
        context=load.context,
    )


def _threads(runtime: Runtime, name: str) -> int | None:
    threads = runtime.threads_batch if name == "prefill_tok_s" else runtime.threads
    return threads if isinstance(threads, int) else None


def _common(run: Run, group: Group) -> int | None:
    """The runtime's own count on that device; None where `auto` cannot be told any more."""
    runtime = next(r for r in run.plan.suite.runtimes if r.name == group.runtime)
    asked = runtime.threads_batch if group.metric == "prefill_tok_s" else runtime.threads
    facts = run.plan.facts.get(group.device)
    return asked if isinstance(asked, int) else facts.usable_cores if facts else None


def _of_group(run: Run, group: Group, workload: str, variants: dict[str, Counts]) -> Iterator[ThreadCounts]:
    name, common = group.metric, _common(run, group)
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
            runtime=group.runtime,
            device=group.device,
            workload=workload,
            metric=name,
            common=common,
            common_value=counts[common].value if common is not None and common in counts else None,
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
