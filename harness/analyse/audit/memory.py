"""Memory minus size: what a process needs beside its file, and how that dilutes a cut in size."""

from collections.abc import Iterator

from harness.analyse.audit.figures import compared, figure, reduction, scale
from harness.analyse.audit.findings import Finding
from harness.analyse.audit.intervals import exactly, listed, minus, said, times
from harness.published import ClaimFile, Printed

MEMORY, SIZE = "peak_rss_bytes", "size_bytes"
CONSTANT = 0.02
"""What a row needs beside its file counts as its baseline's if they differ by less than this share of the cut."""


def memory_beside_size(file: ClaimFile) -> Iterator[Finding]:
    """A finding for each model with what its rows need beside their files, then one for each compressed row."""
    beside = {row: rest for row in file.rows if (rest := _beside(file, row))}
    for model in file.models:
        rows = [row for row in beside if file.rows[row].model == model]
        base = next((file.rows[row].baseline for row in rows if file.rows[row].baseline in beside), None)
        if base is not None:
            yield _model(file, model, base, {row: beside[row] for row in rows})
    for row, _, base in compared(file):
        if row in beside and base in beside:
            yield _row(file, row, base, beside)


def _beside(file: ClaimFile, row: str) -> Printed | None:
    """In the unit that memory is printed in."""
    memory, size = figure(file, row, MEMORY), figure(file, row, SIZE)
    return None if memory is None or size is None else minus(memory, _size(file, size))


def _size(file: ClaimFile, size: Printed) -> Printed:
    return times(size, exactly(scale(file, SIZE) / scale(file, MEMORY)))


def _extra(file: ClaimFile, row: str, base: str, beside: dict[str, Printed]) -> Printed | None:
    """What a row needs beside its file more than its baseline; None where that is no more than a trace."""
    value, from_ = figure(file, row, SIZE), figure(file, base, SIZE)
    extra = minus(beside[row], beside[base])
    if value is None or from_ is None:
        return extra
    cut = abs(_size(file, minus(from_, value)).value)
    return None if abs(extra.value) <= max(CONSTANT * cut, extra.half) else extra


def _model(file: ClaimFile, model: str, base: str, beside: dict[str, Printed]) -> Finding:
    unit = file.columns[MEMORY].unit
    others = [row for row in beside if file.rows[row].baseline == base]
    moved = {row: extra for row in others if (extra := _extra(file, row, base, beside))}
    same = [row for row in others if row not in moved]
    amounts = listed([f"{said(beside[row].value)} ({row})" for row in beside])
    sentence = f"{file.models[model].title}: memory less size is {amounts} {unit}: "
    if same:
        sentence += f"nearly constant for {listed([base, *same])}"
    if moved:
        adds = [f"{row} {'adds' if e.value > 0 else 'saves'} {said(abs(e.value))}" for row, e in moved.items()]
        sentence += f"{', and ' if same else ''}{listed(adds)} {unit}"
    return Finding(rule="memory", verdict="note", metric=MEMORY, sentence=f"{sentence}.", unit=unit, others=beside)


def _row(file: ClaimFile, row: str, base: str, beside: dict[str, Printed]) -> Finding:
    unit = file.columns[MEMORY].unit
    percents = []
    for metric in (SIZE, MEMORY):
        value, from_ = figure(file, row, metric), figure(file, base, metric)
        percents.append(reduction(value, from_) if value and from_ else exactly(0))
    size, memory = percents
    extra = _extra(file, row, base, beside)
    stays = f"{said(beside[base].value)} {unit} beside the file stay"
    if beside[base].high < 0:
        sentence = "The baseline's memory is below its file's size: a part of it was never read, or was not counted."
    elif size.value <= memory.value:
        sentence = f"Memory falls by {said(memory.value)} %, as much as size ({said(size.value)} %) or more."
    else:
        added = f", and {said(extra.value)} {unit} come on top" if extra and extra.value > 0 else ""
        sentence = (
            f"A file smaller by {said(size.value)} % makes {said(memory.value)} % less memory, since {stays}{added}: "
            "a constant of the runtime, which another runtime need not have."
        )
    return Finding(
        rule="memory",
        verdict="note",
        row=row,
        metric=MEMORY,
        sentence=sentence,
        unit="%",
        recomputed=memory,
        others={"size": size},
    )
