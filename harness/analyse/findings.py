"""Every value that a page shows: derived from runs, never stored with them.

A `None` is explained beside it: in `reason` where the whole cell has no value, else in `notes`.
Differences (`diff`) exist for metrics over items only: everything else is judged by its ratio.
"""

from typing import Literal

from msgspec import UNSET, UnsetType

from harness.analyse.limits import Footprint, Frontier, Roof
from harness.analyse.places import InCell
from harness.analyse.verdicts.values import Check
from harness.stats import Interval
from harness.values import ArtifactFile, DeviceFacts, Stands, Value, Workload

REPORT_SCHEMA = 1

ONE_ROUND = "no interval of the ratio: one round; the paired difference has one"
NO_BASELINE_VALUE = "no ratio: a distance has no baseline value"
INTERVAL_NOTE = "95 % interval"
"""Start of a note that gives a value's own interval, which has no column."""
BY_DEFINITION = frozenset({ONE_ROUND, NO_BASELINE_VALUE})
"""Notes that hold for every row of their metric: a page explains them once."""


class Row(Value, frozen=True):
    """One metric of one variant in one cell, against one baseline."""

    run: str
    variant: str | None
    """None for what belongs to the device alone."""
    baseline: str | None
    """None where no ratio is due: baselines themselves, device metrics, distances to a reference."""
    runtime: str | None
    device: str
    workload: str
    metric: str
    unit: str
    status: str
    """That of the cell's trials, or `not_measured`."""
    reason: str | None
    """Why there is no value."""
    value: float | None
    baseline_value: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    diff: float | None
    diff_low: float | None
    diff_high: float | None
    n: int
    """Rounds (paired ones, where there is a ratio), items, windows or positions behind this row."""
    notes: tuple[str, ...]
    artifact_sha256: str | None


class RoundValue(Value, frozen=True):
    round: int
    value: float


class Level(InCell, frozen=True):
    """A metric's own value, with the interval of the value alone (not of a comparison)."""

    metric: str
    value: float
    low: float | None
    high: float | None
    cv: float | None
    """Coefficient of variation over rounds."""
    rounds: tuple[RoundValue, ...]
    """One value a process; empty for metrics over items."""


class PairedItems(InCell, frozen=True):
    """A task's metric against a baseline, on the same items."""

    baseline: str
    metric: str
    items: int
    of: int | None
    """So many questions there were; None: all were asked. Otherwise they came in random order and ended when enough
    was known: `interval` then holds however often it was looked at, and what holds for a fixed number of items only
    (`clustered`, `mcnemar_p`, the intervals of `choice_kl` and `recovery`) is None."""
    value: float
    baseline_value: float
    diff: float
    interval: Interval | None
    """Paired by item."""
    clustered: Interval | None
    """The same, for items that are alike within a group; None without enough groups."""
    clusters: int
    right_to_wrong: int | None
    """None for a metric that is not simply right or wrong."""
    wrong_to_right: int | None
    mcnemar_p: float | None
    answers_changed: int | None
    """Items whose answer differs, right or wrong; None where answers were not kept, or another rule chose this
    metric's. Of those that could change, 1 − answers_changed / items is the agreement of the most likely choice."""
    choice_kl: float | None
    """Mean over items of KL(baseline ‖ variant) in nats between the softmaxes of their choices' log-likelihoods;
    None where those were not kept, and for means over tasks."""
    choice_kl_interval: Interval | None
    """Clustered where `clustered` is there."""
    recovery: float | None
    """value / baseline_value; None for a baseline that is not above 0."""
    recovery_low: float | None
    recovery_high: float | None
    """Paired by item, clustered where `clustered` is there; None where the baseline is not known well enough."""
    one_point: Literal["excluded", "not excluded", "certain", "unknown"]
    """Whether a loss of one point (0.01) or more is excluded by the wider interval, or certain."""
    near_chance: bool | None
    """Whether the baseline cannot be told from guessing; None where the chance level is not known."""


class TaskScore(InCell, frozen=True):
    """One task of a group of tasks."""

    task: str
    metric: str
    items: int
    value: float


class Distance(InCell, frozen=True):
    """How far the next-token distributions are from the reference's."""

    metric: str
    reference: str
    is_reference: bool
    value: float
    interval: Interval | None
    """Clustered by window."""
    positions: int
    windows: int


class Part(Value, frozen=True):
    kind: Literal["model", "lora", "kv", "compute", "output", "runtime", "vocabulary"]
    name: str
    bytes: int


class Waterfall(InCell, frozen=True):
    """What a peak of memory is made of."""

    peak_bytes: int
    parts: tuple[Part, ...]
    unexplained_bytes: int
    """Negative where the parts are more than the peak, as with mapped pages that were never read."""
    explained: float
    """Share of the peak; may pass 1."""
    beside_weights_bytes: int | None
    """Part of the unexplained that was there right after loading (vocabulary, metadata, code)."""
    missing: str | None
    """What could not be seen, in words."""


class ThreadsGain(Value, frozen=True):
    """A variant at its best thread count against a baseline at its own best one."""

    baseline: str
    threads: int
    """The baseline's best."""
    ratio: float | None
    low: float | None
    high: float | None
    """None below 3 rounds that both have."""


