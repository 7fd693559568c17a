"""What is measured: one struct a kind of measure, its fields the keys of a suite file."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from harness.values.basic import Count, Name, Positive, Repetitions, Rounds, Tokens, Value

TaskName = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9._~/-][A-Za-z0-9 ._+~:/-]*$(?!\n)")]
"""A task's name, or the path of a task file."""
SHALLOW = (0, 512, 2048)
FULL = 8192
"""The standard depths: empty, short, long, and a context of 8,192 tokens that the last generated one fills."""


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
    threads: Positive | None = None
    """In place of the runtime's, for prefill and decode; None: the runtime's own."""
    idle_s: Annotated[float, Meta(ge=0, le=600)] = 0
    """How long the program sleeps before each window, which then starts from idle; 0: from the midst of work."""
    until: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Half width of an interval of a ratio from which on no more rounds are needed; None: all rounds run."""
    depths: tuple[Count, ...] | Literal["standard"] = ()
    """A measure for each; `standard`: 0, 512, 2,048, and what fills 8,192 tokens with prompt and generated ones."""
    thread_counts: tuple[Positive, ...] | Literal["each"] = ()
    """A measure for each; `each`: 1, 2, 4 … and all usable cores."""
    variants: tuple[Name, ...] | UnsetType = UNSET
    """Only these; what takes a weak baseline hours may be left out for it. Left out: all of the suite."""

    def __post_init__(self) -> None:
        if self.depths and self.depth:
            raise ValueError("`depth` and `depths` exclude each other")
        if self.thread_counts and self.threads:
            raise ValueError("`threads` and `thread_counts` exclude each other")
        if self.depths == "standard" and self.prompt_tokens + self.generated_tokens > FULL - SHALLOW[-1]:
            most = FULL - SHALLOW[-1]
            raise ValueError(f"`standard` depths leave room for {most:,} prompt and generated tokens together")
        if self.idle_s and self.discards:
            raise ValueError("a window from idle cannot be repeated: `discards` must be 0 with `idle_s`")

    @property
    def plain(self) -> bool:
        """Whether it is no part of a sweep and starts from the midst of work."""
        return self.depth == 0 and self.threads is None and not self.idle_s

    @property
    def label(self) -> str:
        depth = f" d{self.depth}" if self.depth else ""
        threads = f" t{self.threads}" if self.threads else ""
        idle = f" idle{self.idle_s:g}s" if self.idle_s else ""
        return f"p{self.prompt_tokens}+g{self.generated_tokens}{depth}{threads}{idle}"


class Load(Value, frozen=True, tag_field="kind", tag="load"):
    """From a file that was dropped from the page cache, or is whole in it, to a ready context."""

    cold: bool = True
    context: Tokens = 1024
    load_mode: Literal["none", "mmap"] = "none"
    rounds: Rounds = 5

    @property
    def label(self) -> str:
        return f"{'cold' if self.cold else 'warm'} {'no-mmap' if self.load_mode == 'none' else 'mmap'}"


class Sustained(Value, frozen=True, tag_field="kind", tag="sustained"):
    """Prefill and decode again and again without a pause, and what energy that takes."""

    prompt_tokens: Tokens = 64
    generated_tokens: Annotated[int, Meta(ge=2, le=1 << 24)] = 64
    context: Tokens = 1024
    seconds: Annotated[float, Meta(ge=1, le=7200)] = 300
    """Of work; energy needs 300."""
    idle_s: Annotated[float, Meta(ge=0, le=600)] = 30
    """How long the loaded program sleeps before, so that the idle machine's power can be subtracted."""
    rounds: Rounds = 3
    variants: tuple[Name, ...] | UnsetType = UNSET
    """Of these alone; unset: of all."""

    @property
    def label(self) -> str:
        return f"p{self.prompt_tokens}+g{self.generated_tokens} {self.seconds:g}s"


def is_task_file(name: str) -> bool:
    """Whether a task is named by a file and not by a name."""
    return "/" in name or name.endswith((".yaml", ".yml"))


class Task(Value, frozen=True, tag_field="kind", tag="task"):
    """An lm-eval task, scored on the artifact that was timed."""

    task: TaskName
    """A name of the table or of lm-eval, or the path of a task file, which a plan has absolute."""
    limit: Positive | None = None
    """Questions in all, drawn by the suite's seed; None: the whole set."""
    fewshot: Count | None = None
    """None: the task's own number."""
    context: Tokens | None = None
    """Longer prompts are cut. None: as much as the longest question needs, at most what the model was trained for;
    rolling windows then have 2,048 tokens."""
    chat: bool | None = None
    """Whether prompts go through the model's chat template, few-shot examples as turns; None: as the task says."""
    until: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Half width of the paired interval of the difference from which on no more questions are asked, as a share
    (0.01: one point); None: all are asked."""
    variants: tuple[Name, ...] | UnsetType = UNSET
    """Only these; left out: all of the suite."""

    @property
    def label(self) -> str:
        shots = "" if self.fewshot is None else f" {self.fewshot}-shot"
        chat = {None: "", True: " chat", False: " plain"}[self.chat]
        limit = "" if self.limit is None else f" n≤{self.limit}"
        name = self.task.rpartition("/")[2] if is_task_file(self.task) else self.task
        return f"{name}{shots}{chat}{limit}" + ("" if self.until is None else f" until ±{100 * self.until:g}pt")


class Text(Value, frozen=True, tag_field="kind", tag="text"):
    """Perplexity of a text, and the distance to a reference variant's distribution."""

    text: Name
    window: Annotated[int, Meta(ge=16, le=1 << 24)] = 512
    """Tokens of one window; windows do not overlap and each starts with an empty cache."""
    positions: Positive = 1024
    """How many positions are compared with the reference, drawn by the suite's seed."""
    reference: Name | None = None
    """Variant whose distribution is the reference; None: the suite's first baseline."""
    variants: tuple[Name, ...] | UnsetType = UNSET
    """Only these; left out: all of the suite."""

    @property
    def label(self) -> str:
        return f"{self.text} w{self.window}"


Timed = Bandwidth | Memory | Speed | Load | Sustained
"""Workloads of several rounds."""
Warmed = Bandwidth | Speed | Load | Sustained
"""Workloads whose values depend on how warm the device is."""
Prompted = Memory | Speed | Sustained
"""Workloads that prefill the published text's head and decode."""
Workload = Size | Bandwidth | Memory | Speed | Load | Sustained | Task | Text


def only_for(load: Workload) -> tuple[Name, ...]:
    """Variants that a measure is restricted to; empty: all."""
    only = getattr(load, "variants", UNSET)
    return () if only is UNSET else tuple(only)
