"""Whether two runs asked a task's questions in the same words, so that their scores may be paired by question."""

import filecmp
from functools import lru_cache
from pathlib import Path

from harness.analyse.levels import MeasuredCell
from harness.analyse.questions import Asked, Question, asked_of
from harness.analyse.trials import observed
from harness.store import Run, inside
from harness.values import Answers

NO_TEXTS = "not paired: what was asked was not kept"
IN_SEQUENCE = "not paired: the questions of one side ended when enough was known"


def why_not_paired(run: Run, cell: MeasuredCell, against: Run, other: MeasuredCell) -> str | None:
    """None where every question that both have is one question: words, choices, right answer, version of its task.

    Raises:
        StoreError: a requests file is damaged.
    """
    if cell.seen.until or other.seen.until:
        return IN_SEQUENCE
    ours, theirs = _requests(run, cell), _requests(against, other)
    if ours is None or theirs is None:
        return NO_TEXTS
    return _other_versions(cell, other) or _other_words(ours, theirs) or _other_answers(cell, other)


def _requests(run: Run, cell: MeasuredCell) -> Path | None:
    answers = observed(cell.seen.counted, Answers)
    path = inside(run.path, answers[-1].requests) if answers else None
    return path if path is not None and path.is_file() else None


def _other_words(ours: Path, theirs: Path) -> str | None:
    if filecmp.cmp(ours, theirs, shallow=False):
        return None
    asked, others = _asked(ours), _asked(theirs)
    common = asked.keys() & others.keys()
    if not common:
        return "not paired: no question is the same on both sides"
    differ = sum(_words(asked[one]) != _words(others[one]) for one in common)
    return f"not paired: {differ:,} of {len(common):,} questions were asked in other words" if differ else None


@lru_cache(maxsize=4)
def _asked(path: Path) -> dict[Question, Asked]:
    """Variants of a run share the file."""
    return asked_of(path)


def _words(asked: Asked) -> tuple[str, tuple[str, ...]]:
    return asked.head + asked.prompt, asked.choices


def _other_versions(cell: MeasuredCell, other: MeasuredCell) -> str | None:
    ours, theirs = _versions(cell), _versions(other)
    for task in ours.keys() & theirs.keys():
        if _number(ours[task]) != _number(theirs[task]):
            return f"not paired: version {ours[task]} of {task} against {theirs[task]}"
    return None


def _versions(cell: MeasuredCell) -> dict[str, str]:
    answers = observed(cell.seen.counted, Answers)
    return answers[-1].task_versions if answers else {}


def _number(version: str) -> str:
    """`1` and `1.0` are one."""
    return version.removesuffix(".0")


def _other_answers(cell: MeasuredCell, other: MeasuredCell) -> str | None:
    assert cell.graded is not None and other.graded is not None
    right = {(item.task, item.id): item.target for item in cell.graded.items if item.target is not None}
    pairs = [(item.target, right.get((item.task, item.id))) for item in other.graded.items]
    differ = sum(None not in pair and pair[0] != pair[1] for pair in pairs)
    return f"not paired: {differ:,} questions have another right answer" if differ else None
