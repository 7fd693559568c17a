"""One metric of a variant against a baseline's: ratio and difference with their intervals, paired."""

from collections.abc import Sequence
from statistics import fmean

import msgspec

from harness.analyse.canaries import uneven
from harness.analyse.cells import SeenCell
from harness.analyse.clusters import clustered_difference, clusters_of
from harness.analyse.findings import ONE_ROUND
from harness.analyse.items import Window
from harness.analyse.levels import Measured, MeasuredCell
from harness.analyse.trials import conditions_of, observed
from harness.analyse.weights import ItemPairs, chance_of, item_pairs
from harness.metrics import BY_ROUND, metric
from harness.stats import (
    FEWEST_IN_SEQUENCE,
    FEWEST_ROUNDS,
    Interval,
    always_valid_interval,
    difference_interval,
    exp,
    ratio_interval,
    ratio_of_sums_interval,
    share_interval,
    t_interval,
    widest,
)
from harness.values import Answers, Value

FEW_FLIPS = 10
BY_GROUPS = "the interval takes questions of one group, such as a subject, for alike"
NEAR_CHANCE = (
    "NEAR CHANCE: the score it is compared with cannot be told from guessing, so neither the difference nor the "
    "recovery says what compression did; look at the KL divergence and at another task"
)
ROUNDING = 1e-9
PERPLEXITIES = {"word_perplexity", "byte_perplexity"}
"""Exponentials of a ratio of sums."""
OF_THE_FORMAT = {"repack"}
"""Conditions that follow from how the weights are stored: they are a part of what is compared."""


class Compared(Value, frozen=True, kw_only=True):
    """What a ratio's row holds; every None is explained in `notes`."""

    ratio: float | None = None
    ratio_interval: Interval | None = None
    diff: float | None = None
    diff_interval: Interval | None = None
    n: int
    notes: tuple[str, ...] = ()


def compare_metric(variant: MeasuredCell, baseline: MeasuredCell | None, name: str) -> Compared:
    """The variant's metric against the baseline's in the same workload, runtime and device."""
    own = variant.metrics[name]
    if baseline is None or name not in baseline.metrics:
        return Compared(n=own.n, notes=("no ratio: the baseline has no such cell",))
    other = baseline.metrics[name]
    if own.value is None:
        return Compared(n=0)
    if other.value is None:
        return Compared(n=own.n, notes=(f"no ratio: the baseline has no value ({other.reason})",))
    kind = metric(name).kind
    if kind == "exact":
        found = _exact(own, other)
    elif kind in BY_ROUND:
        found = _by_round(own, other)
        if kind == "speed" and (said := uneven(variant.seen.counted, baseline.seen.counted)):
            found = msgspec.structs.replace(found, notes=(*found.notes, said))
    elif name == "perplexity":
        found = _by_window(variant, baseline, own, other)
    else:
        found = compare_items(variant, baseline, name)
    differ = _conditions_differ(variant.seen, baseline.seen)
    return Compared(
        ratio=found.ratio,
        ratio_interval=found.ratio_interval,
        diff=found.diff,
        diff_interval=found.diff_interval,
        n=found.n,
        notes=(*found.notes, *differ),
    )


def compare_items(variant: MeasuredCell, baseline: MeasuredCell, name: str) -> Compared:
    """A task's metric, which both have a value of, by the items that are the same for both."""
    own, other = variant.metrics[name], baseline.metrics[name]
    if variant.graded is not None and any(name in item.sums for item in variant.graded.items):
        return _by_sums(variant, baseline, own, other)
    return _by_item(variant, baseline, own, other)


def _ratio(value: float, baseline: float) -> tuple[float | None, tuple[str, ...]]:
    if baseline == 0:
        return None, ("no ratio: the baseline's value is 0",)
    return value / baseline, ()


