"""A folder of data as `BENCH_DATA` names one, with a handful of documents each."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
ARC = {
    "id": "q",
    "question": "Which?",
    "choices": {"text": ["a", "b", "c", "d"], "label": ["A", "B", "C", "D"]},
    "answerKey": "C",
}

TEXTS = (" B", "The answer is 200.", "#### 202", "So: The final answer is 204", "The best answer is C.", "Well, no", "")


def replied(kind: str, arguments: list[Any]) -> Any:
    """What a model is made to answer to a request of lm-eval: anything, but always the same."""
    number = zlib.crc32(json.dumps(arguments, sort_keys=True).encode())
    if kind == "generate_until":
        return TEXTS[number % len(TEXTS)]
    logprob = -1.0 - number % 997 / 50
    return logprob if kind == "loglikelihood_rolling" else (logprob, number % 3 == 0)


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


def more_data(folder: Path) -> Path:
    """With what `small_data` has, data of every task whose files are known by name."""
    small_data(folder)
    texts = ["a", "bb and b", "cc"]
    questions = [
        {
            **ARC,
            "id": f"q{n}",
            "question": f"Which is {n}?",
            "choices": {"text": texts, "label": labels},
            "answerKey": k,
        }
        for n, (labels, k) in enumerate([("ABC", "B"), ("123", "3"), ("ABC", "A"), ("ABC", "C")])
    ]
    for row in questions:
        row["choices"]["label"] = list(row["choices"]["label"])
    put(folder, "arc_easy/test.jsonl.gz", questions)
    put(folder, "openbookqa/test.jsonl.gz", [{**row, "question_stem": row.pop("question")} for row in questions])
    endings = ["runs away.", "sits on it and sings, loudly.", "is a cat.", "x"]
    put(
        folder,
        "hellaswag/validation.jsonl.gz",
        [{"query": f"A man {n}. He", "ctx_raw": "a", "label": str(n), "endings": endings} for n in range(4)],
    )
    put(
        folder,
        "truthfulqa/multiple_choice.jsonl.gz",
        [
            {
                "question": f"What is {n}?",
                "mc1_targets": {"choices": ["true", "false", "none"], "labels": [1, 0, 0]},
                "mc2_targets": {"choices": ["true", "right", "false", "wrong"], "labels": [1, 1, 0, 0]},
            }
            for n in range(3)
        ],
    )
    asked = [
        (["punctuation:no_comma"], [{}]),
        (["punctuation:no_comma", "length_constraints:number_words"], [{}, {"relation": "at least", "num_words": 4}]),
        (["keywords:existence"], [{"keywords": ["answer"]}]),
    ]
    put(
        folder,
        "ifeval/train.jsonl.gz",
        [
            {"key": n, "prompt": f"Say {n}.", "instruction_id_list": names, "kwargs": wanted}
            for n, (names, wanted) in enumerate(asked)
        ],
    )
    (folder / "nltk_data" / "tokenizers" / "punkt_tab").mkdir(parents=True)
    return folder
