"""Names and plans as plain tables for a terminal."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import pipeline
from harness.claim_files import find_claims, list_claims
from harness.config import find_suite, list_suites, load_suite
from harness.device_files import load_devices
from harness.errors import one_line
from harness.metrics import METRICS
from harness.store import find_runs
from harness.values import Cell, Plan, Timed

if TYPE_CHECKING:
    from harness.measure.devices.phone.roster import Listed


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
        yield f"device {facts.device}: {facts.cpu}, {facts.usable_cores or 'unknown'} cores, {memory}, {facts.os}"
    for runtime in suite.runtimes:
        threads = {c.runtime.threads for c in plan.cells if c.runtime and c.runtime.name == runtime.name}
        where = "" if runtime.processor == "cpu" else f", {runtime.dtype} on {runtime.processor}"
        yield f"runtime {runtime.name}: threads {', '.join(map(str, sorted(threads, key=str)))}{where}"
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
    yield from _times(plan)


def _times(plan: Plan) -> Iterator[str]:
    from harness.measure.plan_time import expected_times

    for time in expected_times(plan):
        cooling, before = in_hours(time.cool_down_s), in_hours(time.prepare_s)
        yield (
            f"time on {time.device}: about {in_hours(time.total_s)} for {time.trials} trials, at least {cooling} of it "
            f"to cool down and {before} to bring and check everything the first time; "
            f"up to {in_hours(time.most_s)} where the phone does not cool"
        )
        if time.too_large:
            yield f"  too large for its memory, as far as can be foreseen: {', '.join(time.too_large)}"
        if time.unknown:
            yield f"  without the work of {', '.join(time.unknown)}: nothing says how large they are"


def in_hours(seconds: float) -> str:
    """Such as `2 h 50 min`, never less than a minute."""
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def device_lines(found: "Sequence[Listed]") -> Iterator[str]:
    """One line a device, its advice below it."""
    rows = [(one.name or "–", one.state, one.serial or "", one.seen or one.title) for one in found]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row, one in zip(rows, found, strict=True):
        parts = [part.ljust(width) for part, width in zip(row, widths, strict=False)]
        yield one_line("  ".join([*parts, row[3]]).rstrip())  # a phone may say anything of itself
        if one.advice and one.state != "not connected":
            yield one_line(f"{'':<{widths[0]}}  → {one.advice}")
    if absent := sorted({one.advice for one in found if one.state == "not connected"}):
        yield f"what is not connected: {' or '.join(absent)}"


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