def _exact(own: Measured, other: Measured) -> Compared:
    assert own.value is not None and other.value is not None
    ratio, notes = _ratio(own.value, other.value)
    interval = None if ratio is None else Interval(low=ratio, high=ratio)
    return Compared(ratio=ratio, ratio_interval=interval, n=min(own.n, other.n), notes=notes)


def _by_round(own: Measured, other: Measured) -> Compared:
    assert own.value is not None and other.value is not None
    ratio, notes = _ratio(own.value, other.value)
    baselines = dict(other.rounds)
    pairs = [(value, baselines[r]) for r, value in own.rounds if r in baselines]
    interval = ratio_interval([v for v, _ in pairs], [b for _, b in pairs])
    if ratio is None:
        interval = None
    elif interval is None:
        few = len(pairs) < FEWEST_ROUNDS
        why = f"{len(pairs)} paired of at least {FEWEST_ROUNDS} rounds" if few else "a value is not above zero"
        notes = (*notes, f"no interval of the ratio: {why}")
    elif not interval.low * (1 - ROUNDING) <= ratio <= interval.high * (1 + ROUNDING):
        notes = (*notes, "the ratio of the medians lies outside of the interval: rounds are uneven")
    return Compared(ratio=ratio, ratio_interval=interval, n=len(pairs), notes=notes)


def _by_window(variant: MeasuredCell, baseline: MeasuredCell, own: Measured, other: Measured) -> Compared:
    assert own.value is not None and other.value is not None
    assert variant.graded is not None and baseline.graded is not None
    ratio, notes = _ratio(own.value, other.value)
    pairs = _paired_windows(variant.graded.windows, baseline.graded.windows)
    if len(pairs) < max(own.n, other.n):
        notes = (*notes, f"{len(pairs)} windows are the same for both, of {max(own.n, other.n)}")
    found = ratio_of_sums_interval([b.logprob - v.logprob for v, b in pairs], [v.tokens for v, _ in pairs])
    interval = found and Interval(low=exp(found.low), high=exp(found.high))
    if interval is None:
        notes = (*notes, "no interval of the ratio: fewer than two paired windows")
    return Compared(ratio=ratio, ratio_interval=interval, n=len(pairs), notes=notes)


def _paired_windows(variant: Sequence[Window], baseline: Sequence[Window]) -> list[tuple[Window, Window]]:
    known = {(w.window, w.tokens): w for w in baseline}
    return [(w, known[w.window, w.tokens]) for w in variant if (w.window, w.tokens) in known]


def _by_sums(variant: MeasuredCell, baseline: MeasuredCell, own: Measured, other: Measured) -> Compared:
    """A metric that is one ratio of sums over all items: its items are the units of the interval."""
    assert own.value is not None and other.value is not None
    assert variant.graded is not None and baseline.graded is not None
    ratio, notes = _ratio(own.value, other.value)
    known = {(i.task, i.id): i.sums[own.metric] for i in baseline.graded.items if own.metric in i.sums}
    mine = {(i.task, i.id): i.sums[own.metric] for i in variant.graded.items if own.metric in i.sums}
    # Only items with the same denominator, such as its words, say something of the numerators.
    pairs = [(sums, known[key]) for key, sums in mine.items() if key in known and sums[1] == known[key][1]]
    if len(pairs) < max(own.n, other.n):
        notes = (*notes, f"{len(pairs)} items are the same for both, of {max(own.n, other.n)}")
    interval: Interval | None = None
    if own.metric in PERPLEXITIES:
        found = ratio_of_sums_interval([b[0] - v[0] for v, b in pairs], [v[1] for v, _ in pairs])
        interval = found and Interval(low=exp(found.low), high=exp(found.high))
    else:
        sign = -1 if sum(b[0] for _, b in pairs) < 0 else 1
        interval = ratio_of_sums_interval([sign * v[0] for v, _ in pairs], [sign * b[0] for _, b in pairs])
    if interval is None:
        notes = (*notes, "no interval of the ratio: fewer than two paired items")
    return Compared(ratio=ratio, ratio_interval=interval, n=len(pairs), notes=notes)


