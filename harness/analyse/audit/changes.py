"""Printed changes: does `−76.9 %` follow from the two figures that stand beside it?"""

import math
from collections.abc import Iterator

from harness.analyse.audit.figures import ONE, compared, figure, percent_change, score, times_better, title
from harness.analyse.audit.findings import Finding, Verdict
from harness.analyse.audit.intervals import loosened, minus, over, spread, touch
from harness.published import ClaimFile, Printed, printed, printed_change


def printed_changes(file: ClaimFile) -> Iterator[Finding]:
    """A finding for each printed change."""
    for name, row, base in compared(file):
        for metric, text in row.changes.items():
            value, from_ = figure(file, name, metric), figure(file, base, metric)
            if value is not None and from_ is not None:
                yield _judged(file, name, base, metric, text, value, from_)
    for task in file.tasks:
        for name, text in task.changes.items():
            value, from_ = score(task, name), score(task, file.rows[name].baseline or "")
            if value is not None and from_ is not None:
                yield _judged_score(task.name, name, text, minus(value, from_))


def _judged_score(task: str, row: str, text: str, own: Printed) -> Finding:
    change = printed(text.removeprefix("+"))
    heading = f"{task}: the printed {text} points"
    verdict: Verdict = "follows"
    if touch(own, change):
        sentence = f"{heading} follow from the row's score and its baseline's."
    elif touch(loosened(own), loosened(change)):
        verdict, sentence = "note", f"{heading} follow only if figures were cut instead of rounded."
    else:
        verdict, sentence = "contradiction", f"{heading} do not follow: the scores give {spread(own, 'points')}."
    return Finding(
        rule="changes", verdict=verdict, row=row, sentence=sentence, unit="points", recomputed=own, printed=change
    )


def _judged(file: ClaimFile, row: str, base: str, metric: str, text: str, value: Printed, from_: Printed) -> Finding:
    kind, change = printed_change(text)
    unit = "%" if kind == "percent" else "×"
    own = _change(kind, metric, value, from_)
    verdict: Verdict
    others: dict[str, Printed] = {}
    heading = f"{title(metric)}: the printed {text}"
    if touch(own, change):
        verdict, sentence = "follows", f"{heading} follows from its row and baseline."
    else:
        gives = f"the printed column gives {spread(own, unit)}"
        others = _from_inverses(file, row, base, metric, kind)
        explained = [name for name, one in others.items() if touch(one, change)]
        if explained:
            verdict = "note"
            sentence = (
                f"{heading} does not follow from its own column ({gives}) but from {title(explained[0])}, "
                f"which the publication calls its inverse ({spread(others[explained[0]], unit, 4)})."
            )
        elif touch(_change(kind, metric, loosened(value), loosened(from_)), loosened(change)):
            verdict, sentence = "note", f"{heading} follows only if figures were cut instead of rounded; {gives}."
        else:
            verdict, sentence = "contradiction", f"{heading} does not follow: {gives}."
    return Finding(
        rule="changes",
        verdict=verdict,
        row=row,
        metric=metric,
        sentence=sentence,
        unit=unit,
        recomputed=own,
        printed=change,
        others=others,
    )


def _change(kind: str, metric: str, value: Printed, base: Printed) -> Printed:
    if value.low <= 0 or base.low <= 0:  # only loosened figures reach zero: then anything may be
        return Printed(value=value.value, low=-math.inf, high=math.inf)
    return percent_change(value, base) if kind == "percent" else times_better(metric, value, base)


def _from_inverses(file: ClaimFile, row: str, base: str, metric: str, kind: str) -> dict[str, Printed]:
    """The change that columns give which are called the inverse of this one."""
    found = {}
    for name, column in file.columns.items():
        if column.inverse_of == metric or file.columns[metric].inverse_of == name:
            value, from_ = figure(file, row, name), figure(file, base, name)
            if value is not None and from_ is not None:
                found[name] = _change(kind, metric, over(ONE, value), over(ONE, from_))
    return found
