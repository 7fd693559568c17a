"""Requests and grades of a real lm-eval in a process of its own, on a handful of documents."""

import functools
import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from harness.derivations import ratio_of_sums
from harness.errors import BuildError, InputError, StoreError
from harness.measure import lm_eval_jobs
from harness.measure.grade import grade_task
from harness.measure.lm_eval_jobs import WORKER, ask_worker, worker_job
from harness.measure.parts import cut_remark
from harness.measure.requests import CHAT_DATE, task_requests
from harness.measure.tasks import TaskFile, resolve_task
from harness.measure.token_requests import Tokenizer
from harness.request_lines import read_requests
from harness.store import read_lines, write_lines
from harness.values import Answers, Task
from tests.tasks_data import ARC, more_data, problem, put, question, replied, small_data

TEMPLATE = (
    "{{ bos_token }}{{ date_string }}|{{ strftime_now('%d %b %Y') }}\n{% for m in messages %}\n"
    "<{{ m.role }}>{{ m.content }}</>\n{% endfor %}\n{% if add_generation_prompt %}<assistant>{% endif %}"
)
CHAT = {"template": TEMPLATE, "bos": "<s>", "eos": "</s>", "date": CHAT_DATE}

UNPATCHED = r"""
import json, sys
from pathlib import Path
import lm_eval
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml
from tests.tasks_data import replied

job = json.loads(Path(sys.argv[1]).read_text())
folder = Path(sys.argv[2])
for file in job["tasks"]:
    config = {"include": str(Path(lm_eval.__file__).parent / "tasks" / file["definition"]), "task": file["name"],
              "tag": None, "dataset_path": "json", "dataset_name": None,
              "dataset_kwargs": {"data_files": file["data_files"]}, **file["overrides"]}
    known = load_yaml(config["include"], resolve_func=False)
    for split in ("training_split", "validation_split", "test_split"):
        if known.get(split) is not None and known[split] not in file["data_files"]:
            config[split] = None
    (folder / f"{file['name']}.yaml").write_text(json.dumps(config))
asked = []

class Recorder(LM):
    tokenizer_name = "none"
    def note(self, requests):
        asked.extend([r.task_name, r.doc_id, r.idx, list(r.args)] for r in requests)
        return [replied(r.request_type, list(r.args)) for r in requests]
    loglikelihood = loglikelihood_rolling = generate_until = note
    def apply_chat_template(self, messages, add_generation_prompt=True):
        turns = "".join(f"<{m['role']}>{m['content']}</>\n" for m in messages)
        text = f"<s>26 Jul 2024|26 Jul 2024\n{turns}"
        if add_generation_prompt:
            return text + "<assistant>"
        last = messages[-1]["content"].strip()
        return text[: text.rindex(last) + len(last)]

tasks = TaskManager(include_defaults=False, include_path=str(folder)).load([f["name"] for f in job["tasks"]])["tasks"]
for task in tasks.values():
    task.set_fewshot_seed(seed=1234)
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
chat = job["chat"] is not None
found = evaluate(lm=Recorder(), task_dict={"tasks": tasks}, bootstrap_iters=0,
                 apply_chat_template=chat, fewshot_as_multiturn=chat)
Path(sys.argv[3]).write_text(json.dumps([asked, found["results"], found["versions"]]))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def by_character(texts: Any, add_special: bool, parse_special: bool) -> list[list[int]]:
    return [[ord(c) for c in text] for text in texts]


PLAIN = Tokenizer(encode=by_character, identity="characters", prefix_token=1)
CHATTING = Tokenizer(encode=by_character, identity="characters", prefix_token=1, chat_template=TEMPLATE, bos="<s>")


def asked_of(task: Task, files: list[TaskFile], chat: dict[str, str] | None = None) -> list[dict[str, Any]]:
    return ask_worker({"kind": "requests", "chat": chat, **worker_job(task, files, 1)})[1]


PLAIN_TASKS = [
    *("mmlu", "arc_easy", "arc_challenge", "hellaswag", "winogrande", "openbookqa", "truthfulqa_mc1", "truthfulqa_mc2"),
    *("gsm8k", "gsm8k_cot", "ifeval", "wikitext"),
]
CHAT_TASKS = ["mmlu_llama", "gsm8k_llama", "gsm8k_cot_llama", "arc_challenge_llama", "mmlu"]


@pytest.mark.parametrize(("names", "chat"), [(PLAIN_TASKS, None), (CHAT_TASKS, CHAT)])
def test_requests_versions_and_scores_are_those_of_an_unpatched_lm_eval(
    tmp_path: Path, names: list[str], chat: dict[str, str] | None
) -> None:
    """Each request, and from the same answers each mean."""
    data = more_data(tmp_path / "data")
    files = [file for name in names for file in resolve_task(name, data)]
    job = {"kind": "requests", "chat": chat, **worker_job(Task(task="all of them"), files, 1)}
    (tmp_path / "job.json").write_text(json.dumps(job))
    (tmp_path / "definitions").mkdir()
    words = [str(tmp_path / "job.json"), str(tmp_path / "definitions"), str(tmp_path / "found.json")]
    script = [sys.executable, "-c", UNPATCHED]
    places = {**os.environ, "NLTK_DATA": str(data / "nltk_data")}
    root = Path(__file__).parents[2]
    done = subprocess.run([*script, *words], capture_output=True, text=True, env=places, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    asked, results, versions = json.loads((tmp_path / "found.json").read_text())

    head, lines = ask_worker(job)
    ours = [({**line, **answer}, [line["prompt"], *answer["args"]]) for line in lines for answer in line["answers"]]
    requests = [[line["task"], line["doc"], line["index"], args] for line, args in ours]
    assert requests and requests == asked
    assert head["versions"] == {name: str(version) for name, version in versions.items()}

    keys = ("kind", "task", "doc", "index", "doc_hash")
    replies = [{**{key: line[key] for key in keys}, "answer": replied(line["kind"], args)} for line, args in ours]
    write_lines(tmp_path / "replies.jsonl", replies)
    job = {"kind": "grade", "answers": str(tmp_path / "replies.jsonl"), **worker_job(Task(task="all"), files, 1)}
    graded = list(ask_worker(job)[1])
    compared = 0
    for task, scores in results.items():
        items = [item for item in graded if item["task"] == task]
        for key, theirs in scores.items():
            metric, comma, chosen = key.partition(",")  # other keys tell of the task
            if comma and not metric.endswith("_stderr"):
                mean = _score(items, metric if chosen == "none" else key)
                assert mean == pytest.approx(theirs, rel=1e-12), (task, key)
                compared += 1
    assert compared >= len(files) and set(results) == {file.name for file in files}


def _score(items: list[dict[str, Any]], name: str) -> float:
    sums = [item["sums"][name] for item in items if name in item.get("sums", {})]
    if sums:
        return ratio_of_sums(name, sum(a for a, _ in sums), sum(b for _, b in sums))
    return fmean(item["metrics"][name] for item in items)


@pytest.mark.parametrize("name", ["arc_challenge_chat", "mmlu_anatomy"])
def test_without_examples_their_split_may_be_missing(tmp_path: Path, name: str) -> None:
    put(tmp_path, "arc_challenge_chat/test.jsonl", [ARC])
    put(tmp_path, "mmlu_anatomy/test.jsonl", [question(1)])
    task = Task(task=name, fewshot=0)
    assert asked_of(task, resolve_task(name, tmp_path, 0))
    with pytest.raises(InputError, match="which does not exist"):
        resolve_task(name, tmp_path, 1)


def test_a_limit_draws_documents_and_names_them_by_their_place(data: Path) -> None:
    lines = asked_of(Task(task="mmlu", limit=3), resolve_task("mmlu", data))
    assert len(lines) == 3
    for line in lines:
        first = 0 if line["task"] == "mmlu_anatomy" else 50
        assert f"What is {first + line['doc']}?" in line["prompt"]


COUNTED = """
import json, sys
from collections import Counter
from lm_eval import utils
from harness.measure.workers import lm_eval_tasks

