"""What a phone's sensors said around a job; see docs/method/phones.md."""

from typing import Annotated, Literal

from msgspec import Meta

from harness.values.basic import RunFile, Value, Whole


class ClusterSeen(Value, frozen=True):
    """Clocks of one cluster of cores while the program ran."""

    cpus: tuple[Whole, ...]
    most_khz: Whole | None
    """The highest clock that the cluster has."""
    median_khz: Whole | None
    lowest_khz: Whole | None
    cap_khz: Whole | None
    """The lowest that the system allowed meanwhile: below `most_khz`, it held the cores back."""


class SettingSeen(Value, frozen=True):
    """One of the phone's settings, as the phone told it; `null` where the phone has none."""

    space: str
    key: str
    before: str | None
    during: str | None
    missing: str | None = None
    """Why a value is None, or why it is not the one that was asked for."""


class Surroundings(Value, frozen=True, kw_only=True, tag_field="event", tag="surroundings"):
    """A phone before and during one job. Temperatures are °C; what could not be read is None with a reason."""

    gate: Literal["settled", "not_settled", "unknown", "none"]
    """How the wait for a cool phone ended; `unknown` where no sensor could be read, `none` where it was not asked."""
    gate_s: float | None
    cpu_before_c: float | None = None
    """Hottest readable zone of the processor."""
    cpu_highest_c: float | None = None
    skin_before_c: float | None = None
    skin_highest_c: float | None = None
    thermal_status: Whole | None = None
    """Highest that Android's thermal service named meanwhile: 0 none, 1 light, 2 moderate, 3 severe …"""
    clusters: tuple[ClusterSeen, ...] = ()
    affinity: tuple[Whole, ...] = ()
    """CPUs that were asked for."""
    allowed: tuple[Whole, ...] | None = None
    """CPUs that the kernel says the program may use."""
    battery_before_percent: float | None = None
    battery_after_percent: float | None = None
    battery_drop_percent: Whole | None = None
    """While the program ran, off the cable and for at least 5 minutes."""
    throttled_after_s: float | None = None
    """From the program's start until the system held used cores back, or its thermal status reached 2; None: never."""
    charging: str | None = None
    settings: tuple[SettingSeen, ...] = ()
    """Those that were changed for the job and put back, and those that were only read."""
    fixed_performance: Literal["on", "refused"] | None = None
    """Android's mode of lower clocks that can be held; None: not asked for."""
    samples: Whole = 0
    boot_hash: str | None = None
    """Of the kernel's boot_id."""
    trace: RunFile | None = None
    """Every sample, relative to the run folder."""
    gate_trace: RunFile | None = None
    """Every step of the wait for a cool phone."""
    discarded_traces: tuple[RunFile, ...] = ()
    """Samples and steps of the attempts before, whose windows were worthless."""
    missing: dict[str, str] = {}
    """Field → why it was not seen."""


class ParitySeen(Value, frozen=True, kw_only=True, tag_field="event", tag="parity"):
    """Whether an artifact computes on the device what it computes on the host: the same file, two kernels."""

    prompts: Whole
    mean_kl_nats: Annotated[float, Meta(ge=0)]
    """KL(host ‖ device) of the next token's distribution, mean over the prompts."""
    largest_kl_nats: Annotated[float, Meta(ge=0)]
    same_top1: Whole
    """Prompts whose most likely next token is the same."""
    reference_sha256: str
    """Of the host's runner."""
    rule: str
    """What is allowed, in words."""
    wrong: str | None = None
    """Why the artifact's numbers are not to be believed on this device."""
