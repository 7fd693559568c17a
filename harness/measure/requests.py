"""The first end of an accuracy cell: tasks and texts become token-id requests.

The same requests serve every variant and device; they are cached by all that they depend on. Where the hub has the
data, nobody can name all of that before: they are made anew by each run.
"""

import random
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from harness.build.cache import cache_folder, sha256_file, used
from harness.data.sources import read_text
from harness.errors import BuildError, InputError
from harness.measure.lm_eval_jobs import ask_worker, worker_job
from harness.measure.parts import Unit, cut_units, kept
from harness.measure.tasks import TaskFile
from harness.measure.tasks.definitions import definition_parts
from harness.measure.token_requests import Tokenizer, assemble
from harness.request_lines import read_requests, whole_requests
from harness.store import read_lines, write_lines
from harness.values import Task, Text, digest

# Raised when the same wish gives other requests, so that cached ones are not taken for new ones.
WORKER_REVISION = 8
TEXT_REVISION = 3
WINDOW = 2048
"""Tokens of a rolling window where a task names no context: a model's whole context would take gigabytes of cache."""
NO_ROW = -1
"""A position that is scored but not compared with the reference."""
CHAT = "chat template"
"""Among a task's versions: its prompts went through one."""
CHAT_DATE = "26 Jul 2024"
"""What a chat template that prints today's date is given, so that no score drifts from day to day."""


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one accuracy cell, as a file, and what is known of them."""

    path: Path
    hash: str
    count: int
    generates: bool
    versions: dict[str, str]
    truncated: int = 0
    """Questions with a prompt that was cut from the left to fit the context."""
    longest: int = 0
    """Tokens of the longest request, with those that it is answered with."""


def task_requests(
    task: Task, files: list[TaskFile], tokenizer: Tokenizer, seed: int, trained: int = WINDOW
) -> Requests:
    """Requests of an lm-eval task; `trained` is the largest context that the model was trained for.

    Raises:
        BuildError: lm-eval failed on the task.
        InputError: the task asks for something that has no request form here, or for a chat template that the
            model does not have.
    """
    chat = _chat(task, files, tokenizer)
    limit, window = task.context or trained, task.context or min(trained, WINDOW)
    key = digest(
        [
            "task",
            WORKER_REVISION,
            version("lm-eval"),
            task.task,
            task.limit,
            task.fewshot,
            limit,
            window,
            seed,
            tokenizer.identity,
            tokenizer.prefix_token,
            chat,
            [[f.name, _definition(f), f.overrides] for f in files],
            [sha256_file(Path(p)) for f in files for p in f.data_files.values()],
        ]
    )[:32]

    def build() -> Iterable[dict[str, Any]]:
        head, asked = ask_worker({"kind": "requests", "chat": chat, **worker_job(task, files, seed)})
        versions = {**head["versions"], **_chat_version(chat)}
        lines = assemble(_flat(asked), tokenizer, limit, window=window, chat=chat is not None)
        return [{"head": versions}, *lines]

    return _new(key, build) if of_the_hub(files) else _cached(key, build)


def of_the_hub(files: list[TaskFile]) -> bool:
    """Whether data comes from the hub: what it holds now is known only when the requests are made."""
    return any(not file.data_files for file in files)


def _flat(asked: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """One entry a request, from the worker's one entry a prompt."""
    for line in asked:
        about = {key: line[key] for key in ("kind", "task", "doc", "doc_hash", "head")}
        for answer in line["answers"]:
            yield {**about, "index": answer["index"], "args": [line["prompt"], *answer["args"]]}


def _chat(task: Task, files: list[TaskFile], tokenizer: Tokenizer) -> dict[str, str] | None:
    """What the worker renders conversations with; None where prompts are plain."""
    if not (any(f.chat for f in files) if task.chat is None else task.chat):
        return None
    if tokenizer.chat_template is None:
        raise InputError(
            f"task {task.task!r} goes through the model's chat template, and the model's file has none"
            " (`chat: false` sends plain prompts)"
        )
    return {
        "template": tokenizer.chat_template,
        "bos": tokenizer.bos,
        "eos": tokenizer.eos,
        "date": CHAT_DATE,
    }


def _chat_version(chat: dict[str, str] | None) -> dict[str, str]:
    return {} if chat is None else {CHAT: f"{digest(chat['template'])[:12]}, date {chat['date']}"}


def _definition(file: TaskFile) -> object:
    """lm-eval's own definitions are told by its version, others by the content of all that they are made of."""
    path = Path(file.definition)
    if not path.is_absolute():
        return file.definition
    return [[part.name, sha256_file(part)] for part in definition_parts(path)]


