"""What decides in a history, in one place; `benchmarks/nightly_alerts.py` measures what these numbers bring."""

from typing import Annotated

from msgspec import Meta

from harness.values import Value

Share = Annotated[float, Meta(gt=0, lt=1)]
Number = Annotated[int, Meta(ge=1, le=1000)]


class Settings(Value, frozen=True, kw_only=True):
    """Each with the number that the figures in docs/nightly.md were reached with."""

    step_share: Share = 0.02
    """A step that is smaller, as a share of the level before, is not shown: noise of minutes moves a median by that."""
    step_nights: Number = 2
    """Nights that a step has to last before it is one: one bad night is none."""
    penalty: Annotated[float, Meta(gt=0)] = 4.0
    """Each change point costs this times ln n squared spreads (Schwarz's criterion has 1)."""
    clip: Annotated[float, Meta(gt=0)] = 6.0
    """Values count at most so many spreads away from their level's median: an outlier is one odd night, not a level."""

    fewest_before: Number = 8
    """Nights of a level before tonight can be tested against it."""
    recent: Number = 4
    """At most so many of the newest nights are tested as a new level: the last one alone, the last two, …"""
    newest_clip: Annotated[float, Meta(gt=0)] = 2.5
    """In that test values count at most so many spreads away from the level before."""
    newest_limit: Annotated[float, Meta(gt=0)] = 1.9
    """Standard errors by which the newest nights have to be worse."""
    newest_least: Annotated[float, Meta(ge=0)] = 0.9
    """Spreads by which the newest night alone has to be worse: a level that has ended is not asked about again."""
    level: Share = 0.07
    """Share of the level's own nights that may have had a score as large."""

    confirm_level: Share = 0.997
    """Confidence of the one-sided bound that a rerun's ratio must keep on the worse side of 1."""
    fewest_pairs: Number = 4
    """Pairs of a rerun below which it says nothing."""

    reruns: Number = 5
    """Reruns of one pair of artifacts that a watch may ask for, a night each."""
    strict: bool = False
    """Whether a lasting step alerts without a rerun, by the rule of `harness/analyse/history/strict.py`."""
    strict_share: Share = 0.03
    strict_nights: Number = 3
    strict_before: Number = 15
    """Nights of the level before that a fence is drawn around."""

    score_level: Share = 0.001
    """Largest p of a paired test of a score against the first night of its level: it alerts without a rerun."""
    score_share: Share = 0.002
    """A score that moves less, as a share of itself, is not tested: the order of sums may move it by that."""

    across_runtimes: bool = False
    """Whether another version or build of the runtime stands beside a change, where it otherwise cuts a history."""

    missing_nights: Number = 2
    """More nights in a row than this without a value alert."""
    thermal_nights: Number = 3
    """More nights in a row than this at which only the heat was measured alert."""