seen, apply = Counter(), utils.apply_template
def counting(template, doc):
    seen[template, doc["question"].strip()] += 1
    return apply(template, doc)
utils.apply_template = counting
_, lines = lm_eval_tasks.ask(json.loads(sys.argv[1]))
prompts = len(list(lines))
print(json.dumps([prompts, [count for (_, text), count in seen.items() if text in ("What is 10?", "What is 64?")]]))
"""


def test_an_example_is_rendered_once_whatever_stands_behind_it(data: Path) -> None:
    job = {"kind": "requests", "chat": None, **worker_job(Task(task="mmlu"), resolve_task("mmlu", data), 1)}
    words = [sys.executable, "-c", COUNTED, json.dumps(job)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    prompts, counts = json.loads(done.stdout.splitlines()[-1])
    assert prompts == 8
    assert counts and set(counts) == {1}, "an example of each subject, before each of its four questions"


def answered(requests: Path, run: Path, reply: Any) -> Answers:
    """A run folder's part that grading reads."""
    lines = list(read_requests(requests))
    write_lines(run / "requests.jsonl.gz", list(read_lines(requests)))
    write_lines(run / "answers.jsonl.gz", [{"id": line["id"], **reply(line)} for line in lines])
    places = {"requests": "requests.jsonl.gz", "answers": "answers.jsonl.gz", "items": "items.jsonl.gz"}
    return Answers(**places, count=len(lines), tokens=0, task_versions={})


