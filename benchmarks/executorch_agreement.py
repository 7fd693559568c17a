"""`.pte` files against torch on the same variants: `python benchmarks/executorch_agreement.py --suite SUITE`.

Every variant of the suite that has both a checkpoint and a `.pte` file answers the project's 200 questions by both,
and goes on with ten beginnings of the published text for 64 tokens, greedily. Printed are how many answers and how
many texts agree; where texts part, at which token. Activations are rounded to int8 with a scale a token: a sum that
ends in another bit sends some of them the other way, so that texts of compressed variants may part at a near tie.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from two_scorers import chosen

from harness.build.artifacts import Workshop
from harness.build.exported import wish_of
from harness.config import load_suite
from harness.data.sources import PROMPT_TEXT, read_text
from harness.device_files import load_devices
from harness.measure.devices import open_device
from harness.measure.events import parse_events
from harness.measure.inputs import Preparation
from harness.measure.jobs import Inputs
from harness.measure.requests import plain_requests
from harness.measure.runtimes import load_runtime
from harness.measure.tasks import resolve_task
from harness.pipeline import known_names
from harness.progress import Silent
from harness.request_lines import read_requests
from harness.store import read_lines
from harness.values import Artifact, Cell, Runtime, Suite, Task, Variant

TASK = Task(task="knowledge_200", context=1024)
PROMPTS, PROMPT_TOKENS, WRITTEN = 10, 32, 64


class Side:
    """One runtime, ready to answer."""

    def __init__(self, name: str, suite: Suite, workshop: Workshop) -> None:
        self.name, self.runtime, self.device = name, load_runtime(name), open_device(suite.devices[0])
        self.runner, self.facts, self.workshop = self.runtime.program(Silent()), self.device.facts(), workshop
        told = next((r for r in suite.runtimes if r.name == name), Runtime(name=name))
        self.settings = self.runtime.resolved(told, self.facts)
        self.preparation = Preparation(self.device, self.runner, workshop, suite, Silent(), name)

    def cell(self, variant: Variant) -> Cell:
        return Cell(key="0" * 16, variant=variant.name, runtime=self.settings, device="local", workload=TASK)

    def run(self, variant: Variant, artifact: Artifact, requests: list[dict[str, Any]], *, writes: bool) -> Any:
        """Answers by request."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            asked, answers = folder / "requests.jsonl", folder / "answers.jsonl"
            asked.write_text("".join(json.dumps(line) + "\n" for line in requests))
            inputs = Inputs(
                program=self.runner.path,
                model=artifact.path,
                requests=str(asked),
                answers=str(answers),
                generates=writes,
                timeout_s=6 * 3600,
            )
            outcome = self.device.run(self.runtime.job(self.cell(variant), inputs, self.facts), folder)
            parsed = parse_events(outcome.events)
            assert parsed.done, parsed.error or outcome.stderr_tail
            return {line["id"]: line for line in read_lines(answers)}


def compare(variant: Variant, sides: tuple[Side, Side]) -> None:
    artifacts = {side.name: side.workshop.ensure(variant, side.runtime.FORMAT) for side in sides}
    torch = sides[1]
    requests = torch.preparation.requests(
        torch.cell(variant), variant, artifacts[torch.name], resolve_task(TASK.task, None)
    )
    lines = list(read_requests(requests.path))
    with tempfile.TemporaryDirectory() as folder:
        plain_requests(requests.path, Path(folder, "plain"))
        plain = list(read_lines(Path(folder, "plain")))
    scored = [side.run(variant, artifacts[side.name], plain, writes=False) for side in sides]
    picked = [chosen(lines, {key: line["logprob"] for key, line in one.items()}) for one in scored]
    same = sum(picked[0][key] == picked[1][key] for key in picked[0])
    apart = max(abs(scored[0][key]["logprob"] - scored[1][key]["logprob"]) for key in scored[0])
    (tokens,) = torch.preparation.tokenize(artifacts[torch.name], [read_text(PROMPT_TEXT)])
    starts = [at * len(tokens) // (PROMPTS + 1) for at in range(PROMPTS)]
    wanted = [
        {"id": n, "tokens": tokens[at : at + PROMPT_TOKENS], "shared": 0, "max_tokens": WRITTEN, "stop": []}
        for n, at in enumerate(starts)
    ]
    texts = [side.run(variant, artifacts[side.name], wanted, writes=True) for side in sides]
    alike = [n for n in texts[0] if texts[0][n]["text"] == texts[1][n]["text"]]
    print(
        f"{variant.name}: the same answer to {same} of {len(picked[0])} questions "
        f"({100 * same / len(picked[0]):.1f} %), log-likelihoods at most {apart:.3f} nats apart; "
        f"the same text of {WRITTEN} tokens after {len(alike)} of {PROMPTS} beginnings",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--variants", nargs="*")
    options = parser.parse_args()
    suite = load_suite(options.suite, known_names(), load_devices())
    workshop = Workshop(None, Silent(), wish_of(suite))
    sides = (Side("executorch", suite, workshop), Side("hf", suite, workshop))
    for variant in suite.variants:
        if not options.variants or variant.name in options.variants:
            compare(variant, sides)


if __name__ == "__main__":
    main()
