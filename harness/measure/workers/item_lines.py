"""What lm-eval says of each sample, as the lines of an items file."""

import hashlib
from collections.abc import Iterator
from typing import Any, TypeGuard

from datasets import Dataset
from lm_eval.api.metrics import (
    bleu,
    brier_score,
    chrf,
    chrfpp,
    f1_score,
    matthews_corrcoef,
    mean,
    median,
    nanmean,
    ter,
)
from numpy import bool_, number

from harness.measure.workers.data_files import DataError
from harness.measure.workers.loading import LocalTask

PASSAGES = ("passage", "context", "article", "story")
"""Fields in which tasks keep a text that questions are asked about."""
WEIGHTED = ("word_perplexity", "byte_perplexity", "bits_per_byte")
OF_ALL = (bleu, brier_score, chrf, chrfpp, f1_score, matthews_corrcoef, median, ter)
"""Aggregations that need all questions at once."""
RIGHT_OR_WRONG = ("acc", "acc_norm", "acc_mutual_info", "acc_bytes", "exact_match")
"""Metrics that are 1 where the right choice was made; a share of the mass on several right ones, as in TruthfulQA's
mc2, goes by the name of `acc` too."""
LONGEST_TEXT = 2000
"""Characters of an answer that an item keeps; the whole one stands in the answers file."""


def item_lines(samples: dict[str, list[dict[str, Any]]], tasks: dict[str, LocalTask]) -> Iterator[dict[str, Any]]:
    """One line an item, lm-eval's metrics of all its filters side by side."""
    for name, of_task in samples.items():
        items: dict[int, dict[str, Any]] = {}
        passage = shared_passage(tasks[name].eval_docs)
        for sample in of_task:
            if sample["doc_id"] not in items:
                items[sample["doc_id"]] = {
                    "kind": "item",
                    "task": name,
                    "id": sample["doc_id"],
                    "group": group_of(sample["doc"], passage),
                    "chance": chance_of(sample),
                    "metrics": {},
                    "sums": {},
                    **answered(sample, tasks[name]),
                }
            add_metrics(items[sample["doc_id"]], sample, tasks[name].aggregation())
        if not any(item["metrics"] or item["sums"] for item in items.values()):
            known = ", ".join(tasks[name].aggregation())
            raise DataError(f"task {name}: none of its metrics ({known}) is one of single questions")
        yield from (items[key] for key in sorted(items))


def check_metrics(tasks: dict[str, LocalTask]) -> None:
    """Raises DataError: of a task, lm-eval knows figures of all questions together alone, such as F1 or BLEU."""
    for name, task in tasks.items():
        known = task.aggregation()
        if known and all(how in OF_ALL for how in known.values()):
            raise DataError(f"task {name}: none of its metrics ({', '.join(known)}) is one of single questions")


def add_metrics(item: dict[str, Any], sample: dict[str, Any], aggregations: dict[str, Any]) -> None:
    """What can be said of one question; metrics of all questions together, such as F1, are left out."""
    for name in sample["metrics"]:
        plain = sample["filter"] in ("none", None)
        key = name if plain else f"{name},{sample['filter']}"
        value = sample[name]
        if name in WEIGHTED or (isinstance(value, list) and all(isinstance(part, bool) for part in value)):
            item["sums"][key] = sums_of(name, value)
        elif aggregations.get(name) in (mean, nanmean) and isinstance(value, bool | int | float | bool_ | number):
            item["metrics"][key] = float(value)


def shared_passage(docs: Dataset) -> str | None:
    """The field whose texts several of a task's questions share, asked or not; None: there is none."""
    for field in (name for name in PASSAGES if name in docs.column_names):
        texts = [text for text in docs[field] if is_passage(text)]
        if len(set(texts)) < len(texts):
            return field
    return None


def group_of(doc: dict[str, Any], passage: str | None) -> str | None:
    """What the question shares with others: its subject, or else its passage."""
    if isinstance(subject := doc.get("subject"), str):
        return subject
    text = doc.get(passage) if passage else None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] if is_passage(text) else None


def is_passage(text: Any) -> TypeGuard[str]:
    return isinstance(text, str) and bool(text.strip())


def answered(sample: dict[str, Any], task: LocalTask) -> dict[str, Any]:
    """What was answered and what is right; the first filter's text where there are several."""
    if task.OUTPUT_TYPE == "multiple_choice":
        return chosen(sample, task)
    if task.OUTPUT_TYPE != "generate_until":
        return {}
    text, target = sample["filtered_resps"][0], sample["target"]
    text = text[0] if isinstance(text, list) and text else text
    known = {"answer": text[:LONGEST_TEXT], "filter": sample["filter"] or "none"} if isinstance(text, str) else {}
    # Checkers that look at the document itself, such as IFEval's, have a number in the target's place.
    return known | ({"target": target[:LONGEST_TEXT]} if isinstance(target, str) else {})


def chosen(sample: dict[str, Any], task: LocalTask) -> dict[str, Any]:
    choices = task.doc_to_choice(sample["doc"])
    logprobs = [float(answer[0]) for answer in sample["filtered_resps"][: len(choices)]]
    gold = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
    if isinstance(gold, list):
        gold = gold[0] if len(gold) == 1 else None
    if not is_right_or_wrong(sample):
        gold = None
    if isinstance(gold, str):
        gold = choices.index(gold) if gold in choices else None
    return {"answer": logprobs.index(max(logprobs)), "target": gold, "logprobs": logprobs}


def chance_of(sample: dict[str, Any]) -> float | None:
    """What guessing would score: one in the number of choices.

    None where there is nothing to choose from, or where the score is a mass and not right or wrong.
    """
    asked = len(sample["arguments"])
    if "acc_mutual_info" in sample["metrics"]:
        asked //= 2  # each choice is scored a second time, without its question
    choices = asked if asked > 1 else lettered_choices(sample)
    return 1 / choices if choices > 1 and is_right_or_wrong(sample) else None


def is_right_or_wrong(sample: dict[str, Any]) -> bool:
    values = [sample[name] for name in sample["metrics"] if name in RIGHT_OR_WRONG]
    return bool(values) and all(value in (0.0, 1.0) for value in values)


def lettered_choices(sample: dict[str, Any]) -> int:
    """How many choices a question has whose answer is generated, such as `B.` of four; 0 where it is no letter."""
    choices, target = sample["doc"].get("choices"), sample["target"]
    if isinstance(choices, dict):
        choices = choices.get("text")
    is_letter = isinstance(target, str) and len(word := target.strip().rstrip(".")) == 1 and word.isalnum()
    return len(choices) if is_letter and isinstance(choices, list | tuple) else 0


def sums_of(name: str, parts: Any) -> list[float]:
    """Numerator and denominator of a metric that is a ratio of sums over all items.

    Perplexities come as (log-likelihood, count); anything else as one verdict a part, such as IFEval's
    instructions.
    """
    if name in WEIGHTED:
        return [float(parts[0]), float(parts[1])]
    return [float(sum(parts)), float(len(parts))]
