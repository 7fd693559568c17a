"""Answers → items of a whole run: what cannot be graded now ends the grading of nothing else."""

from pathlib import Path
from typing import Any

import pytest

from harness.errors import BuildError
from harness.measure import grading
from harness.measure.grading import forget_items, grade_missing
from harness.progress import Silent
from harness.values import Task
from tests.builders import build_and_read


def test_a_task_without_data_ends_the_grading_of_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = build_and_read(tmp_path, measures=(Task(task="arc_easy"), Task(task="knowledge_200")))
    forget_items(run.path)
    graded: list[str] = []

    def grade(folder: Path, answers: Any, task: Task, *_: Any) -> None:
        graded.append(task.task)

    monkeypatch.setattr(grading, "grade_task", grade)
    asked = r"^task 'arc_easy' needs [^;]*; the hub was not asked for [^;]* "
    with pytest.raises(BuildError, match=rf"{asked}\(the answers are kept: `bench regrade {run.path.name}`"):
        grade_missing(run.path, run.plan, tmp_path, Silent())
    assert graded == ["knowledge_200"] * len(run.plan.suite.variants)
