"""ROUGE-L of a text against the right one: F1 of their longest common subsequence of words, not stemmed.

lm-eval calls these functions in the worker, for the task files beside this one.
"""

from functools import lru_cache
from typing import Any

from rouge_score.rouge_scorer import RougeScorer


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
