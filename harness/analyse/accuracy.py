"""What compression cost in accuracy: paired differences, flips, and distances to the reference."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from statistics import fmean
from typing import Literal, TypedDict

from harness.analyse.answers import answers_changed, choice_divergences
from harness.analyse.clusters import clustered_difference, clusters_of, groups_of
from harness.analyse.findings import Distance, PairedItems, TaskScore
from harness.analyse.items import Item
from harness.analyse.levels import MeasuredCell
from harness.analyse.pairs import near_chance, questions_in_all, sequence_interval
from harness.analyse.weights import ItemPairs, item_pairs
from harness.stats import (
    Interval,
    bounds,
    clustered_interval,
    difference_interval,
    mcnemar_exact_p,
    quotient_interval,
    t_interval,
)

ONE_POINT = 0.01
OnePoint = Literal["excluded", "not excluded", "certain", "unknown"]


class _Answers(TypedDict):
    right_to_wrong: int | None
    wrong_to_right: int | None
    mcnemar_p: float | None
    answers_changed: int | None
    choice_kl: float | None
    choice_kl_interval: Interval | None


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
        pairs = item_pairs(variant.graded.items, baseline.graded.items, name)
        if pairs.pairs:
            found.append(paired(run, variant, baseline, name, pairs))
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


def paired(run: str, variant: MeasuredCell, baseline: MeasuredCell, name: str, found: ItemPairs) -> PairedItems:
    """One metric of two cells by the items that they have in common, of which there must be some."""
    differences = found.differences
    groups, clusters = groups_of(found), clusters_of(found)
    of = questions_in_all(variant.seen)
    clustered = quotient = None
    if of is None:
        interval = difference_interval(differences, effective=found.effective)
        clustered = clustered_difference(found)
        quotient = quotient_interval(found.values, found.baselines, clusters, effective=found.effective)
    else:
        interval = sequence_interval(found, of)
    low, high = bounds(quotient)
    base = fmean(found.baselines)
    return PairedItems(
        **_place(run, variant),
        **_answers(found, clusters, in_sequence=of is not None),
        baseline=str(baseline.seen.cell.variant),
        metric=name,
        items=len(differences),
        of=of,
        value=fmean(found.values),
        baseline_value=base,
        diff=fmean(differences),
        interval=interval,
        clustered=clustered,
        clusters=len(set(groups or ())),
        recovery=fmean(found.values) / base if base > 0 else None,
        recovery_low=low,
        recovery_high=high,
        one_point=_one_point(interval, clustered),
        near_chance=near_chance(found),
    )


def _answers(found: ItemPairs, clusters: Sequence[Hashable] | None, *, in_sequence: bool) -> _Answers:
    """What became of single answers; nothing where items are weighed, and no flips of what is not right or wrong.

    In a sequence that ended when enough was known, a p and an interval for a fixed number of items mean nothing.
    """
    divergences = None if found.macro else choice_divergences(found.pairs)
    interval = None
    if divergences is not None and not in_sequence:
        interval = clustered_interval(divergences, clusters) if clusters else t_interval(divergences)
    flips = found.binary and not found.macro
    lost, won = (sum(d == sign for d in found.differences) for sign in (-1, 1))
    return _Answers(
        right_to_wrong=lost if flips else None,
        wrong_to_right=won if flips else None,
        mcnemar_p=mcnemar_exact_p(lost, won) if flips and not in_sequence else None,
        answers_changed=answers_changed(found) if flips else None,
        choice_kl=None if divergences is None else fmean(divergences),
        choice_kl_interval=interval and Interval(low=max(0.0, interval.low), high=interval.high),
    )


def _one_point(interval: Interval | None, clustered: Interval | None) -> OnePoint:
    """By the wider of the intervals, so that alike items do not make it surer than it is."""
    known = [i for i in (interval, clustered) if i is not None]
    if not known:
        return "unknown"
    if min(i.low for i in known) > -ONE_POINT:
        return "excluded"
    return "certain" if max(i.high for i in known) < -ONE_POINT else "not excluded"


def _place(run: str, measured: MeasuredCell) -> _Place:
    seen = measured.seen
    return {
        "run": run,
        "variant": seen.cell.variant,
        "runtime": seen.runtime,
        "device": seen.cell.device,
        "workload": seen.workload,
    }
