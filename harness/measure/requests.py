"""The first end of an accuracy cell: tasks and texts become token-id requests.

The same requests serve every variant and device; they are cached by all that they depend on. Where the hub has the
data, nobody can name all of that before: they are made anew by each run.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from harness.build.cache import cache_folder, sha256_file, used
from harness.data.sources import read_text
from harness.errors import BuildError, InputError
from harness.measure.parts import Unit, kept
from harness.measure.pieces import Encoded, encode_all
from harness.measure.tasks import TaskFile
from harness.measure.tasks.definitions import definition_parts
from harness.measure.tasks.places import hub_home
from harness.request_lines import Heads, alike, read_requests, whole_requests
from harness.store import read_lines, write_lines
from harness.values import Task, Text, digest

WORKER = "harness.measure.workers.lm_eval_tasks"
# Raised when the same wish gives other requests, so that cached ones are not taken for new ones.
WORKER_REVISION = 6
TEXT_REVISION = 3
LONGEST_WORK_S = 7200.0
NO_ROW = -1
"""A position that is scored but not compared with the reference."""
FEWEST_SHARED = 64
"""Tokens that are worth decoding in calls of their own."""
LONGEST_ANSWER = 256
"""lm-eval's default `max_gen_toks`."""
CHAT = "chat template"
"""Among a task's versions: its prompts went through one."""
CHAT_DATE = "26 Jul 2024"
"""What a chat template that prints today's date is given, so that no score drifts from day to day."""

Tokenize = Callable[[Sequence[str], bool, bool], list[list[int]]]
"""Texts; whether each gets the special tokens that the model begins a text with; whether the text of a special
token means that token."""


class Tokenizer(msgspec.Struct, frozen=True, kw_only=True):
    """What requests need of a model's tokenizer."""

    encode: Tokenize
    identity: str
    """Other tokens, other identity."""
    prefix_token: int
    """Stands before a text without context."""
    chat_template: str | None = None
    bos: str = ""
    """The text of the token that begins a text; empty: there is none."""
    eos: str = ""


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one accuracy cell, as a file, and what is known of them."""

    path: Path
    hash: str
    count: int
    generates: bool
    versions: dict[str, str]
    truncated: int = 0
    """Requests whose prompt was cut from the left to fit the context."""


def task_requests(task: Task, files: list[TaskFile], tokenizer: Tokenizer, seed: int) -> Requests:
    """Requests of an lm-eval task.

    Raises:
        BuildError: lm-eval failed on the task.
        InputError: the task asks for something that has no request form here, or for a chat template that the
            model does not have.
    """
    chat = _chat(task, files, tokenizer)
    key = digest(
        [
            "task",
            WORKER_REVISION,
            version("lm-eval"),
            task.task,
            task.limit,
            task.fewshot,
            task.context,
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
        return [{"head": versions}, *assemble(_flat(asked), tokenizer, task.context, chat=chat is not None)]

    return _new(key, build) if of_the_hub(files) else _cached(key, build)


def of_the_hub(files: list[TaskFile]) -> bool:
    """Whether data comes from the hub: what it holds now is known only when the requests are made."""
    return any(not file.data_files for file in files)


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


def text_requests(text: Text, tokenizer: Tokenizer, seed: int) -> Requests:
    """Windows for perplexity, and the same windows with seeded positions for the distance to a reference."""
    body = read_text(text.text)
    key = digest(["text", TEXT_REVISION, body, text.window, text.positions, seed, tokenizer.identity])[:32]

    def build() -> Iterable[dict[str, Any]]:
        (tokens,) = tokenizer.encode([body], True, False)
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


def _flat(asked: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """One entry a request, from the worker's one entry a prompt."""
    for line in asked:
        about = {key: line[key] for key in ("kind", "task", "doc", "doc_hash", "head")}
        for answer in line["answers"]:
            yield {**about, "index": answer["index"], "args": [line["prompt"], *answer["args"]]}


