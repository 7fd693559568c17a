"""The second end of an accuracy cell: answers become items, with lm-eval's own metrics.

Grading reads only the run folder (and the task's data), so it can be done again at any time.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.measure.lm_eval_jobs import ask_worker, worker_job
from harness.measure.parts import Unit, kept, unit_of
from harness.measure.requests import NO_ROW
from harness.measure.tasks import TaskFile
from harness.request_lines import read_requests
from harness.store import inside, read_lines, write_lines
from harness.values import Answers, Task


def grade_text(run: Path, answers: Answers, chosen: set[Unit] | None = None) -> None:
    """Windows and positions of a text, straight from the answers; `chosen`: only these windows were asked."""
    given = _by_id(inside(run, answers.answers))
    items: list[dict[str, Any]] = []
    for request in kept(read_requests(inside(run, answers.requests)), chosen):
        window, answer = request["id"], given[request["id"]]
        logprobs = answer["logprob"]
        items.append({"kind": "window", "window": window, "tokens": len(logprobs), "logprob": math.fsum(logprobs)})
        for p, row, kl, top1, logprob in zip(
            request["positions"], request["rows"], answer["kl"], answer["top1"], logprobs, strict=True
        ):
            if row != NO_ROW:
                place = {"kind": "position", "window": window, "position": p}
                items.append({**place, "kl": kl, "top1": top1, "logprob": logprob})
    write_lines(inside(run, answers.items), items)


def grade_task(
    run: Path, answers: Answers, task: Task, files: list[TaskFile], seed: int, chosen: set[Unit] | None = None
) -> None:
    """Items of an lm-eval task; `chosen`: only these documents were asked.

    Raises:
        BuildError: lm-eval failed.
        StoreError: a request without its one answer, or a question that the data does not hold any more.
    """
    if chosen is not None and not chosen:  # more parts than questions
        write_lines(inside(run, answers.items), [])
        return
    requests = kept(read_lines(inside(run, answers.requests)), chosen)
    replies = _replies(requests, _by_id(inside(run, answers.answers)))
    path = inside(run, f"{answers.items}.replies")
    write_lines(path, replies)
    try:
        _, graded = ask_worker({"kind": "grade", "answers": str(path), **worker_job(task, files, seed, chosen)})
    finally:
        path.unlink(missing_ok=True)
    items = list(graded)
    if (wrong := _ungraded(replies, items)) is not None:
        raise StoreError(f"{answers.items}: {wrong}")
    write_lines(inside(run, answers.items), items)


def _ungraded(replies: list[dict[str, Any]], items: list[dict[str, Any]]) -> str | None:
    """Why the items are not exactly one a question that was asked, or None."""
    asked, graded = {unit_of(reply) for reply in replies}, {(item["task"], item["id"]) for item in items}
    if asked == graded:
        return None
    task, document = min(asked - graded or graded - asked)
    return (
        f"{len(asked - graded):,} of {len(asked):,} questions that were asked are not in the task's data now, such as "
        f"document {document} of {task}: grade with the data that was asked"
    )


def check_answers(requests: Path, answers: Path, chosen: set[Unit] | None = None) -> str | None:
    """Why the answers are not exactly one a request (of the chosen documents), or None."""
    wanted = [line["id"] for line in kept(read_lines(requests), chosen)]
    try:
        lines = list(read_lines(answers)) if answers.exists() else []
    except StoreError as error:
        return f"the program wrote what is no answer: {error}"
    given = [line.get("id") for line in lines]
    if not all(isinstance(one, int) for one in given):
        return "the program wrote an answer to nothing"
    if len(given) != len(set(given)):
        return "a request was answered twice"
    missing, extra = len(set(wanted) - set(given)), len(set(given) - set(wanted))
    if missing or extra:
        return f"{missing} of {len(wanted)} requests have no answer, {extra} answers have no request"
    # What is −∞ or no number is null in JSON.
    endless = next((line["id"] for line in lines if line.get("logprob", 0.0) is None), None)
    return None if endless is None else f"request {endless}: its log-likelihood is not a finite number"


PLACE = ("kind", "task", "doc", "index", "doc_hash", "hash")
"""What tells a request apart; runs of old have `hash`, of its text, in the place of `doc_hash`."""


def _replies(requests: Iterable[dict[str, Any]], given: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """lm-eval's answer of each of its requests; parts of a rolling request are summed."""
    replies: dict[int, dict[str, Any]] = {}
    for request in requests:
        answer, kind = given[request["id"]], request["kind"]
        if kind == "loglikelihood":
            value: Any = [answer["logprob"], answer["greedy"]]
        elif kind == "generate_until":
            value = answer["text"]
        else:
            before = replies.get(request["request"])
            value = answer["logprob"] + (before["answer"] if before else 0.0)
        about = {key: request[key] for key in PLACE if key in request}
        replies[request["request"]] = {**about, "answer": value}
    return [replies[key] for key in sorted(replies)]


def _by_id(path: Path) -> dict[int, dict[str, Any]]:
    if not path.exists():
        raise StoreError(f"{path} is missing: the answers cannot be graded again")
    return {line["id"]: line for line in read_lines(path)}
