"""Two runs for a pull request: which metrics got better, worse, neither, and of which that cannot be said."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from harness.analyse.history.acknowledging import Acknowledged, covers
from harness.analyse.history.assembling import series_id
from harness.analyse.history.cuts import cuts_series
from harness.analyse.history.nights import RunSeen, Seen, see_run
from harness.analyse.history.scores import in_pairs
from harness.analyse.history.settings import Settings
from harness.analyse.side_by_side import Asked, side_by_side
from harness.analyse.sides import SideRow
from harness.errors import InputError
from harness.metrics import metric
from harness.store import read_run
from harness.values import Value

Verdict = Literal["improved", "worse", "untouched", "unsure", "acknowledged"]
VERDICTS: tuple[Verdict, ...] = ("worse", "improved", "unsure", "untouched", "acknowledged")
"""In the order in which they are told."""
NORMAL = 1.96
"""Standard errors of a 95 % interval of a mean over many units."""
ONE_POINT = 0.01
P_VALUE = 0.05


class Judged(Value, frozen=True, kw_only=True):
    """One metric of one cell in both runs."""

    series: str
    """Id that the head's series has in a history."""
    variant: str | None
    runtime: str | None
    device: str
    workload: str
    metric: str
    base: float | None
    head: float | None
    ratio: float | None
    low: float | None
    high: float | None
    """Of the ratio; of scores of the difference."""
    verdict: Verdict
    why: str


class Gate(Value, frozen=True, kw_only=True):
    """A head against its base, the worst first."""

    base: str
    head: str
    counts: dict[Verdict, int]
    rows: tuple[Judged, ...]
    differing: tuple[str, ...]
    """Conditions that are not alike, in words."""
    alone: tuple[str, ...]
    """Cells that only the base has: nobody measured them in the head."""

    @property
    def passed(self) -> bool:
        return not self.counts["worse"]


def gate(base: Path, head: Path, settings: Settings, acks: Sequence[Acknowledged] = ()) -> Gate:
    """The head judged against the base.

    Raises:
        InputError: the runs have nothing in common, or are the same.
        StoreError: a run cannot be read.
    """
    sides = side_by_side(read_run(head), read_run(base), Asked(different_artifacts=True))
    old, new = _seen(base), _seen(head)
    known = {_key(seen): seen for seen in old.seen}
    acked: dict[str, list[Acknowledged]] = defaultdict(list)
    for ack in acks:
        if ack.worse and old.run < ack.earliest and ack.latest <= new.run:
            acked[ack.series].append(ack)
    rows = {(r.variant, r.runtime, r.device, r.workload, r.metric): r for r in sides.rows}
    judged = []
    for seen in new.seen:
        if metric(seen.metric).kind == "device":
            continue
        other = known.get(_key(seen))
        row = rows.get(_place(seen))
        if other is not None:
            differ = _differing(old.conditions[other.conditions], new.conditions[seen.conditions], seen.metric)
            judged.append(_judged(seen, other, row, differ, acked, settings))
    order = {verdict: place for place, verdict in enumerate(VERDICTS)}
    judged.sort(key=lambda one: (order[one.verdict], -abs((one.ratio or 1.0) - 1.0)))
    counts = Counter(one.verdict for one in judged)
    return Gate(
        base=old.run,
        head=new.run,
        counts={verdict: counts[verdict] for verdict in VERDICTS},
        rows=tuple(judged),
        differing=tuple(f"{one.name}: {one.other} → {one.value}" for one in sides.differing),
        alone=sides.other_alone,
    )


def _seen(folder: Path) -> RunSeen:
    found = see_run(folder)
    if isinstance(found, RunSeen):
        return found
    raise InputError(found or f"{folder.name}: is a rerun that confirms another run, and cannot be judged")


def _key(seen: Seen) -> tuple[str | None, ...]:
    """What both runs must have in common; they may come from two hosts and suites."""
    return seen.cell.variant, seen.cell.runtime, seen.cell.device, seen.cell.workload, seen.metric