def assemble(
    asked: Iterable[dict[str, Any]], tokenizer: Tokenizer, context: int, *, chat: bool = False
) -> Iterator[dict[str, Any]]:
    """lm-eval's requests as token ids, by lm-eval's own rules, as lines of a request file.

    A continuation's tokens are those of context + continuation without the context's; trailing blanks of
    the context move to the continuation; an empty context is the model's prefix token. A chat prompt holds its
    special tokens as text, that of the beginning among them.
    """
    asked = list(asked)
    encoded = encode_all(
        chain.from_iterable(_texts(request) for request in asked),
        lambda texts, special: tokenizer.encode(texts, special, chat),
        special=not chat,
    )
    heads, number = Heads(), 0
    for request_number, request in enumerate(asked):
        prompt = request["args"][0]
        about = {key: request[key] for key in ("kind", "task", "doc", "index", "doc_hash")}
        head = head_of(request) if request["kind"] != "loglikelihood_rolling" else ""
        for part in _parts(request, encoded, context, tokenizer.prefix_token):
            line = {"id": number, **about, "request": request_number, "prompt": prompt, **part}
            yield from heads.lines(line, head, encoded[head] if head else [])
            number += 1


def _parts(request: dict[str, Any], encoded: Encoded, context: int, prefix_token: int) -> Iterable[dict[str, Any]]:
    match request["kind"]:
        case "loglikelihood":
            return [_pair(request, encoded, context, prefix_token)]
        case "loglikelihood_rolling":
            return _rolling(encoded[request["args"][0]], context, prefix_token)
        case "generate_until":
            return [_generation(request, encoded, context, prefix_token)]
        case other:
            raise InputError(f"lm-eval asks for {other!r} in task {request['task']}, which is not supported")


