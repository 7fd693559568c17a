"""Whether the newest nights of a series lie on the worse side of the level before: what asks for a rerun.

A step test beside the search for change points, which needs more nights to be sure than a rerun should wait for.
"""

import math
from typing import NamedTuple

import numpy as np

from harness.analyse.history.settings import Settings
from harness.analyse.history.steps import MAD, Floats, find_steps, spread_of

MOST_ALIKE = 0.8
"""Largest correlation from night to night that is believed of few nights."""


class Newest(NamedTuple):
    """What the test saw; larger is worse."""

    score: float
    limit: float
    nights: int
    """How many of the newest nights gave the score."""
    start: int
    """Index of the first value of the level before."""
    before: float
    """Its median."""
    after: float
    """Mean of the newest nights."""


def newest(values: Floats, settings: Settings, *, lower_is_worse: bool) -> Newest | None:
    """The newest nights against the level before; None where they are not worse, or nothing can be said yet.

    Values are taken in spreads from the level's median and count at most `newest_clip` of them. The score is the
    largest standardised mean of the last one, two … `recent` nights, with the correlation of neighbouring nights in
    its standard error. It must pass a fixed limit and all but a share `level` of the scores of the level's own
    nights: a rank test, which asks nothing of the noise's distribution.
    """
    start = _level_start(values, settings)
    own = values[start:]
    base = own[: len(own) - settings.recent]
    if len(base) < settings.fewest_before:
        return None
    centre = float(np.median(base))
    spread = max(spread_of(own, settings), MAD * float(np.median(np.abs(base - centre))))
    sign = 1.0 if lower_is_worse else -1.0
    worse = np.clip(sign * (centre - own) / spread, -settings.newest_clip, settings.newest_clip)
    scores, widths = _scores(worse, _correlation(worse[: len(base)]), settings.recent)
    past = scores[settings.recent - 1 : len(base)]
    limit = max(settings.newest_limit, float(np.quantile(past, 1 - settings.level)) if len(past) else 0.0)
    score, nights = float(scores[-1]), int(widths[-1])
    after = float(np.mean(own[-nights:]))
    if (
        worse[-1] < settings.newest_least
        or score < limit
        or sign * (centre - after) < settings.step_share * abs(centre)
    ):
        return None
    return Newest(score, limit, nights, start, centre, after)


def _level_start(values: Floats, settings: Settings) -> int:
    """Where the level begins that the newest nights are tested against: a new one has to be known well enough."""
    last = len(values) - settings.recent - settings.fewest_before
    return max((step for step in find_steps(values, settings) if step <= last), default=0)


def _correlation(worse: Floats) -> float:
    """Of neighbouring nights, never below 0; with the bias of few nights taken back."""
    around = worse - worse.mean()
    squares = float(np.sum(around * around))
    if not squares:
        return 0.0
    return min(MOST_ALIKE, max(0.0, float(np.sum(around[1:] * around[:-1])) / squares + 1 / len(worse)))


def _scores(worse: Floats, correlation: float, recent: int) -> tuple[Floats, Floats]:
    """Of each night the largest standardised mean of the nights up to it, and of how many nights it is."""
    sums = np.concatenate([[0.0], np.cumsum(worse)])
    scores = np.full((recent, len(worse)), -math.inf)
    for width in range(1, recent + 1):
        alike = 1 + 2 * sum((1 - lag / width) * correlation**lag for lag in range(1, width))
        scores[width - 1, width - 1 :] = (sums[width:] - sums[:-width]) / math.sqrt(width * alike)
    return scores.max(axis=0), scores.argmax(axis=0) + 1
