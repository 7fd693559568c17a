"""Any two sides compared: variants of one run in pairs; runs and devices without, but for the same questions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from harness.analyse.accuracy import pair_items
from harness.analyse.cells import SeenCell, read_cells
from harness.analyse.conditions import MEASURED, artifacts, conditions
from harness.analyse.findings import PairedItems
from harness.analyse.levels import MeasuredCell, measure_cells
from harness.analyse.matching import Match, match_cells
from harness.analyse.same_questions import why_not_paired
from harness.analyse.sides import Differs, Side, SideBySide, SideRow
from harness.analyse.unpaired import compare_sides
from harness.errors import InputError, UnknownNameError
from harness.metrics import metric
from harness.stats import bounds
from harness.store import Run
from harness.values import Value

UNPAIRED = (
    "the two sides were not measured in turns: the intervals hold the spread of rounds within each side, "
    "not what changed between them"
)

BY_QUESTION = "paired by question, on those that both sides were asked"
UNKNOWN_ARTIFACT = "{} does not say which file it ran: that both sides ran the same one is not known"


@dataclass(frozen=True)
class Scored:
    """A match, and its scores paired by question."""

    match: Match
    pairs: tuple[PairedItems, ...] = ()
    why_not: str | None = None

    @property
    def items(self) -> bool:
        return bool(self.pairs)

    def pair(self, name: str) -> PairedItems | None:
        return next((one for one in self.pairs if one.metric == name), None)


class Asked(Value, frozen=True, kw_only=True):
    """Which two sides: empty names mean that each variant or device is compared with itself."""

    variants: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    different_artifacts: bool = False
    """Whether that artifacts of one name differ is what is asked about."""


def side_by_side(run: Run, against: Run, asked: Asked) -> SideBySide:
    """The first side over the second, cell by cell.

    Raises:
        InputError: both sides are the same, or are different artifacts although that was not asked for.
        UnknownNameError: a variant or device that its run does not have.
        StoreError: an items file is damaged.
    """
    side, other = _sides(run, against, asked)
    cells, others = _measured(run, side), _measured(against, other)
    paired = run.id == against.id and side.device == other.device
    tools = dict.fromkeys(tool for one in (run, against) if (tool := one.told_by) is not None)
    told = tuple(tools) if run.id != against.id else ()
    found = match_cells(cells, others, side, other, told=bool(told))
    if not found.matches:
        hint = " (--variant OURS,THEIRS names one of each)" if told and not asked.variants else ""
        raise InputError(f"{_words(side)} and {_words(other)} have no cell in common: nothing can be compared{hint}")
    differ = _different_artifacts(found.matches)
    if differ and side.variant == other.variant and not asked.different_artifacts:
        raise InputError(
            f"not the same artifact on both sides: {'; '.join(differ)} "
            "(--different-artifacts compares them all the same)"
        )
    warnings = [f"DIFFERENT ARTIFACTS are compared: {one}" for one in differ]
    warnings += [UNKNOWN_ARTIFACT.format(tool) for tool in told]
    scored = [_with_questions(run, against, one, paired=paired) for one in found.matches]
    return SideBySide(
        side=side,
        other=other,
        paired=paired,
        warnings=tuple(warnings if paired or all(one.items for one in scored) else (*warnings, UNPAIRED)),
        differing=tuple(_differing(run, against, side, found.matches)),
        rows=tuple(row for one in scored for row in _rows(one, paired=paired)),
        accuracy=tuple(pair for one in scored for pair in one.pairs),
        alone=found.alone,
        other_alone=found.other_alone,
    )


def _sides(run: Run, against: Run, asked: Asked) -> tuple[Side, Side]:
    variants, devices = _two(asked.variants), _two(asked.devices)
    if not asked.devices and len(run.plan.suite.devices) == len(against.plan.suite.devices) == 1:
        devices = run.plan.suite.devices[0].name, against.plan.suite.devices[0].name
    found = []
    for one, variant, device in zip((run, against), variants, devices, strict=True):
        suite = one.plan.suite
        for kind, name, known in (
            ("variant", variant, [v.name for v in suite.variants]),
            ("device", device, [d.name for d in suite.devices]),
        ):
            if name is not None and name not in known:
                raise UnknownNameError(kind, name, known, where=one.id)
        found.append(Side(run=one.id, variant=variant, device=device))
    if found[0] == found[1]:
        raise InputError("both sides are the same: name two variants, two devices, or another run")
    return found[0], found[1]


def _two(names: tuple[str, ...]) -> tuple[str | None, str | None]:
    if not names:
        return None, None
    return names[0], names[-1]


def _measured(run: Run, side: Side) -> list[MeasuredCell]:
    seen = [
        one
        for one in read_cells(run)
        if side.variant in (None, one.cell.variant) and side.device in (None, one.cell.device)
    ]
    return measure_cells(run, seen)


def _different_artifacts(matches: Sequence[Match]) -> list[str]:
    found = []
    for match in matches:
        seen, other = match.cell.seen, match.other.seen
        a, b = seen.artifact_sha256, other.artifact_sha256
        if a is not None and b is not None and a != b:
            found.append(f"{seen.cell.variant} {a[:12]}… against {other.cell.variant} {b[:12]}…")
    return list(dict.fromkeys(found))


def _differing(run: Run, against: Run, side: Side, matches: Sequence[Match]) -> Iterator[Differs]:
    cells, others = [match.cell.seen for match in matches], [match.other.seen for match in matches]
    alone = all(len({seen.runtime for seen in some if seen.runtime}) < 2 for some in (cells, others))
    ours, theirs = (_conditions(one, some, side, alone=alone) for one, some in ((run, cells), (against, others)))
    for name in dict.fromkeys((*ours, *theirs)):
        value, other = ours.get(name, "not seen"), theirs.get(name, "not seen")
        if value != other:
            yield Differs(name=name, value=value, other=other)


def _conditions(run: Run, cells: Sequence[SeenCell], side: Side, *, alone: bool) -> dict[str, str]:
    """Name → value, by runtime; devices and variants that are named on both sides are no part of the name.

    Args:
        alone: whether each side has one runtime, which then is a condition itself and no part of the names.
    """
    suite = run.plan.suite
    found = {"suite": suite.name, "planned by bench": run.plan.bench_version}
    if alone:
        found["runtime"] = next((seen.runtime for seen in cells if seen.runtime), "none")
    if side.device is not None:
        found["device"] = ", ".join(dict.fromkeys(seen.cell.device for seen in cells))
    variants = {seen.cell.variant for seen in cells}
    for variant in suite.variants:
        if variant.name in variants:
            of = f" of {variant.name}" if side.variant is None else ""
            found[f"recipe{of}"] = f"{variant.model.name} · {variant.recipe} · {variant.scheme}"
            found[f"weights{of}"] = variant.model.label
    for artifact in artifacts(run, cells):
        of = f" of {artifact.variant}" if side.variant is None else ""
        found[f"artifact{of}"] = artifact.sha256[:12]
    for one in conditions(run, cells):
        if one.name in MEASURED:
            continue
        where = [] if side.device is not None else [one.device]
        where += [] if alone else [one.runtime or ""]
        text = "; ".join(f"{v.value} {f'({v.where})' if v.where else ''}".strip() for v in one.values)
        found[f"{one.name} ({', '.join(where)})" if where else one.name] = text
    return found


def _with_questions(run: Run, against: Run, match: Match, *, paired: bool) -> Scored:
    """Of two runs only the same questions make pairs."""
    cell, other = match.cell, match.other
    if not paired:
        if cell.graded is None or other.graded is None or not cell.graded.items:
            return Scored(match)
        if (why := why_not_paired(run, cell, against, other)) is not None:
            return Scored(match, why_not=why)
    return Scored(match, tuple(pair_items(run.id, cell, other)))


def _rows(scored: Scored, *, paired: bool) -> Iterator[SideRow]:
    match = scored.match
    cell, other = match.cell, match.other
    for name in match.metrics:
        found = compare_sides(cell, other, name, paired=paired, items=scored.items)
        values = cell.metrics[name].value, other.metrics[name].value
        counts = (found.n, found.n) if paired else (cell.metrics[name].n, other.metrics[name].n)
        pair, how = None if paired else scored.pair(name), scored.why_not
        if pair is not None:  # both sides' values are then those of the questions that both have
            values, counts, how = (pair.value, pair.baseline_value), (pair.items, pair.items), BY_QUESTION
            found = msgspec.structs.replace(found, ratio=pair.recovery)
        ratio_low, ratio_high = bounds(found.ratio_interval)
        diff_low, diff_high = bounds(found.diff_interval)
        yield SideRow(
            variant=cell.seen.cell.variant,
            other_variant=other.seen.cell.variant,
            runtime=cell.seen.runtime,
            device=cell.seen.cell.device,
            other_device=other.seen.cell.device,
            workload=cell.seen.workload,
            other_runtime=other.seen.runtime,
            other_workload=other.seen.workload,
            metric=name,
            unit=metric(name).unit,
            value=values[0],
            other_value=values[1],
            ratio=found.ratio,
            ratio_low=ratio_low,
            ratio_high=ratio_high,
            diff=found.diff,
            diff_low=diff_low,
            diff_high=diff_high,
            n=counts[0],
            other_n=counts[1],
            notes=tuple(dict.fromkeys(one for one in (match.note, how, *found.notes) if one)),
            artifact_sha256=cell.seen.artifact_sha256,
            other_artifact_sha256=other.seen.artifact_sha256,
        )


def _words(side: Side) -> str:
    return " ".join(part for part in (side.variant, f"in {side.run}", side.device and f"on {side.device}") if part)
