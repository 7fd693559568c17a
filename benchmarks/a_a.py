"""An artifact against itself, many times: `python benchmarks/a_a.py`.

Each comparison is a real run of the quick suite's smallest measure with one variant under two names: the real
plan, the real trials in seeded rounds, the real interval. At most 5 % of the comparisons may have an interval
that leaves 1 out.
"""

import argparse
import tempfile
from pathlib import Path

import msgspec

from harness.build.artifacts import Workshop
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.config import load_suite
from harness.data.sources import PROMPT_TEXT, read_text
from harness.derivations import trial_values
from harness.device_files import load_devices
from harness.doctor.self_test import SIDES, Kit, of_itself
from harness.measure.devices import open_device
from harness.measure.execute import Equipment, execute
from harness.measure.inputs import Preparation
from harness.measure.jobs import Inputs
from harness.measure.requests import head_tokens
from harness.pipeline import known_names
from harness.progress import Silent
from harness.stats import ratio_interval
from harness.values import Speed, Suite, Variant

LOAD = Speed(prompt_tokens=64, generated_tokens=24, repetitions=2)
METRICS = ("prefill_tok_s", "decode_tok_s")


def make_kit(name: str) -> tuple[Suite, Variant, Kit]:
    """The quick suite, one variant of it, and everything to run trials with."""
    progress = Silent()
    runner = ensure_runner(progress)
    suite = load_suite("quick", known_names(), load_devices())
    variant = next(v for v in suite.variants if v.name == name)
    device = open_device(suite.devices[0])
    workshop = Workshop(runner, progress)
    artifact = workshop.ensure(variant)
    (tokens,) = Preparation(device, runner, workshop, suite, progress).tokenize(artifact, [read_text(PROMPT_TEXT)])
    kit = Kit(
        device=device,
        facts=device.facts(),
        artifact=artifact,
        program=runner.path,
        runner_sha256=runner.sha256,
        prompt=lambda count: head_tokens(tokens, count, name),
    )
    return suite, variant, kit


def compare(suite: Suite, variant: Variant, kit: Kit, seed: int, rounds: int) -> dict[str, tuple[float, float]]:
    """One comparison: metric → interval of the ratio of both sides."""
    one = msgspec.structs.replace(suite, measures=(LOAD,), seed=seed)
    plan = of_itself(one, variant, kit, rounds)
    values: dict[str, dict[str, list[float]]] = {side: {name: [] for name in METRICS} for side in SIDES}
    prompt = kit.prompt(LOAD.prompt_tokens)
    inputs = Inputs(program=kit.program, model=kit.artifact.path, prompt=prompt)
    equipment = Equipment(
        device=kit.device, facts=kit.facts, artifact=kit.artifact, inputs=inputs, runner_sha256=kit.runner_sha256
    )
    cells = {cell.key: cell for cell in plan.cells}
    with tempfile.TemporaryDirectory() as folder:
        for trial in plan.trials:
            cell = cells[trial.cell]
            record = execute(trial, cell, equipment, Path(folder, "trial"), None)
            assert record.status == "ok", record.reason
            for name in METRICS:
                values[str(cell.variant)][name].append(trial_values(record)[name])
    found = {}
    for name in METRICS:
        interval = ratio_interval(values[SIDES[1]][name], values[SIDES[0]][name])
        assert interval is not None
        found[name] = (interval.low, interval.high)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variant", default="int4-ptq")
    parser.add_argument("--seed", type=int, default=20260)
    arguments = parser.parse_args()
    suite, variant, kit = make_kit(arguments.variant)
    out = dict.fromkeys(METRICS, 0)
    widths: dict[str, list[float]] = {name: [] for name in METRICS}
    for number in range(arguments.comparisons):
        for name, (low, high) in compare(suite, variant, kit, arguments.seed + number, arguments.rounds).items():
            out[name] += not low <= 1 <= high
            widths[name].append((high / low) ** 0.5 - 1)
        if (number + 1) % 10 == 0:
            print(f"{number + 1} comparisons: {out}", flush=True)
    for name in METRICS:
        width = sorted(widths[name])[len(widths[name]) // 2]
        share = out[name] / arguments.comparisons
        print(
            f"{name}: {out[name]} of {arguments.comparisons} intervals leave 1 out ({share:.1%}); median ± {width:.1%}"
        )


if __name__ == "__main__":
    main()
