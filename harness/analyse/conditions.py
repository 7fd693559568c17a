"""Under which conditions the numbers of a run hold, and in which of them several runs differ."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from harness.analyse.cells import SeenCell
from harness.analyse.findings import (
    ArtifactSeen,
    Condition,
    ConditionValue,
    DeviceSeen,
    Differing,
    RunSeen,
    VariantSeen,
)
from harness.analyse.phone_conditions import before_runs, of_phone, of_surroundings
from harness.analyse.trials import has_random_weights, observed
from harness.store import Run
from harness.values import (
    Answers,
    CrossChecked,
    DeviceFacts,
    Files,
    Hello,
    Loaded,
    Opened,
    Reported,
    Suite,
    Surroundings,
    Timing,
    TrialRecord,
    Variant,
)

CPUS = "CPUs that threads ran on"
MOVED = "threads that changed their CPU"
WAITING = "threads waiting for a CPU"
CHECKED = "cross-check"
BEFORE = "before the run"
MEASURED = frozenset({CPUS, MOVED, WAITING, CHECKED, BEFORE})
"""Seen anew by each run, and so never alike: no condition that tells two runs apart."""
CONTEXT = "allocated context (tokens)"
LOADED = {
    "context": CONTEXT,
    "batch": "batch",
    "ubatch": "micro-batch",
    "threads": "decode threads",
    "threads_batch": "prefill threads",
    "load_mode": "load mode",
    "repack": "weights repacked",
    "kv_type": "KV cache type",
    "flash_attn": "flash attention",
}
OPENED = {
    "dtype": "computed in",
    "device": "processor",
    "context": CONTEXT,
    "threads": "threads",
    "prefix_sharing": "shared prefixes once",
    "cpu_capability": "CPU instructions that torch uses",
}
FACTS = {
    "model": "machine",
    "os": "operating system",
    "arch": "architecture",
    "cpu": "CPU",
    "logical_cpus": "logical CPUs",
    "usable_cores": "usable physical cores",
    "memory_bytes": "memory",
    "llc_bytes": "last-level cache",
    "virtual": "hypervisor",
    "governor": "frequency governor",
    "host_hash": "host (hash)",
}


def see_run(run: Run, cells: Sequence[SeenCell]) -> RunSeen:
    """The run's own facts, without anything that names a place on the machine that measured."""
    plan = run.plan
    started = sorted(r.started for r in run.records if r.started)
    planned = {trial.id for trial in plan.trials}
    measured = len(planned & {r.trial for r in run.records})
    return RunSeen(
        id=run.id,
        suite=plan.suite.name,
        title=plan.suite.title,
        source=plan.suite.source,
        seed=plan.suite.seed,
        command=plan.command,
        bench_version=plan.bench_version,
        started=started[0] if started else "",
        ended=started[-1] if started else "",
        trials=len(planned),
        measured=measured,
        complete=measured == len(planned),
        baselines=plan.suite.baselines,
        variants=tuple(_variant(v, plan.suite) for v in plan.suite.variants),
        runtimes=tuple(r.name for r in plan.suite.runtimes),
        devices=tuple(
            DeviceSeen(name=d.name, kind=d.kind, title=d.title, facts=plan.facts.get(d.name))
            for d in plan.suite.devices
        ),
        workloads={seen.workload: seen.cell.workload for seen in cells},
        families=plan.suite.families(),
        claims=plan.suite.claims,
    )


