"""One metric of two cells that need not belong together: in pairs within a run, else by Welch's interval."""

import msgspec

from harness.analyse.findings import NO_BASELINE_VALUE
from harness.analyse.levels import Measured, MeasuredCell
from harness.analyse.pairs import PERPLEXITIES, Compared, compare_items, compare_metric
from harness.analyse.weights import item_values
from harness.metrics import metric
from harness.stats import FEWEST_ROUNDS, Interval, unpaired_ratio_interval, welch_interval

UNEVEN = "the ratio of the medians lies outside of the interval: rounds are uneven"
ROUNDING = 1e-9


def compare_sides(cell: MeasuredCell, other: MeasuredCell, name: str, *, paired: bool, items: bool = False) -> Compared:
    """The cell's metric over the other's.

    Args:
        paired: whether rounds and items of one number belong together, as within one run they do.
        items: whether items of one number do, because both sides were asked the same questions.
    """
    own, theirs = cell.metrics[name], other.metrics[name]
    sides = (("first", own), ("second", theirs))
    said = tuple(f"{side}: {note}" for side, m in sides for note in m.notes if note != NO_BASELINE_VALUE)
    if own.value is None or theirs.value is None:
        first = () if own.value is not None else (f"first: no value ({own.reason})",)
        second = () if theirs.value is not None else (f"second: no value ({theirs.reason})",)
        return Compared(n=own.n, notes=(*first, *second))
    kind = metric(name).kind
    if kind == "distance":
        found = Compared(n=own.n, notes=(NO_BASELINE_VALUE,))
    elif paired:
        found = _without_baselines(compare_metric(cell, other, name))
    elif items and kind == "accuracy":
        found = _without_baselines(compare_items(cell, other, name))
    elif kind == "exact":
        found = _exact(own.value, theirs.value, own.n)
    elif own.rounds and theirs.rounds:
        found = _by_rounds(own, theirs)
    else:
        found = _by_items(cell, other, own, theirs)
    return Compared(
        ratio=found.ratio,
        ratio_interval=found.ratio_interval,
        diff=found.diff,
        diff_interval=found.diff_interval,
        n=found.n,
        notes=(*found.notes, *said),
    )


def _without_baselines(found: Compared) -> Compared:
    """The same notes in words that fit any two variants: neither of them is a baseline."""
    notes = (n.replace("baseline's", "second's").replace("baseline", "second") for n in found.notes)
    return msgspec.structs.replace(found, notes=tuple(notes))


def _ratio(value: float, other: float) -> tuple[float | None, tuple[str, ...]]:
    if other == 0:
        return None, ("no ratio: the second side's value is 0",)
    return value / other, ()


def _exact(value: float, other: float, n: int) -> Compared:
    ratio, notes = _ratio(value, other)
    interval = None if ratio is None else Interval(low=ratio, high=ratio)
    return Compared(ratio=ratio, ratio_interval=interval, n=n, notes=notes)


def _by_rounds(own: Measured, theirs: Measured) -> Compared:
    assert own.value is not None and theirs.value is not None
    ratio, notes = _ratio(own.value, theirs.value)
    ours, others = [v for _, v in own.rounds], [v for _, v in theirs.rounds]
    interval = unpaired_ratio_interval(ours, others) if ratio is not None else None
    if interval is None:
        few = min(len(ours), len(others)) < FEWEST_ROUNDS
        why = (
            f"{len(ours)} and {len(others)} of at least {FEWEST_ROUNDS} rounds" if few else "a value is not above zero"
        )
        notes = (*notes, f"no interval of the ratio: {why}")
    elif ratio is not None and not interval.low * (1 - ROUNDING) <= ratio <= interval.high * (1 + ROUNDING):
        notes = (*notes, UNEVEN)
    return Compared(ratio=ratio, ratio_interval=interval, n=len(ours), notes=notes)


def _by_items(cell: MeasuredCell, other: MeasuredCell, own: Measured, theirs: Measured) -> Compared:
    """Means over items, as if the questions were others: wider than in pairs, and never wrong about them."""
    assert own.value is not None and theirs.value is not None
    ratio, notes = _ratio(own.value, theirs.value)
    notes = (*notes, "no interval of the ratio: nothing is paired")
    if own.metric == "perplexity" or own.metric in PERPLEXITIES or cell.graded is None or other.graded is None:
        return Compared(ratio=ratio, n=own.n, notes=notes)
    if cell.seen.until or other.seen.until:
        return Compared(ratio=ratio, n=own.n, notes=(*notes, "no interval of the difference: one side ended early"))
    ours, others = item_values(cell.graded.items, own.metric), item_values(other.graded.items, own.metric)
    interval = welch_interval(ours, others)
    if interval is None:
        return Compared(ratio=ratio, n=own.n, notes=(*notes, "no difference: no items, or a single one"))
    notes = (*notes, "the difference is of two sets of items, not paired by item")
    return Compared(ratio=ratio, diff=own.value - theirs.value, diff_interval=interval, n=own.n, notes=notes)
