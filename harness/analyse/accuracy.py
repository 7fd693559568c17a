"""What compression cost in accuracy: paired differences, flips, and distances to the reference."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Literal, TypedDict

from harness.analyse.findings import Distance, PairedItems, TaskScore
from harness.analyse.items import Item
from harness.analyse.levels import MeasuredCell
from harness.analyse.pairs import paired_items
from harness.stats import (
    FEWEST_CLUSTERS,
    Interval,
    clustered_interval,
    difference_interval,
    mcnemar_exact_p,
    share_interval,
)

ONE_POINT = 0.01
OnePoint = Literal["excluded", "not excluded", "certain", "unknown"]


class _Place(TypedDict):
    run: str
    variant: str | None
    runtime: str | None
    device: str
    workload: str


def pair_items(run: str, variant: MeasuredCell, baseline: MeasuredCell) -> list[PairedItems]:
    """One entry a metric that both cells have items for; empty for anything but a task."""
    if variant.graded is None or baseline.graded is None:
        return []
    found = []
    for name in variant.metrics:
        pairs = paired_items(variant.graded.items, baseline.graded.items, name)
        if pairs:
            found.append(_paired(run, variant, str(baseline.seen.cell.variant), name, pairs))
    return found


def task_scores(run: str, measured: MeasuredCell) -> list[TaskScore]:
    """One entry a task and metric, where a cell holds more than one task."""
    if measured.graded is None:
        return []
    by_task: dict[str, list[Item]] = defaultdict(list)
    for item in measured.graded.items:
        by_task[item.task].append(item)
    if len(by_task) < 2:
        return []
    return [
        TaskScore(**_place(run, measured), task=task, metric=name, items=len(values), value=fmean(values))
        for task, items in by_task.items()
        for name in measured.metrics
        if (values := [i.metrics[name] for i in items if name in i.metrics])
    ]


def distances(run: str, measured: MeasuredCell) -> list[Distance]:
    """KL divergence and top-1 agreement of a cell; empty where nothing was compared."""
    if measured.graded is None or not measured.graded.positions:
        return []
    return [
        Distance(
            **_place(run, measured),
            metric=name,
            reference=measured.reference or "unknown",
            is_reference=measured.reference == measured.seen.cell.variant,
            value=one.value,
            interval=one.interval,
            positions=one.n,
            windows=len({p.window for p in measured.graded.positions}),
        )
        for name in ("kl_divergence", "top1_agreement")
        if (one := measured.metrics[name]).value is not None
    ]


def _paired(
    run: str, variant: MeasuredCell, baseline: str, name: str, pairs: Sequence[tuple[Item, Item]]
) -> PairedItems:
    values = [v.metrics[name] for v, _ in pairs]
    baselines = [b.metrics[name] for _, b in pairs]
    differences = [v - b for v, b in zip(values, baselines, strict=True)]
    interval = difference_interval(differences)
    groups = [(v.task, v.group) for v, _ in pairs if v.group is not None]
    clusters = len(set(groups)) if len(groups) == len(pairs) else 0
    clustered = clustered_interval(differences, groups) if clusters >= FEWEST_CLUSTERS else None
    binary = {*values, *baselines} <= {0.0, 1.0}
    lost = sum(d < 0 for d in differences)
    won = sum(d > 0 for d in differences)
    return PairedItems(
        **_place(run, variant),
        baseline=baseline,
        metric=name,
        items=len(pairs),
        value=fmean(values),
        baseline_value=fmean(baselines),
        diff=fmean(differences),
        interval=interval,
        clustered=clustered,
        clusters=clusters,
        right_to_wrong=lost if binary else None,
        wrong_to_right=won if binary else None,
        mcnemar_p=mcnemar_exact_p(lost, won) if binary else None,
        recovery=fmean(values) / fmean(baselines) if any(baselines) else None,
        one_point=_one_point(interval, clustered),
        near_chance=_near_chance([b for _, b in pairs], baselines),
    )


def _one_point(interval: Interval | None, clustered: Interval | None) -> OnePoint:
    """By the wider of the intervals, so that alike items do not make it surer than it is."""
    known = [i for i in (interval, clustered) if i is not None]
    if not known:
        return "unknown"
    if min(i.low for i in known) > -ONE_POINT:
        return "excluded"
    return "certain" if max(i.high for i in known) < -ONE_POINT else "not excluded"


def _near_chance(items: Sequence[Item], values: Sequence[float]) -> bool | None:
    chances = [item.chance for item in items if item.chance is not None]
    interval = share_interval(sum(values), len(values))
    if len(chances) < len(items) or interval is None:
        return None
    return interval.low <= fmean(chances)


def _place(run: str, measured: MeasuredCell) -> _Place:
    seen = measured.seen
    return {
        "run": run,
        "variant": seen.cell.variant,
        "runtime": seen.runtime,
        "device": seen.cell.device,
        "workload": seen.workload,
    }
