"""Accuracy: each compressed row against its baseline, and against plain compression where that is shown."""

from collections.abc import Iterator, Sequence

from harness.analyse.audit.figures import compared, own_tasks, score
from harness.analyse.audit.findings import Finding, ScoreChange
from harness.analyse.audit.intervals import exactly, mean, minus, over, said, spread, times
from harness.published import ClaimFile, Printed


def score_changes(file: ClaimFile) -> tuple[ScoreChange, ...]:
    """Every task of every compressed row that is no control itself."""
    found = []
    for name, row, base in compared(file):
        control = next((n for n, r in file.rows.items() if r.control and r.baseline == base), None)
        for task in own_tasks(file) if not row.control else ():
            value, from_ = score(task, name), score(task, base)
            if value is None or from_ is None:
                continue
            plain = score(task, control) if control else None
            found.append(
                ScoreChange(
                    task=task.name,
                    row=name,
                    baseline=base,
                    score=value,
                    difference=minus(value, from_),
                    control=minus(plain, from_) if plain else None,
                )
            )
    return tuple(found)


def accuracy(file: ClaimFile) -> Iterator[Finding]:
    """Of each compressed row: mean loss, share of plain compression's recovered, scores above its baseline."""
    changes = score_changes(file)
    for row in dict.fromkeys(change.row for change in changes):
        own = [change for change in changes if change.row == row]
        yield _loss(row, own)
        if recovered := _recovered(row, own):
            yield recovered
        if above := _above(row, own):
            yield above
    if changes:
        yield Finding(
            rule="accuracy",
            verdict="not stated",
            sentence="The number of questions and the dispersion of the scores are not in the table: "
            "no difference can be tested.",
        )


def _loss(row: str, changes: Sequence[ScoreChange]) -> Finding:
    average = mean([change.difference for change in changes])
    worst = min(changes, key=lambda change: change.difference.value)
    return Finding(
        rule="accuracy",
        verdict="note",
        row=row,
        sentence=f"In the mean of {len(changes)} tasks {spread(average, 'points', 2)} against {changes[0].baseline}; "
        f"the lowest is {said(worst.difference.value, 2)} ({worst.task}).",
        unit="points",
        recomputed=average,
        others={change.task: change.difference for change in changes},
    )


def _recovered(row: str, changes: Sequence[ScoreChange]) -> Finding | None:
    """Over the tasks that have all three figures, as one share of the mean losses."""
    whole = [(change.difference, change.control) for change in changes if change.control is not None]
    if not whole:
        return None
    own, plain = mean([pair[0] for pair in whole]), mean([pair[1] for pair in whole])
    lost = minus(exactly(0), plain)
    if lost.low <= 0:
        return None
    share: Printed = times(over(minus(own, plain), lost), exactly(100))
    return Finding(
        rule="accuracy",
        verdict="note",
        row=row,
        sentence=f"Of the mean loss of plain compression ({said(plain.value, 2)} points, {len(whole)} tasks) "
        f"{said(share.value, 2)} % are recovered.",
        unit="%",
        recomputed=share,
    )


def _above(row: str, changes: Sequence[ScoreChange]) -> Finding | None:
    better = {change.task: change.difference for change in changes if change.difference.low > 0}
    if not better:
        return None
    most = max(better, key=lambda task: better[task].value)
    return Finding(
        rule="accuracy",
        verdict="note",
        row=row,
        sentence=f"Above its baseline in {len(better)} of {len(changes)} tasks, by up to "
        f"{said(better[most].value, 2)} points ({most}): without the number of questions no evidence of a gain, "
        "and so differences of this size are none of a loss.",
        unit="points",
        recomputed=better[most],
        others=better,
    )
