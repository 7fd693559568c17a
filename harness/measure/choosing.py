"""Which build of the runner a phone gets: those that its CPU can run, in turns on the phone itself."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean, median

import msgspec

from harness.build.runners import Runner
from harness.build.runners.choice import Choice, quickest, seconds_of
from harness.errors import BuildError
from harness.measure.events import parse_events
from harness.measure.jobs import Device, Inputs, check_seen
from harness.measure.runtimes import llama_cpp
from harness.progress import Progress
from harness.values import Cell, DeviceFacts, Speed, Timing

ROUNDS = 4
"""Of every build, in turns."""
PROMPT_TOKENS, GENERATED_TOKENS = 64, 16
WINDOWS = 3
"""Of each program, the one to warm up included."""
PATIENCE_S = 600.0


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What a build is measured with."""

    cell: Cell
    inputs: Inputs
    """With a prompt of `PROMPT_TOKENS` tokens."""


def choose_runner(
    device: Device,
    facts: DeviceFacts,
    runners: dict[str, Runner],
    samples: Sequence[Sample],
    work: Path,
    progress: Progress,
    run: str,
) -> Choice:
    """The quickest of several builds for this phone, over all samples together: short work, builds in turns.

    A newer build can be quicker for quantized weights and slower for 16-bit ones, and would then make the baseline
    look bad: so a sample of each kind is asked for. A build that does not run there is left out.

    Raises:
        BuildError: none of them runs.
        DeviceError: the device is out of reach, or was lost while a build ran, which says nothing of the build.
    """
    if len(runners) == 1:
        return Choice(target=next(iter(runners)), duels=())
    seconds: dict[str, list[float]] = {target: [] for target in runners}
    broken: dict[str, str] = {}
    with progress.bar(f"{device.spec.name}: which build is quickest", ROUNDS * len(runners)) as bar:
        for number in range(ROUNDS):
            turn = sorted(runners.keys() - broken.keys(), reverse=number % 2 == 1)
            for done, target in enumerate(turn, number * len(runners) + len(broken) + 1):
                try:
                    of_all = [
                        _seconds_of(device, facts, runners[target], one, work, f"{run}-choice-{target}-{number}-{n}")
                        for n, one in enumerate(samples)
                    ]
                    seconds[target].append(geometric_mean(of_all))
                except BuildError as error:
                    broken[target] = str(error)
                bar.update(done)
    working = {target: of_target for target, of_target in seconds.items() if target not in broken}
    if not working:
        raise BuildError(f"no build of the runner works on {device.spec.name}: {'; '.join(broken.values())}")
    for why in broken.values():
        progress.say(why)
    return quickest(working)


def _seconds_of(device: Device, facts: DeviceFacts, runner: Runner, sample: Sample, work: Path, job_id: str) -> float:
    load = Speed(
        prompt_tokens=len(sample.inputs.prompt),
        generated_tokens=GENERATED_TOKENS,
        repetitions=WINDOWS - 1,
        warmups=1,
        context=512,
    )
    asked = msgspec.structs.replace(sample.inputs, program=runner.path, timeout_s=PATIENCE_S)
    job = llama_cpp.job(msgspec.structs.replace(sample.cell, workload=load), asked, facts)
    job = msgspec.structs.replace(job, id=job_id, timed=False)  # turns even out the heat
    shutil.rmtree(work, ignore_errors=True)  # what one job left must not be taken for the beginning of the next
    work.mkdir(parents=True)
    outcome = device.run(job, work)
    check_seen(outcome, device.spec.name)
    device.forget(job.id)
    try:
        parsed = parse_events(outcome.events)
    except ValueError as error:
        raise BuildError(
            f"build {runner.sha256[:12]} on {device.spec.name} printed what is no event: {error}"
        ) from error
    timings = [o for o in parsed.observations if isinstance(o, Timing)]
    if not parsed.done or not timings:
        last = (outcome.stderr_tail.strip().splitlines() or ["no message"])[-1]
        raise BuildError(f"build {runner.sha256[:12]} on {device.spec.name}: {parsed.error or last}")
    return median(_seconds(timing) for timing in timings)


def _seconds(timing: Timing) -> float:
    decode_ns = timing.token_ns[-1] - timing.token_ns[0]
    return seconds_of(timing.logits_ns / 1e9, decode_ns / 1e9)
