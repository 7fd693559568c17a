"""Suite → cells → trials in seeded rounds. Pure: facts come in, nothing is touched."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from harness import __version__
from harness.errors import InputError, UnknownNameError
from harness.measure.parts import ROUNDS
from harness.measure.runtimes import load_runtime
from harness.values import (
    FULL,
    SHALLOW,
    Bandwidth,
    Cell,
    DeviceFacts,
    DeviceSpec,
    Plan,
    Runtime,
    Size,
    Speed,
    Suite,
    Task,
    Text,
    Timed,
    Trial,
    Variant,
    Workload,
    digest,
    is_task_file,
    only_for,
)


def select(
    suite: Suite,
    *,
    variants: Sequence[str] = (),
    devices: Sequence[DeviceSpec] = (),
    tasks: Sequence[str] = (),
    limit: int | None = None,
    rounds: int | None = None,
    measures: Sequence[str] = (),
    until: float | None = None,
) -> Suite:
    """The suite with the command line's choices; baselines stay, since every ratio needs them.

    Raises:
        UnknownNameError: a variant or kind of measure that the suite does not have.
    """
    kept = suite.variants
    if variants:
        names = [v.name for v in suite.variants]
        for name in variants:
            if name not in names:
                raise UnknownNameError("variant", name, names, where=f"suite {suite.name!r}")
        references = [m.reference for m in suite.measures if isinstance(m, Text)]
        models = {v.model.name for v in suite.variants if v.name in variants}
        own = {v.name for v in suite.variants if v.name in suite.baselines and v.model.name in models}
        needed = {*variants, *references, *own, *(b for name in variants for b in suite.baselines_of(name))}
        suite = msgspec.structs.replace(suite, baselines=tuple(b for b in suite.baselines if b in needed))
        kept = tuple(v for v in suite.variants if v.name in needed)
    loads = suite.measures
    if tasks:
        loads = tuple(m for m in loads if not isinstance(m, Task | Text)) + tuple(
            Task(task=name, limit=limit) for name in tasks
        )
    elif limit is not None:
        loads = tuple(msgspec.structs.replace(m, limit=limit) if isinstance(m, Task) else m for m in loads)
    if measures:
        known = {kind_of(m) for m in loads}
        for name in measures:
            if name not in known:
                raise UnknownNameError("measure", name, known, where=f"suite {suite.name!r}")
        loads = tuple(m for m in loads if kind_of(m) in measures)
    if until is not None:
        if not any(isinstance(m, Task) for m in loads):
            raise InputError(f"--until ends the questions of tasks, and suite {suite.name!r} has none")
        loads = tuple(msgspec.structs.replace(m, until=until) if isinstance(m, Task) else m for m in loads)
    if rounds is not None:
        loads = tuple(msgspec.structs.replace(m, rounds=rounds) if isinstance(m, Timed) else m for m in loads)
    return msgspec.structs.replace(suite, variants=kept, measures=loads, devices=tuple(devices) or suite.devices)


def only_asking(suite: Suite) -> Suite:
    """The suite with what a shard can be a part of: tasks and texts, whose requests can be split.

    Raises:
        InputError: there is neither, or questions end early, which needs them all in one run.
    """
    loads = tuple(m for m in suite.measures if isinstance(m, Task | Text))
    if not loads:
        raise InputError(f"--shard splits the requests of tasks and texts, and suite {suite.name!r} has neither")
    if any(isinstance(m, Task) and m.until is not None for m in loads):
        raise InputError("--shard and --until exclude each other: when to end is seen from all questions")
    return msgspec.structs.replace(suite, measures=loads)


def _check_task_files(suite: Suite) -> None:
    """Pages tell task files by their names."""
    known: dict[str, str] = {}
    for task in (m.task for m in suite.measures if isinstance(m, Task) and is_task_file(m.task)):
        name = task.rpartition("/")[2]
        if known.setdefault(name, task) != task:
            raise InputError(f"suite {suite.name!r} has two task files of one name: {known[name]} and {task}")


def make_plan(
    suite: Suite, facts: dict[str, DeviceFacts], command: tuple[str, ...], unmade: Mapping[str, str] | None = None
) -> Plan:
    """All cells, the impossible ones with a reason, and the trials in the order they will run.

    `unmade`: variants that cannot be made here, and why.

    Raises:
        InputError: nothing in the suite is possible.
    """
    cells = tuple(cell for device in suite.devices for cell in _cells(suite, device.name, facts[device.name]))
    cells = tuple(_left_out(cell, unmade or {}) for cell in cells)
    keys = [c.key for c in cells]
    for cell in cells:
        if keys.count(cell.key) > 1:
            raise InputError(
                f"suite {suite.name!r} lists the measure {kind_of(cell.workload)} {cell.workload.label!r} twice"
            )
    _check_task_files(suite)
    possible = [c for c in cells if c.unsupported is None]
    if not possible:
        reasons = sorted({c.unsupported for c in cells if c.unsupported})
        raise InputError(f"nothing in suite {suite.name!r} can be measured: {'; '.join(reasons) or 'no cells'}")
    return Plan(
        suite=suite,
        facts=facts,
        cells=cells,
        trials=tuple(order_trials(cells, suite.seed)),
        command=command,
        bench_version=__version__,
    )


def _left_out(cell: Cell, unmade: Mapping[str, str]) -> Cell:
    why = unmade.get(cell.variant) if cell.variant is not None and cell.unsupported is None else None
    return cell if why is None else msgspec.structs.replace(cell, unsupported=why)


def order_trials(cells: Sequence[Cell], seed: int) -> Iterable[Trial]:
    """Sizes, then rounds, then accuracy; in each round the workloads, and in each workload the variants, shuffled.

    Variants of one workload stand side by side, so that a round's ratio compares neighbours in time.
    """
    for cell in cells:
        if cell.unsupported is not None or isinstance(cell.workload, Size):
            yield _trial(cell, 0)
    timed = [c for c in cells if c.unsupported is None and isinstance(c.workload, Timed)]
    for round_number in range(max((rounds_of(c) for c in timed), default=0)):
        draw = random.Random(f"{seed}:{round_number}")  # noqa: S311 - a repeatable order, no secret
        groups: dict[str, list[Cell]] = {}
        for cell in timed:
            if round_number < rounds_of(cell):
                groups.setdefault(f"{cell.device}:{digest(cell.workload)}", []).append(cell)
        for key in draw.sample(sorted(groups), len(groups)):
            members = sorted(groups[key], key=lambda c: c.key)
            for cell in draw.sample(members, len(members)):
                yield _trial(cell, round_number)
    asked = [c for c in cells if c.unsupported is None and isinstance(c.workload, Task | Text)]
    for round_number in range(max((rounds_of(c) for c in asked), default=0)):
        yield from (_trial(cell, round_number) for cell in asked if round_number < rounds_of(cell))


def rounds_of(cell: Cell) -> int:
    load = cell.workload
    if isinstance(load, Task) and load.until is not None:
        return ROUNDS
    return load.rounds if isinstance(load, Timed) else 1


def kind_of(workload: Workload) -> str:
    return str(type(workload).__struct_config__.tag)


def spread_out(load: Workload, facts: DeviceFacts) -> Iterable[Workload]:
    """A measure of many depths or thread counts as one for each; any other as it is."""
    if not isinstance(load, Speed) or not (load.depths or load.thread_counts):
        yield load
        return
    used = load.prompt_tokens + load.generated_tokens
    depths = (*SHALLOW, FULL - used) if load.depths == "standard" else load.depths
    counts = thread_counts(facts.cores) if load.thread_counts == "each" else load.thread_counts
    for depth in depths or (load.depth,):
        for threads in counts or (load.threads,):
            yield msgspec.structs.replace(load, depth=depth, depths=(), threads=threads, thread_counts=())


def thread_counts(cores: int) -> tuple[int, ...]:
    """Powers of two up to the cores, and the cores."""
    return tuple(sorted({*(1 << n for n in range(cores.bit_length())), cores}))


def _cells(suite: Suite, device: str, facts: DeviceFacts) -> Iterable[Cell]:
    for measure in suite.measures:
        only = only_for(measure)
        chosen = [v for v in suite.variants if not only or v.name in only]
        for load in spread_out(_for_all(measure), facts):
            yield from _cells_of(load, suite, chosen, device, facts)


def _cells_of(
    load: Workload, suite: Suite, variants: Sequence[Variant], device: str, facts: DeviceFacts
) -> Iterable[Cell]:
    match load:
        case Size():
            yield from (cell_of(v, None, device, load) for v in variants)
        case Bandwidth():
            cells = [cell_of(None, _resolved(runtime, facts), device, load) for runtime in suite.runtimes]
            yield next((cell for cell in cells if cell.unsupported is None), cells[0])
        case _:
            for runtime in suite.runtimes:
                settled = _with_threads(_resolved(runtime, facts), load)
                for v in variants:
                    cell = cell_of(v, settled, device, load)
                    why = _not_on_phones(cell) if facts.phone is not UNSET else None
                    yield cell if why is None else msgspec.structs.replace(cell, unsupported=why)


def _not_on_phones(cell: Cell) -> str | None:
    """Why the cell's runtime is not run on a phone, or None."""
    assert cell.runtime is not None
    module = load_runtime(cell.runtime.name)
    if not hasattr(module, "not_on_phones"):
        return None
    why: str = module.not_on_phones(cell)
    return why


