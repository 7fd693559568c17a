"""What a device's bandwidth and memory allow, as values: roofline, memory by context, what fits."""

from typing import Literal

from harness.analyse.places import InCell
from harness.values import Value


class RoofGain(Value, frozen=True):
    """A variant's decode against a baseline's: what fewer bytes alone would give, and what was measured."""

    baseline: str
    allowed: float | None
    """The baseline's bytes a token / the variant's; None where either was not seen."""
    measured: float | None
    low: float | None
    high: float | None


class Roof(InCell, frozen=True):
    """How close a variant's decode comes to the speed of reading memory."""

    bytes_a_token: float | None
    """What one decoded token must read: weights, and the KV cache at mean depth."""
    tok_s: float | None
    bandwidth_bytes_s: float | None
    allowed_tok_s: float | None
    """bandwidth_bytes_s / bytes_a_token"""
    share: float | None
    """The metric `bandwidth_share`: each round by its own bandwidth."""
    gains: tuple[RoofGain, ...]
    reason: str | None
    """Why any of the fields above is None."""


class Saving(Value, frozen=True):
    baseline: str
    saved: float | None
    """1 − bytes / the baseline's bytes; negative where the variant needs more."""
    reason: str | None


class Footprint(InCell, frozen=True):
    """Memory of a variant with a cache for so many tokens."""

    context: int
    computed: bool
    """False only at the context that was measured."""
    bytes: int | None
    kv_bytes: int | None
    rest_bytes: int | None
    """Weights and whatever else the measured peak held: the same at every context."""
    savings: tuple[Saving, ...]
    reason: str | None


class Need(Value, frozen=True):
    variant: str
    peak_bytes: int | None
    need_bytes: int | None
    """Memory that must be available."""
    worth: float | None
    """What the frontier judges by."""
    reason: str | None


class Fit(Value, frozen=True):
    memory_bytes: int
    variants: tuple[str, ...]
    """Those whose need is not more."""
    best: str | None
    """The one of most worth among them, on equal worth the one that needs less.

    None where none fits, or no worth is known.
    """


class Frontier(Value, frozen=True):
    """Which variants fit which memory, by the peaks of one workload."""

    run: str
    runtime: str | None
    device: str
    workload: str
    context: int | None
    judged_by: Literal["accuracy", "bits_per_weight"]
    metric: str
    judged_on: str
    """The workload of the worth; empty for bits per weight."""
    said: str | None
    """Why it is not accuracy that judges."""
    needs: tuple[Need, ...]
    fits: tuple[Fit, ...]
