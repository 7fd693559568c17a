"""Scores in the forms that the Hugging Face hub reads, made by huggingface_hub's own classes and read back by them."""

import io
from collections.abc import Iterator
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from ruamel.yaml import YAML

from harness.analyse.findings import Report, Row, RunSeen
from harness.metrics import metric
from harness.values import Task

DATASETS = {
    "mmlu": "cais/mmlu",
    "mmlu_llama": "cais/mmlu",
    "arc_challenge": "allenai/ai2_arc",
    "arc_challenge_llama": "allenai/ai2_arc",
    "arc_easy": "allenai/ai2_arc",
    "hellaswag": "Rowan/hellaswag",
    "winogrande": "allenai/winogrande",
    "openbookqa": "allenai/openbookqa",
    "truthfulqa_mc1": "truthfulqa/truthful_qa",
    "truthfulqa_mc2": "truthfulqa/truthful_qa",
    "gsm8k": "openai/gsm8k",
    "gsm8k_llama": "openai/gsm8k",
    "ifeval": "google/IFEval",
}
"""Task → data set on the hub."""
BENCHMARKS = {"gsm8k": "gsm8k", "gsm8k_llama": "gsm8k"}
"""Tasks whose data set is registered as a benchmark → the benchmark's task id there."""


def metadata(report: Report, origin: str) -> dict[str, bytes]:
    """File name → body: `model-index.yaml` of each variant, and `.eval_results/` where the hub has the benchmark.

    Questions of a part of a data set are left out: the hub's boards are about the whole.
    """
    files: dict[str, bytes] = {}
    for run in report.runs:
        for variant in run.variants:
            rows = list(_scores(report, run, variant.name))
            if results := [_result(run, row, task, origin) for row, task in rows]:
                index = eval_results_to_model_index(f"{variant.model} {variant.name}", results)
                assert len(model_index_to_eval_results(index)[1]) == len(results)
                files[f"{variant.name}/model-index.yaml"] = _yaml({"model-index": index})
            for name, entries in _entries(run, rows, origin).items():
                data = eval_result_entries_to_yaml(entries)
                assert parse_eval_result_entries(data) == entries
                files[f"{variant.name}/.eval_results/{name}.yaml"] = _yaml(data)
    return files


def _scores(report: Report, run: RunSeen, variant: str) -> Iterator[tuple[Row, Task]]:
    """A variant's scores of whole tasks that the hub has, each once."""
    seen = set()
    for row in report.rows:
        task = run.workloads.get(row.workload)
        if (row.run, row.variant) != (run.id, variant) or row.value is None or not isinstance(task, Task):
            continue
        known = task.task in DATASETS and task.limit is None and task.until is None
        place = (row.runtime, row.device, row.workload, row.metric)
        if known and metric(row.metric).unit == "fraction" and place not in seen:
            seen.add(place)
            yield row, task


def _result(run: RunSeen, row: Row, task: Task, origin: str) -> EvalResult:
    assert row.value is not None
    return EvalResult(
        task_type="text-generation",
        dataset_type=DATASETS[task.task],
        dataset_name=row.workload,
        metric_type=row.metric,
        metric_name=f"{metric(row.metric).title}, {row.runtime or 'no runtime'} on {row.device}",
        metric_value=round(100 * row.value, 2),
        dataset_args={"num_few_shot": task.fewshot} if task.fewshot is not None else None,
        metric_args={"n": row.n, "run": run.id, "sha256": origin},
    )


def _entries(run: RunSeen, rows: list[tuple[Row, Task]], origin: str) -> dict[str, list[EvalResultEntry]]:
    """One file a benchmark and way of measuring it, as the hub wants."""
    found: dict[str, list[EvalResultEntry]] = {}
    for row, task in rows:
        if task.task not in BENCHMARKS:
            continue
        assert row.value is not None
        entry = EvalResultEntry(
            dataset_id=DATASETS[task.task],
            task_id=BENCHMARKS[task.task],
            value=round(100 * row.value, 2),
            date=run.started or None,
            notes=f"{row.workload}, {row.metric}, {row.runtime} on {row.device}; bench run {run.id}, sha256 {origin}",
        )
        found[f"{task.task}_{row.metric}".replace(",", "_")] = [entry]
    return found


def _yaml(data: Any) -> bytes:
    """Block style, strings quoted where they must be; values are plain ones."""
    writer, body = YAML(typ="safe", pure=True), io.BytesIO()
    writer.default_flow_style = False
    writer.dump(data, body)
    return body.getvalue()
