"""How long a plan will take on a phone, reckoned before anything was measured there. Pure.

Rough on purpose: what a phone's cores and memory can do at most, times what of it llama.cpp usually reaches, a
cool-down before each timed program, and what comes before the first number: files travel, builds take turns, kernels
and artifacts are checked. It answers whether a run takes one hour or ten, and is no prediction of speed.
"""

from collections.abc import Collection, Iterable, Sequence

from msgspec import UNSET

from harness.measure import choosing, kernel_check, parity
from harness.measure.plan import rounds_of
from harness.values import (
    Bandwidth,
    Cell,
    DeviceFacts,
    DeviceSpec,
    Load,
    Memory,
    Model,
    PhoneFacts,
    PhoneSpec,
    Plan,
    RandomSource,
    Size,
    Speed,
    Sustained,
    Task,
    Text,
    Value,
    Variant,
    Warmed,
)

BANDWIDTH_SHARE = 0.5
"""Of the memory's theoretical bandwidth that decoding reaches."""
USUAL_GB_S = 30.0
"""Of a phone whose memory bandwidth is not known."""
USUAL_KHZ = 2_000_000
STORAGE_BYTES_S = 1.0e9
OPERATIONS_A_CYCLE = {"bf16": 1.0, "f16": 6.0, "quantized": 16.0}
"""Of one large core in a prefill: llama.cpp has no Arm kernel for BF16, and adds its products one by one."""
BITS = {"q8_0": 8.5, "q4_0": 4.5, "int4": 4.5, "spinquant": 4.5, "qlora": 5.0, "bf16": 16.0, "f16": 16.0}
PUSH_BYTES_S = 40e6
"""By a cable of USB 2, which most phones come with."""
BUILDS = 3
"""That take turns where none is named."""
START_S = 3.0
"""Pushing a job, starting its program, fetching what it wrote."""
BANDWIDTH_S = 15.0
CACHE_BYTES = 0.5e9
"""Beside the weights."""
AVAILABLE_SHARE = 0.6
"""Of a phone's memory that programs can have while nothing else runs."""
ROOM = 1.3
TASKS: dict[str, tuple[int, int]] = {"knowledge_200": (200, 30)}
"""Task → questions, tokens a question."""
OTHER_TASK = (1000, 400)
TEXTS = {"text_5000": 5000}


class TimeExpected(Value, frozen=True):
    """Of one device's part of a plan. All rounds are counted: what ends early takes less."""

    device: str
    trials: int
    work_s: float
    cool_down_s: float
    """At the least that is waited before each timed program."""
    cool_down_most_s: float
    """The same on a phone that does not cool, or whose sensors cannot be read: no program waits longer."""
    prepare_s: float
    """Before the first number: to bring the files, choose a build, check its kernels and each artifact. Less where
    the phone has the files or the kernels were checked before."""
    too_large: tuple[str, ...] = ()
    """Variants that will hardly fit its memory: they take no time."""
    unknown: tuple[str, ...] = ()
    """Variants whose size is not known: their work is not counted."""

    @property
    def total_s(self) -> float:
        return self.prepare_s + self.work_s + self.cool_down_s

    @property
    def most_s(self) -> float:
        return self.prepare_s + self.work_s + self.cool_down_most_s


def expected_times(plan: Plan) -> tuple[TimeExpected, ...]:
    """One entry for each phone of the plan."""
    phones = [spec for spec in plan.suite.devices if isinstance(spec.phone, PhoneSpec)]
    return tuple(_of_phone(plan, spec, plan.facts[spec.name]) for spec in phones)


def _of_phone(plan: Plan, spec: DeviceSpec, facts: DeviceFacts) -> TimeExpected:
    phone = spec.phone
    assert isinstance(phone, PhoneSpec)
    variants = {v.name: v for v in plan.suite.variants}
    sizes = {name: weight_bytes(v) for name, v in variants.items()}
    too_large = [name for name, size in sizes.items() if size is not None and not _fits(size, facts)]
    work, cooled, trials = 0.0, 0, 0
    for cell in plan.cells:
        if cell.device != spec.name or cell.unsupported is not None:
            continue
        rounds = rounds_of(cell)
        trials += rounds
        if isinstance(cell.workload, Size) or cell.variant in too_large:
            continue
        if isinstance(cell.workload, Warmed):
            cooled += rounds
        variant = variants[cell.variant] if cell.variant else None
        work += rounds * (START_S + _trial_s(cell, variant, phone, facts))
    unknown = tuple(name for name, size in sizes.items() if size is None)
    brought = _brought(plan, spec, too_large)
    asking = {c.variant for c in plan.cells if c.device == spec.name and isinstance(c.workload, Task | Text)}
    asked = {_kind(v) for v in brought if v.name in asking}
    return TimeExpected(
        device=spec.name,
        trials=trials,
        work_s=work,
        cool_down_s=cooled * phone.cool_down.least_s,
        cool_down_most_s=cooled * phone.cool_down.most_s,
        prepare_s=_prepare_s(brought, asked, phone, facts),
        too_large=tuple(too_large),
        unknown=unknown,
    )


def _brought(plan: Plan, spec: DeviceSpec, too_large: Collection[str]) -> list[Variant]:
    """Variants that are measured on the phone, and are known to fit."""
    cells = [c for c in plan.cells if c.device == spec.name and c.unsupported is None and c.runtime is not None]
    wanted = {c.variant for c in cells} - set(too_large)
    return [v for v in plan.suite.variants if v.name in wanted and weight_bytes(v) is not None]