class ThreadCounts(InCell, frozen=True):
    """One metric of a variant by thread count; `workload` is the one without a count of its own."""

    metric: str
    common: int | None
    """The runtime's own count, alike for all variants."""
    common_value: float | None
    best: int
    best_value: float
    counts: tuple[tuple[int, float], ...]
    """(threads, value), by threads."""
    gains: tuple[ThreadsGain, ...]
    """Empty for a baseline."""


class Heat(InCell, frozen=True):
    """What a phone's sensors saw around the trials of a cell; None where nothing could be read."""

    trials: int
    settled: int
    """Trials before which the phone had cooled down."""
    unknown: int
    """Trials before which no sensor could be read."""
    gate_s: float | None
    """Median wait."""
    cpu_before_c: float | None
    """Median of the hottest readable zone when the program began."""
    cpu_highest_c: float | None
    skin_highest_c: float | None
    thermal_status: float | None
    """Highest that Android named."""
    clock_share: float | None
    """Lowest median clock of a cluster that was used, over its highest clock."""
    capped: int
    """Trials in which the system allowed a cluster that was used less than its highest clock."""
    discarded: int
    windows: int
    """Timed windows with the discarded ones."""
    largest_kl_nats: float | None
    """Of the artifact's logits on the device from those on the host."""
    missing: tuple[str, ...]


class ConditionValue(Value, frozen=True):
    value: str
    where: str
    """Empty where it holds for everything."""


class Condition(Value, frozen=True):
    """A condition of a run on one device and runtime, as it really was."""

    run: str
    device: str
    runtime: str | None
    name: str
    values: tuple[ConditionValue, ...]


class Differing(Value, frozen=True):
    """A condition in which runs are not alike: (run, value) each."""

    name: str
    values: tuple[tuple[str, str], ...]


class ArtifactSeen(Value, frozen=True):
    run: str
    variant: str
    sha256: str
    bytes: int
    files: tuple[ArtifactFile, ...]
    parameters: int | None
    tensor_bytes: int | None
    tensor_types: dict[str, int]


class Trouble(InCell, frozen=True):
    """A trial that failed, was discarded or set aside, or is doubtful."""

    round: int | None
    status: str
    """The trial's; `noisy` for one that counts but is doubtful, `discarded` for timed windows that were
    repeated; `set_aside` for other conditions."""
    what: str


class WeakBaseline(Value, frozen=True):
    """A baseline whose decode reads memory at less than half the speed it could, or that runs on kernels made for no
    processor: no speed headline."""

    run: str
    baseline: str
    runtime: str | None
    device: str
    workload: str
    share: float | None
    """Of the read bandwidth; None: it is weak by its kernels."""
    portable: bool | UnsetType = UNSET
    """Set where ExecuTorch ran it on its portable kernels: not comparable with what a phone runs."""

    @property
    def said(self) -> str:
        """What is wrong with it, behind its name."""
        if self.share is None:
            return "runs on ExecuTorch's portable kernels here: not comparable"
        return f"decodes at {100 * self.share:.0f} % of the read bandwidth"


class VariantSeen(Value, frozen=True):
    name: str
    scheme: str
    recipe: str
    model: str
    label: str
    licence: str
    random_weights: bool
    baseline: bool
    baselines: tuple[str, ...] = ()
    """What it is compared with; empty for a baseline."""


class DeviceSeen(Value, frozen=True):
    name: str
    kind: str
    title: str
    facts: DeviceFacts | None


class RunSeen(Value, frozen=True):
    id: str
    suite: str
    title: str
    source: str
    seed: int
    command: tuple[str, ...]
    bench_version: str
    started: str
    ended: str
    trials: int
    measured: int
    """Trials with a record, whatever its status."""
    complete: bool
    baselines: tuple[str, ...]
    variants: tuple[VariantSeen, ...]
    runtimes: tuple[str, ...]
    devices: tuple[DeviceSeen, ...]
    workloads: dict[str, Workload]
    """By the name that rows call them."""
    families: tuple[tuple[str, ...], ...] = ()
    """Variants that share baselines, with these: each family is a comparison of its own."""
    claims: dict[str, dict[str, Stands]] = {}
    """Claim file → published row → the variant that stands beside it."""


class Report(Value, frozen=True, kw_only=True):
    """Everything that pages about these runs need."""

    schema: int = REPORT_SCHEMA
    runs: tuple[RunSeen, ...]
    rows: tuple[Row, ...]
    levels: tuple[Level, ...]
    accuracy: tuple[PairedItems, ...]
    tasks: tuple[TaskScore, ...]
    distances: tuple[Distance, ...]
    waterfalls: tuple[Waterfall, ...]
    roofs: tuple[Roof, ...]
    footprints: tuple[Footprint, ...]
    frontiers: tuple[Frontier, ...]
    threads: tuple[ThreadCounts, ...] = ()
    heats: tuple[Heat, ...] = ()
    """Of phones."""
    conditions: tuple[Condition, ...]
    artifacts: tuple[ArtifactSeen, ...]
    troubles: tuple[Trouble, ...]
    weak_baselines: tuple[WeakBaseline, ...]
    claims: tuple[Check, ...] = ()
    """Published claims that the runs' suites name, judged run by run."""
    differing: tuple[Differing, ...]
    """Empty for one run, and for runs that are alike in everything that binds a number."""