def graded(name: str, data: Path, run: Path, reply: Any, tokenizer: Tokenizer = PLAIN) -> list[dict[str, Any]]:
    task, files = Task(task=name), resolve_task(name, data)
    requests = task_requests(task, files, tokenizer, 1)
    grade_task(run, answered(requests.path, run, reply), task, files, 1)
    return list(read_lines(run / "items.jsonl.gz"))


def test_an_item_says_what_was_chosen_and_what_is_right(data: Path, tmp_path: Path) -> None:
    def prefers_b(line: dict[str, Any]) -> dict[str, Any]:
        return {"logprob": -0.25 if line["index"] == 1 else -2.0, "greedy": False}

    items = graded("mmlu", data, tmp_path, prefers_b)
    assert [item["task"] for item in items] == ["mmlu_anatomy"] * 4 + ["mmlu_virology"] * 4
    assert {item["group"] for item in items} == {"anatomy"}
    assert all(item["metrics"] == {"acc": 1.0} for item in items)
    assert {(item["answer"], item["target"], *item["logprobs"]) for item in items} == {(1, 1, -2, -0.25, -2, -2)}


PASSAGE_TASK = """task: mine
dataset_path: json
test_split: test
output_type: multiple_choice
doc_to_text: "{{passage}} {{q}}"
doc_to_choice: ["yes", "no"]
doc_to_target: 0
"""


@pytest.mark.parametrize(("passages", "clusters"), [(["a", "b", "a"], 2), (["a", "b", "c"], None), ([""] * 3, None)])
def test_questions_about_one_passage_are_a_group(tmp_path: Path, passages: list[str], clusters: int | None) -> None:
    """Also where only one of them is asked, so that all rounds of questions say alike."""
    put(tmp_path, "mine/test.jsonl", [{"passage": p, "q": f"{n}?"} for n, p in enumerate(passages)])
    (tmp_path / "mine.yaml").write_text(PASSAGE_TASK)
    task, files = Task(task="mine"), resolve_task(str(tmp_path / "mine.yaml"), tmp_path)
    asked = task_requests(task, files, PLAIN, 1)
    answers = answered(asked.path, tmp_path, lambda line: {"logprob": -1.0, "greedy": False})
    groups = []
    for chosen in (None, {("mine", 0)}):
        grade_task(tmp_path, answers, task, files, 1, chosen)
        groups.append([item["group"] for item in read_lines(tmp_path / answers.items)])
    assert groups[0] == ([None] * 3 if clusters is None else [groups[0][0], groups[0][1], groups[0][0]])
    assert len(set(groups[0])) == (clusters or 1) and groups[1] == groups[0][:1]


def test_choices_that_stand_in_the_prompt_are_graded(data: Path, tmp_path: Path) -> None:
    items = graded("winogrande", data, tmp_path, lambda line: {"logprob": -1.0 - line["index"], "greedy": False})
    assert [(item["answer"], item["target"], item["metrics"]["acc"]) for item in items] == [(0, 1, 0.0), (0, 0, 1.0)]


