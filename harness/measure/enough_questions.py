"""Which rounds of questions are not needed any more: the paired difference is known well enough. Pure.

Questions come in a random order, and after each round it is asked whether to go on; so the interval is one that
holds however often it is looked at (`always_valid_interval`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from harness.stats import Interval, always_valid_interval
from harness.values import Cell, Plan, Task, Trial

Items = dict[tuple[str, int], dict[str, Any]]
"""(task, document) → the graded item."""


class EnoughQuestions:
    """Tells, round by round, which trials of a run are not needed. Decides alike when a run is resumed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cells = {cell.key: cell for cell in plan.cells if _until(cell) is not None and cell.unsupported is None}
        self.items: dict[str, list[tuple[int, str | None, Items]]] = defaultdict(list)
        self.of: dict[str, int] = {}
        """Cell → how many questions there are in all."""

    def add(self, cell: str, round_number: int, of: int, build: str | None, lines: Iterable[dict[str, Any]]) -> None:
        """The graded items of one round, by one build of the program."""
        if cell in self.cells:
            self.of[cell] = of
            items = {(line["task"], line["id"]): line for line in lines if line.get("kind") == "item"}
            self.items[cell].append((round_number, build, items))

    def reason(self, trial: Trial, cell: Cell) -> str | None:
        """Why this trial is not needed, or None. Only whole rounds before it count."""
        if cell.key not in self.cells or trial.round == 0:
            return None
        if not self._needless(cell, trial.round):
            return None
        asked = len(self._before(cell.key, trial.round))
        until = _until(cell)
        assert until is not None
        return (
            f"stopped after {asked:,} of {self.of[cell.key]:,} questions: known within "
            f"± {100 * until:g} points, by an interval that holds however often it is looked at"
        )

    def _needless(self, cell: Cell, before: int) -> bool:
        """A cell needs no more once it is known well enough; a baseline, once all that need it are."""
        others = [c for c in self.cells.values() if _place(c) == _place(cell)]
        by_variant = {str(c.variant): c for c in others}
        own = [b for b in self.plan.suite.baselines_of(str(cell.variant)) if b in by_variant]
        if own:
            return all(self._narrow(cell, by_variant[b], before) for b in own)
        users = [c for c in others if cell.variant in self.plan.suite.baselines_of(str(c.variant))]
        users = [c for c in users if self._before(c.key, before)]  # a variant that always fails needs no baseline
        if users:
            return all(self._needless(user, before) for user in users)
        return self._narrow(cell, None, before)

    def _narrow(self, cell: Cell, baseline: Cell | None, before: int) -> bool:
        own = self._before(cell.key, before)
        theirs = self._before(baseline.key, before) if baseline else {}
        until = _until(cell)
        assert until is not None
        names = {name for item in own.values() for name in item["metrics"]}
        of = self.of.get(cell.key, 0)
        intervals = [_interval(own, theirs if baseline else None, name, of) for name in sorted(names)]
        return bool(intervals) and all(i is not None and (i.high - i.low) / 2 <= until for i in intervals)

    def _before(self, key: str, before: int) -> Items:
        """Of several builds of the program only what the most rounds are of: the report counts the same."""
        rounds = [one for one in self.items[key] if one[0] < before]
        builds = Counter(build for _, build, _ in rounds)
        most = builds.most_common(1)[0][0] if builds else None
        return {place: item for _, build, items in rounds if build == most for place, item in items.items()}


def _interval(own: Items, theirs: Items | None, name: str, of: int) -> Interval | None:
    """Of the paired difference, or of the value alone without a baseline; None where too few questions were asked."""
    places = [p for p, item in own.items() if _has(item, name) and (theirs is None or _has(theirs.get(p), name))]
    values = [_difference(own[p], theirs[p] if theirs is not None else None, name) for p in places]
    alike = [(own[p]["task"], own[p].get("group")) for p in places]  # items of one subject
    return always_valid_interval(values, alike, of)


def _difference(item: dict[str, Any], other: dict[str, Any] | None, name: str) -> float:
    value: float = item["metrics"][name]
    return value if other is None else value - float(other["metrics"][name])


def _has(item: dict[str, Any] | None, name: str) -> bool:
    return item is not None and name in item["metrics"]


def _place(cell: Cell) -> tuple[object, ...]:
    return cell.workload, cell.device, cell.runtime


def _until(cell: Cell) -> float | None:
    return cell.workload.until if isinstance(cell.workload, Task) else None
