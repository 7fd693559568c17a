"""Names and plans as plain tables for a terminal."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness import pipeline
from harness.claim_files import find_claims, list_claims
from harness.config import find_suite, list_suites, load_devices, load_suite
from harness.metrics import METRICS
from harness.store import find_runs
from harness.values import Cell, Plan, Timed


def listing(kinds: Sequence[str], suite: str, results: Path) -> dict[str, dict[str, str]]:
    """Kind → name → what it is.

    Raises:
        InputError: the suite whose variants are asked for is wrong.
    """
    makers: dict[str, Callable[[], dict[str, str]]] = {
        "suites": lambda: {name: str(find_suite(name)) for name in list_suites()},
        "claims": lambda: {name: str(find_claims(name)) for name in list_claims()},
        "variants": lambda: _variants(suite),
        "tasks": _tasks,
        "metrics": lambda: {
            m.name: f"{m.definition} [{m.unit or '1'}, {m.better} is better]" for m in METRICS.values()
        },
        "recipes": lambda: _recipes(),
        "runtimes": lambda: dict.fromkeys(pipeline.known_names().runtimes, ""),
        "devices": lambda: {d.name: d.title or d.kind for d in load_devices().values()},
        "runs": lambda: {path.name: "" for path in find_runs(results)},
    }
    return {kind: makers[kind]() for kind in kinds}


def plan_lines(plan: Plan) -> Iterator[str]:
    """A plan in a screen: conditions, one line a workload, then what is impossible."""
    suite = plan.suite
    yield f"suite {suite.name}: {suite.title}"
    yield f"variants: {', '.join(v.name for v in suite.variants)} (baselines: {', '.join(suite.baselines)})"
    for facts in plan.facts.values():
        memory = f"{facts.memory_bytes / 2**30:.1f} GiB" if facts.memory_bytes else "memory unknown"
        yield f"device {facts.device}: {facts.cpu}, {facts.usable_cores} cores, {memory}, {facts.os}"
    for runtime in suite.runtimes:
        threads = {c.runtime.threads for c in plan.cells if c.runtime and c.runtime.name == runtime.name}
        yield f"runtime {runtime.name}: threads {', '.join(map(str, sorted(threads, key=str)))}"
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault((cell.device, cell.measure, cell.workload.label), []).append(cell)
    for (device, measure, label), cells in groups.items():
        load = cells[0].workload
        rounds = load.rounds if isinstance(load, Timed) else 1
        possible = sum(c.unsupported is None for c in cells)
        yield f"  {device}  {measure:<9} {label:<28} {possible} cells × {rounds} rounds"
    for cell in plan.cells:
        if cell.unsupported is not None:
            yield f"  impossible: {cell.variant} {cell.measure} {cell.workload.label}: {cell.unsupported}"
    yield f"{len(plan.cells)} cells, {len(plan.trials)} trials, seed {suite.seed}"


def _recipes() -> dict[str, str]:
    known = pipeline.known_names().recipes
    return {name: f"settings: {', '.join(settings)}" if settings else "" for name, settings in known.items()}


def _variants(suite: str) -> dict[str, str]:
    loaded = load_suite(suite, pipeline.known_names(), load_devices())
    return {v.name: f"{v.model.name}: {v.scheme or v.recipe} ({v.model.label})" for v in loaded.variants}


def _tasks() -> dict[str, str]:
    from harness.measure.tasks import TASKS

    own = {"knowledge_200": "the project's own 200 questions"}
    return {
        name: own.get(name) or f"needs BENCH_DATA{'; ' + spec.label if spec.label else ''}"
        for name, spec in TASKS.items()
    }
