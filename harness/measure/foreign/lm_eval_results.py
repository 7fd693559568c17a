"""lm-eval's `results_DATE.json`, with the `samples_TASK_DATE.jsonl` that `--log_samples` writes beside it."""

import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.derivations import ratio_of_sums
from harness.errors import InputError
from harness.measure.foreign.told import Machine, Told, ToldTrial, mapping, name_of, words
from harness.store import read_lines
from harness.values import Reported, Runtime, Task

TOOL = "lm-eval"
KEYS = ("results", "configs", "versions", "n-shot", "config")
WEIGHTED = ("word_perplexity", "byte_perplexity", "bits_per_byte")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?$")
TASK_NAME = re.compile(r"[A-Za-z0-9._~+:-][A-Za-z0-9._~+: -]{0,199}")
LONGEST_TEXT = 2000
LARGEST = 1e12
"""Of an item's metric; its squares and sums stay numbers."""
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
    for name in ("group_subtasks", "n-samples"):
        mapping(told.get(name) or {}, f"{path.name}: `{name}`")
    samples = {task: _samples(path, task) for task in _tasks(told)}
    lacking = [task for task, file in samples.items() if file is None]
    if lacking:
        raise InputError(
            f"{path.name}: there is no samples_{lacking[0]}_….jsonl of the same date beside it"
            f" ({len(lacking)} of {len(samples)} tasks lack theirs): single questions are what scores are compared by,"
            " and `lm_eval --log_samples` keeps them"
        )
    remarks: list[str] = []
    trials = tuple(
        _trial(told, name, tasks, {task: samples[task] for task in tasks}, path, remarks)
        for name, tasks in _wholes(told)
    )
    return Told(tool=TOOL, trials=trials, remarks=tuple(dict.fromkeys(remarks)))


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
        if name not in inner and (own := [t for t in _leaves(name, groups) if t in tasks]):
            placed |= set(own)
            yield name, own
    yield from ((name, [name]) for name in _tasks(told) if name not in placed)


def _leaves(name: str, groups: dict[str, list[str]]) -> list[str]:
    """Each once, however the groups lie in each other."""
    found: dict[str, None] = {}
    waiting, seen = [name], {name}
    while waiting:
        one = waiting.pop()
        found |= {} if one in groups else {one: None}
        inner = [other for other in groups.get(one, ()) if other not in seen]
        seen |= set(inner)
        waiting += reversed(inner)
    return list(found)


def _samples(path: Path, task: str) -> Path | None:
    date = DATE.search(path.stem)
    if date is None or not TASK_NAME.fullmatch(task):
        return None
    found = path.with_name(f"samples_{task}_{date[0]}.jsonl")
    return found if found.is_file() else None


