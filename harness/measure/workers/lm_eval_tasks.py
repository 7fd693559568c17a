"""The two ends of an accuracy cell, with lm-eval's own tasks: `python -m … JOB.json OUTPUT.jsonl`.

`requests` lets lm-eval build its requests and writes them down; `grade` runs lm-eval's evaluator over a model
that answers from a file, and writes lm-eval's metrics per item. Prompts, few-shot choice, filters and metrics are
lm-eval's in both passes.
"""

import hashlib
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy

from harness.measure.workers.parent import die_with_parent

if __name__ == "__main__":
    die_with_parent()  # what follows takes seconds to import
if os.environ.get("BENCH_HUB") != "1":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate

from harness.measure.workers.chat import chat_template
from harness.measure.workers.data_files import DataError
from harness.measure.workers.item_lines import check_metrics, item_lines
from harness.measure.workers.loading import GradedTask, LocalTask, load_tasks

FEWSHOT_SEED = 1234
"""What lm-eval's own command line uses, so that its few-shot examples are ours too."""
PROCESS_SEEDS = (0, 1234)
"""What lm-eval seeds Python's and numpy's generators with before it loads tasks: some shuffle their choices."""

Asked = tuple[str, str, int, int]
"""Kind of request, task, document and the request's place among those of its document."""


class Replayer(LM):
    """A model that answers from what was scored; a request that was not asked is an error."""

    def __init__(self, answers: list[dict[str, Any]], samples: dict[str, list[int]] | None) -> None:
        super().__init__()
        self.answers: dict[Asked, dict[str, Any]] = {(a["kind"], a["task"], a["doc"], a["index"]): a for a in answers}
        self.samples = samples

    def _answers(self, kind: str, requests: list[Instance]) -> list[Any]:
        return [self._answer(kind, request) for request in requests]

    def _answer(self, kind: str, request: Instance) -> Any:
        doc = document_of(request, self.samples)
        found = self.answers.get((kind, request.task_name, doc, request.idx))
        if found is None or found["doc_hash"] != document_hash(request.doc):
            raise DataError(f"task {request.task_name}: document {doc} is not the one that was asked: data changed")
        return found["answer"]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        return [(logprob, greedy) for logprob, greedy in self._answers("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        return self._answers("loglikelihood_rolling", requests)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        return self._answers("generate_until", requests)


class OldReplayer(Replayer):
    """For runs whose requests were told apart by their texts: these are rendered again."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        LM.__init__(self)
        self.by_text = {(a["kind"], a["hash"]): a["answer"] for a in answers}

    def _answer(self, kind: str, request: Instance) -> Any:
        return self.by_text[kind, arguments_hash(request.args)]


def arguments_hash(arguments: Any) -> str:
    return hashlib.sha256(json.dumps(list(arguments), sort_keys=True).encode()).hexdigest()[:32]


def document_hash(doc: Any) -> str:
    return hashlib.sha256(json.dumps(doc, sort_keys=True, default=str).encode()).hexdigest()[:16]


def document_of(request: Instance, samples: dict[str, list[int]] | None) -> int:
    """The document's place in its split; lm-eval counts only those that were drawn."""
    return request.doc_id if samples is None else samples[request.task_name][request.doc_id]


def draw_samples(tasks: dict[str, LocalTask], limit: int | None, seed: int) -> dict[str, list[int]] | None:
    """Which documents to ask: at most `limit` of all tasks' documents together, drawn by the seed."""
    if limit is None:
        return None
    pool = [(name, doc) for name in sorted(tasks) for doc in range(len(tasks[name].eval_docs))]
    draw = random.Random(f"{seed}:samples")  # noqa: S311 - a repeatable draw, no secret
    chosen: dict[str, list[int]] = {}
    for name, doc in sorted(draw.sample(pool, min(limit, len(pool)))):
        chosen.setdefault(name, []).append(doc)
    return chosen


def open_tasks(job: dict[str, Any], kind: type[LocalTask]) -> tuple[dict[str, LocalTask], dict[str, list[int]] | None]:
    """The job's tasks that have documents to ask, and which these are (None: all)."""
    random.seed(PROCESS_SEEDS[0])
    numpy.random.seed(PROCESS_SEEDS[1])
    tasks = load_tasks(job["tasks"], job["fewshot"], kind)
    for task in tasks.values():
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
    samples = job.get("samples") or draw_samples(tasks, job["limit"], job["seed"])
    return (tasks if samples is None else {name: tasks[name] for name in samples}), samples


def ask(job: dict[str, Any]) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The tasks' versions, and one line a prompt with all that is asked of it."""
    tasks, samples = open_tasks(job, LocalTask)
    check_metrics(tasks)
    chat = job.get("chat")
    for name, task in tasks.items():
        task.build_all_requests(
            samples=None if samples is None else samples[name],
            apply_chat_template=chat is not None,
            fewshot_as_multiturn=chat is not None,
            chat_template=chat_template(chat) if chat else None,
        )
    versions = {name: task.VERSION for name, task in tasks.items()}
    return versions, (line for task in tasks.values() for line in prompt_lines(task, samples))


def prompt_lines(task: LocalTask, samples: dict[str, list[int]] | None) -> Iterator[dict[str, Any]]:
    """lm-eval's requests; those of one prompt, which stand side by side, in one line."""
    line: dict[str, Any] = {}
    for request in task.instances:
        prompt, *rest = request.args
        doc = document_of(request, samples)
        if (line.get("doc"), line.get("prompt")) != (doc, prompt):
            if line:
                yield line
            line = {
                "kind": request.request_type,
                "task": request.task_name,
                "doc": doc,
                "doc_hash": document_hash(request.doc),
                "prompt": prompt,
                "head": getattr(prompt, "head", None),
                "answers": [],
            }
        line["answers"].append({"index": request.idx, "args": rest})
    if line:
        yield line


def grade(job: dict[str, Any], answers: list[dict[str, Any]]) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The tasks' versions, and one line an item."""
    by_place = all("doc_hash" in answer for answer in answers)
    tasks, samples = open_tasks(job, GradedTask if by_place else LocalTask)
    lm = Replayer(answers, samples) if by_place else OldReplayer(answers)
    result = evaluate(lm=lm, task_dict={"tasks": tasks}, samples=samples, bootstrap_iters=0, log_samples=True)
    return result["versions"], item_lines(result["samples"], tasks)


def work(job: dict[str, Any], output: Path) -> None:
    if job["kind"] == "requests":
        versions, lines = ask(job)
    else:
        with open(job["answers"], encoding="utf-8", newline="\n") as file:
            versions, lines = grade(job, [json.loads(line) for line in file])
    told = {name: str(version) for name, version in versions.items()}
    with open(output, "w", encoding="utf-8") as file:
        file.write(json.dumps({"versions": told, "lm_eval": lm_eval.__version__}) + "\n")
        file.writelines(json.dumps(line) + "\n" for line in lines)


def main() -> int:
    job_path, output = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        work(json.loads(job_path.read_text(encoding="utf-8")), output)
    except DataError as error:
        sys.exit(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
