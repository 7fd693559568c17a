"""How much each item of a group of tasks weighs: all alike, or every task alike (macro means)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.analyse.items import Item
from harness.metrics import micro_name
from harness.stats import effective_items, weighed


@dataclass(frozen=True)
class ItemPairs:
    """One metric of the items that two cells have in common; means of the values are those of the metric."""

    pairs: tuple[tuple[Item, Item], ...]
    name: str
    """The metric of a single item."""
    values: list[float]
    baselines: list[float]
    effective: float
    """How many items of equal weight say as much."""
    macro: bool

    @property
    def differences(self) -> list[float]:
        return [v - b for v, b in zip(self.values, self.baselines, strict=True)]

    @property
    def binary(self) -> bool:
        """Whether each item is simply right or wrong."""
        return {one.metrics[self.name] for pair in self.pairs for one in pair} <= {0.0, 1.0}

    def changed(self) -> int:
        return sum(v.metrics[self.name] != b.metrics[self.name] for v, b in self.pairs)


def item_pairs(variant: Sequence[Item], baseline: Sequence[Item], name: str) -> ItemPairs:
    """The items that both have with this metric, in the variant's order; a macro mean's items are weighed."""
    of_item, macro = metric_of_items(variant, name)
    known = {(item.task, item.id): item for item in baseline if of_item in item.metrics}
    pairs = tuple(
        (item, known[item.task, item.id])
        for item in variant
        if of_item in item.metrics and (item.task, item.id) in known
    )
    values, baselines = [v.metrics[of_item] for v, _ in pairs], [b.metrics[of_item] for _, b in pairs]
    effective = float(len(pairs))
    if macro and pairs:
        weights = task_weights([v for v, _ in pairs])
        values, baselines, effective = weighed(values, weights), weighed(baselines, weights), effective_items(weights)
    return ItemPairs(pairs, of_item, values, baselines, effective, macro)


def item_values(items: Sequence[Item], name: str) -> list[float]:
    """The metric of the items that have it; a macro mean's are weighed, so that their plain mean is it."""
    of_item, macro = metric_of_items(items, name)
    having = [item for item in items if of_item in item.metrics]
    values = [item.metrics[of_item] for item in having]
    return weighed(values, task_weights(having)) if macro and having else values


def metric_of_items(items: Sequence[Item], name: str) -> tuple[str, bool]:
    """(the metric of a single item, whether `name` is its mean over tasks)."""
    micro = micro_name(name)
    if micro is None or any(name in item.metrics for item in items):
        return name, False
    return micro, True


def task_weights(items: Sequence[Item]) -> list[float]:
    """Of each item in a mean over tasks of each task's mean; they sum to 1."""
    sizes = Counter(item.task for item in items)
    return [1 / (len(sizes) * sizes[item.task]) for item in items]


def task_sizes(items: Sequence[Item], name: str) -> Counter[str]:
    """How many items of each task have the metric."""
    return Counter(item.task for item in items if name in item.metrics)


def chance_of(pairs: ItemPairs) -> float | None:
    """What guessing would score on these items, as the metric weighs them; None where that is not known."""
    items = [b for _, b in pairs.pairs]
    chances = [item.chance for item in items if item.chance is not None]
    if not items or len(chances) < len(items):
        return None
    return fmean(weighed(chances, task_weights(items)) if pairs.macro else chances)
