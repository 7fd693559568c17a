"""What `bench doctor` finds, as values: what is installed, how quiet the machine is, what it can tell apart."""

from typing import Literal

from harness.values import Value

State = Literal["good", "doubtful", "bad", "unknown"]


class Part(Value, frozen=True):
    """Something that bench uses."""

    name: str
    present: bool
    seen: str
    """What is there, or what is missing."""
    needed_for: str
    get: str | None = None
    """The command that gets it; None where it is there, or where no command can."""


class Check(Value, frozen=True):
    """One condition of the machine."""

    name: str
    state: State
    seen: str | None
    reason: str | None = None
    """Why nothing was seen; set exactly where `state` is `unknown`."""
    effect: str = ""
    """What it does to numbers."""
    advice: str = ""
    values: dict[str, float] = {}
    """The numbers in `seen`, for machines."""


class Difference(Value, frozen=True):
    """What the A/A test says of one metric."""

    metric: str
    label: str
    """As in reports, such as `decode@64`."""
    rounds: int
    log_ratios: tuple[float, ...]
    """ln(B / A) of each round."""
    value: float | None = None
    """Median over both sides, in the metric's unit."""
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    excludes_1: bool | None = None
    """An artifact differs from itself: by chance in one of twenty tests."""
    smallest_percent: float | None = None
    """Half width of the 95 % interval after 5 rounds: the smallest difference that would show."""
    rounds_for_2_percent: int | None = None
    reason: str | None = None
    """Why the fields above are None, or mean nothing."""


class CanaryNoise(Value, frozen=True):
    """How alike a fixed piece of work was beside the windows of the A/A test."""

    readings: int
    compute_cv: float
    """Coefficient of variation of its dot products, and of its reads; 0.01 is 1 %."""
    read_cv: float


class Placement(Value, frozen=True):
    """Where the program's threads really ran in the windows of the A/A test."""

    windows: int
    cores: tuple[int, ...]
    outside: tuple[int, ...]
    """Of these, such as it was not to use."""
    moved: int
    """Windows in which a thread changed its core."""
    waited_share: float | None
    """Of the window in which a thread waited for a core longest: that part of it. None: the kernel does not say."""


class SelfTest(Value, frozen=True):
    """The A/A test: an artifact against itself."""

    state: Literal["done", "skipped", "impossible"]
    reason: str | None = None
    """Why it was not done, or not as long as it should."""
    get: str | None = None
    """The command that makes it possible."""
    variant: str | None = None
    artifact_sha256: str | None = None
    seconds: float | None = None
    differences: tuple[Difference, ...] = ()
    read_bandwidth_bytes_s: float | None = None
    noise: dict[str, int] = {}
    """What made trials doubtful → how many."""
    canary: CanaryNoise | None = None
    placement: Placement | None = None
    trials: int = 0


class Health(Value, frozen=True):
    """Everything that one examination found."""

    device: str
    parts: tuple[Part, ...]
    checks: tuple[Check, ...]
    self_test: SelfTest
    impossible: tuple[str, ...] = ()
    """Why nothing can be measured here; empty where something can."""
