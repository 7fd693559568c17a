"""Jobs for the worker that runs lm-eval: what it must know, and what it says."""

import os
import sys
from typing import Any

import msgspec

from harness.build.cache import cache_folder
from harness.build.programs import finish
from harness.measure.parts import Unit
from harness.measure.tasks import TaskFile
from harness.measure.tasks.places import hub_home
from harness.store import read_lines
from harness.values import Task

WORKER = "harness.measure.workers.lm_eval_tasks"
LONGEST_WORK_S = 7200.0


def worker_job(task: Task, files: list[TaskFile], seed: int, chosen: set[Unit] | None = None) -> dict[str, Any]:
    """What the worker must know for `requests` and, but for which documents were asked, for `grade`."""
    return {
        "tasks": [msgspec.to_builtins(f) for f in files],
        "limit": task.limit,
        "fewshot": task.fewshot,
        "seed": seed,
        "samples": None if chosen is None else documents(chosen),
    }


def documents(chosen: set[Unit]) -> dict[str, list[int]]:
    """Task → documents, in order."""
    found: dict[str, list[int]] = {}
    for task, document in sorted(chosen):
        found.setdefault(task, []).append(document)
    return found


def ask_worker(job: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run lm-eval in a process of its own; returns its head line and its lines.

    Raises:
        BuildError: with the worker's last line, or that it did not end in time.
    """
    folder = cache_folder("worker", f"{os.getpid()}")
    job_path, output = folder / "job.json", folder / "output.jsonl"
    job_path.write_bytes(msgspec.json.encode(job))
    what = f"lm-eval on {', '.join(t['name'] for t in job['tasks'][:3])} ({job['kind']})"
    try:
        argv = [sys.executable, "-m", WORKER, str(job_path), str(output)]
        finish(argv, what, LONGEST_WORK_S, _surroundings(job["tasks"]))
        lines = list(read_lines(output))
    finally:
        job_path.unlink(missing_ok=True)
        output.unlink(missing_ok=True)
        folder.rmdir()
    return lines[0], lines[1:]


def _surroundings(tasks: list[dict[str, Any]]) -> dict[str, str]:
    """Environment variables that say where the worker's libraries find data, and whether they may ask the hub."""
    hub = any(not task["data_files"] for task in tasks)
    home = hub_home() if hub else cache_folder("huggingface")
    nltk = next((task["nltk_data"] for task in tasks if task["nltk_data"]), "")
    found = {"HF_HOME": str(home), "BENCH_HUB": "1" if hub else "0", "TOKENIZERS_PARALLELISM": "false"}
    return found | ({"NLTK_DATA": nltk} if nltk else {})