def _for_all(load: Workload) -> Workload:
    """Which variants a measure is for is no part of what is measured of each."""
    return msgspec.structs.replace(load, variants=UNSET) if only_for(load) else load


def cell_of(variant: Variant | None, runtime: Runtime | None, device: str, load: Workload) -> Cell:
    """The cell of that wish, with its key, and why it is impossible where it is."""
    wish: list[Any] = [None, runtime, device, load]
    if variant is not None:
        wish[0] = [variant.name, variant.model, variant.recipe, variant.settings]
    cell = Cell(
        key=digest(wish)[:16],
        variant=variant.name if variant else None,
        runtime=runtime,
        device=device,
        workload=load,
    )
    if runtime is None:
        return cell
    why = load_runtime(runtime.name).supports(cell, variant)
    return msgspec.structs.replace(cell, unsupported=why)


def _with_threads(runtime: Runtime, load: Workload) -> Runtime:
    threads = load.threads if isinstance(load, Speed) else None
    return runtime if threads is None else msgspec.structs.replace(runtime, threads=threads, threads_batch=threads)


def _resolved(runtime: Runtime, facts: DeviceFacts) -> Runtime:
    resolved: Runtime = load_runtime(runtime.name).resolved(runtime, facts)
    return resolved


def _trial(cell: Cell, round_number: int) -> Trial:
    return Trial(id=f"{cell.key}-r{round_number}", cell=cell.key, round=round_number)
