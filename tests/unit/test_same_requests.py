"""A resumed run asks what it asked before, shards ask the same, and tokenizers are compared where results are."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from harness.analyse.items import Graded, Item, Window, joined
from harness.errors import StoreError
from harness.measure.answering import _compare_tokenizers, check_requests, compared_cells
from harness.measure.requests import Requests
from harness.measure.same_requests import CONTENT, TOKENS, request_differences, token_differences
from harness.store import Run, read_lines, write_lines
from harness.values import Answers, Cell, CheckpointSource, Model, Runtime, Suite, Task, Text, Variant
from tests.builders import build_and_read

ASKED: dict[str, Any] = {
    "id": 0,
    "kind": "loglikelihood",
    "task": "t",
    "doc": 0,
    "index": 0,
    "doc_hash": "h",
    "prompt": "p",
    "context": [1, 2],
    "continuation": [3],
    "target": " yes",
}


def written(path: Path, *requests: dict[str, Any]) -> Path:
    write_lines(path, [{"head": {}}, *requests])
    return path


OTHER: dict[str, Any] = {
    "task": "u",
    "doc": 1,
    "index": 1,
    "context": [1, 4],
    "continuation": [4],
    "tokens": [1],
    "kind": "generate_until",
    "doc_hash": "i",
    "target": " no",
    "stop": ["\n"],
    "max_tokens": 9,
    "positions": [0],
    "rows": [0],
}


@pytest.mark.parametrize("key", CONTENT)
def test_whatever_an_answer_or_its_grade_depends_on_is_compared(tmp_path: Path, key: str) -> None:
    one = written(tmp_path / "a.jsonl.gz", ASKED, ASKED)
    other = written(tmp_path / "b.jsonl.gz", ASKED, {**ASKED, key: OTHER[key]})
    assert request_differences(one, other) == (1, 2)
    assert token_differences(one, other) == (int(key in TOKENS), 2)
    assert request_differences(one, one) == (0, 2)


def test_a_request_less_is_a_difference(tmp_path: Path) -> None:
    one, other = written(tmp_path / "a.jsonl.gz", ASKED), written(tmp_path / "b.jsonl.gz", ASKED, ASKED)
    assert request_differences(one, other) == (1, 2)


# ---------------------------------------------------------------- resuming


def answered(tmp_path: Path) -> tuple[Run, Cell, Path]:
    """A run, one of its accuracy cells, and the requests that it has answers to."""
    run = build_and_read(tmp_path, measures=(Task(task="knowledge_200"),), items=5)
    cells = {cell.key: cell for cell in run.plan.cells}
    record = next(r for r in run.records if any(isinstance(o, Answers) for o in r.observations))
    (answers,) = (o for o in record.observations if isinstance(o, Answers))
    return run, cells[record.cell], run.path / answers.requests


def made(path: Path) -> Requests:
    return Requests(path=path, hash=path.name.removesuffix(".jsonl.gz"), count=1, generates=False, versions={})


def test_the_same_requests_under_another_name_go_on(tmp_path: Path) -> None:
    run, cell, before = answered(tmp_path)
    check_requests(run, cell, made(before))
    other = tmp_path / "other.jsonl.gz"
    other.write_bytes(before.read_bytes())
    check_requests(run, cell, made(other))


def test_other_requests_are_refused(tmp_path: Path) -> None:
    run, cell, before = answered(tmp_path)
    lines = list(read_lines(before))
    lines[-1]["doc_hash"] = "another document"
    write_lines(tmp_path / "other.jsonl.gz", lines)
    said = rf"{run.id} cannot go on: 1 of \d+ requests of {cell.variant} knowledge_200 are not those .*start a new run"
    with pytest.raises(StoreError, match=said):
        check_requests(run, cell, made(tmp_path / "other.jsonl.gz"))


def test_requests_that_are_lost_cannot_be_compared(tmp_path: Path) -> None:
    run, cell, before = answered(tmp_path)
    (tmp_path / "other.jsonl.gz").write_bytes(before.read_bytes())
    before.unlink()
    with pytest.raises(StoreError, match="is missing"):
        check_requests(run, cell, made(tmp_path / "other.jsonl.gz"))


def test_a_question_that_was_graded_twice_is_no_more_questions() -> None:
    one = Graded(items=(Item(task="t", id=1, metrics={"acc": 1.0}), Item(task="u", id=1, metrics={"acc": 1.0})))
    other = Graded(items=(Item(task="t", id=2, metrics={"acc": 0.0}),))
    assert len(joined([one, other]).items) == 3
    with pytest.raises(StoreError, match="1 questions were graded twice, such as t 2"):
        joined([one, other, other])
    with pytest.raises(StoreError, match="graded twice, such as window 3"):
        joined([Graded(windows=(Window(window=3, tokens=1, logprob=-1.0),) * 2)])


# ---------------------------------------------------------------- families


def test_cells_of_one_family_are_compared_whatever_their_models_are_called(tmp_path: Path) -> None:
    """A user's GGUF as the baseline and a user's checkpoint of the same weights: two models, two runtimes."""
    loads = (Task(task="knowledge_200"), Text(text="text_5000"))
    base = build_and_read(tmp_path, measures=loads, items=5).plan.suite
    folder = Model(name="the-folder", source=CheckpointSource(path="folder"), label="the user's")
    of_folder = Variant(name="folder", model=folder, recipe="released")
    runtimes = (Runtime(name="llama.cpp"), Runtime(name="hf"))
    suite: Suite = msgspec.structs.replace(
        base, variants=(of_folder, *base.variants[:1]), baselines=("bf16",), runtimes=runtimes
    )
    cells = [
        Cell(key=f"{n:016x}", variant=name, runtime=runtimes[name == "folder"], device="local", workload=load)
        for n, (name, load) in enumerate((v.name, load) for v in suite.variants for load in loads)
    ]
    found = list(compared_cells(suite, cells))
    assert [(one.variant, other.variant) for one, other in found] == [("bf16", "folder")] * 2
    assert all(one.workload == other.workload for one, other in found)


def test_tokenizers_that_differ_on_the_tasks_own_text_are_said_of_the_cell(tmp_path: Path) -> None:
    run = build_and_read(tmp_path / "results", measures=(Task(task="knowledge_200"),))
    cells = [cell for cell in run.plan.cells if isinstance(cell.workload, Task)]

    def asked(name: str, *lines: dict[str, Any]) -> Requests:
        path = written(tmp_path / f"{name}.jsonl.gz", *lines)
        return Requests(path=path, hash=name, count=len(lines), generates=False, versions={})

    same = asked("same", ASKED, {**ASKED, "doc": 1})
    other = asked("other", ASKED, {**ASKED, "doc": 1, "continuation": [3, 4]})
    requests = {cell.key: other if cell.variant == "int8" else same for cell in cells}
    floor: Any = SimpleNamespace(plan=run.plan, requests=requests, remarks={})
    _compare_tokenizers(floor, cells)
    (remark,) = floor.remarks.items()
    assert next(c.variant for c in cells if c.key == remark[0]) == "int8"
    assert remark[1] == "the tokenizers of int8 and bf16 differ on 1 of 2 requests"