def test_generated_answers_are_kept_beside_the_right_ones(data: Path, tmp_path: Path) -> None:
    items = graded("mmlu_llama", data, tmp_path, lambda line: {"text": " B"}, CHATTING)
    assert {(item["answer"], item["target"]) for item in items} == {("B", "B.")}
    assert {item["metrics"]["exact_match,strict_match"] for item in items} == {1.0}


def test_rolling_answers_are_summed(data: Path, tmp_path: Path) -> None:
    (item,) = graded("wikitext", data, tmp_path, lambda line: {"logprob": -3.0, "greedy": False})
    assert item["sums"]["word_perplexity"][0] == -3.0 and item.get("answer") is None


def test_rouge_is_the_mean_overlap_of_words(data: Path, tmp_path: Path) -> None:
    first, second = graded("tldr9", data, tmp_path, lambda line: {"text": "the shop was shut"})
    assert (first["metrics"]["rougeL"], second["metrics"]["rougeL"]) == (1.0, 0.0)
    assert first["answer"] == first["target"] == "the shop was shut"
    (item,) = graded("open_rewrite", data, tmp_path, lambda line: {"text": "give me that now please"})
    assert item["metrics"]["rougeL"] == pytest.approx(2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5))


@pytest.mark.parametrize("lacks", [{"summary": ""}, {"summary": None}, {"document": " "}])
def test_a_document_without_its_texts_is_refused_before_it_is_asked(tmp_path: Path, lacks: dict[str, Any]) -> None:
    post = {"document": "The shop was shut.", "summary": "shut"}
    put(tmp_path, "tldr9/test.jsonl", [post, post, {**post, **lacks}])
    with pytest.raises(BuildError, match=f"document 2 has no text in '{next(iter(lacks))}'"):
        asked_of(Task(task="tldr9"), resolve_task("tldr9", tmp_path))
    put(tmp_path, "open_rewrite/test.jsonl", [{"instruction": "Do.", "source": "this"}])
    with pytest.raises(BuildError, match="document 0 has no text in 'target'"):
        asked_of(Task(task="open_rewrite"), resolve_task("open_rewrite", tmp_path))


def test_data_that_changed_meanwhile_is_not_graded(data: Path, tmp_path: Path) -> None:
    task, files = Task(task="gsm8k_cot"), resolve_task("gsm8k_cot", data)
    requests = task_requests(task, files, PLAIN, 1)
    answers = answered(requests.path, tmp_path, lambda line: {"text": "The answer is 3."})
    put(tmp_path, "gsm8k/test.jsonl.gz", [problem(n) for n in range(7, 11)])
    with pytest.raises(BuildError, match="document 0 is not the one that was asked"):
        grade_task(tmp_path, answers, task, resolve_task("gsm8k_cot", tmp_path), 1)


def test_questions_whose_data_is_gone_are_no_smaller_task(data: Path, tmp_path: Path) -> None:
    task = Task(task="mmlu")
    requests = task_requests(task, resolve_task("mmlu", data), PLAIN, 1)
    answers = answered(requests.path, tmp_path, lambda line: {"logprob": -1.0 - line["index"], "greedy": False})
    shutil.copytree(data / "mmlu", tmp_path / "mmlu")
    for file in (tmp_path / "mmlu").rglob("*virology*"):
        file.unlink()
    with pytest.raises(StoreError, match=r"4 of 8 questions that were asked .* document 0 of mmlu_virology"):
        grade_task(tmp_path, answers, task, resolve_task("mmlu", tmp_path), 1)
    assert not (tmp_path / "items.jsonl.gz").exists()