def _place(seen: Seen) -> tuple[str | None, str | None, str, str, str]:
    """The same as rows of a comparison have it: the workload without the kind of measure before it."""
    return seen.cell.variant, seen.cell.runtime, seen.cell.device, seen.cell.workload.partition(" ")[2], seen.metric


def _differing(base: Mapping[str, str], head: Mapping[str, str], name: str) -> list[str]:
    """Conditions by which the two are not comparable. Another version of a runtime is what may be asked about."""
    kind = metric(name).kind
    return [
        f"{what} {base[what]} → {head[what]}"
        for what in base
        if what in head and base[what] != head[what] and cuts_series(what, kind, across_runtimes=True)
    ]


def _judged(
    head: Seen,
    base: Seen,
    row: SideRow | None,
    differ: Sequence[str],
    acked: Mapping[str, list[Acknowledged]],
    settings: Settings,
) -> Judged:
    ratio = head.value / base.value if head.value is not None and base.value else None
    low, high = (row.ratio_low, row.ratio_high) if row is not None else (None, None)
    verdict: Verdict
    if base.value is not None and head.value is None and head.failed:
        verdict, why = "worse", f"no value any more: {head.reason}"
    elif base.value is None or head.value is None:
        verdict, why = "unsure", f"no value: {head.reason or base.reason}"
    elif differ:
        verdict, why = "unsure", f"not comparable: {'; '.join(differ)}"
    elif metric(head.metric).kind == "exact":
        verdict, why = _by_direction(head.metric, head.value - base.value), "exact"
    elif head.scores is not None or base.scores is not None:
        verdict, why, low, high = _by_units(head, base)
    else:
        verdict, why = _by_ratio(head.metric, low, high, settings)
    identifier = series_id(head.cell, head.metric)
    if verdict == "worse" and any(covers(ack, ratio, settings.step_share) for ack in acked.get(identifier, ())):
        verdict = "acknowledged"
    return Judged(
        series=identifier,
        variant=head.cell.variant,
        runtime=head.cell.runtime,
        device=head.cell.device,
        workload=head.cell.workload,
        metric=head.metric,
        base=base.value,
        head=head.value,
        ratio=ratio,
        low=low,
        high=high,
        verdict=verdict,
        why=why,
    )


def _by_direction(name: str, difference: float) -> Verdict:
    if not difference:
        return "untouched"
    return "improved" if (difference < 0) == (metric(name).better == "lower") else "worse"


def _by_ratio(name: str, low: float | None, high: float | None, settings: Settings) -> tuple[Verdict, str]:
    """By the 95 % interval of head / base: wholly on one side of 1 and at least `step_share` from it, or within it."""
    if low is None or high is None:
        return "unsure", "too few rounds for an interval"
    share = settings.step_share
    nearest = low if low > 1 else high if high < 1 else 1.0
    if nearest != 1.0 and abs((low * high) ** 0.5 - 1) >= share:
        return _by_direction(name, nearest - 1), "the interval leaves 1 out"
    if 1 - share <= low and high <= 1 + share:
        return "untouched", f"within {share:.0%}"
    return "unsure", f"the interval holds both no change and {share:.0%}"


def _by_units(head: Seen, base: Seen) -> tuple[Verdict, str, float | None, float | None]:
    paired = in_pairs(base.scores, head.scores)
    if paired is None:
        return "unsure", "not the same questions in both", None, None
    low, high = paired.diff - NORMAL * paired.error, paired.diff + NORMAL * paired.error
    why = f"{paired.test}, p = {paired.p:.2g}"
    if paired.p <= P_VALUE:
        return _by_direction(head.metric, paired.diff), why, low, high
    room = ONE_POINT if metric(head.metric).unit == "fraction" else ONE_POINT * abs(base.value or 0.0)
    same = not paired.diff or (-room < low and high < room)
    return ("untouched" if same else "unsure"), why, low, high
