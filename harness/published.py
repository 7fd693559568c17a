"""The values of a claim file (`suites/claims/*.yaml`): what somebody published, as it was printed.

A figure is kept as text, because its last digit says how well it is known: `7.6` is anything from 7.55 to
7.65. Nothing here is measured, and nothing is judged: `analyse/audit` recomputes, `analyse/verdicts` judges.
"""

import re
from typing import Annotated, Literal

from msgspec import Meta

from harness.metrics import METRICS, Metric
from harness.values import Count, Name, Positive, Value, Whole

FIGURE = r"^-?\d{1,3}(,\d{3})*(\.\d+)?$|^-?\d+(\.\d+)?$"
URL = r"^https?://[^\s<>\"']+$"
Figure = Annotated[str, Meta(pattern=FIGURE, max_length=24)]
"""A number as printed, such as `3,185` or `19.2`."""
Points = Annotated[str, Meta(pattern=r"^[-+]\d{1,3}(\.\d{1,12})?$")]
Url = Annotated[str, Meta(pattern=URL)]
Filled = Annotated[str, Meta(min_length=1)]

UNITS: dict[str, float] = {
    "bytes": 1.0,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    "s": 1.0,
    "ms": 1e-3,
    "tok/s": 1.0,
    "fraction": 1.0,
    "%": 0.01,
    "tokens": 1.0,
    "characters": 1.0,
}
"""Printed unit → how many of the metric's own unit."""

PUBLISHED_ONLY: dict[str, Metric] = {
    "context_tokens": Metric(
        name="context_tokens",
        title="Context",
        unit="tokens",
        better="higher",
        kind="exact",
        definition="Tokens of context that a publication says its model supports; never measured here.",
    )
}
"""What publications state and bench does not measure."""

Form = Literal["equals", "at_least", "at_most", "range"]
Expression = Literal["reduction", "times", "value", "points"]
Status = Literal["stated", "documented", "unknown"]
"""`documented`: found in the publisher's recipe, not proven for the figures."""
Aggregation = Literal["mean", "pooled", "each", "lowest", "highest"]

CONDITIONS: dict[str, str] = {
    "device": "device",
    "runtime": "runtime",
    "format": "file format",
    "weights": "weights",
    "protocol": "protocol of the evaluation",
    "prompt_tokens": "prompt length",
    "generated_tokens": "generated tokens",
    "context": "allocated context",
    "batch": "batch",
    "threads": "threads",
    "kv_type": "KV cache type",
    "repetitions": "repetitions",
    "dispersion": "dispersion",
    "warmups": "warm-ups",
    "thermal": "thermal state",
    "os": "operating system build",
    "memory_definition": "definition of memory",
}
"""Conditions that a publication may state, by name, in words."""


class Source(Value, frozen=True):
    """Where something was published."""

    title: Filled
    url: Url
    date: str = ""


class PublishedModel(Value, frozen=True, kw_only=True):
    """The shape of a Llama-like model: enough to compute its parameters and the size of every scheme."""

    title: Filled
    parameters: Positive
    hidden: Positive
    intermediate: Positive
    layers: Positive
    heads: Positive
    kv_heads: Positive
    head: Positive
    vocabulary: Positive
    tied: bool
    """Whether the 16-bit model's output layer is its embedding table."""
    biases: bool = False
    """Whether query, key and value projections have biases (as in Qwen 2)."""


class Scheme(Value, frozen=True, kw_only=True):
    """How weights are stored, in bits a weight."""

    title: Filled
    linear_bits: Positive
    group: Positive | None = None
    """Weights that share one scale; None: a scale a row (or none at all for floats)."""
    scale_bits: Count = 0
    embedding_bits: Positive
    output_bits: Positive | None = None
    """None: the output layer is the embedding table, stored once."""
    row_scale_bits: Count = 0
    """Bits of the scale a row of embedding and output layer."""
    lora_rank: Count = 0
    lora_bits: Count = 0
    norm_bits: Positive = 32


class PublishedDevice(Value, frozen=True):
    title: Filled
    memory_bandwidth_bytes_s: Annotated[float, Meta(gt=0)] | None = None
    """Theoretical, of the memory's data sheet."""
    source: Name | None = None


class PublishedCondition(Value, frozen=True, kw_only=True):
    """A condition, for these metrics or for all that it binds."""

    name: str
    status: Status
    value: str | Whole | float | None = None
    source: Name | None = None
    metrics: tuple[str, ...] = ()


class Column(Value, frozen=True):
    """One metric of the table of figures."""

    unit: str
    inverse_of: str | None = None
    """Metric that the publication calls the inverse of this one."""


