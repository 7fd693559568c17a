"""The two ends of an accuracy cell, with lm-eval's own tasks: `python -m … JOB.json OUTPUT.jsonl`.

`requests` runs lm-eval's evaluator over a model that only writes down what it is asked; `grade` runs
it again over a model that answers from a file, and writes lm-eval's metrics per item. Prompts, few-shot
choice, filters and metrics are lm-eval's in both passes.
"""

import hashlib
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

FEWSHOT_SEED = 1234
"""What lm-eval's own command line uses, so that its few-shot examples are ours too."""
WEIGHTED = ("word_perplexity", "byte_perplexity", "bits_per_byte")
TASKS_FOLDER = Path(lm_eval.__file__).parent / "tasks"


class Recorder(LM):
    """A model that writes down every request and gives a dummy answer."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[dict[str, Any]] = []

    def _record(self, kind: str, requests: list[Instance], dummy: Any) -> list[Any]:
        for request in requests:
            self.requests.append(
                {
                    "kind": kind,
                    "task": request.task_name,
                    "doc": request.doc_id,
                    "index": request.idx,
                    "args": list(request.args),
                    "hash": arguments_hash(request.args),
                }
            )
        return [dummy] * len(requests)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        return self._record("loglikelihood", requests, (0.0, False))

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        return self._record("loglikelihood_rolling", requests, -1.0)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        return self._record("generate_until", requests, "")


class Replayer(LM):
    """A model that answers from what was scored; a request that was not asked is an error."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        super().__init__()
        self.answers = {(a["kind"], a["hash"]): a["answer"] for a in answers}

    def _answers(self, kind: str, requests: list[Instance]) -> list[Any]:
        return [self.answers[kind, arguments_hash(request.args)] for request in requests]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        return [(logprob, greedy) for logprob, greedy in self._answers("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        return self._answers("loglikelihood_rolling", requests)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        return self._answers("generate_until", requests)


def arguments_hash(arguments: Any) -> str:
    """Tells requests apart: the same text asked twice has the same answer."""
    return hashlib.sha256(json.dumps(list(arguments), sort_keys=True).encode()).hexdigest()[:32]


def load_tasks(files: list[dict[str, Any]], folder: Path, fewshot: int | None) -> dict[str, Any]:
    """lm-eval's tasks with their data replaced by local files.

    Each definition is included by a file of ours that overrides only `dataset_path`, `dataset_name`
    and what the table of tasks says.
    """
    for file in files:
        definition = Path(file["definition"])
        target = definition if definition.is_absolute() else TASKS_FOLDER / definition
        config = {
            "include": str(target),
            "task": file["name"],
            "tag": None,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": file["data_files"]},
            **file["overrides"],
        }
        for split in ("training_split", "validation_split", "test_split"):
            if (wanted := split_of(target, split)) is not None and wanted not in file["data_files"]:
                config[split] = None
        if fewshot is not None:
            config["num_fewshot"] = fewshot
        # JSON is YAML: nothing in a name or path can be read as anything but text.
        (folder / f"{file['name']}.yaml").write_text(json.dumps(config), encoding="utf-8")
    manager = TaskManager(include_defaults=False, include_path=str(folder))
    return manager.load([file["name"] for file in files])["tasks"]


def split_of(definition: Path, split: str) -> str | None:
    """The split's name in a definition or in what it includes."""
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(definition, resolve_func=False, recursive=True)
    return config.get(split)


def draw_samples(tasks: dict[str, Any], limit: int | None, seed: int) -> dict[str, list[int]] | None:
    """Which documents to ask: at most `limit` of all tasks' documents together, drawn by the seed."""
    if limit is None:
        return None
    pool = [(name, doc) for name in sorted(tasks) for doc in range(len(tasks[name].eval_docs))]
    draw = random.Random(f"{seed}:samples")  # noqa: S311 - a repeatable draw, no secret
    chosen: dict[str, list[int]] = {}
    for name, doc in sorted(draw.sample(pool, min(limit, len(pool)))):
        chosen.setdefault(name, []).append(doc)
    return chosen


def run(job: dict[str, Any], lm: LM) -> dict[str, Any]:
    """Evaluate the job's tasks over a model; returns lm-eval's result with its samples."""
    with tempfile.TemporaryDirectory(prefix="bench-tasks-") as folder:
        tasks = load_tasks(job["tasks"], Path(folder), job["fewshot"])
        for task in tasks.values():
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        samples = job.get("samples") or draw_samples(tasks, job["limit"], job["seed"])
        if samples is not None:
            tasks = {name: tasks[name] for name in samples}
        return evaluate(lm=lm, task_dict={"tasks": tasks}, samples=samples, bootstrap_iters=0, log_samples=True)


def item_lines(result: dict[str, Any]) -> list[dict[str, Any]]:
    """One line an item, lm-eval's metrics of all its filters side by side."""
    lines: list[dict[str, Any]] = []
    for task, samples in result["samples"].items():
        items: dict[int, dict[str, Any]] = {}
        for sample in samples:
            item = items.setdefault(
                sample["doc_id"],
                {
                    "kind": "item",
                    "task": task,
                    "id": sample["doc_id"],
                    "group": sample["doc"].get("subject"),
                    "chance": chance_of(sample),
                    "metrics": {},
                    "sums": {},
                },
            )
            for name in sample["metrics"]:
                plain = sample["filter"] in ("none", None)
                key = name if plain else f"{name},{sample['filter']}"
                if isinstance(sample[name], list | tuple):
                    item["sums"][key] = sums_of(name, sample[name])
                else:
                    item["metrics"][key] = float(sample[name])
        lines.extend(items[key] for key in sorted(items))
    return lines


def chance_of(sample: dict[str, Any]) -> float | None:
    """What guessing would score: one in the number of choices.

    None where there is nothing to choose from, or where the score is a mass and not right or wrong.
    """
    choices = len(sample["arguments"])
    if choices < 2 or sample.get("acc") not in (0.0, 1.0):
        return None
    return 1 / choices


def sums_of(name: str, parts: Any) -> list[float]:
    """Numerator and denominator of a metric that is a ratio of sums over all items.

    Perplexities come as (log-likelihood, count); anything else as one verdict a part, such as IFEval's
    instructions.
    """
    if name in WEIGHTED:
        return [float(parts[0]), float(parts[1])]
    return [float(sum(parts)), float(len(parts))]


def main() -> int:
    job_path, output = Path(sys.argv[1]), Path(sys.argv[2])
    job = json.loads(job_path.read_text(encoding="utf-8"))
    lines: list[dict[str, Any]]
    if job["kind"] == "requests":
        recorder = Recorder()
        result = run(job, recorder)
        lines = recorder.requests
    else:
        with open(job["answers"], encoding="utf-8", newline="\n") as file:
            answers = [json.loads(line) for line in file]
        result = run(job, Replayer(answers))
        lines = item_lines(result)
    versions = {name: str(version) for name, version in result["versions"].items()}
    with open(output, "w", encoding="utf-8") as file:
        file.write(json.dumps({"versions": versions, "lm_eval": lm_eval.__version__}) + "\n")
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
