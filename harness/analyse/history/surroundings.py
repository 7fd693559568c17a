"""Under which conditions a cell was measured, by name: what cuts a history, and what stands beside a change."""

from harness.analyse.cells import SeenCell
from harness.analyse.conditions import of_facts
from harness.analyse.phone_conditions import of_phone, of_surroundings
from harness.analyse.trials import conditions_of, observed
from harness.store import Run
from harness.values import Answers, Hello, Surroundings, Task, Text, Variant

NOT_ASKED = frozenset({"rounds", "until", "variants", "depth", "depths", "threads", "thread_counts", "task", "text"})
"""Fields of a measure that do not change what one value means, or that its name holds."""
WORDS = frozenset({"host (hash)"})
NOT_SEEN = "not seen"
VERSION = " version"
"""Ends the names of conditions that are versions of the runtime, and of bench itself."""


def surroundings(run: Run, seen: SeenCell) -> dict[str, str]:
    """Name → value; a cell without a trial that counts has only what its plan says."""
    cell = seen.cell
    facts = run.plan.facts.get(cell.device)
    spec = next((one for one in run.plan.suite.devices if one.name == cell.device), None)
    found = {
        name: value
        for name, value in {**(of_facts(facts) if facts else {}), **of_phone(spec, facts)}.items()
        if name not in WORDS and not value.startswith(NOT_SEEN)
    }
    found |= _of_workload(run, seen)
    variant = next((v for v in run.plan.suite.variants if v.name == cell.variant), None)
    if variant is not None:
        found |= _of_variant(variant)
    found["bench version"] = run.plan.bench_version or "unknown"
    if not seen.counted:
        return found
    record = seen.counted[0]
    of_runtime = {name for hello in observed([record], Hello) for name in ("llama.cpp", *hello.versions)}
    found |= {
        f"{name}{VERSION}" if name in of_runtime else name: value
        for name, value in conditions_of(record).items()
        if name != "machine facts"
    }
    found["schema of records"] = str(record.schema)
    if record.environment is not None:
        found |= {"bench version": record.environment.bench_version, "Python": record.environment.python}
    for around in observed([record], Surroundings):
        found |= of_surroundings(around)
    for answers in observed(seen.counted[-1:], Answers):
        found |= {f"version of {task}": version for task, version in answers.task_versions.items()}
        if answers.of:
            found["questions in all"] = str(answers.of)
        if answers.reference is not None:
            found["reference"] = f"{answers.reference} {(answers.reference_sha256 or 'unknown')[:12]}"
    return found


def _of_workload(run: Run, seen: SeenCell) -> dict[str, str]:
    workload = seen.cell.workload
    found = {
        f"asked {field}": str(getattr(workload, field))
        for field in workload.__struct_fields__
        if field not in NOT_ASKED
    }
    if isinstance(workload, Text) or (isinstance(workload, Task) and (workload.limit or workload.until)):
        found["seed of questions"] = str(run.plan.suite.seed)
    return found


def _of_variant(variant: Variant) -> dict[str, str]:
    settings = ", ".join(f"{name}={value}" for name, value in sorted(variant.settings.items()))
    return {
        "recipe": variant.recipe,
        "settings of the recipe": settings or "none of its own",
        "scheme": variant.scheme or "not said",
        "weights": variant.model.label,
    }
