"""lm-eval's `results_DATE.json`, with the `samples_TASK_DATE.jsonl` that `--log_samples` writes beside it."""

import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.errors import InputError
from harness.measure.foreign.told import Machine, Told, ToldTrial, name_of, words
from harness.store import read_lines
from harness.values import Reported, Runtime, Task

TOOL = "lm-eval"
KEYS = ("results", "configs", "versions", "n-shot", "config")
WEIGHTED = ("word_perplexity", "byte_perplexity", "bits_per_byte")
LONGEST_TEXT = 2000
CLOSE = 1e-6
"""How far the mean of the samples may be from lm-eval's own."""
Line = dict[str, Any]


def is_results(told: Any) -> bool:
    return isinstance(told, dict) and all(isinstance(told.get(key), dict) for key in KEYS)


def read(told: dict[str, Any], path: Path) -> Told:
    """A trial for each group of tasks and each task that is in none.

    Raises:
        InputError: samples are missing, or do not give the scores of the results.
        StoreError: a samples file is damaged.
    """
    samples = {task: _samples(path, task) for task in _tasks(told)}
    lacking = [task for task, file in samples.items() if file is None]
    if lacking:
        raise InputError(
            f"{path.name}: there is no samples_{lacking[0]}_….jsonl of the same date beside it"
            f" ({len(lacking)} of {len(samples)} tasks lack theirs): single questions are what scores are compared by,"
            " and `lm_eval --log_samples` keeps them"
        )
    trials = tuple(
        _trial(told, name, tasks, {task: samples[task] for task in tasks}, path) for name, tasks in _wholes(told)
    )
    return Told(tool=TOOL, trials=trials)


def _tasks(told: dict[str, Any]) -> list[str]:
    """Those that ask questions: a group has a score, and no configuration of its own."""
    return [name for name in told["configs"] if isinstance(name, str) and name in told["results"]]