def _prepare_s(variants: Sequence[Variant], asked: Collection[str], phone: PhoneSpec, facts: DeviceFacts) -> float:
    """`asked`: kinds of weights that answer questions in the plan."""
    if not variants:
        return 0.0
    push_s = sum(weight_bytes(v) or 0.0 for v in variants) / PUSH_BYTES_S
    prompts_s = sum(_prefill_s(v, facts) * parity.PROMPTS * parity.PROMPT_TOKENS for v in variants)
    smallest = {_kind(v): v for v in sorted(variants, key=_size_order, reverse=True)}
    questions, tokens = TASKS[kernel_check.QUESTIONS]
    checked = [v for kind, v in smallest.items() if kind in asked] or list(smallest.values())[-1:]
    questions_s = sum(_prefill_s(v, facts) * questions * tokens for v in checked)
    turns = choosing.ROUNDS * BUILDS if phone.runner == "auto" else 0
    window_s = [
        choosing.PROMPT_TOKENS * _prefill_s(v, facts) + choosing.GENERATED_TOKENS * _token_s(v, phone, facts)
        for v in _chosen_by(smallest.values())
    ]
    turns_s = turns * sum(START_S + choosing.WINDOWS * one for one in window_s)
    return push_s + prompts_s + questions_s + turns_s


def _chosen_by(smallest: Iterable[Variant]) -> list[Variant]:
    """A build is chosen by the smallest file of 16 bits and the smallest of fewer."""
    ordered = sorted(smallest, key=_size_order, reverse=True)
    return list({_bits(v) == 16.0: v for v in ordered}.values())


def _size_order(variant: Variant) -> tuple[float, bool]:
    """As `harness.measure.trust` orders files."""
    return weight_bytes(variant) or 0.0, _kind(variant) == "bf16"


def _kind(variant: Variant) -> str:
    return str(variant.settings.get("weights", variant.recipe))


def weight_bytes(variant: Variant) -> float | None:
    """About how large its weights are; None where nobody says how many there are."""
    count = _parameters(variant.model)
    return None if count is None else count * _bits(variant) / 8


def _parameters(model: Model) -> int | None:
    if model.parameters is not UNSET:
        return int(model.parameters)
    shape = model.source
    if not isinstance(shape, RandomSource) or shape.vocabulary is None:
        return None
    head = shape.head or shape.embedding // shape.heads
    attention = 2 * shape.embedding * head * (shape.heads + shape.kv_heads)
    return shape.vocabulary * shape.embedding + shape.layers * (attention + 3 * shape.embedding * shape.feed_forward)


def _bits(variant: Variant) -> float:
    return BITS.get(_kind(variant), 16.0)


def _fits(size: float, facts: DeviceFacts) -> bool:
    if facts.memory_bytes is None:
        return True
    return ROOM * (size + CACHE_BYTES) <= AVAILABLE_SHARE * facts.memory_bytes


def _trial_s(cell: Cell, variant: Variant | None, phone: PhoneSpec, facts: DeviceFacts) -> float:
    """One program from its start to its end."""
    load = cell.workload
    if variant is None:
        return BANDWIDTH_S
    size = weight_bytes(variant)
    if size is None:
        return 0.0
    prefill_s, token_s = _prefill_s(variant, facts), _token_s(variant, phone, facts)
    read_s = size / STORAGE_BYTES_S
    match load:
        case Speed():
            window = load.prompt_tokens * prefill_s + (load.generated_tokens - 1) * token_s + load.idle_s
            return read_s + load.depth * prefill_s + (load.repetitions + load.warmups) * window
        case Memory():
            return read_s + load.prompt_tokens * prefill_s + load.generated_tokens * token_s
        case Sustained():
            return read_s + load.seconds + load.idle_s
        case Load():
            return read_s
        case Task():
            questions, tokens = TASKS.get(load.task, OTHER_TASK)
            asked = min(load.limit or questions, questions) / rounds_of(cell)
            return read_s + asked * tokens * prefill_s
        case Text():
            return read_s + TEXTS.get(load.text, 5000) * prefill_s
        case Bandwidth() | Size():
            return 0.0


def _prefill_s(variant: Variant, facts: DeviceFacts) -> float:
    """A token of a prompt; 0 where the model's size is not known."""
    return 2 * (_parameters(variant.model) or 0) / _operations_s(variant, facts)


def _token_s(variant: Variant, phone: PhoneSpec, facts: DeviceFacts) -> float:
    """A generated token."""
    return max((weight_bytes(variant) or 0.0) / _read_bytes_s(phone), _prefill_s(variant, facts))


def _operations_s(variant: Variant, facts: DeviceFacts) -> float:
    weights = _kind(variant)
    kind = "f16" if weights == "f16" else "quantized" if weights in ("q4_0", "q8_0") else "bf16"
    return OPERATIONS_A_CYCLE[kind] * sum(_clocks_hz(facts))


def _clocks_hz(facts: DeviceFacts) -> Iterable[float]:
    """Of each core that is used, the fastest first."""
    seen = facts.phone
    clusters = seen.clusters if isinstance(seen, PhoneFacts) else ()
    known = [1000.0 * (c.max_khz or USUAL_KHZ) for c in clusters for _ in c.cpus]
    usual = [1000.0 * USUAL_KHZ] * facts.cores
    return sorted([*known, *usual] if len(known) < facts.cores else known, reverse=True)[: facts.cores]


def _read_bytes_s(phone: PhoneSpec) -> float:
    known = phone.memory_bandwidth
    return 1e9 * (known.gb_s * BANDWIDTH_SHARE if known else USUAL_GB_S * BANDWIDTH_SHARE)
