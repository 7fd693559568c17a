"""The A/A test: real trials of one artifact under two names, in the order of a run, for at most a minute."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from harness.doctor.spread import differences
from harness.health import Difference, SelfTest
from harness.measure.execute import Equipment, execute
from harness.measure.jobs import Device
from harness.measure.plan import make_plan
from harness.measure.runtimes.llama_cpp import Inputs
from harness.metrics import trial_values
from harness.progress import Progress
from harness.values import (
    FAILED,
    Artifact,
    Bandwidth,
    Cell,
    DeviceFacts,
    Plan,
    Speed,
    Suite,
    Trial,
    TrialRecord,
    Variant,
)

LONGEST_S = 60.0
MOST_ROUNDS = 12
SIDES = ("A", "B")
Clock = Callable[[], float]
Prompt = Callable[[int], tuple[int, ...]]
"""The first so many tokens of the published prompt text."""


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """What the test is made with."""

    device: Device
    facts: DeviceFacts
    artifact: Artifact
    program: str
    runner_sha256: str
    prompt: Prompt


def of_itself(suite: Suite, variant: Variant, kit: Kit) -> Plan:
    """The suite's speed measures with the variant under two names, and one look at the read bandwidth."""
    bandwidth = [msgspec.structs.replace(m, rounds=1) for m in suite.measures if isinstance(m, Bandwidth)]
    speed = [msgspec.structs.replace(m, rounds=MOST_ROUNDS) for m in suite.measures if isinstance(m, Speed)]
    wish = Suite(
        name="self-test",
        title=f"{variant.name} against itself",
        variants=tuple(msgspec.structs.replace(variant, name=side) for side in SIDES),
        baselines=SIDES[:1],
        runtimes=suite.runtimes[:1],
        devices=(kit.device.spec,),
        measures=(*bandwidth[:1], *speed),
        seed=suite.seed,
    )
    return make_plan(wish, {kit.device.spec.name: kit.facts}, ())


def self_test(
    suite: Suite,
    variant: Variant,
    kit: Kit,
    progress: Progress,
    seconds: float = LONGEST_S,
    clock: Clock = time.monotonic,
) -> SelfTest:
    """Run as many rounds as fit; what a failing program says is the reason why there is no test."""
    plan, begun = of_itself(suite, variant, kit), clock()
    records: list[TrialRecord] = []
    with progress.bar("A/A test", int(seconds)) as bar:
        for record in _rounds(plan, kit, begun + seconds, clock):
            records.append(record)
            bar.update(min(int(seconds), int(clock() - begun)), int(seconds))
    broken = [r for r in records if r.status in FAILED - {"timed_out"} or r.status == "does_not_fit"]
    if broken:
        return SelfTest(state="impossible", reason=broken[0].reason, variant=variant.name, trials=len(records))
    return _result(plan, kit, variant, records, clock() - begun)


def _rounds(plan: Plan, kit: Kit, deadline: float, clock: Clock) -> Iterator[TrialRecord]:
    """Whole rounds while the longest one so far still fits; ends at the first trial that fails."""
    cells = {cell.key: cell for cell in plan.cells}
    longest = 0.0
    with tempfile.TemporaryDirectory(prefix="bench-doctor-") as folder:
        for _, trials in groupby(plan.trials, key=lambda trial: trial.round):
            if clock() + longest > deadline:
                return
            spent = 0.0
            for trial in trials:
                started, cell = clock(), cells[trial.cell]
                left = max(0.1, deadline - started)
                record = _one(trial, cell, kit, Path(folder) / "trial", left)
                yield record
                if record.status != "ok":
                    return
                spent += 0.0 if isinstance(cell.workload, Bandwidth) else clock() - started
            longest = max(longest, spent)


def _one(trial: Trial, cell: Cell, kit: Kit, work: Path, timeout_s: float) -> TrialRecord:
    inputs = Inputs(program=kit.program, timeout_s=timeout_s)
    load = cell.workload
    if isinstance(load, Speed):
        tokens = kit.prompt(load.depth + load.prompt_tokens)
        inputs = msgspec.structs.replace(
            inputs, model=kit.artifact.path, prefix=tokens[: load.depth], prompt=tokens[load.depth :]
        )
    equipment = Equipment(
        device=kit.device,
        facts=kit.facts,
        artifact=None if isinstance(load, Bandwidth) else kit.artifact,
        inputs=inputs,
        runner_sha256=kit.runner_sha256,
    )
    return execute(trial, cell, equipment, work, None)


def _result(plan: Plan, kit: Kit, variant: Variant, records: list[TrialRecord], seconds: float) -> SelfTest:
    of_cell = {cell.key: [r for r in records if r.cell == cell.key] for cell in plan.cells}
    found: list[Difference] = []
    for load in plan.suite.measures:
        if isinstance(load, Speed):
            a, b = (next(c.key for c in plan.cells if c.variant == s and c.workload == load) for s in SIDES)
            found += differences(load, of_cell[a], of_cell[b])
    bandwidth = [v for r in records if r.status == "ok" and (v := trial_values(r).get("read_bandwidth_bytes_s"))]
    noise = Counter(_kind(mark) for record in records for mark in record.noise)
    few = any(one.ratio_low is None for one in found)
    return SelfTest(
        state="done",
        reason=f"{seconds:.0f} s did not hold 3 rounds: this machine is slow, or the runner hangs" if few else None,
        variant=variant.name,
        artifact_sha256=kit.artifact.sha256,
        seconds=seconds,
        differences=tuple(found),
        read_bandwidth_bytes_s=bandwidth[0] if bandwidth else None,
        noise=dict(noise),
        trials=len(records),
    )


def _kind(mark: str) -> str:
    """A noise mark without its numbers, so that alike ones are counted together."""
    return " ".join(word for word in mark.split() if not any(c.isdigit() for c in word))
