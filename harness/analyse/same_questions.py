"""Whether two runs asked a task's questions in the same words, so that their scores may be paired by question."""

from harness.analyse.levels import MeasuredCell
from harness.analyse.questions import Asked, Question, asked_of
from harness.analyse.trials import observed
from harness.store import Run, inside
from harness.values import Answers

NO_TEXTS = "not paired: what was asked was not kept"
IN_SEQUENCE = "not paired: the questions of one side ended when enough was known"


def why_not_paired(run: Run, cell: MeasuredCell, against: Run, other: MeasuredCell) -> str | None:
    """None where every question that both have was asked in the same words with the same choices.

    Raises:
        StoreError: a requests file is damaged.
    """
    if cell.seen.until or other.seen.until:
        return IN_SEQUENCE
    ours, theirs = _asked(run, cell), _asked(against, other)
    if not ours or not theirs:
        return NO_TEXTS
    common = ours.keys() & theirs.keys()
    if not common:
        return "not paired: no question is the same on both sides"
    differ = sum(_words(ours[one]) != _words(theirs[one]) for one in common)
    return f"not paired: {differ:,} of {len(common):,} questions were asked in other words" if differ else None


def _asked(run: Run, cell: MeasuredCell) -> dict[Question, Asked]:
    answers = observed(cell.seen.counted, Answers)
    path = inside(run.path, answers[-1].requests) if answers else None
    return asked_of(path) if path is not None and path.is_file() else {}


def _words(asked: Asked) -> tuple[str, tuple[str, ...]]:
    return asked.head + asked.prompt, asked.choices
