"""A published claim file, recomputed from nothing but itself: no run is needed.

Each rule looks at the form of a file, never at its names or texts. A rule says *contradiction* only where
neither rounding nor unrounded data can explain a difference.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from harness.analyse.audit.bandwidth import memory_traffic
from harness.analyse.audit.changes import printed_changes
from harness.analyse.audit.conditions import conditions
from harness.analyse.audit.findings import Audit, AuditedSource, Finding
from harness.analyse.audit.headlines import headline_claims
from harness.analyse.audit.means import printed_means
from harness.analyse.audit.memory import memory_beside_size
from harness.analyse.audit.originals import originals
from harness.analyse.audit.precision import printed_precision
from harness.analyse.audit.prompts import prompt_lengths
from harness.analyse.audit.scores import accuracy, score_changes
from harness.analyse.audit.sizes import sizes
from harness.published import ClaimFile


class Rule(NamedTuple):
    title: str
    question: str
    find: Callable[[ClaimFile], Iterator[Finding]]


RULES: dict[str, Rule] = {
    "headlines": Rule(
        "Headline claims",
        "Under which aggregation of its rows does each claim hold, and what does the one figure hide?",
        headline_claims,
    ),
    "originals": Rule("Against the source", "Does a report say what its source says?", originals),
    "changes": Rule("Printed changes", "Does each printed change follow from its row and baseline?", printed_changes),
    "sizes": Rule("Sizes", "Does the scheme of the weights give the printed size, and in which unit?", sizes),
    "memory": Rule(
        "Memory beside the file", "What does a process need beside its file, and how does that dilute a cut in size?",
        memory_beside_size,
    ),
    "bandwidth": Rule(
        "Memory traffic of decode",
        "How much of the memory's theoretical speed do the figures imply, and which speed-up do bytes alone allow?",
        memory_traffic,
    ),
    "prompts": Rule(
        "Prompt length", "Which prompt length do the time to first token and prefill imply?", prompt_lengths
    ),
    "accuracy": Rule(
        "Accuracy", "What does compression cost, and how much of plain compression's loss is recovered?", accuracy
    ),
    "means": Rule("Means of tasks", "Does a line that is called a mean follow from its tasks?", printed_means),
    "conditions": Rule("Conditions", "What must be known to measure this again, and is not said?", conditions),
    "precision": Rule("Printed precision", "How well is each figure known?", printed_precision),
}  # fmt: skip
"""Name in findings → what it asks and the function that answers, in the order of the page."""


def audit(file: ClaimFile) -> Audit:
    """Every finding of every rule, in the order of the rules."""
    return Audit(
        name=file.name,
        title=file.title,
        file=file.file,
        sources=tuple(
            AuditedSource(name=name, title=one.title, url=one.url, date=one.date) for name, one in file.sources.items()
        ),
        findings=tuple(finding for rule in RULES.values() for finding in rule.find(file)),
        scores=score_changes(file),
    )