def test_a_run_of_old_is_graded_by_the_texts_of_its_requests(data: Path, tmp_path: Path) -> None:
    import hashlib

    files = resolve_task("mmlu", data)
    lines = asked_of(Task(task="mmlu"), files)
    replies = []
    for line in lines:
        for answer in line["answers"]:
            arguments = json.dumps([line["prompt"], *answer["args"]], sort_keys=True)
            told = hashlib.sha256(arguments.encode()).hexdigest()[:32]
            replies.append({"kind": line["kind"], "hash": told, "answer": [-float(answer["index"]), False]})
    write_lines(tmp_path / "replies.jsonl", replies)
    job = {"kind": "grade", "answers": str(tmp_path / "replies.jsonl"), **worker_job(Task(task="mmlu"), files, 1)}
    items = ask_worker(job)[1]
    assert len(items) == 8 and {item["answer"] for item in items} == {0}


def test_a_chat_prompt_has_its_date_pinned_and_says_by_which_template(data: Path) -> None:
    requests = task_requests(Task(task="gsm8k_llama", context=8192), resolve_task("gsm8k_llama", data), CHATTING, 1)
    (told,) = [value for key, value in requests.versions.items() if key == "chat template"]
    assert told.endswith("date 26 Jul 2024")
    line = next(read_requests(requests.path))
    assert line["prompt"].startswith("<s>26 Jul 2024|26 Jul 2024\n<user>") and line["prompt"].endswith("<assistant>")
    assert line["prompt"].count("<user>") == 9 and line["max_tokens"] == 1024
    assert line["shared"] == line["prompt"].rindex("<user>") + len("<user>")
    plain = task_requests(Task(task="gsm8k_llama", chat=False), resolve_task("gsm8k_llama", data), CHATTING, 1)
    assert plain.hash != requests.hash and "<user>" not in next(read_requests(plain.path))["prompt"]


def test_a_model_without_a_template_cannot_chat(data: Path) -> None:
    with pytest.raises(InputError, match="the model's file has none"):
        task_requests(Task(task="mmlu_llama"), resolve_task("mmlu_llama", data), PLAIN, 1)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ messages[0", "chat template cannot be read"),
        ("{{ raise_exception('no such thing') }}", "no such thing"),
        ("{{ ''.__class__.__mro__ }}", "refuses the prompt"),
        ("nothing of it", "does not show the begun answer"),
    ],
)
def test_a_bad_template_is_said(data: Path, template: str, said: str) -> None:
    with pytest.raises(BuildError, match=said):
        asked_of(Task(task="mmlu_llama"), resolve_task("mmlu_llama", data), {**CHAT, "template": template})


def test_a_template_without_system_role_gets_the_rest(data: Path) -> None:
    refuses = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}{% generation %}<{{ m.role }}>{% endgeneration %}{{ m.content }}{% endfor %}"
    )
    line = asked_of(Task(task="mmlu"), resolve_task("mmlu", data), {**CHAT, "template": refuses})[0]
    assert line["prompt"].startswith("<user>")


GOOD = json.dumps(question(1)).encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "holds no documents"),
        (b"\n\n", "holds no documents"),
        (GOOD + b"\n{broken\n", "anatomy.jsonl:2 is no JSON"),
        (GOOD + b"\n" + GOOD[:40] + b"\xff" + GOOD[40:] + b"\n", "anatomy.jsonl:2 is not UTF-8 text: byte 41"),
        (GOOD + b"\n" + GOOD.replace(b"What", b"\\ud800"), "anatomy.jsonl:2 has half a character"),
        (b"[1, 2]\n", "anatomy.jsonl:1 is no JSON object"),
        (GOOD + b"\n" + json.dumps(question(2, 4)).encode(), "right answer 4 is none of its 4 choices"),
        (GOOD + b"\n" + json.dumps(question(2, -1)).encode(), "right answer -1 is none of its 4 choices"),
        (json.dumps(question(2, 7)).encode(), "does not hold this task's questions"),
        (json.dumps(question(2, "first")).encode(), "right answer 'first' is none of its 4 choices"),
        (GOOD + b"\n" + json.dumps(question(2, None)).encode(), "right answer None is none"),
        (GOOD + b"\n" + json.dumps(question(2, "two")).encode(), "not of one form"),
        (b'{"q": 1}\n', "does not hold this task's questions"),
    ],
)
def test_bad_data_is_said_with_its_place(tmp_path: Path, body: bytes, said: str) -> None:
    put(tmp_path, "mmlu/dev/anatomy.jsonl.gz", [question(n) for n in range(5)])
    path = tmp_path / "mmlu/test/anatomy.jsonl"
    path.parent.mkdir()
    path.write_bytes(body)
    files = resolve_task("mmlu_anatomy", tmp_path)
    with pytest.raises(BuildError, match="lm-eval on mmlu_anatomy") as caught:
        asked_of(Task(task="mmlu_anatomy"), files)
    assert said in str(caught.value)


