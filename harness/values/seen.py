"""What was seen of a device and of each trial.

Sizes are bytes, times nanoseconds of a monotonic clock unless the name says otherwise. A field that
may be `None` was not seen; the reason stands in the record's `reason` or `missing`.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from harness.values.basic import (
    SCHEMA_VERSION,
    Count,
    Name,
    Positive,
    RunFile,
    Tokens,
    Value,
    Whole,
)
from harness.values.made import ArtifactFile
from harness.values.phones import PhoneFacts, Preflight
from harness.values.surroundings import ParitySeen, Surroundings


class DeviceFacts(Value, frozen=True):
    """What was seen on a device."""

    device: Name
    model: str
    os: str
    arch: str
    cpu: str
    logical_cpus: Positive | None
    usable_cores: Positive | None
    """Physical cores that this process may use (affinity and cgroup limit considered); of a phone its big ones. None
    only where another tool told of the machine."""
    memory_bytes: Positive | None
    llc_bytes: Positive | None
    """Last-level cache, all instances together."""
    cpu_flags: tuple[str, ...] = ()
    virtual: str | None = None
    """Hypervisor, when one says so."""
    governor: str | None = None
    host_hash: str = ""
    """Hash of the host's name or the phone's serial number: tells machines apart without naming them."""
    missing: dict[str, str] = {}
    """field → why it was not seen."""
    phone: PhoneFacts | UnsetType = UNSET
    """Set exactly for a phone; elsewhere no file holds the key, so that facts hash as they always did."""

    @property
    def cores(self) -> int:
        """The usable ones of a device that was looked at."""
        assert self.usable_cores is not None, "nothing is planned for a machine that another tool told of"
        return self.usable_cores


class Files(Value, frozen=True, tag_field="event", tag="files"):
    files: tuple[ArtifactFile, ...]
    parameters: Whole | None
    tensor_bytes: Whole | None
    decode_bytes: Whole | None
    tensor_types: dict[str, Whole]


class Buffer(Value, frozen=True):
    kind: Literal["model", "lora", "kv", "compute", "output"]
    name: str
    bytes: Count


class Hello(Value, frozen=True, tag_field="event", tag="hello"):
    program: str
    runner_sha256: str
    llama_version: str
    kind: str
    pid: Whole
    versions: dict[str, str] = {}
    """Of the libraries that compute, where the program is not one file."""


class Opened(Value, frozen=True, tag_field="event", tag="opened"):
    """A checkpoint as torch really runs it."""

    load_ns: Count
    parameters: Count
    description: str
    dtype: str
    device: str
    threads: Whole
    context: Whole
    context_trained: Whole
    vocabulary: Whole
    layers: Whole
    prefix_sharing: bool
    """Whether what prompts begin with alike goes through the model once."""
    cpu_capability: str


class Loaded(Value, frozen=True, tag_field="event", tag="loaded"):
    """The model and the context as they really are; see docs/runner-protocol.md."""

    load_ns: Count
    model_bytes: Count
    parameters: Count
    description: str
    layers: Whole
    embedding: Whole
    heads: Whole
    kv_heads: Whole
    vocabulary: Whole
    context_trained: Whole
    context: Whole
    batch: Whole
    ubatch: Whole
    threads: Whole
    threads_batch: Whole
    load_mode: str
    repack: bool
    kv_type: str
    flash_attn: str
    kv_bytes: Whole | None
    cpu_features: tuple[str, ...]
    buffers: tuple[Buffer, ...]


class CanarySeen(Value, frozen=True):
    """A fixed piece of work on the threads that a model uses, some 50 ms long."""

    compute_ns: Positive
    """Int8 dot products in the innermost cache."""
    read_ns: Positive
    """One buffer that no cache holds whole."""


class ThreadSeen(Value, frozen=True):
    """Where a thread of the program ran during a window, and how long it had to wait for it."""

    cpu_before: Whole
    """CPU that it ran on last before the window."""
    cpu_after: Whole
    run_ns: Count | None
    """Time on a CPU; None where the kernel does not say."""
    wait_ns: Count | None
    """Time that it could have run but waited for a CPU."""


class Timing(Value, frozen=True, tag_field="event", tag="timing"):
    """One repetition: offsets from the submission of the prompt."""

    index: Count
    warmup: bool
    prefix_tokens: Count
    prompt_tokens: Tokens
    generated_tokens: Positive
    logits_ns: Positive
    token_ns: tuple[Whole, ...]
    wall_ns: Positive
    cpu_ns: Whole | None
    machine_busy_ns: Whole | None
    machine_steal_ns: Whole | None
    major_faults: Whole | None
    minor_faults: Whole | None
    voluntary_switches: Whole | None
    involuntary_switches: Whole | None
    discarded: bool = False
    canary_before: CanarySeen | None = None
    """None where the job had no canary."""
    canary_after: CanarySeen | None = None
    idle_ns: Count = 0
    """How long the program slept just before the window; 0: not at all."""
    threads: tuple[ThreadSeen, ...] = ()
    """Those that worked in the window; empty where the kernel does not say."""

    def __post_init__(self) -> None:
        if len(self.token_ns) > 1 and self.token_ns[-1] <= self.token_ns[0]:
            raise ValueError("the last token is not later than the first")


class LoadSeen(Value, frozen=True, tag_field="event", tag="load"):
    """How much of the model's file lay in memory before it was loaded, and what the load read from storage."""

    cold: bool
    file_bytes: Positive
    cached_bytes: Whole | None
    """Of the file, in the page cache just before the load."""
    storage_bytes: Whole | None
    """That the kernel fetched from storage for this program during the load."""
    major_faults: Whole | None