def conditions(run: Run, cells: Sequence[SeenCell]) -> list[Condition]:
    """Of every device and runtime of the run, each condition with all its values and where they hold."""
    found: list[Condition] = []
    settings = dict.fromkeys((s.cell.device, s.runtime) for s in cells if s.runtime is not None)
    for device, runtime in settings:
        here = [s for s in cells if (s.cell.device, s.runtime) == (device, runtime)]
        values: dict[str, list[tuple[SeenCell, str]]] = defaultdict(list)
        for seen in here:
            for record in seen.counted:
                for name, value in _of_record(record).items():
                    values[name].append((seen, value))
        facts = run.plan.facts.get(device)
        spec = next((one for one in run.plan.suite.devices if one.name == device), None)
        for name, value in {
            **(of_facts(facts) if facts else {}),
            **of_phone(spec, facts),
            "seed of rounds and questions": str(run.plan.suite.seed),
        }.items():
            found.append(_condition(run.id, device, runtime, name, (ConditionValue(value=value, where=""),)))
        found += [_condition(run.id, device, runtime, name, _where(pairs)) for name, pairs in values.items()]
        if looked_at := before_runs(run, device):
            found.append(_condition(run.id, device, runtime, BEFORE, looked_at))
        for name, value in _placement(here).items():
            found.append(_condition(run.id, device, runtime, name, (ConditionValue(value=value, where=""),)))
    return found


def _placement(cells: Sequence[SeenCell]) -> dict[str, str]:
    """Where the model's threads ran in all timed windows together: an allowed mask is no placement."""
    threads = [t for seen in cells for timing in observed(seen.counted, Timing) for t in timing.threads]
    if not threads:
        return {}
    moved = sum(t.cpu_before != t.cpu_after for t in threads) / len(threads)
    waits = [t for t in threads if t.wait_ns is not None and t.run_ns is not None]
    found = {
        CPUS: ", ".join(map(str, sorted({cpu for t in threads for cpu in (t.cpu_before, t.cpu_after)}))),
        MOVED: f"{moved:.0%} of their windows",
    }
    if waits:
        share = sum(t.wait_ns or 0 for t in waits) / max(1, sum((t.wait_ns or 0) + (t.run_ns or 0) for t in waits))
        found[WAITING] = f"{share:.1%} of their time"
    return found


def artifacts(run: Run, cells: Sequence[SeenCell]) -> list[ArtifactSeen]:
    """The files that were measured, once a variant and hash."""
    found: dict[tuple[str, str], ArtifactSeen] = {}
    for seen in cells:
        for record in seen.counted:
            for files in observed([record], Files):
                variant, sha = seen.cell.variant, record.artifact_sha256
                if variant is None or sha is None:
                    continue
                found[variant, sha] = ArtifactSeen(
                    run=run.id,
                    variant=variant,
                    sha256=sha,
                    bytes=sum(f.bytes for f in files.files),
                    files=files.files,
                    parameters=files.parameters,
                    tensor_bytes=files.tensor_bytes,
                    tensor_types=files.tensor_types,
                )
    order = [v.name for v in run.plan.suite.variants]
    return sorted(found.values(), key=lambda a: (order.index(a.variant) if a.variant in order else 99, a.sha256))


def differing(
    runs: Sequence[RunSeen], all_conditions: Sequence[Condition], made: Sequence[ArtifactSeen]
) -> list[Differing]:
    """What is not alike in several runs; numbers of different runs are never put together."""
    if len(runs) < 2:
        return []
    by_name: dict[str, dict[str, str]] = defaultdict(dict)
    for run in runs:
        by_name["suite"][run.id] = run.suite
        by_name["bench"][run.id] = run.bench_version
        by_name["baselines"][run.id] = ", ".join(run.baselines)
        for variant in run.variants:
            by_name[f"recipe of {variant.name}"][run.id] = f"{variant.model} · {variant.recipe} · {variant.scheme}"
            by_name[f"weights of {variant.name}"][run.id] = variant.label
    for artifact in made:
        by_name[f"artifact of {artifact.variant}"][artifact.run] = artifact.sha256[:12]
    for one in all_conditions:
        if one.name in MEASURED:
            continue
        name = f"{one.name} ({one.device}, {one.runtime})"
        by_name[name][one.run] = "; ".join(f"{v.value} {f'({v.where})' if v.where else ''}".strip() for v in one.values)
    found = []
    for name, values in by_name.items():
        each = tuple((run.id, values.get(run.id, "not seen")) for run in runs)
        if len({value for _, value in each}) > 1:
            found.append(Differing(name=name, values=each))
    return found


