"""Which conditions bind a metric, and whether they are here what they were in the publication."""

from collections.abc import Callable, Sequence

from harness.analyse.conditions import CONTEXT
from harness.analyse.verdicts.places import Place, same_word
from harness.analyse.verdicts.values import ConditionCheck
from harness.metrics import Kind
from harness.published import CONDITIONS, ClaimFile, PublishedCondition, PublishedModel
from harness.values import Load, Prompted, Task, Workload

BINDING: dict[Kind, tuple[str, ...]] = {
    "exact": ("format",),
    "memory": ("format", "runtime", "prompt_tokens", "context", "kv_type"),
    "speed": ("device", "runtime", "prompt_tokens", "threads"),
    "energy": ("device", "runtime", "prompt_tokens", "threads"),
    "accuracy": ("weights", "protocol"),
    "distance": ("weights", "protocol"),
}
BINDING_OF_METRIC: dict[str, tuple[str, ...]] = {"kv_cache_bytes": ("context", "kv_type")}
"""In place of its kind's: exact, but not of the file."""
"""Kind of metric → the published conditions that decide whether it may be compared; scheme and shape always do."""


def binding(file: ClaimFile, metric: str, kind: Kind) -> list[PublishedCondition]:
    """The publication's conditions that bind this metric, one a name, in order of weight.

    One that is meant for this metric goes before one that is meant for all.
    """
    found = []
    for name in BINDING_OF_METRIC.get(metric, BINDING.get(kind, ())):
        mine = [c for c in file.conditions if c.name == name and metric in c.metrics]
        everyones = [c for c in file.conditions if c.name == name and not c.metrics]
        found.append((mine or everyones or [PublishedCondition(name=name, status="unknown")])[0])
    return found


def check_conditions(
    place: Place, workload: str, published: Sequence[PublishedCondition], model: PublishedModel | None
) -> tuple[ConditionCheck, ...]:
    """Shape and scheme first, then the publication's own conditions."""
    load = place.run.workloads.get(workload)
    checks = [_shape(place, model), _scheme(place)]
    for one in published:
        here = _HERE[one.name](place, load) if one.name in _HERE else None
        agrees = None if one.value is None or here is None else _agrees(one, here)
        said = None if one.value is None else str(one.value)
        name = CONDITIONS[one.name]
        checks.append(ConditionCheck(name=name, published=said, status=one.status, here=here, agrees=agrees))
    return tuple(checks)


def _agrees(condition: PublishedCondition, here: str) -> bool | None:
    if condition.name == "weights":  # whether other weights are the published ones, no label can prove
        return False if any(word in here.lower() for word in ("random", "stand-in")) else None
    if isinstance(condition.value, int | float):
        return here.replace(",", "") == str(condition.value)
    return same_word(str(condition.value), here)


def _shape(place: Place, model: PublishedModel | None) -> ConditionCheck:
    """By the count of parameters of the variant's first baseline, whose layout is the published one."""
    names = place.variant.baselines or (place.variant.name,)
    seen = next((a for a in place.report.artifacts if (a.run, a.variant) == (place.run.id, names[0])), None)
    here = None if seen is None or seen.parameters is None else seen.parameters
    wanted = model.parameters if model else None
    return ConditionCheck(
        name="parameters",
        published=None if wanted is None else f"{wanted:,}",
        status="unknown" if wanted is None else "stated",
        here=None if here is None else f"{here:,}",
        agrees=None if wanted is None or here is None else here == wanted,
    )


def _scheme(place: Place) -> ConditionCheck:
    differs = place.stands.differs
    return ConditionCheck(
        name="scheme", published="as published", status="stated", here=differs or "the same", agrees=not differs
    )


def _device(place: Place, _load: Workload | None) -> str:
    seen = next(d for d in place.run.devices if d.name == place.device)
    facts = seen.facts
    names = [seen.title or seen.name]
    if facts is not None:
        names += [one for one in (facts.model, facts.cpu) if "unknown" not in one.lower()]
    return ", ".join(dict.fromkeys(names))


def _format(place: Place, _load: Workload | None) -> str | None:
    artifact = place.artifact
    if artifact is None or not artifact.files:
        return None
    return artifact.files[0].name.rpartition(".")[2] or None


def _weights(place: Place, _load: Workload | None) -> str:
    return place.variant.label or "released"


def _seen(name: str) -> Callable[[Place, Workload | None], str | None]:
    def value(place: Place, _load: Workload | None) -> str | None:
        for one in place.report.conditions:
            if (one.run, one.device, one.runtime, one.name) == (place.run.id, place.device, place.runtime, name):
                return "; ".join(dict.fromkeys(v.value for v in one.values))
        return None

    return value


def _prompt(_place: Place, load: Workload | None) -> str | None:
    return str(load.prompt_tokens) if isinstance(load, Prompted) else None


def _context(place: Place, load: Workload | None) -> str | None:
    return str(load.context) if isinstance(load, Prompted | Load) else _seen(CONTEXT)(place, load)


def _protocol(_place: Place, load: Workload | None) -> str | None:
    return f"lm-eval {load.label}" if isinstance(load, Task) else None


_HERE: dict[str, Callable[[Place, Workload | None], str | None]] = {
    "device": _device,
    "runtime": lambda place, _load: place.runtime,
    "format": _format,
    "weights": _weights,
    "prompt_tokens": _prompt,
    "context": _context,
    "kv_type": _seen("KV cache type"),
    "threads": _seen("decode threads"),
    "protocol": _protocol,
}
