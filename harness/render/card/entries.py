"""Scores in the forms that the Hugging Face hub reads, made by huggingface_hub's own classes and read back by them."""

import io
import re
from collections.abc import Container, Iterator
from itertools import count
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from ruamel.yaml import YAML

from harness.analyse.findings import Report, Row, RunSeen
from harness.metrics import metric
from harness.render.card.block import Origin
from harness.values import Task

LOCAL = "local variant"
"""How the label of a data set begins whose local copy is not the published one."""


class DataSet(NamedTuple):
    """A data set of the hub, and what of it a task asks."""

    id: str
    config: str | None
    split: str
    questions: int


MMLU = DataSet("cais/mmlu", "all", "test", 14_042)
ARC_C, ARC_E = (DataSet("allenai/ai2_arc", c, "test", n) for c, n in (("ARC-Challenge", 1_172), ("ARC-Easy", 2_376)))
GSM8K = DataSet("openai/gsm8k", "main", "test", 1_319)
DATASETS = {
    "mmlu": MMLU,
    "mmlu_llama": MMLU,
    "arc_challenge": ARC_C,
    "arc_challenge_llama": ARC_C,
    "arc_easy": ARC_E,
    "hellaswag": DataSet("Rowan/hellaswag", None, "validation", 10_042),
    "winogrande": DataSet("allenai/winogrande", "winogrande_xl", "validation", 1_267),
    "openbookqa": DataSet("allenai/openbookqa", "main", "test", 500),
    "truthfulqa_mc1": DataSet("truthfulqa/truthful_qa", "multiple_choice", "validation", 817),
    "truthfulqa_mc2": DataSet("truthfulqa/truthful_qa", "multiple_choice", "validation", 817),
    "gsm8k": GSM8K,
    "gsm8k_cot": GSM8K,
    "gsm8k_llama": GSM8K,
    "gsm8k_cot_llama": GSM8K,
    "ifeval": DataSet("google/IFEval", None, "train", 541),
}
"""Task → what it asks, and how many questions that are."""


class Score(NamedTuple):
    """One score of a whole published data set."""

    run: RunSeen
    row: Row
    task: Task
    origin: str
    """Hash of the run."""

    @property
    def data(self) -> DataSet:
        return DATASETS[self.task.task]

    @property
    def percent(self) -> float:
        assert self.row.value is not None
        return round(100 * self.row.value, 2)

    @property
    def file(self) -> str:
        """A safe name for its own file, without its ending."""
        words = (self.task.task, self.row.metric, self.row.runtime, self.row.device)
        return re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(str(word) for word in words))

    @property
    def how(self) -> str:
        """What tells two scores of one data set apart."""
        return f"{self.row.workload}, {self.row.metric}, {self.row.runtime} on {self.row.device}"


def metadata(report: Report, origins: list[Origin]) -> dict[str, bytes]:
    """File name → body, a folder for each variant: `model-index.yaml`, and a file a score below `.eval_results/`.

    Left out are questions of a part of a data set, and local copies that are not the published one: the hub's boards
    are about the whole of what was published.
    """
    files: dict[str, bytes] = {}
    found: dict[str, list[Score]] = {}
    for score in _scores(report, {one.run: one.sha256 for one in origins}):
        found.setdefault(str(score.row.variant), []).append(score)
    for variant, scores in found.items():
        results = [_result(one) for one in scores]
        index = eval_results_to_model_index(_model_of(scores[0]), results)
        assert len(model_index_to_eval_results(index)[1]) == len(results)
        files[f"{variant}/model-index.yaml"] = _yaml({"model-index": index})
        for one in scores:
            entries = [_entry(one)]
            data = eval_result_entries_to_yaml(entries)
            assert parse_eval_result_entries(data) == entries
            files[_free(f"{variant}/.eval_results/{one.file}", files)] = _yaml(data)
    return files


def _scores(report: Report, origins: dict[str, str]) -> Iterator[Score]:
    """Each once, whatever it was compared with."""
    seen = set()
    for run in report.runs:
        for row in (row for row in report.rows if row.run == run.id):
            task = run.workloads.get(row.workload)
            place = (row.run, row.variant, row.runtime, row.device, row.workload, row.metric)
            if row.value is None or not isinstance(task, Task) or place in seen or not _is_whole(row, task):
                continue
            seen.add(place)
            yield Score(run, row, task, origins[run.id])


def _is_whole(row: Row, task: Task) -> bool:
    known = DATASETS.get(task.task)
    labelled = any(note.startswith(LOCAL) for note in row.notes)
    return known is not None and row.n == known.questions and not labelled and metric(row.metric).unit == "fraction"


def _model_of(score: Score) -> str:
    model = next(v.model for v in score.run.variants if v.name == score.row.variant)
    return f"{model} {score.row.variant}"


def _result(score: Score) -> EvalResult:
    # The hub puts scores of one data set together under the first one's name: what tells them apart is in the metric's.
    shots = {} if score.task.fewshot is None else {"num_few_shot": score.task.fewshot}
    return EvalResult(
        task_type="text-generation",
        dataset_type=score.data.id,
        dataset_name=score.data.id,
        dataset_config=score.data.config,
        dataset_split=score.data.split,
        metric_type=score.row.metric,
        metric_name=f"{metric(score.row.metric).title} ({score.how})",
        metric_value=score.percent,
        metric_args={"n": score.row.n, "run": score.run.id, "sha256": score.origin, **shots},
    )


def _entry(score: Score) -> EvalResultEntry:
    return EvalResultEntry(
        dataset_id=score.data.id,
        task_id=score.task.task,
        value=score.percent,
        date=score.run.ended or None,
        notes=f"{score.how}; bench run {score.run.id}, sha256 {score.origin}",
    )


def _free(name: str, taken: Container[str]) -> str:
    """Two runs of one kind have files of their own."""
    return next(one for n in count(1) if (one := f"{name}{'' if n == 1 else f'-{n}'}.yaml") not in taken)


def _yaml(data: Any) -> bytes:
    """Block style, strings quoted where they must be; values are plain ones."""
    writer, body = YAML(typ="safe", pure=True), io.BytesIO()
    writer.default_flow_style = False
    writer.dump(data, body)
    return body.getvalue()
