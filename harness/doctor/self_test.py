"""The A/A test: real trials of one artifact under two names, in the order of a run, for at most a minute."""

import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from harness.derivations import trial_values
from harness.doctor.spread import differences
from harness.doctor.steadiness import canary_noise, placement
from harness.health import Difference, SelfTest
from harness.measure.execute import Equipment, execute, ids_begin
from harness.measure.jobs import Device, Inputs
from harness.measure.plan import make_plan
from harness.progress import Progress
from harness.values import (
    FAILED,
    Artifact,
    Bandwidth,
    DeviceFacts,
    DeviceSpec,
    PhoneSpec,
    Plan,
    Speed,
    Suite,
    Trial,
    TrialRecord,
    Variant,
    Workload,
)

LONGEST_S = 60.0
LEAST_ROUNDS, MOST_ROUNDS = 3, 12
SLOW = 1 / 8
"""Share of the time after which the cheapest pair of trials is called slow."""
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


def of_itself(suite: Suite, variant: Variant, kit: Kit, rounds: int = MOST_ROUNDS) -> Plan:
    """The suite's speed measures with the variant under two names, and one look at the read bandwidth."""
    bandwidth = [msgspec.structs.replace(m, rounds=1) for m in suite.measures if isinstance(m, Bandwidth)]
    speed = [msgspec.structs.replace(m, rounds=rounds) for m in suite.measures if isinstance(m, Speed)]
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
    most_s: float = 0.0,
) -> SelfTest:
    """Run as many rounds as fit; what a failing program says is the reason why there is no test.

    `most_s`: the first three rounds may take so long, where that is more than `seconds`.
    """
    plan, begun = of_itself(suite, variant, kit), clock()
    run = f"doctor-{secrets.token_hex(4)}"  # a phone gives back what it has of a job: this test's are its own
    records: list[TrialRecord] = []
    limits = seconds, max(seconds, most_s)
    with progress.bar("A/A test", int(seconds)) as bar:
        for record in _rounds(plan, kit, run, begun, limits, clock):
            records.append(record)
            bar.update(min(int(seconds), int(clock() - begun)), int(seconds))
    broken = [r for r in records if r.status in FAILED - {"timed_out"} or r.status == "does_not_fit"]
    if broken:
        return SelfTest(state="impossible", reason=broken[0].reason, variant=variant.name, trials=len(records))
    tested = _result(plan, kit, variant, records, limits[1])
    return msgspec.structs.replace(tested, seconds=clock() - begun)


def _rounds(
    plan: Plan, kit: Kit, run: str, begun: float, limits: tuple[float, float], clock: Clock
) -> Iterator[TrialRecord]:
    """Whole rounds while the longest one so far still fits; ends at the first trial that fails.

    `limits`: seconds, and those of the first three rounds.

    The first round begins with what is cheapest. Where that is slow already, nothing else is tried: three
    rounds of one measure say more than one round of all.
    """
    loads = {cell.key: cell.workload for cell in plan.cells}
    first = min((load for load in loads.values() if isinstance(load, Speed)), key=_cost)
    longest, only = 0.0, False
    with tempfile.TemporaryDirectory(prefix="bench-doctor-") as folder:
        for number, trials in groupby(plan.trials, key=lambda trial: trial.round):
            seconds = limits[1] if number < LEAST_ROUNDS else limits[0]
            if clock() + longest > begun + seconds:
                return
            spent = 0.0
            for trial in sorted(trials, key=lambda t: _cost(loads[t.cell])) if number == 0 else trials:
                load, started = loads[trial.cell], clock()
                only = only or (number == 0 and load != first and spent > seconds * SLOW)
                if only and load != first:
                    continue
                record = _one(trial, plan, kit, run, Path(folder) / "trial", max(0.1, begun + seconds - started))
                kit.device.forget(ids_begin(run, trial))
                yield record
                if record.status != "ok":
                    return
                spent += 0.0 if isinstance(load, Bandwidth) else clock() - started
            longest = max(longest, spent)


def _cost(load: Workload) -> int:
    """Tokens of one trial: only to put workloads in order."""
    if not isinstance(load, Speed):
        return 0
    return (load.depth + load.prompt_tokens + load.generated_tokens) * (load.repetitions + load.warmups)


def _one(trial: Trial, plan: Plan, kit: Kit, run: str, work: Path, timeout_s: float) -> TrialRecord:
    cell = next(cell for cell in plan.cells if cell.key == trial.cell)
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
        run=run,
    )
    return execute(trial, cell, equipment, work, None)


def _result(plan: Plan, kit: Kit, variant: Variant, records: list[TrialRecord], allowed_s: float) -> SelfTest:
    found: list[Difference] = []
    left_out: list[str] = []
    for load in plan.suite.measures:
        if isinstance(load, Speed):
            sides = [_records_of(plan, load, side, records) for side in SIDES]
            found += differences(load, *sides) if any(sides) else ()
            left_out += [] if any(sides) else [load.label]
    bandwidth = [v for r in records if r.status == "ok" and (v := trial_values(r).get("read_bandwidth_bytes_s"))]
    return SelfTest(
        state="done",
        reason=_shortfall(found, left_out, allowed_s, kit.device.spec),
        variant=variant.name,
        artifact_sha256=kit.artifact.sha256,
        differences=tuple(found),
        read_bandwidth_bytes_s=bandwidth[0] if bandwidth else None,
        noise=dict(Counter(_kind(mark) for record in records for mark in record.noise)),
        canary=canary_noise(records),
        placement=placement(records),
        trials=len(records),
    )


def _records_of(plan: Plan, load: Speed, side: str, records: list[TrialRecord]) -> list[TrialRecord]:
    key = next(cell.key for cell in plan.cells if cell.variant == side and cell.workload == load)
    return [record for record in records if record.cell == key]


def _shortfall(found: list[Difference], left_out: list[str], allowed_s: float, spec: DeviceSpec) -> str | None:
    why = "this machine is slow or busy"
    if isinstance(spec.phone, PhoneSpec):
        rest = spec.phone.cool_down
        why = f"before each trial the phone rests for {rest.least_s:.0f} to {rest.most_s:.0f} s"
    if not found or any(one.ratio_low is None for one in found):
        return f"{allowed_s:.0f} s do not hold 3 rounds: {why}"
    return f"{', '.join(left_out)} left out: {why}" if left_out else None


def _kind(mark: str) -> str:
    """A noise mark without its numbers, so that alike ones are counted together."""
    return " ".join("…" if any(c.isdigit() for c in word) else word for word in mark.split())