def _variant(variant: Variant, suite: Suite) -> VariantSeen:
    label = variant.model.label
    return VariantSeen(
        name=variant.name,
        scheme=variant.scheme,
        recipe=variant.recipe,
        model=variant.model.name,
        label=label,
        licence=variant.model.licence,
        random_weights=has_random_weights(variant),
        baseline=variant.name in suite.baselines,
        baselines=suite.baselines_of(variant.name),
    )


def of_facts(facts: DeviceFacts) -> dict[str, str]:
    """Name → value of what was seen of a device, and in words of what was not."""
    found = {}
    for field, name in FACTS.items():
        value = getattr(facts, field)
        if value not in (None, ""):
            found[name] = _bytes(value) if field.endswith("_bytes") else str(value)
        elif field in facts.missing:
            found[name] = f"not seen: {facts.missing[field]}"
    return found


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:.4g} MiB"


def _of_record(record: TrialRecord) -> dict[str, str]:
    found: dict[str, str] = {}
    for hello in observed([record], Hello):
        found["runner"] = hello.program
        found |= {"llama.cpp version": hello.llama_version} if hello.llama_version else {}
        found |= {f"{library} version": version for library, version in hello.versions.items()}
        found["runner hash"] = hello.runner_sha256[:12]
    for loaded in observed([record], Loaded):
        found |= {name: _word(getattr(loaded, field)) for field, name in LOADED.items()}
        found["CPU features that ran"] = " ".join(sorted(loaded.cpu_features)) or "none reported"
    for opened in observed([record], Opened):
        found |= {name: _word(getattr(opened, field)) for field, name in OPENED.items()}
    for told in observed([record], Reported):
        found |= {"imported from": told.tool, **told.conditions}
    for checked in observed([record], CrossChecked):
        found[CHECKED] = (
            f"{checked.requests} requests, at most {checked.largest_nats:.2g} nats from {checked.reference}; "
            f"{checked.tolerance_nats:.2g} allowed ({checked.rule})"
        )
    for around in observed([record], Surroundings):
        found |= of_surroundings(around)
    for answers in observed([record], Answers):
        found |= {f"version of {task}": version for task, version in answers.task_versions.items()}
    if (environment := record.environment) is not None:
        found["bench version"] = environment.bench_version
        found["Python"] = environment.python
        found["power"] = environment.power or "the machine does not say"
    return found


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _condition(run: str, device: str, runtime: str | None, name: str, values: tuple[ConditionValue, ...]) -> Condition:
    return Condition(run=run, device=device, runtime=runtime, name=name, values=values)


def _where(pairs: Sequence[tuple[SeenCell, str]]) -> tuple[ConditionValue, ...]:
    """Each distinct value with the workloads, or else the variants, or else the cells, that had it."""
    values = list(dict.fromkeys(value for _, value in pairs))
    if len(values) == 1:
        return (ConditionValue(value=values[0], where=""),)
    measures: dict[str, set[str]] = defaultdict(set)
    for seen, value in pairs:
        measures[seen.cell.measure].add(value)

    def workload(seen: SeenCell) -> str:
        alike = len(measures[seen.cell.measure]) == 1
        return seen.cell.measure if alike else f"{seen.cell.measure} {seen.workload}".strip()

    def variant(seen: SeenCell) -> str:
        return seen.cell.variant or "the device"

    def cell(seen: SeenCell) -> str:
        return f"{variant(seen)} · {seen.cell.measure} {seen.workload}".strip()

    key = next((k for k in (workload, variant) if _decides(k, pairs)), cell)
    return tuple(
        ConditionValue(value=v, where=", ".join(dict.fromkeys(key(s) for s, value in pairs if value == v)))
        for v in values
    )


def _decides(key: Callable[[SeenCell], str], pairs: Iterable[tuple[SeenCell, str]]) -> bool:
    seen: dict[str, str] = {}
    return all(seen.setdefault(key(cell), value) == value for cell, value in pairs)
