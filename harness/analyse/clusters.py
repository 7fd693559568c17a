"""Questions that are alike within a group, such as a subject's, and the interval that does not take them for
independent of each other."""

from collections.abc import Hashable

from harness.analyse.weights import ItemPairs
from harness.stats import FEWEST_CLUSTERS, Interval, clustered_interval


def groups_of(found: ItemPairs) -> list[Hashable] | None:
    """What items are alike within: their group, or else their task; None where there is only one of all."""
    groups: list[Hashable] = [(v.task, v.group) for v, _ in found.pairs]
    if len({v.task for v, _ in found.pairs}) < 2 and any(v.group is None for v, _ in found.pairs):
        return None
    return groups


def clusters_of(found: ItemPairs) -> list[Hashable] | None:
    """The groups, where there are enough of them for an interval."""
    groups = groups_of(found)
    return None if groups is None or len(set(groups)) < FEWEST_CLUSTERS else groups


def clustered_difference(found: ItemPairs) -> Interval | None:
    """Of the mean difference; None for too few groups, and where no item differs: it would have no width."""
    clusters, differences = clusters_of(found), found.differences
    return None if clusters is None or not any(differences) else clustered_interval(differences, clusters)
