"""ROUGE-L of a text against the right one: F1 of their longest common subsequence of words, not stemmed.

lm-eval calls these functions in the worker, for the task files beside this one.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from rouge_score.rouge_scorer import RougeScorer

Docs = Iterable[dict[str, Any]]
"""A data set of lm-eval's."""


def posts(docs: Docs) -> Docs:
    return _whole(docs, "document", "summary")


def texts(docs: Docs) -> Docs:
    return _whole(docs, "instruction", "source", "target")


def _whole(docs: Docs, *fields: str) -> Docs:
    """The documents themselves; what lacks a text shows before hours of answers, not after.

    Raises:
        ValueError: with the first document that does, and the field.
    """
    for number, doc in enumerate(docs):
        for field in fields:
            text = doc.get(field)
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"document {number} has no text in {field!r}")
    return docs


def summary(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    return {"rougeL": rouge_l(doc["summary"], results[0])}


def rewrite(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    return {"rougeL": rouge_l(doc["target"], results[0])}


def rouge_l(right: str, answer: str) -> float:
    """From 0 to 1."""
    return float(_scorer().score(right, answer)["rougeL"].fmeasure)


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    return RougeScorer(["rougeL"], use_stemmer=False)