def _trial(
    told: dict[str, Any],
    name: str,
    tasks: list[str],
    files: dict[str, Path | None],
    path: Path,
    remarks: list[str],
) -> ToldTrial:
    items: list[Line] = []
    requests: list[Line] = []
    answers: list[Line] = []
    for task in tasks:
        file = files[task]
        assert file is not None
        lines = list(read_lines(file))
        items += _graded(told, task, lines, path, file, remarks)
        asked, given = _requests(task, lines, len(requests))
        requests += asked
        answers += given
    config = told["config"]
    model = str(told.get("model_name") or config.get("model") or "unnamed").rstrip("/").rpartition("/")[2]
    return ToldTrial(
        variant=name_of(model),
        model_file=model,
        runtime=Runtime(name=name_of(f"lm-eval-{config.get('model', 'unknown')}")),
        machine=_machine(str(told.get("pretty_env_info") or "")),
        workload=Task(task=name, fewshot=_shots(told, tasks), chat=bool(told.get("chat_template"))),
        label=_label(told, tasks, path),
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


def _graded(
    told: dict[str, Any], task: str, lines: list[Line], path: Path, file: Path, remarks: list[str]
) -> list[Line]:
    """The questions of one task, which must be all of them and give the scores of the results."""
    config = mapping(told["configs"][task], f"{path.name}: the configuration of {task}")
    taken, left = _means(config)
    remarks += [f"{task}: {one} is a figure of all questions together, and is kept without a metric" for one in left]
    own = _items(task, lines, config, taken, file.name)
    wanted = _count(told, task, path).get("effective")
    if wanted is not None and wanted != len(own):
        raise InputError(f"{file.name} has {len(own)} questions, {path.name} tells of {wanted}")
    _check(task, own, taken, told["results"][task], path.name)
    return own


def _count(told: dict[str, Any], task: str, path: Path) -> dict[str, Any]:
    """How many questions the task has (`original`), and how many were asked (`effective`)."""
    counts = told.get("n-samples") or {}
    return mapping(counts.get(task) or {}, f"{path.name}: `n-samples` of {task}")


def _label(told: dict[str, Any], tasks: list[str], path: Path) -> str:
    counts = [_count(told, task, path) for task in tasks]
    firsts = sum(one.get("effective") != one.get("original") for one in counts)
    return f"the first questions only of {firsts} of {len(tasks)} tasks (lm-eval's --limit)" if firsts else ""


def _shots(told: dict[str, Any], tasks: list[str]) -> int | None:
    """Few-shot examples of all tasks; None: they differ, or are not told."""
    shots = {str(told["n-shot"].get(task)) for task in tasks}
    (shot,) = shots if len(shots) == 1 else ("",)
    return int(shot) if shot.isascii() and shot.isdigit() else None


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


def _means(config: dict[str, Any]) -> tuple[set[str], list[str]]:
    """(Metrics whose score is the mean of the questions' or a ratio of their sums, the others)."""
    taken: set[str] = set()
    left: list[str] = []
    for one in config.get("metric_list") or ():
        if isinstance(one, dict) and isinstance(name := one.get("metric"), str):
            how = str(one.get("aggregation", "mean"))
            fits = name in WEIGHTED or how in ("mean", "nanmean") or "agg_inst_level_acc" in how
            (taken.add if fits else left.append)(name)
    return taken, left


def _items(task: str, lines: list[Line], config: dict[str, Any], taken: set[str], file: str) -> list[Line]:
    """One line a question, all filters' metrics side by side."""
    kind = config.get("output_type")
    found: dict[Any, Line] = {}
    for place, line in enumerate(lines, 1):
        key, metrics = line.get("doc_id"), line.get("metrics")
        if isinstance(key, bool) or not isinstance(key, int | str) or not isinstance(metrics, list):
            raise InputError(f"{file}: line {place} is no sample of lm-eval: no `doc_id` or no `metrics`")
        item = found.setdefault(key, _item(task, key, line, str(kind)))
        for metric in metrics:
            if metric in taken:
                _add(item, metric, line)
    return [found[key] for key in sorted(found, key=lambda key: (str(type(key)), key))]


def _item(task: str, key: int | str, line: Line, kind: str) -> Line:
    doc = line.get("doc")
    subject = doc.get("subject") if isinstance(doc, dict) else None
    item: Line = {"kind": "item", "task": task, "id": key, "metrics": {}, "sums": {}}
    item["group"] = subject if isinstance(subject, str) else None
    answers = line.get("filtered_resps") or []
    if kind == "multiple_choice":
        item |= _chosen(answers, str(line.get("target", "")))
    elif kind == "generate_until" and answers:
        text = answers[0][0] if isinstance(answers[0], list) and answers[0] else answers[0]
        if isinstance(text, str):
            item |= {"answer": text[:LONGEST_TEXT], "filter": str(line.get("filter") or "none")}
            item |= {"target": str(line.get("target", ""))[:LONGEST_TEXT]}
    return item


def _chosen(answers: list[Any], target: str) -> Line:
    """Of choices by their log-likelihoods; nothing where one of these is none."""
    found = [_float(answer[0]) for answer in answers if isinstance(answer, list) and answer]
    logprobs = [one for one in found if one is not None]
    if not logprobs or len(logprobs) < len(answers):
        return {}
    item: Line = {"answer": max(range(len(logprobs)), key=logprobs.__getitem__), "logprobs": logprobs}
    if target.isascii() and target.isdigit() and int(target) < len(logprobs):
        item |= {"chance": 1 / len(logprobs), "target": int(target)}
    return item


def _add(item: Line, metric: str, line: Line) -> None:
    chosen = line.get("filter")
    key = metric if chosen in ("none", None) else f"{metric},{chosen}"
    value = line.get(metric)
    if isinstance(value, list) and len(value) == 2 and metric in WEIGHTED:
        both = [_float(one) for one in value]
        if None not in both:
            item["sums"][key] = both
    elif isinstance(value, list) and value and all(isinstance(part, bool) for part in value):
        item["sums"][key] = [float(sum(value)), float(len(value))]
    elif isinstance(value, bool | int | float) and abs(value) <= LARGEST:
        item["metrics"][key] = float(value)


def _check(task: str, items: list[Line], taken: set[str], scores: Any, file: str) -> None:
    """Raises InputError: the samples are not those of the results."""
    for name, value in scores.items() if isinstance(scores, dict) else ():
        metric, _, chosen = name.partition(",")
        key = metric if chosen in ("none", "") else name
        own = [item["metrics"][key] for item in items if key in item["metrics"]]
        sums = [item["sums"][key] for item in items if key in item["sums"]]
        if not isinstance(value, float) or metric not in taken:
            continue
        if (lacking := len(items) - len(own or sums)) > 0:
            raise InputError(f"{file}: {lacking} of {len(items)} samples of {task} lack {name}")
        mean = fmean(own) if own else ratio_of_sums(key, sum(a for a, _ in sums), sum(b for _, b in sums))
        if not math.isclose(mean, value, rel_tol=CLOSE, abs_tol=CLOSE):
            said = f"{task} has {name} {value:.6f}, its samples {mean:.6f}"
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
    return found if abs(found) <= LARGEST else None
