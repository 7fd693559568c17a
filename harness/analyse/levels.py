"""Each metric of each cell on its own: its value, how well it is known, and what must be said of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from harness.analyse.cells import SeenCell, expected_metrics
from harness.analyse.findings import INTERVAL_NOTE, NO_BASELINE_VALUE
from harness.analyse.items import Graded, Item, joined, read_graded
from harness.analyse.trials import has_random_weights, observed
from harness.analyse.weights import item_values, metric_of_items, task_sizes
from harness.derivations import ratio_of_sums, why_no_energy, why_not_sustained
from harness.metrics import METRICS, macro_name, metric
from harness.stats import (
    FEWEST_ROUNDS,
    Interval,
    always_valid_interval,
    clustered_interval,
    coefficient_of_variation,
    exp,
    log_interval,
    ratio_of_sums_interval,
    share_interval,
    t_interval,
)
from harness.store import Run
from harness.values import Answers, EnergySeen, Reported, Speed, Stretch, Surroundings, Task, Text

NOISY_CV = 0.10
RANDOM_WEIGHTS = "the weights are random: no score means anything"


@dataclass(frozen=True)
class Measured:
    """One metric of one cell; `reason` says why there is no value."""

    metric: str
    value: float | None
    reason: str | None = None
    interval: Interval | None = None
    cv: float | None = None
    n: int = 0
    rounds: tuple[tuple[int, float], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MeasuredCell:
    """A cell with its metrics in the order of the report, and its items where it has some."""

    seen: SeenCell
    metrics: dict[str, Measured]
    graded: Graded | None = None
    reference: str | None = None
    """Variant that the distances were taken to."""


def measure_cells(run: Run, cells: Sequence[SeenCell]) -> list[MeasuredCell]:
    """Values of every cell, in order.

    Raises:
        StoreError: an items file is damaged.
    """
    graded = {seen.cell.key: _graded(run, seen) for seen in cells}
    of_workload: dict[str, tuple[str, ...]] = {}
    for seen in cells:
        if isinstance(seen.cell.workload, Task) and (found := graded[seen.cell.key][0]):
            names = (*of_workload.get(seen.workload, ()), *_names(found.items))
            of_workload[seen.workload] = tuple(dict.fromkeys(names))
    measured = [_measured(seen, *graded[seen.cell.key], of_workload) for seen in cells]
    random = {v.name for v in run.plan.suite.variants if has_random_weights(v)}
    return [_without_scores(cell) if cell.seen.cell.variant in random else cell for cell in measured]


def _names(items: Sequence[Item]) -> list[str]:
    """Each metric of the items; in a group of tasks its mean over tasks follows it."""
    plain = dict.fromkeys(name for item in items for name in item.metrics)
    sums = dict.fromkeys(name for item in items for name in item.sums)
    if len({item.task for item in items}) < 2:
        return [*plain, *sums]
    return [*dict.fromkeys(n for name in plain for n in (name, macro_name(name))), *sums]


def _measured(
    seen: SeenCell, graded: Graded | None, why: str | None, of_workload: dict[str, tuple[str, ...]]
) -> MeasuredCell:
    workload = seen.cell.workload
    if not isinstance(workload, Task | Text):
        phone = bool(observed(seen.counted, Surroundings))
        names = expected_metrics(workload, phone=phone, runtime=seen.runtime)
        if isinstance(workload, Speed) and observed(seen.counted, Reported):  # each test of another tool has its own
            names = tuple(name for name in names if name in seen.values) or names[:1]
        return MeasuredCell(seen, {name: _of_rounds(seen, name) for name in names})
    names = of_workload.get(seen.workload, ("acc",)) if isinstance(workload, Task) else expected_metrics(workload)
    answers = observed(seen.counted, Answers)
    reference = answers[-1].reference if answers else None
    if graded is None:
        reason = seen.reason or why or "no items"
        return MeasuredCell(seen, {n: Measured(n, None, reason) for n in names}, None, reference)
    if isinstance(workload, Task):
        label = answers[-1].label
        notes = (*seen.notes, label) if label else seen.notes
        found = {n: _of_items(n, graded.items, notes) for n in names}
        if seen.until:
            found = {n: _in_sequence(one, graded.items, answers[-1].of) for n, one in found.items()}
    else:
        found = _of_text(graded, reference, seen)
    return MeasuredCell(seen, found, graded, reference)


def _without_scores(cell: MeasuredCell) -> MeasuredCell:
    """What random weights answer is no accuracy; how far two of them are apart can still be said."""
    if not isinstance(cell.seen.cell.workload, Task | Text):
        return cell
    refused = {
        name: Measured(name, None, RANDOM_WEIGHTS) if metric(name).kind == "accuracy" else one
        for name, one in cell.metrics.items()
    }
    return replace(cell, metrics=refused, graded=None if isinstance(cell.seen.cell.workload, Task) else cell.graded)


def _graded(run: Run, seen: SeenCell) -> tuple[Graded | None, str | None]:
    answers = observed(seen.counted, Answers)
    if not answers:
        return None, None
    rounds = [read_graded(run.path, one) for one in answers] if seen.until else [read_graded(run.path, answers[-1])]
    graded = [one for one in rounds if one is not None]
    if len(graded) < len(rounds):
        return None, "the answers are not graded yet (their items are missing): `bench regrade`"
    return joined(graded), None


def _of_rounds(seen: SeenCell, name: str) -> Measured:
    values = seen.values.get(name, {})
    if not values:
        return Measured(name, None, seen.reason or _why_unseen(name, seen), notes=seen.notes)
    ordered = [values[r] for r in sorted(values)]
    notes = list(seen.notes)
    cv = coefficient_of_variation(ordered)
    exact = METRICS[name].kind == "exact"
    if exact and len(set(ordered)) > 1:
        notes.append("differs between rounds although it should be exact")
    if not exact and cv is not None and cv > NOISY_CV:
        notes.append(f"varies by {100 * cv:.0f} % (coefficient of variation) over {len(ordered)} rounds")
    if name == "bandwidth_share" and median(ordered) > 1:
        notes.append("above 100 %: a part of the reads came from a cache, which the bandwidth's buffer exceeds")
    if name == "tokens_per_battery_percent":
        notes += _coarse_level(seen)
    one = Interval(low=median(ordered), high=median(ordered))
    return Measured(
        name,
        median(ordered),
        interval=one if exact else log_interval(ordered),
        cv=cv,
        n=len(ordered),
        rounds=tuple((r, values[r]) for r in sorted(values)),
        notes=tuple(notes),
    )


def _coarse_level(seen: SeenCell) -> list[str]:
    drops = [d for one in observed(seen.counted, Surroundings) if (d := one.battery_drop_percent)]
    if not drops:
        return []
    least = min(drops)
    return [f"the battery counts whole percents: a fall of {least} may be anything from {least - 1} to {least + 1}"]


def _why_unseen(name: str, seen: SeenCell) -> str:
    if name == "energy_j_token" and (counters := observed(seen.counted, EnergySeen)):
        return why_no_energy(counters[-1]) or "the program did not report it"
    if name in ("decode_sustained_tok_s", "sustained_share") and (stretches := observed(seen.counted[-1:], Stretch)):
        return why_not_sustained(stretches) or "the program did not report it"
    if around := observed(seen.counted[-1:], Surroundings):
        if name == "throttled_after_s":
            return around[0].missing.get("clusters") or "it did not slow down meanwhile"
        if name == "tokens_per_battery_percent":
            return around[0].missing.get("battery_drop_percent") or "the phone did not report it"
    if name == "bandwidth_share":
        return "needs the read bandwidth of the same round, the KV cache's bytes and the artifact's decode bytes"
    return "the program did not report it"


def _of_items(name: str, items: Sequence[Item], notes: tuple[str, ...]) -> Measured:
    sums = [item.sums[name] for item in items if name in item.sums]
    if sums:
        value = ratio_of_sums(name, sum(a for a, _ in sums), sum(b for _, b in sums))
        return Measured(
            name, value, n=len(sums), notes=(*notes, "a ratio of sums over all items: no interval of its own")
        )
    values = item_values(items, name)
    if not values:
        return Measured(name, None, "no item has this metric", notes=notes)
    of_item, macro = metric_of_items(items, name)
    binary = {item.metrics[of_item] for item in items if of_item in item.metrics} <= {0.0, 1.0}
    interval = share_interval(sum(values), len(values)) if binary else None
    if macro:
        interval = _within(t_interval(values), 1.0) if binary else t_interval(values)
        notes = (*notes, *_macro_notes(items, of_item))
    if len(values) < len(items):
        notes = (*notes, f"{len(values)} of {len(items)} items have this metric")
    return Measured(name, fmean(values), interval=interval, n=len(values), notes=notes)


def _in_sequence(one: Measured, items: Sequence[Item], of: int) -> Measured:
    """The same value where questions ended when enough was known: its interval holds however often it is looked at."""
    having = [item for item in items if one.metric in item.metrics]
    if one.value is None:
        return replace(one, interval=None)
    groups = [(item.task, item.group) for item in having]
    interval = always_valid_interval([item.metrics[one.metric] for item in having], groups, of)
    return replace(one, interval=_within(interval, 1.0))


def _macro_notes(items: Sequence[Item], of_item: str) -> list[str]:
    sizes = sorted(task_sizes(items, of_item).values())
    if sizes[0] == sizes[-1]:
        return []
    said = (
        f"mean over {len(sizes)} tasks of {sizes[0]:,} to {sizes[-1]:,} questions, each task alike: "
        f"a question of the smallest weighs {sizes[-1] / sizes[0]:.0f} times as much as one of the largest"
    )
    return [said]


def _of_text(graded: Graded, reference: str | None, seen: SeenCell) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    tokens = sum(w.tokens for w in graded.windows)
    if tokens:
        losses, counts = [-w.logprob for w in graded.windows], [w.tokens for w in graded.windows]
        interval = ratio_of_sums_interval(losses, counts)
        found["perplexity"] = Measured(
            "perplexity",
            exp(sum(losses) / tokens),
            interval=interval and Interval(low=exp(interval.low), high=exp(interval.high)),
            n=len(losses),
            notes=seen.notes,
        )
    else:
        found["perplexity"] = Measured("perplexity", None, "no window of the text was scored", notes=seen.notes)
    clusters = [p.window for p in graded.positions]
    for name, values in (
        ("kl_divergence", [p.kl for p in graded.positions]),
        ("top1_agreement", [float(p.top1) for p in graded.positions]),
    ):
        if not values:
            found[name] = Measured(name, None, "no position was compared with a reference", notes=seen.notes)
            continue
        interval = _within(clustered_interval(values, clusters), 1.0 if name == "top1_agreement" else math.inf)
        said = _distance_notes(reference, seen.cell.variant, interval, len(set(clusters)))
        found[name] = Measured(name, fmean(values), interval=interval, n=len(values), notes=(*seen.notes, *said))
    return found


def _within(interval: Interval | None, highest: float) -> Interval | None:
    """Cut at what a distance or a share can be."""
    return interval and Interval(low=max(0.0, interval.low), high=min(highest, interval.high))


def _distance_notes(reference: str | None, variant: str | None, interval: Interval | None, windows: int) -> list[str]:
    if reference == variant:
        return ["is the reference: its distance to itself only shows the rounding of the stored reference"]
    whose = f"distance to {reference or 'a reference that was not recorded'}"
    if interval is None:
        return [whose, "no interval: fewer than two windows", NO_BASELINE_VALUE]
    bounds = f"{INTERVAL_NOTE} {interval.low:.3g} to {interval.high:.3g}, clustered by {windows} windows"
    return [whose, bounds, NO_BASELINE_VALUE]


def interval_reason(measured: Measured) -> str | None:
    """Why a metric over rounds has no interval of its own; None where it has one or needs none."""
    if measured.value is None or measured.interval is not None or not measured.rounds:
        return None
    if measured.n < FEWEST_ROUNDS:
        return f"no interval: {measured.n} of at least {FEWEST_ROUNDS} rounds"
    return "no interval: a value is not above zero"