class Stretch(Value, frozen=True, tag_field="event", tag="stretch"):
    """One prefill and decode among many without a pause."""

    index: Count
    start_ns: Count
    """After the first one's start."""
    prompt_tokens: Tokens
    generated_tokens: Positive
    prefill_ns: Positive
    """Submission of the prompt → first token known."""
    decode_ns: Positive
    """First token known → last token known."""
    cpu_ns: Whole | None
    machine_busy_ns: Whole | None
    machine_steal_ns: Whole | None


class EnergyDomain(Value, frozen=True):
    """A counter of energy, such as `package-0`, idle and at work."""

    name: str
    idle_uj: Count
    work_uj: Count


class EnergySeen(Value, frozen=True, tag_field="event", tag="energy"):
    """Energy of the processor packages and their memory, by their own counters."""

    idle_ns: Count
    work_ns: Count
    domains: tuple[EnergyDomain, ...]
    """Those that lie side by side: a part of another one is left out."""
    missing: str | None
    """Why there is no domain."""


class MemorySeen(Value, frozen=True, tag_field="event", tag="memory"):
    vm_hwm_bytes: Whole | None
    rss_bytes: Whole | None
    rss_anon_bytes: Whole | None
    rss_file_bytes: Whole | None
    rss_shmem_bytes: Whole | None
    swap_bytes: Whole | None
    peak_anon_bytes: Whole | None
    peak_file_bytes: Whole | None
    peak_swap_bytes: Whole | None
    peak_rss_plus_swap_bytes: Whole | None
    samples: Whole
    rss_before_load_bytes: Whole | None
    rss_before_weights_bytes: Whole | None
    """With vocabulary and metadata read, before the first weight."""
    rss_after_load_bytes: Whole | None
    prompt_tokens: Whole
    generated_tokens: Whole


class BandwidthSeen(Value, frozen=True, tag_field="event", tag="bandwidth"):
    index: Count
    warmup: bool
    bytes: Positive
    ns: Positive
    threads: Positive
    buffer_bytes: Positive
    cpu_ns: Whole | None
    machine_busy_ns: Whole | None
    machine_steal_ns: Whole | None
    major_faults: Whole | None