def text_requests(text: Text, tokenizer: Tokenizer, seed: int) -> Requests:
    """Windows for perplexity, and the same windows with seeded positions for the distance to a reference."""
    body = read_text(text.text)
    key = digest(["text", TEXT_REVISION, body, text.window, text.positions, seed, tokenizer.identity])[:32]

    def build() -> Iterable[dict[str, Any]]:
        (tokens,) = tokenizer.encode([body], [True], False)
        return [{"head": {}}, *window_lines(tokens, text.window, text.positions, seed)]

    return _cached(key, build)


def window_lines(tokens: list[int], window: int, positions: int, seed: int) -> list[dict[str, Any]]:
    """One request a window: every position is scored, the drawn ones are also compared with the reference.

    A position p is one whose next token p + 1 lies in the same window; its row in the reference file
    follows the text, and is -1 where it was not drawn. Windows shorter than 2 tokens are dropped.
    """
    windows = [tokens[i : i + window] for i in range(0, len(tokens), window)]
    windows = [w for w in windows if len(w) >= 2]
    places = [(w, p) for w, content in enumerate(windows) for p in range(len(content) - 1)]
    draw = random.Random(f"{seed}:positions")  # noqa: S311 - a repeatable draw, no secret
    chosen = sorted(draw.sample(places, min(positions, len(places))))
    rows = {place: row for row, place in enumerate(chosen)}
    return [
        {
            "id": w,
            "kind": "window",
            "tokens": content,
            "positions": list(range(len(content) - 1)),
            "rows": [rows.get((w, p), NO_ROW) for p in range(len(content) - 1)],
        }
        for w, content in enumerate(windows)
    ]


def plain_requests(requests: Path, target: Path, chosen: set[Unit] | None = None) -> None:
    """What the runner reads: only ids, tokens and limits, uncompressed; `chosen`: only these documents."""
    keys = ("id", "context", "continuation", "tokens", "positions", "rows", "shared", "max_tokens", "stop")
    lines = ({key: line[key] for key in keys if key in line} for line in kept(read_requests(requests), chosen))
    lines = (line if "positions" in line else {"shared": 0, **line} for line in lines)  # runs of old had none
    with open(target, "wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)


def asked_texts(path: Path) -> Iterable[dict[str, Any]]:
    """The log-likelihood requests of a task as texts: id, task, doc, context, continuation."""
    for line in read_requests(path):
        if line.get("kind") == "loglikelihood":
            about = {key: line[key] for key in ("id", "task", "doc")}
            yield {**about, "context": line["prompt"], "continuation": line["target"]}


def distance_requests(requests: Path, target: Path) -> int:
    """Only the positions that have a row, for making the reference; returns how many rows it will have."""
    count = 0
    with open(target, "wb") as file:
        for line in read_lines(requests):
            drawn = [
                (p, row) for p, row in zip(line.get("positions", ()), line.get("rows", ()), strict=True) if row >= 0
            ]
            if drawn:
                positions, rows = zip(*drawn, strict=True)
                asked = {"id": line["id"], "tokens": line["tokens"], "positions": positions, "rows": rows}
                file.write(msgspec.json.encode(asked) + b"\n")
                count += len(drawn)
    return count


def _new(key: str, build: Callable[[], Iterable[dict[str, Any]]]) -> Requests:
    """Made whatever there is already, and told apart by what came out."""
    lines = list(build())
    return _cached(digest([key, sha256(msgspec.json.encode(lines)).hexdigest()])[:32], lambda: lines)


def _cached(key: str, build: Callable[[], Iterable[dict[str, Any]]]) -> Requests:
    path = cache_folder("requests") / f"{key}.jsonl.gz"
    if not path.is_file():
        head, *lines = build()
        body = [line for line in lines if "id" in line]
        facts = {
            "count": len(body),
            "generates": any(line.get("kind") == "generate_until" for line in body),
            "truncated": len(cut_units(whole_requests(lines))),
            "longest": max(map(_tokens, whole_requests(lines)), default=0),
        }
        write_lines(path, [{**head, "facts": facts}, *lines])
    used(path)
    head = next(read_lines(path))
    return Requests(path=path, hash=key, versions=head["head"], **head["facts"])


def _tokens(line: dict[str, Any]) -> int:
    """That a request and its answer have together."""
    own = len(line.get("context", line.get("tokens", ())))
    return own + len(line.get("continuation", ())) + int(line.get("max_tokens", 0))


def head_tokens(tokens: list[int], count: int, what: str) -> tuple[int, ...]:
    """The first `count` tokens of the prompt text, repeated from its start where it is too short."""
    if not tokens:
        raise BuildError(f"the prompt text has no tokens for {what}")
    repeated = tokens * (count // len(tokens) + 1)
    return tuple(islice(repeated, count))