def test_a_table_gives_its_documents_and_without_rows_is_no_task(tmp_path: Path) -> None:
    import pandas as pd

    table, path = pd.DataFrame([{"passage": "a", "q": "b"}]), tmp_path / "mine" / "test.parquet"
    path.parent.mkdir()
    (tmp_path / "mine.yaml").write_text(PASSAGE_TASK)
    table.to_parquet(path)
    asked = functools.partial(asked_of, Task(task="mine"), resolve_task(str(tmp_path / "mine.yaml"), tmp_path))
    assert [line["prompt"] for line in asked()] == ["a b"]
    table.iloc[:0].to_parquet(path)
    with pytest.raises(BuildError, match=r"test.parquet holds no documents"):
        asked()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BuildError, match=r"test.parquet cannot be read"):
        asked()


def test_a_choice_without_text_is_refused(tmp_path: Path) -> None:
    arc = {"question": "Which?", "choices": {"text": ["a", "", "c"], "label": ["A", "B", "C"]}, "answerKey": "C"}
    fine = {**arc, "choices": {"text": ["a", "b", "c"], "label": ["A", "B", "C"]}}
    put(tmp_path, "arc_easy/test.jsonl.gz", [fine, arc])
    with pytest.raises(BuildError, match="a choice without text"):
        asked_of(Task(task="arc_easy"), resolve_task("arc_easy", tmp_path))


def test_a_cut_data_file_is_said(tmp_path: Path) -> None:
    put(tmp_path, "arc_easy/test.jsonl.gz", [question(n) for n in range(99)])
    path = tmp_path / "arc_easy/test.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BuildError, match=r"test.jsonl.gz cannot be read"):
        asked_of(Task(task="arc_easy"), resolve_task("arc_easy", tmp_path))


def test_a_long_prompt_is_cut_from_the_left_and_counted(data: Path) -> None:
    requests = task_requests(Task(task="mmlu", context=100), resolve_task("mmlu", data), PLAIN, 1)
    assert (requests.truncated, requests.count) == (8, 32), "a question counts once, however often it is asked"
    assert cut_remark(requests.path, None) == "8 of 8 questions had a prompt cut to fit the context"
    some = {("mmlu_anatomy", 0), ("mmlu_virology", 3)}
    assert cut_remark(requests.path, some) == "2 of 2 questions had a prompt cut to fit the context"
    assert all(len(line["context"]) + len(line["continuation"]) == 101 for line in read_requests(requests.path))


def test_without_a_context_prompts_are_cut_only_beyond_what_the_model_was_trained_for(data: Path) -> None:
    files = resolve_task("mmlu", data)
    whole = task_requests(Task(task="mmlu"), files, PLAIN, 1, 100_000)
    lengths = [len(line["context"]) + len(line["continuation"]) for line in read_requests(whole.path)]
    assert whole.truncated == 0 and whole.longest == max(lengths) > 101
    cut = task_requests(Task(task="mmlu"), files, PLAIN, 1, 100)
    assert cut.truncated == 8 and cut.longest == 101


# ---------------------------------------------------------------- when requests are made anew

OWN = "include: base.yaml\ntask: mine\ndoc_to_target: !function code.target\n"
BASE = "dataset_path: {data}\ntest_split: test\noutput_type: generate_until\ndoc_to_text: '{{{{question}}}}'\n"
CODE = "def target(doc):\n    return doc['answer']\n"


def own_task(folder: Path, rows: list[dict[str, Any]]) -> TaskFile:
    put(folder, "data/test.jsonl", rows)
    (folder / "mine.yaml").write_text(OWN)
    (folder / "base.yaml").write_text(BASE.format(data=folder / "data"))
    (folder / "code.py").write_text(CODE)
    path = str(folder / "data" / "test.jsonl")
    return TaskFile(name="mine", definition=str(folder / "mine.yaml"), data_files={"test": path})


