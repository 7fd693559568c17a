"""A folder of data as `BENCH_DATA` names one, with a handful of documents each."""

import gzip
import json
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
ARC = {
    "id": "q",
    "question": "Which?",
    "choices": {"text": ["a", "b", "c", "d"], "label": ["A", "B", "C", "D"]},
    "answerKey": "C",
}


def question(number: int, answer: Any = 1) -> dict[str, Any]:
    choices = [f"choice {number} {letter}" for letter in "wxyz"]
    return {"question": f" What is {number}?\n", "choices": choices, "answer": answer, "subject": "anatomy"}


def problem(number: int) -> dict[str, Any]:
    return {"question": f"Add {number} and {number}.", "answer": f"It is <<{2 * number}>>.\n#### {2 * number}"}


def put(folder: Path, place: str, rows: Rows) -> None:
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)


def small_data(folder: Path) -> Path:
    for subject, first in (("anatomy", 0), ("virology", 50)):
        put(folder, f"mmlu/test/{subject}.jsonl.gz", [question(first + n) for n in range(4)])
        put(folder, f"mmlu/dev/{subject}.jsonl.gz", [question(first + n, n % 4) for n in range(10, 15)])
    put(folder, "gsm8k/train.jsonl.gz", [problem(n) for n in range(20)])
    put(folder, "gsm8k/test.jsonl.gz", [problem(n) for n in range(100, 104)])
    sentence = {"sentence": "The cat saw the dog when _ barked.", "option1": "the cat", "option2": "the dog"}
    put(folder, "winogrande/validation.jsonl.gz", [{**sentence, "answer": "2"}, {**sentence, "answer": "1"}])
    page = {"page": "A page of text , with <unk> words .\n More of it .\n"}
    put(folder, "wikitext2_raw/test_pages.jsonl.gz", [page])
    post = {"document": "The shop was shut, so I went home again.", "summary": "the shop was shut"}
    put(folder, "tldr9/test.jsonl", [post, {**post, "summary": "nothing alike"}])
    row = {"instruction": "Make it formal.", "source": "gimme that", "target": "please give me that"}
    put(folder, "open_rewrite/test.jsonl.gz", [row])
    put(folder, "arc_challenge/test.jsonl.gz", [ARC])
    return folder