def _wholes(told: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The outermost groups and what is in them, then the tasks that are in none."""
    groups = {name: found for name, found in (told.get("group_subtasks") or {}).items() if found}
    inner = {name for found in groups.values() for name in found}
    tasks = set(_tasks(told))
    placed: set[str] = set()
    for name in groups:
        if name not in inner and (own := [t for t in _leaves(name, groups, frozenset()) if t in tasks]):
            placed |= set(own)
            yield name, own
    yield from ((name, [name]) for name in _tasks(told) if name not in placed)


def _leaves(name: str, groups: dict[str, list[str]], above: frozenset[str]) -> Iterator[str]:
    if name not in groups or name in above:
        yield name
        return
    for one in groups[name]:
        yield from _leaves(one, groups, above | {name})


def _samples(path: Path, task: str) -> Path | None:
    date = path.stem.removeprefix("results_")
    found = path.with_name(f"samples_{task}_{date}.jsonl")
    return found if found.is_file() else None


def _trial(told: dict[str, Any], name: str, tasks: list[str], files: dict[str, Path | None], path: Path) -> ToldTrial:
    shots = {told["n-shot"].get(task) for task in tasks}
    asked = told.get("n-samples") or {}
    counts = [asked.get(task) or {} for task in tasks]
    limited = any(one.get("effective") != one.get("original") for one in counts)
    items: list[Line] = []
    requests: list[Line] = []
    answers: list[Line] = []
    for task in tasks:
        file = files[task]
        assert file is not None
        lines = list(read_lines(file))
        own = _items(task, lines, told["configs"][task], file.name)
        _check(task, own, told["results"][task], path.name)
        items += own
        asked_, given = _requests(task, lines, len(requests))
        requests += asked_
        answers += given
    config = told["config"]
    model = str(told.get("model_name") or config.get("model") or "unnamed").rstrip("/").rpartition("/")[2]
    return ToldTrial(
        variant=name_of(model),
        model_file=model,
        sixteen_bit=True,
        runtime=Runtime(name=name_of(f"lm-eval-{config.get('model', 'unknown')}")),
        machine=_machine(str(told.get("pretty_env_info") or "")),
        workload=Task(
            task=name,
            fewshot=shots.pop() if len(shots) == 1 else None,
            limit=len(items) if limited else None,
            chat=True if told.get("chat_template") else None,
        ),
        reported=Reported(
            tool=f"{TOOL} {told.get('lm_eval_version', '')}".strip(),
            values={},
            conditions=_conditions(told),
            told=words({f"{task}: {key}": value for task in (name, *tasks) for key, value in _scores(told, task)}),
        ),
        started=_started(told.get("date")),
        items=tuple(items),
        requests=tuple(requests),
        answers=tuple(answers),
        versions={task: str(told["versions"].get(task, "")) for task in tasks},
    )


def _machine(environment: str) -> Machine:
    """Out of what torch's collect_env printed."""

    def said(name: str) -> str | None:
        found = re.search(rf"^{name}:[ \t]*(\S.*?)\s*$", environment, re.MULTILINE)
        return found[1] if found else None

    count = said(r"CPU\(s\)")
    return Machine(
        os=said("OS"),
        arch=said("Architecture"),
        cpu=said("Model name"),
        logical_cpus=int(count) if count and count.isdigit() and int(count) else None,
    )


def _scores(told: dict[str, Any], task: str) -> Iterable[tuple[str, Any]]:
    found = told["results"].get(task)
    return found.items() if isinstance(found, dict) else ()


def _items(task: str, lines: list[Line], config: Any, file: str) -> list[Line]:
    """One line a question, all filters' metrics side by side."""
    kind = config.get("output_type") if isinstance(config, dict) else None
    found: dict[Any, Line] = {}
    for place, line in enumerate(lines, 1):
        key, metrics = line.get("doc_id"), line.get("metrics")
        if not isinstance(key, int | str) or not isinstance(metrics, list):
            raise InputError(f"{file}: line {place} is no sample of lm-eval: no `doc_id` or no `metrics`")
        item = found.setdefault(key, _item(task, key, line, str(kind)))
        for metric in metrics:
            _add(item, metric, line)
    return (
        [found[key] for key in sorted(found, key=str)]
        if any(isinstance(k, str) for k in found)
        else [found[key] for key in sorted(found)]
    )


def _item(task: str, key: int | str, line: Line, kind: str) -> Line:
    doc = line.get("doc")
    subject = doc.get("subject") if isinstance(doc, dict) else None
    item: Line = {"kind": "item", "task": task, "id": key, "metrics": {}, "sums": {}}
    item["group"] = subject if isinstance(subject, str) else None
    answers = line.get("filtered_resps") or []
    if kind == "multiple_choice":
        logprobs = [_float(answer[0]) for answer in answers if isinstance(answer, list) and answer]
        if len(logprobs) == len(answers) and all(one is not None for one in logprobs) and logprobs:
            best = max(range(len(logprobs)), key=lambda i: logprobs[i] or 0.0)
            item |= {"answer": best, "logprobs": logprobs, "chance": 1 / len(logprobs)}
            target = str(line.get("target", ""))
            item |= {"target": int(target)} if target.isdigit() and int(target) < len(logprobs) else {}
    elif kind == "generate_until" and answers:
        text = answers[0][0] if isinstance(answers[0], list) and answers[0] else answers[0]
        if isinstance(text, str):
            item |= {"answer": text[:LONGEST_TEXT], "filter": str(line.get("filter") or "none")}
            item |= {"target": str(line.get("target", ""))[:LONGEST_TEXT]}
    return item


def _add(item: Line, metric: str, line: Line) -> None:
    chosen = line.get("filter")
    key = metric if chosen in ("none", None) else f"{metric},{chosen}"
    value = line.get(metric)
    if isinstance(value, list) and len(value) == 2 and metric in WEIGHTED:
        item["sums"][key] = [float(value[0]), float(value[1])]
    elif isinstance(value, list) and value and all(isinstance(part, bool) for part in value):
        item["sums"][key] = [float(sum(value)), float(len(value))]
    elif isinstance(value, bool | int | float) and math.isfinite(value):
        item["metrics"][key] = float(value)


def _check(task: str, items: list[Line], scores: Any, file: str) -> None:
    """Raises InputError: the samples are not those of the results."""
    for name, value in scores.items() if isinstance(scores, dict) else ():
        metric, _, chosen = name.partition(",")
        key = metric if chosen in ("none", "") else name
        own = [item["metrics"][key] for item in items if key in item["metrics"]]
        known = isinstance(value, float) and own and metric in ("acc", "acc_norm", "exact_match")
        if known and abs(fmean(own) - value) > CLOSE:
            said = f"{task} has {name} {value:.6f}, its samples {fmean(own):.6f}"
            raise InputError(f"{file}: {said}: they are not of one run")


def _requests(task: str, lines: list[Line], first: int) -> tuple[list[Line], list[Line]]:
    """What was asked and what was answered, as the page of single questions reads them."""
    asked: list[Line] = []
    given: list[Line] = []
    seen: set[Any] = set()
    for line in lines:
        if line["doc_id"] in seen:  # another filter's
            continue
        seen.add(line["doc_id"])
        arguments, replies = line.get("arguments"), line.get("resps")
        for index, one in enumerate(arguments.values() if isinstance(arguments, dict) else ()):
            number = first + len(asked)
            prompt, target = (one.get(f"arg_{i}") if isinstance(one, dict) else None for i in range(2))
            about = {"id": number, "task": task, "doc": line["doc_id"], "index": index}
            text = prompt if isinstance(prompt, str) else ""
            asked.append({**about, "prompt": text, **({"target": target} if isinstance(target, str) else {})})
            reply = replies[index] if isinstance(replies, list) and index < len(replies) else None
            while isinstance(reply, list) and reply and isinstance(reply[0], list):
                reply = reply[0]
            given.append({"id": number, **_reply(reply)})
    return asked, given


def _reply(told: Any) -> Line:
    if isinstance(told, list) and len(told) == 2 and (logprob := _float(told[0])) is not None:
        return {"logprob": logprob, "greedy": str(told[1]) == "True"}
    text = told[0] if isinstance(told, list) and told else told
    return {"text": text} if isinstance(text, str) else {}


def _conditions(told: dict[str, Any]) -> dict[str, str]:
    config = told["config"]
    names = {
        "batch size": config.get("batch_size"),
        "processor": config.get("device"),
        "model arguments": config.get("model_args"),
        "transformers version": told.get("transformers_version"),
        "chat template": told.get("chat_template_sha"),
        "examples as turns": told.get("fewshot_as_multiturn"),
    }
    return {name: one for name, one in words(names).items() if one != "null"}


def _started(date: Any) -> str:
    if isinstance(date, bool) or not isinstance(date, int | float) or not 0 < date < 1e11:
        return ""
    return datetime.fromtimestamp(date, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _float(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