def ask_worker(job: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run lm-eval in a process of its own; returns its head line and its lines.

    Raises:
        BuildError: with the worker's last line, or that it did not end within two hours.
    """
    folder = cache_folder("worker", f"{os.getpid()}")
    job_path, output = folder / "job.json", folder / "output.jsonl"
    job_path.write_bytes(msgspec.json.encode(job))
    environment = {**os.environ, "BENCH_DIE_WITH_PARENT": "1", **_surroundings(job["tasks"])}
    what = f"{', '.join(t['name'] for t in job['tasks'][:3])} ({job['kind']})"
    try:
        done = subprocess.run(
            [sys.executable, "-m", WORKER, str(job_path), str(output)],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=LONGEST_WORK_S,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BuildError(f"lm-eval failed on {what}: {last}")
        lines = list(read_lines(output))
    except subprocess.TimeoutExpired:
        raise BuildError(f"lm-eval did not end on {what} within {LONGEST_WORK_S:,.0f} s") from None
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


def plain_requests(requests: Path, target: Path, chosen: set[Unit] | None = None) -> None:
    """What the runner reads: only ids, tokens and limits, uncompressed; `chosen`: only these documents."""
    keys = ("id", "context", "continuation", "tokens", "positions", "rows", "shared", "max_tokens", "stop")
    lines = ({key: line[key] for key in keys if key in line} for line in kept(read_requests(requests), chosen))
    lines = (line if "positions" in line else {"shared": 0, **line} for line in lines)  # runs of old had none
    with open(target, "wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)


def asked_texts(path: Path) -> Iterable[dict[str, Any]]:
    """The log-likelihood requests of a task as texts: id, context, continuation."""
    for line in read_requests(path):
        if line.get("kind") == "loglikelihood":
            yield {"id": line["id"], "context": line["prompt"], "continuation": line["target"]}


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
            "truncated": sum(1 for line in whole_requests(lines) if line.get("truncated")),
        }
        write_lines(path, [{**head, "facts": facts}, *lines])
    used(path)
    head = next(read_lines(path))
    return Requests(path=path, hash=key, versions=head["head"], **head["facts"])


def _texts(request: dict[str, Any]) -> Iterable[str]:
    args = request["args"]
    if request["kind"] == "loglikelihood":
        context, continuation = _moved_blanks(args[0], args[1])
        yield head_of(request)
        yield context
        yield context + continuation
        if context == "":
            yield continuation
        return
    yield args[0]
    if request["kind"] == "generate_until":
        yield head_of(request)


def head_of(request: dict[str, Any]) -> str:
    """What a prompt may share with its neighbours, such as few-shot examples: all before the last question of a chat,
    or all up to the last blank line.

    It follows from this prompt alone, so that no score depends on which other questions are asked.
    """
    prompt: str = request["args"][0]
    if (length := request.get("head")) is not None:
        return prompt[:length]
    return prompt[: prompt.rfind("\n\n") + 2] if "\n\n" in prompt else ""


def _shared(tokens: list[int], head: list[int]) -> int:
    """How many tokens the prompt and its head, encoded alone, begin with alike; 0 where that is not worth a call."""
    shared = min(alike(tokens, head), len(tokens) - 1)
    return shared if shared >= FEWEST_SHARED else 0


def _moved_blanks(context: str, continuation: str) -> tuple[str, str]:
    blanks = len(context) - len(context.rstrip())
    if blanks:
        return context[:-blanks], context[-blanks:] + continuation
    return context, continuation


def _pair(request: dict[str, Any], encoded: Encoded, limit: int, prefix_token: int) -> dict[str, Any]:
    context, continuation = _moved_blanks(*request["args"])
    whole = encoded[context + continuation]
    if context == "":
        head = [prefix_token]
        tail = whole[1:] if whole[:1] == head else whole
    else:
        head = encoded[context]
        tail = whole[len(head) :]
    if not tail:
        raise InputError(f"task {request['task']}: an answer of document {request['doc']} has no tokens of its own")
    if len(tail) > limit:
        raise InputError(
            f"task {request['task']}: an answer of document {request['doc']} has {len(tail)} tokens,"
            f" the context only {limit}"
        )
    room = limit + 1 - len(tail)  # as lm-eval: the last token is only predicted, it never goes through the model
    cut = len(head) > room
    shared = 0 if cut else _shared(head, encoded[head_of(request)])
    line = {
        "context": head[-room:] if cut else head,
        "shared": shared,
        "continuation": tail,
        "target": request["args"][1],
    }
    return {**line, "truncated": True} if cut else line


def _rolling(tokens: list[int], limit: int, prefix_token: int) -> Iterable[dict[str, Any]]:
    """lm-eval's rolling windows with one token of context: each token is scored once.

    The first window predicts up to `limit` tokens from the prefix token; a later one predicts the next
    `limit` tokens, or the last fewer of them with as much context as fits. `limit` tokens of each go through the
    model, the last one is only predicted.
    """
    yield {"context": [prefix_token], "continuation": tokens[:limit]}
    for start in range(limit, len(tokens), limit):
        end = min(start + limit, len(tokens))
        begin = end - limit - 1
        yield {"context": tokens[begin:start], "continuation": tokens[start:end]}


def _generation(request: dict[str, Any], encoded: Encoded, limit: int, prefix_token: int) -> dict[str, Any]:
    options = request["args"][1]
    if options.get("do_sample"):
        raise InputError(f"task {request['task']} samples its answers; only greedy generation is supported")
    stop = options.get("until") or []
    longest = min(int(options.get("max_gen_toks", LONGEST_ANSWER)), limit // 2)
    tokens = encoded[request["args"][0]] or [prefix_token]
    room = limit - longest
    cut = len(tokens) > room
    line = {
        "tokens": tokens[-room:],
        "shared": 0 if cut else _shared(tokens, encoded[head_of(request)]),
        "max_tokens": longest,
        "stop": [s for s in ([stop] if isinstance(stop, str) else stop) if s],
    }
    return {**line, "truncated": True} if cut else line


def head_tokens(tokens: list[int], count: int, what: str) -> tuple[int, ...]:
    """The first `count` tokens of the prompt text, repeated from its start where it is too short."""
    if not tokens:
        raise BuildError(f"the prompt text has no tokens for {what}")
    repeated = tokens * (count // len(tokens) + 1)
    return tuple(islice(repeated, count))
