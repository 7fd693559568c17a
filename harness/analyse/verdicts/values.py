"""What a check of claims says, ready for a terminal, a page or a machine."""

from typing import Literal

from harness.analyse.verdicts.bands import Word
from harness.stats import Interval
from harness.values import Value


class ConditionCheck(Value, frozen=True):
    """One condition that binds the metric: as published, as it was here."""

    name: str
    published: str | None
    """None where the publication does not state it."""
    status: Literal["stated", "documented", "unknown"]
    here: str | None
    agrees: bool | None
    """None where one of the two is not known."""


class Beside(Value, frozen=True):
    """One published row beside what this run measured for it."""

    row: str
    variant: str
    baseline: str | None
    run: str
    metric: str
    workload: str
    unit: str
    value: float | None
    baseline_value: float | None
    published: float | None
    """In the metric's own unit, as all values here."""
    published_baseline: float | None
    printed: str | None
    """As the publication prints it, with its unit."""
    printed_baseline: str | None
    ratio: float | None
    ratio_interval: Interval | None
    figure: float | None
    """In the claim's terms (percent, times, points or its unit)."""
    figure_interval: Interval | None
    word: Word
    """Of the row alone, against the change or figure printed for it."""
    reason: str
    rounds: tuple[tuple[int, float, float], ...] = ()
    """(round, value, baseline's value); empty for exact metrics, items and values without a baseline."""


class Verdict(Value, frozen=True, kw_only=True):
    """One claim, judged."""

    claim: str
    statement: str
    printed: str
    source: str
    """Title of the source."""
    url: str
    metric: str
    expressed: str
    unit: str
    aggregation: str | None
    """Over the rows, as stated; None: not stated, or one row."""
    word: Word
    reason: str
    """One sentence: why this word."""
    expected: float
    band_low: float | None
    """None: open."""
    band_high: float | None
    value: float | None
    low: float | None
    high: float | None
    rounds: int
    more_rounds: int | None
    must_hold: bool
    decisive: ConditionCheck | None
    checks: tuple[ConditionCheck, ...]
    rows: tuple[Beside, ...]
    command: tuple[str, ...]
    """Measures it again; empty where nothing was measured."""


class Check(Value, frozen=True, kw_only=True):
    """A claim file against runs."""

    name: str
    title: str
    runs: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = ()
    table: tuple[Beside, ...] = ()
    """Every published figure with ours beside it, whether a claim rests on it or not."""
