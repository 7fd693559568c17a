"""Conditions: what a stranger must know to measure a figure again, and what is not said."""

from collections.abc import Iterator

from harness.analyse.audit.figures import title
from harness.analyse.audit.findings import Finding
from harness.analyse.audit.intervals import listed
from harness.metrics import Kind
from harness.published import CONDITIONS, ClaimFile, PublishedCondition, published_metric

ACCURACY = "acc"
"""Stands for all tasks, whose measures have names of the publication."""
_MEMORY: tuple[Kind, ...] = ("memory",)
_SPEED: tuple[Kind, ...] = ("speed",)
_RUNNING: tuple[Kind, ...] = ("memory", "speed")

BINDS: dict[str, tuple[Kind, ...]] = {
    "device": _SPEED,
    "runtime": _RUNNING,
    "format": ("exact",),
    "weights": ("accuracy",),
    "protocol": ("accuracy",),
    "prompt_tokens": _RUNNING,
    "generated_tokens": _RUNNING,
    "context": _RUNNING,
    "batch": _RUNNING,
    "threads": _SPEED,
    "kv_type": _RUNNING,
    "repetitions": _SPEED,
    "dispersion": ("speed", "accuracy"),
    "warmups": _SPEED,
    "thermal": _SPEED,
    "os": _RUNNING,
    "memory_definition": _MEMORY,
}
"""Condition → kinds of metric that mean nothing without it."""
_NOT_BOUND = {("generated_tokens", "prefill_tok_s"), ("generated_tokens", "ttft_s")}


def conditions(file: ClaimFile) -> Iterator[Finding]:
    """One finding for each condition that is unknown, missing or only documented elsewhere."""
    for name, words in CONDITIONS.items():
        bound = _bound(file, name)
        said = {metric: _said(file, name, metric) for metric in bound}
        unknown = [metric for metric, one in said.items() if one is None or one.status == "unknown"]
        if unknown:
            yield Finding(
                rule="conditions",
                verdict="not stated",
                sentence=f"Not stated: {words}. It binds {_named(unknown)}.",
            )
        documented = {m: one for m, one in said.items() if one is not None and one.status == "documented"}
        for value in dict.fromkeys((one.value, one.source) for one in documented.values()):
            metrics = [m for m, one in documented.items() if (one.value, one.source) == value]
            source = file.sources[value[1]].title if value[1] else "another place"
            yield Finding(
                rule="conditions",
                verdict="note",
                sentence=f"{words[0].upper()}{words[1:]}: {value[0]} after {source}, not proven for the figures "
                f"({_named(metrics)}).",
            )


def _bound(file: ClaimFile, name: str) -> list[str]:
    """The metrics of this file that a condition binds."""
    metrics = dict.fromkeys([*file.columns, *(claim.metric for claim in file.claims.values())])
    if file.tasks:
        metrics[ACCURACY] = None
    found = []
    for metric in metrics:
        known = published_metric(metric)
        if known and known.unit != "tokens" and known.kind in BINDS[name] and (name, metric) not in _NOT_BOUND:
            found.append(metric)
    return found


def _said(file: ClaimFile, name: str, metric: str) -> PublishedCondition | None:
    """What is said for this metric goes before what is said for all."""
    here = [one for one in file.conditions if one.name == name]
    own = [one for one in here if metric in one.metrics]
    return next(iter(own or [one for one in here if not one.metrics]), None)


def _named(metrics: list[str]) -> str:
    return listed(["accuracy" if metric == ACCURACY else title(metric).lower() for metric in metrics])
