"""What is checked once before anything measured is believed."""

from harness.values.basic import Count, Name, Sha256, Value


class KernelLimits(Value, frozen=True):
    """How far two ways to compute the same model may lie apart, in nats of an answer's log-probability."""

    largest_nats: float
    mean_nats: float
    agreement: float
    """Least share of questions to which both choose the same answer."""


class KernelCheck(Value, frozen=True, kw_only=True):
    """One build of a runner against a reference, on the same questions and the same model file."""

    runner_sha256: Sha256
    reference_sha256: Sha256
    """Of the reference's answers, which follow from its runner, its settings and the questions."""
    artifact_sha256: Sha256
    variant: Name
    device: Name
    questions: Count
    passed: bool
    reason: str | None = None
    """Why it did not pass; None where it did."""
    agreed: Count | None = None
    """Questions to which both choose the same answer; this and the differences are None without answers."""
    largest_nats: float | None = None
    mean_nats: float | None = None
    limits: KernelLimits
