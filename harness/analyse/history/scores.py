"""Scores of a night, question by question in as little room as possible, and two nights of them in pairs."""

import math
from array import array
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from harness.analyse.levels import MeasuredCell
from harness.analyse.weights import item_values, metric_of_items
from harness.stats import mcnemar_exact_p
from harness.values import Value, digest


class Scores(msgspec.Struct, frozen=True):
    """A score as a ratio of sums over units: questions, documents, or windows of a text."""

    units: str
    """Hash of which units these are, in order: only the same units make pairs."""
    above: "array[float] | bytes"
    """One number a unit; bytes where each is 0 or 1."""
    below: "array[float] | None"
    """None: 1 a unit."""


class Paired(Value, frozen=True):
    """Two nights of a score over the same units, new − old."""

    units: int
    diff: float
    error: float
    """Standard error of the difference."""
    p: float
    """Two-sided, that such a difference comes about where none is."""
    test: str
    """In words."""


def scores_of(cell: MeasuredCell, name: str) -> Scores | None:
    """None for what has no units, and where questions ended early: each night then asks others."""
    graded = cell.graded
    if graded is None or cell.seen.until or cell.metrics[name].value is None:
        return None
    if name == "perplexity":
        windows = [(w.window, w.tokens) for w in graded.windows]
        return _scores(windows, [-w.logprob for w in graded.windows], [float(w.tokens) for w in graded.windows])
    if name in ("kl_divergence", "top1_agreement"):
        sums: dict[int, float] = defaultdict(float)
        for one in graded.positions:
            sums[one.window] += one.kl if name == "kl_divergence" else float(one.top1)
        counts: dict[int, float] = defaultdict(float)
        for one in graded.positions:
            counts[one.window] += 1
        places = [(one.window, one.position) for one in graded.positions]
        return _scores(places, list(sums.values()), list(counts.values()))
    of_sums = [item for item in graded.items if name in item.sums]
    if of_sums:
        ids = [(item.task, item.id) for item in of_sums]
        return _scores(ids, [item.sums[name][0] for item in of_sums], [item.sums[name][1] for item in of_sums])
    of_item, _ = metric_of_items(graded.items, name)
    ids = [(item.task, item.id) for item in graded.items if of_item in item.metrics]
    return _scores(ids, item_values(graded.items, name), None) if ids else None


def _scores(ids: Sequence[tuple[object, ...]], above: Sequence[float], below: Sequence[float] | None) -> Scores:
    if below is None and set(above) <= {0.0, 1.0}:
        return Scores(digest(ids), bytes(map(int, above)), None)
    return Scores(digest(ids), array("d", above), None if below is None else array("d", below))


def in_pairs(old: Scores | None, new: Scores | None) -> Paired | None:
    """None where the units are not the same, and below two of them."""
    if old is None or new is None or old.units != new.units or len(old.above) != len(new.above) or len(new.above) < 2:
        return None
    differences = [b - a for a, b in zip(old.above, new.above, strict=True)]
    count = len(differences)
    weights = list(new.below) if new.below is not None else [1.0] * count
    total = math.fsum(weights)
    diff = math.fsum(differences) / total
    spread = math.fsum((d - diff * w) ** 2 for d, w in zip(differences, weights, strict=True))
    error = math.sqrt(spread * count / (count - 1)) / total
    p, test = _p(diff, error, count - 1), "a paired t-test"
    if isinstance(old.above, bytes) and isinstance(new.above, bytes):
        lost, won = differences.count(-1), differences.count(1)
        p, test = mcnemar_exact_p(lost, won), f"McNemar's exact test ({lost} lost, {won} won)"
    return Paired(units=count, diff=diff, error=error, p=p, test=test)


def _p(diff: float, error: float, degrees: int) -> float:
    """Two-sided; a difference without any spread is sure, none at all is nothing."""
    if not diff:
        return 1.0
    if not error:
        return 0.0
    from scipy.special import stdtr

    return min(1.0, 2 * float(stdtr(degrees, -abs(diff / error))))