class Answers(Value, frozen=True, tag_field="event", tag="answers"):
    """Where the answers of an accuracy cell and its graded items lie, relative to the run folder."""

    requests: RunFile
    answers: RunFile
    items: RunFile
    count: Count
    """Requests."""
    tokens: Count
    questions: Count = 0
    """Documents or windows that these requests ask; 0 in runs of old."""
    of: Count = 0
    """So many there are in all; more than `questions` for a shard and for a round."""
    task_versions: dict[str, str] = {}
    label: str = ""
    """What must be said beside the scores, such as that the data is a local variant."""
    reference: Name | None = None
    """Variant the distances were taken to."""
    reference_sha256: str | None = None


class CrossChecked(Value, frozen=True, tag_field="event", tag="cross_checked"):
    """Some of a cell's requests, scored again by lm-eval's own model for Hugging Face checkpoints."""

    requests: Count
    largest_nats: Annotated[float, Meta(ge=0)]
    """Largest difference of a log-likelihood."""
    mean_nats: Annotated[float, Meta(ge=0)]
    tolerance_nats: Annotated[float, Meta(ge=0)]
    itself_nats: Annotated[float, Meta(ge=0)] | None
    """Largest difference of the reference's own scores between two batch sizes; None: all computed in float32."""
    rule: str
    """Where the tolerance comes from, in words."""
    reference: str
    """What it was checked against, with versions."""


class ProcessSeen(Value, frozen=True, tag_field="event", tag="process"):
    """What the host saw of the program from outside.

    The kernel's `ru_maxrss` is left out: a child inherits its parent's peak through fork and exec, so that a
    small program started by a larger host shows the host's memory.
    """

    exit_code: Whole | None
    signal: str | None
    wall_ns: Count
    user_ns: Whole | None
    system_ns: Whole | None
    major_faults: Whole | None


class Reported(Value, frozen=True, tag_field="event", tag="reported"):
    """What another tool said of one trial; see docs/importing.md."""

    tool: str
    """With its version, where it says so."""
    values: dict[str, float]
    """Metric → value, in the unit and by the definition of this project."""
    repetitions: dict[str, tuple[float, ...]] = {}
    """The same of each repetition."""
    conditions: dict[str, str] = {}
    """By the names that runs of this project have for them."""
    told: dict[str, str] = {}
    """Everything, by the tool's own names."""


Observation = (
    Files
    | Hello
    | Opened
    | Loaded
    | Timing
    | LoadSeen
    | Stretch
    | EnergySeen
    | MemorySeen
    | BandwidthSeen
    | Answers
    | CrossChecked
    | ProcessSeen
    | Surroundings
    | ParitySeen
    | Preflight
    | Reported
)

Status = Literal[
    "ok",
    "unsupported",
    "failed",
    "timed_out",
    "oom_killed",
    "lost_device",
    "does_not_fit",
    "invalid",
    "not_needed",
]
FAILED: frozenset[str] = frozenset({"failed", "timed_out", "oom_killed", "lost_device", "invalid"})


class Environment(Value, frozen=True):
    """Conditions of one trial on its device."""

    device: Name
    facts_sha256: str
    """Of the DeviceFacts in force; those of the plan unless the run was resumed on a changed machine."""
    bench_version: str
    python: str
    runner_sha256: str | None
    load_average: float | None
    available_bytes: Whole | None
    power: str | None = None
    """`mains`, `battery`, or None where the machine does not say."""


class TrialRecord(Value, frozen=True, kw_only=True):
    """One line of records.jsonl: what one trial saw."""

    schema: Whole = SCHEMA_VERSION
    trial: str
    cell: str
    round: Whole
    status: Status
    reason: str | None
    """Why, when the status is not `ok`: one line."""
    noise: tuple[str, ...] = ()
    """What makes this trial doubtful, such as `other load 0.41 cores`."""
    observations: tuple[Observation, ...] = ()
    warmups: tuple[Observation, ...] = ()
    discards: tuple[Observation, ...] = ()
    """Timed windows that were repeated because the machine was slower; they count for nothing."""
    artifact_sha256: str | None = None
    environment: Environment | None = None
    started: str = ""
    """UTC, ISO 8601."""
    duration_ns: Whole = 0