class PublishedRow(Value, frozen=True, kw_only=True):
    """One variant of one model, with its figures as printed."""

    model: Name | None = None
    """None: its shape is not known."""
    scheme: Name | None = None
    title: str = ""
    baseline: Name | None = None
    control: bool = False
    """Whether it is the plain compression that others are to improve on, shown beside them for comparison."""
    values: dict[str, Figure] = {}
    changes: dict[str, str] = {}
    """Metric → the printed change against the baseline, such as `2.6x` or `-76.9%`."""


class PublishedTask(Value, frozen=True, kw_only=True):
    """One line of a table of accuracy: a figure for each row that has one."""

    name: Filled
    measure: Filled
    """What is averaged, in the publication's words, such as `macro_avg/acc`."""
    shots: Count | None = None
    task: str | None = None
    """lm-eval's name of the nearest task, where there is one."""
    protocol: str = ""
    unit: str = "%"
    values: dict[Name, Figure | None]
    changes: dict[Name, Points] = {}
    """Row → the printed difference from its baseline, in points, such as `-3.5`."""
    mean_of: tuple[Filled, ...] = ()
    """Tasks of this file that this line is called the mean of; empty: it is a task of its own."""


class Original(Value, frozen=True, kw_only=True):
    """What the source of a report in the press says itself."""

    source: Name
    printed: Filled
    figure: Figure | None = None
    """In the claim's own expression; None where the source gives no figure for it."""
    to: Figure | None = None
    """Upper end, where the source prints a range."""
    unit: str | None = None
    difference: str = ""
    """In our words; empty where the press says the same."""


class Claim(Value, frozen=True, kw_only=True):
    """A figure that somebody stands for."""

    source: Name
    statement: Filled
    """In our words."""
    printed: Filled
    """The figure as printed, such as `56%` or `more than two times`."""
    metric: str
    expressed: Expression
    """`reduction`: percent less than the baseline; `times`: how many times better; `points`: difference of
    two percentages; `value`: the metric itself."""
    figure: Figure
    to: Figure | None = None
    """Upper end of a `range`."""
    unit: str | None = None
    """Of a `value`."""
    rows: tuple[Name, ...]
    form: Form = "equals"
    aggregation: Aggregation | None = None
    """Over several rows; None: the publication does not say."""
    tolerance: Annotated[float, Meta(ge=0)] = 0.0
    """In printed units; half a unit of the last printed digit holds at least."""
    task: str | None = None
    must_hold: bool = False
    original: Original | None = None


class ClaimFile(Value, frozen=True, kw_only=True):
    """Everything that one publication claims, with names resolved."""

    name: Name
    title: Filled
    sources: dict[Name, Source]
    models: dict[Name, PublishedModel] = {}
    schemes: dict[Name, Scheme] = {}
    device: PublishedDevice | None = None
    conditions: tuple[PublishedCondition, ...] = ()
    columns: dict[str, Column] = {}
    rows: dict[Name, PublishedRow] = {}
    tasks: tuple[PublishedTask, ...] = ()
    claims: dict[Name, Claim] = {}
    file: str = ""
    """Name of the file it was read from."""


class Printed(Value, frozen=True):
    """A figure and all values that are printed like it, in the metric's own unit."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


def printed(figure: str, scale: float = 1.0) -> Printed:
    """The interval of values that round to the figure: half a unit of its last digit to either side."""
    text = figure.replace(",", "")
    decimals = len(text.partition(".")[2])
    half = 0.5 * 10.0**-decimals
    value = float(text)
    return Printed(value=value * scale, low=(value - half) * scale, high=(value + half) * scale)


_CHANGE = re.compile(r"^(?P<sign>[-+−]?)(?P<figure>\d{1,12}(?:\.\d{1,12})?)\s*(?P<kind>[x×%])$")


def printed_change(text: str) -> tuple[Literal["times", "percent"], Printed]:
    """`2.6x` → times; `-76.9%` → percent (signed, in percent).

    Raises:
        ValueError: it is neither.
    """
    found = _CHANGE.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no change such as 2.6x or -76.9%")
    one = printed(found["figure"])
    if found["kind"] != "%":
        if found["sign"]:
            raise ValueError(f"{text!r}: a factor has no sign")
        return "times", one
    if found["sign"] in ("-", "−"):
        one = Printed(value=-one.value, low=-one.high, high=-one.low)
    return "percent", one


def published_metric(name: str) -> Metric | None:
    """The metric of a claim or column, or None for a name that nobody knows."""
    return METRICS.get(name) or PUBLISHED_ONLY.get(name)


def scale_of(metric: Metric, unit: str) -> float | None:
    """How many of the metric's own unit are in one printed unit; None where they cannot be converted."""
    kinds = (
        {"bytes", "kB", "MB", "GB", "KiB", "MiB", "GiB"},
        {"s", "ms"},
        {"tok/s"},
        {"fraction", "%"},
        {"tokens", "characters"},
    )
    if any(metric.unit in kind and unit in kind for kind in kinds):
        return UNITS[unit]
    return None
