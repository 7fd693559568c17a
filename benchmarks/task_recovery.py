"""What recipes win back of what rounding costs in tasks.

`BENCH_DATA=FOLDER python benchmarks/task_recovery.py BASE CONTROL NAME=CHECKPOINT … --tasks hellaswag arc_easy`

BASE is the 16-bit checkpoint, CONTROL plain rounding to nearest (`NAME=CHECKPOINT` too). All answer the same questions
by torch, in float32 or by the scheme's own numbers, and lm-eval's code grades them. Recovery is the share of CONTROL's
loss that a variant has not: of its accuracy, and of the KL divergence of its choices' probabilities from BASE's, each
with a 95 % interval over questions (paired bootstrap, 10,000 draws).
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from torch_scorer import CONTEXT, NO_PREFIX_TOKEN, Bench, machine

from harness.build.compressed import LEARNED
from harness.measure.grade import grade_task
from harness.measure.overlap import shared_words
from harness.measure.requests import task_requests
from harness.measure.tasks import TaskFile, resolve_task
from harness.measure.token_requests import Tokenizer
from harness.request_lines import own_texts, read_requests
from harness.store import read_lines, write_lines
from harness.values import Answers, Task

DRAWS = 10_000
METRICS = ("acc_norm", "acc")
"""The first one that a task has."""
Column = "np.ndarray[Any, np.dtype[np.float64]]"


class Asked:
    """One task's questions, and what a checkpoint answers to them."""

    def __init__(self, task: str, limit: int | None, bench: Bench, folder: Path) -> None:
        self.wish, self.folder = Task(task=task, limit=limit, context=CONTEXT), folder
        self.files: list[TaskFile] = list(resolve_task(task, Path(os.environ["BENCH_DATA"])))
        model = str(bench.engine["model"])
        tokenizer = Tokenizer(encode=bench.tokenize, identity=model, prefix_token=NO_PREFIX_TOKEN)
        self.lines = list(read_requests(task_requests(self.wish, self.files, tokenizer, 0).path))

    def items(self, bench: Bench) -> tuple[list[dict[str, Any]], float]:
        """Graded questions, and the seconds of scoring."""
        seen, found = bench.ours(self.lines)
        write_lines(self.folder / "asked.jsonl", self.lines)
        write_lines(self.folder / "found.jsonl", [found[line["id"]] for line in self.lines])
        answers = Answers(
            requests="asked.jsonl", answers="found.jsonl", items="items.jsonl", count=len(self.lines), tokens=0
        )
        grade_task(self.folder, answers, self.wish, self.files, 0)
        return list(read_lines(self.folder / "items.jsonl")), seen["scoring_s"]


def right(items: list[dict[str, Any]]) -> Column:
    metric = next(name for name in METRICS if name in items[0]["metrics"])
    return np.array([item["metrics"][metric] for item in items])


def divergence(items: list[dict[str, Any]], base: list[dict[str, Any]]) -> Column:
    """KL of the choices' probabilities from the base's, in nats, for each question."""
    return np.array([_kl(np.array(b["logprobs"]), np.array(i["logprobs"])) for b, i in zip(base, items, strict=True)])


def _kl(base: Column, other: Column) -> float:
    p, q = base - np.logaddexp.reduce(base), other - np.logaddexp.reduce(other)
    return float((np.exp(p) * (p - q)).sum())


def recovered(control: Column, other: Column) -> str:
    """1 − loss / loss of the control, where both are losses of each question."""
    draws = np.random.default_rng(1).integers(0, len(control), (DRAWS, len(control)))
    shares = [1 - other[draw].mean() / control[draw].mean() for draw in draws if control[draw].mean() > 0]
    if len(shares) < DRAWS * 0.99:
        return "unknown: the control's loss is too small"
    low, high = np.quantile(shares, (0.025, 0.975))
    return f"{1 - other.mean() / control.mean():.0%} ({low:.0%} to {high:.0%})"


def show(asked: Asked, benches: dict[str, Bench]) -> None:
    print(f"\n{asked.wish.task}: {len({(x['task'], x['doc']) for x in asked.lines})} questions")
    print("| variant | accuracy | of its loss recovered | KL of choices | recovered | scored in |")
    print("| --- | --: | --: | --: | --: | --: |")
    base: list[dict[str, Any]] = []
    control: tuple[Column, Column] | None = None
    for name, bench in benches.items():
        learned = Path(bench.engine["model"], LEARNED)
        if learned.is_file() and (shared := shared_words(learned, own_texts(asked.lines))):
            raise SystemExit(f"{name} learned from {learned}, which holds parts of the questions: “{shared[0]}”")
        items, took = asked.items(bench)
        base = base or items
        assert [(i["task"], i["id"]) for i in items] == [(i["task"], i["id"]) for i in base]
        lost, apart = right(base) - right(items), divergence(items, base)
        cells = ["", ""]
        if control:
            cells = [recovered(control[0], lost), recovered(control[1], apart)]
        elif items is not base:
            control = lost, apart
        print(
            f"| {name} | {right(items).mean():.2%} | {cells[0]} | {apart.mean():.4f} | {cells[1]} | {took:.0f} s |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="NAME=CHECKPOINT")
    parser.add_argument("--tasks", nargs="+", default=["hellaswag", "arc_easy", "arc_challenge"])
    parser.add_argument("--limit", type=int, help="questions of each task (default: all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    named = dict(one.split("=", 1) for one in options.checkpoints)
    print(machine(options.device, options.threads))
    with tempfile.TemporaryDirectory(prefix="bench-recovery-") as name:
        folder = Path(name)
        benches = {name: Bench(Path(path), options.threads, folder, options.device) for name, path in named.items()}
        for task in options.tasks:
            show(Asked(task, options.limit, next(iter(benches.values())), folder), benches)


if __name__ == "__main__":
    main()
