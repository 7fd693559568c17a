"""What two variants answered to the same questions, whether it was right or not."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from harness.analyse.items import Item
from harness.analyse.weights import ItemPairs


def answers_changed(found: ItemPairs) -> int | None:
    """Items whose answer differs; None where an answer was not kept, or the metric goes by other answers.

    Another rule chose a metric's answers, such as `acc_norm`'s, where one answer is right on one side and wrong
    on the other, or where a score does not follow from answer and target.
    """
    if any(one.answer is None or not _follows(one, found.name) for pair in found.pairs for one in pair):
        return None
    if any(v.answer == b.answer and v.metrics[found.name] != b.metrics[found.name] for v, b in found.pairs):
        return None
    return sum(v.answer != b.answer for v, b in found.pairs)


def choice_divergences(pairs: Sequence[tuple[Item, Item]]) -> list[float] | None:
    """KL(baseline ‖ variant) in nats of each item, between softmaxes over the log-likelihoods of its choices.

    None unless both sides of every item have at least two choices, and as many.
    """
    from scipy.special import log_softmax, rel_entr

    by_count: dict[int, list[int]] = defaultdict(list)
    for index, (v, b) in enumerate(pairs):
        if len(v.logprobs) != len(b.logprobs) or len(b.logprobs) < 2:
            return None
        by_count[len(b.logprobs)].append(index)
    found = np.zeros(len(pairs))
    for places in by_count.values():
        ours, base = (
            np.exp(log_softmax(np.array([pairs[i][side].logprobs for i in places], dtype=float), axis=1))
            for side in (0, 1)
        )
        # Underflow to 0 would make a distance of infinity out of a probability that no float holds.
        found[places] = np.maximum(rel_entr(base, np.maximum(ours, np.finfo(float).tiny)).sum(axis=1), 0.0)
    return [float(one) for one in found]


def _follows(item: Item, name: str) -> bool:
    """Whether a score can come from this answer; texts may be compared less strictly than letter by letter."""
    if isinstance(item.answer, int):
        return isinstance(item.target, int) and item.metrics[name] == float(item.answer == item.target)
    _, _, by = name.partition(",")
    return item.filter in (None, by or "none")