def _by_item(variant: MeasuredCell, baseline: MeasuredCell, own: Measured, other: Measured) -> Compared:
    assert own.value is not None and other.value is not None
    assert variant.graded is not None and baseline.graded is not None
    found = item_pairs(variant.graded.items, baseline.graded.items, own.metric)
    ratio, notes = _ratio(own.value, other.value)
    if ratio is not None:
        notes = (*notes, ONE_ROUND)
    if len(found.pairs) < max(own.n, other.n):
        notes = (*notes, f"{len(found.pairs)} items are the same for both, of {max(own.n, other.n)}")
    differences = found.differences
    if not differences:
        return Compared(ratio=ratio, n=0, notes=(*notes, "no difference: no item is the same for both"))
    if (of := questions_in_all(variant.seen)) is not None:
        return _in_sequence(found, ratio, of, notes)
    plain, clustered = difference_interval(differences, effective=found.effective), clustered_difference(found)
    interval, changed = widest(plain, clustered), found.changed()
    if clustered is not None and interval is clustered:
        notes = (*notes, f"{BY_GROUPS}: {len(set(clusters_of(found) or ()))} of them")
    if near_chance(found):
        notes = (*notes, NEAR_CHANCE)
    if interval is None:
        notes = (*notes, "no interval of the difference: fewer than two items")
    elif changed == 0:
        notes = (*notes, "no item differs: the interval is the exact bound on how many could")
    elif changed < FEW_FLIPS:
        notes = (*notes, f"only {changed} items differ: the interval is rough, the exact p holds")
    diff = fmean(differences)
    return Compared(ratio=ratio, diff=diff, diff_interval=interval, n=len(differences), notes=notes)


def questions_in_all(seen: SeenCell) -> int | None:
    """Of a cell whose questions end early; None where all are asked."""
    return max((answers.of for answers in observed(seen.counted, Answers)), default=0) if seen.until else None


def sequence_interval(found: ItemPairs, of: int) -> Interval | None:
    """Of a difference that was looked at after each round; None for too few items and for means over tasks."""
    if found.macro:
        return None
    return always_valid_interval(found.differences, [(v.task, v.group) for v, _ in found.pairs], of)


def _in_sequence(found: ItemPairs, ratio: float | None, of: int, notes: tuple[str, ...]) -> Compared:
    differences, interval = found.differences, sequence_interval(found, of)
    notes = (*notes, NEAR_CHANCE) if near_chance(found) else notes
    asked = f"{len(differences):,} of {of:,} questions asked, in random order"
    if interval is None:
        why = "for means over tasks" if found.macro else f"below {FEWEST_IN_SEQUENCE} questions"
        notes = (*notes, f"{asked}; no interval {why} that holds however often it is looked at")
    else:
        notes = (*notes, f"{asked}; the interval holds however often it was looked at")
    return Compared(ratio=ratio, diff=fmean(differences), diff_interval=interval, n=len(differences), notes=notes)


def near_chance(pairs: ItemPairs) -> bool | None:
    """Whether the baseline cannot be told from guessing; None where the chance level is not known."""
    chance = chance_of(pairs)
    if chance is None:
        return None
    interval = t_interval(pairs.baselines) if pairs.macro else share_interval(sum(pairs.baselines), len(pairs.pairs))
    return None if interval is None else interval.low <= chance


def _conditions_differ(variant: SeenCell, baseline: SeenCell) -> tuple[str, ...]:
    a = conditions_of(variant.counted[0]) if variant.counted else {}
    b = conditions_of(baseline.counted[0]) if baseline.counted else {}
    names = sorted((a.keys() & b.keys()) - OF_THE_FORMAT)
    differ = [f"{name} {a[name]} against {b[name]}" for name in names if a[name] != b[name]]
    return (f"conditions differ from the baseline's: {'; '.join(differ)}",) if differ else ()