def test_a_task_that_could_not_be_graded_is_refused_before_it_is_asked(tmp_path: Path) -> None:
    file = own_task(tmp_path, [problem(1)])
    base = tmp_path / "base.yaml"
    own, both = base.read_text(), "metric_list: [{metric: bleu}, {metric: chrf}]\n"
    base.write_text(own + both)
    with pytest.raises(BuildError, match=r"task mine: none of its metrics \(bleu, chrf\) is one of single questions"):
        asked_of(Task(task="mine"), [file])
    base.write_text(own + both.replace("{metric: chrf}", "{metric: exact_match}"))
    assert asked_of(Task(task="mine"), [file])


def test_what_a_task_file_includes_and_calls_makes_other_requests(tmp_path: Path) -> None:
    task, file = Task(task="mine"), own_task(tmp_path, [problem(1)])
    first = task_requests(task, [file], PLAIN, 1)
    assert task_requests(task, [file], PLAIN, 1) == first
    code = tmp_path / "code.py"
    code.write_text(CODE.replace("'answer'", "'question'"))
    second = task_requests(task, [file], PLAIN, 1)
    base = tmp_path / "base.yaml"
    base.write_text(base.read_text().replace("{{question}}", "Q: {{question}}"))
    third = task_requests(task, [file], PLAIN, 1)
    assert len({first.hash, second.hash, third.hash}) == 3
    assert next(read_requests(third.path))["prompt"] == f"Q: {next(read_requests(first.path))['prompt']}"


def test_requests_from_a_data_set_of_the_hub_are_of_what_it_holds_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder stands for the hub: lm-eval loads it by the same call."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    file = own_task(tmp_path, [problem(1)])
    of_hub = TaskFile(name=file.name, definition=file.definition, data_files={})
    first = task_requests(Task(task="mine"), [of_hub], PLAIN, 1)
    assert task_requests(Task(task="mine"), [of_hub], PLAIN, 1) == first, "the same data, the same name"
    put(tmp_path, "data/test.jsonl", [problem(1), problem(2)])
    second = task_requests(Task(task="mine"), [of_hub], PLAIN, 1)
    assert (first.count, second.count) == (1, 2) and first.hash != second.hash


def test_a_template_writes_json_as_it_stands(data: Path) -> None:
    said = "<it's> & é"
    template = (
        "{{ {'b': \"" + said + "\", 'a': 1} | tojson }}|{{ {'b': 1, 'a': 2} | tojson(indent=1, sort_keys=true) }}"
    )
    line = asked_of(Task(task="mmlu"), resolve_task("mmlu", data), {**CHAT, "template": template})[0]
    assert line["prompt"] == '{"b": "' + said + '", "a": 1}|{\n "a": 2,\n "b": 1\n}'


def test_a_worker_that_does_not_end_is_ended(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval_jobs, "LONGEST_WORK_S", 0.01)
    with pytest.raises(BuildError, match=r"lm-eval on mmlu_anatomy, mmlu_virology \(requests\) failed: no end after"):
        asked_of(Task(task="mmlu"), resolve_task("mmlu", data))


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    """The worker holds a pipe and waits for its job; the pipe closes when it is dead."""
    job = tmp_path / "job.json"
    os.mkfifo(job)
    ours, theirs = os.pipe()
    worker = f"[sys.executable, '-m', {WORKER!r}, *sys.argv[1:]]"
    start = f"import subprocess, sys; subprocess.Popen({worker}, close_fds=False).wait()"
    words = [sys.executable, "-c", start, str(job), str(tmp_path / "out")]
    parent = subprocess.Popen(words, pass_fds=[theirs], env={**os.environ, "BENCH_DIE_WITH_PARENT": "1"})
    os.close(theirs)
    with open(job, "wb"), open(ours, "rb") as pipe:  # opened: the worker has come as far as reading its job
        parent.kill()
        parent.wait()
        assert select.select([pipe], [], [], 60)[0], "the worker lives on"
        assert pipe.read() == b""
