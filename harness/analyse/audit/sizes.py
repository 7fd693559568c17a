"""Sizes: does the scheme of the weights give the printed size, and in which unit?"""

import math
from collections.abc import Iterator

from harness.analyse.audit.figures import figure
from harness.analyse.audit.findings import Finding, Verdict
from harness.analyse.audit.intervals import exactly, minus, said, times
from harness.analyse.audit.shapes import parameters, stored_bytes
from harness.published import UNITS, ClaimFile, Printed

METRIC = "size_bytes"
SIBLINGS = {"kB": "KiB", "MB": "MiB", "GB": "GiB", "KiB": "kB", "MiB": "MB", "GiB": "GB"}
FITS = 0.005
"""A file holds more than its weights (header, tokenizer, padding): a size within this share fits its scheme."""
SMALLER = 0.02
"""A file that is smaller than its weights by more than this cannot hold them."""


def sizes(file: ClaimFile) -> Iterator[Finding]:
    """The parameters of each model, the unit of the column, and each row against its scheme."""
    for name in file.models:
        yield _parameters(file, name)
    predicted = _predicted(file)
    if not predicted:
        return
    unit = file.columns[METRIC].unit
    fitting = _fitting_unit(file, predicted, unit)
    yield _unit(file, predicted, unit, fitting)
    for row, size in predicted.items():
        yield _row(file, row, size, fitting)


def _parameters(file: ClaimFile, name: str) -> Finding:
    model = file.models[name]
    count = parameters(model)
    off = model.parameters / count - 1
    verdict: Verdict
    if count == model.parameters:
        verdict, sentence = "follows", f"{model.title}: its shape has the stated {count:,} parameters."
    else:
        verdict = "note" if abs(off) <= FITS else "contradiction"
        sentence = f"{model.title}: its shape has {count:,} parameters, {model.parameters:,} are stated."
    return Finding(
        rule="sizes",
        verdict=verdict,
        sentence=sentence,
        unit="parameters",
        recomputed=exactly(count),
        printed=exactly(model.parameters),
    )


def _predicted(file: ClaimFile) -> dict[str, float]:
    """Row → bytes of its weights, where a size is printed and the scheme is known."""
    found = {}
    for name, row in file.rows.items():
        if row.scheme is not None and row.model is not None and METRIC in row.values:
            found[name] = stored_bytes(file.models[row.model], file.schemes[row.scheme])
    return found


def _off(file: ClaimFile, row: str, size: float, unit: str) -> Printed:
    """Printed size over predicted size, less one."""
    shown = figure(file, row, METRIC) or exactly(0)
    return minus(times(shown, exactly(UNITS[unit] / size)), exactly(1))


def _fits(off: Printed) -> bool:
    return off.low <= FITS and off.high >= -FITS


def _fitting_unit(file: ClaimFile, predicted: dict[str, float], unit: str) -> str:
    """The printed unit, unless its decimal or binary sibling fits and it does not."""
    sibling = SIBLINGS.get(unit)
    if sibling is None:
        return unit

    def fit(one: str) -> tuple[int, float]:
        offs = [_off(file, row, size, one) for row, size in predicted.items()]
        return sum(_fits(off) for off in offs), -sum(abs(math.log1p(off.value)) for off in offs)

    here, there = fit(unit), fit(sibling)
    return sibling if there[0] > here[0] and there[1] > here[1] else unit


def _unit(file: ClaimFile, predicted: dict[str, float], unit: str, fitting: str) -> Finding:
    fit = sum(_fits(_off(file, row, size, fitting)) for row, size in predicted.items())
    count = f"{fit} of {len(predicted)}"
    if fitting != unit:
        ratio = UNITS[fitting] / UNITS[unit]
        than = f"{said(100 * abs(ratio - 1), 2)} % {'more' if ratio > 1 else 'less'}"
        sentence = f"Sizes are printed in {unit}; {count} fit their scheme in {fitting}, which is {than}."
    elif fit:
        sentence = f"Sizes are printed in {unit}, and {count} fit their scheme in it."
    else:
        sentence = f"Sizes are printed in {unit}; none fits its scheme, in this unit or its sibling."
    return Finding(
        rule="sizes",
        verdict="follows" if fitting == unit and fit else "note",
        metric=METRIC,
        sentence=sentence,
        unit=fitting,
        others={row: exactly(size / UNITS[fitting]) for row, size in predicted.items()},
    )


def _row(file: ClaimFile, row: str, size: float, unit: str) -> Finding:
    off = _off(file, row, size, unit)
    given = f"the scheme {file.rows[row].scheme} gives {said(size / UNITS[unit], 4)} {unit}"
    verdict: Verdict
    if _fits(off):
        verdict = "follows"
        sentence = f"{file.rows[row].values[METRIC]} printed, {given}: {said(100 * abs(off.value), 2)} % away."
    elif off.high < -SMALLER:
        verdict = "contradiction"
        sentence = f"{file.rows[row].values[METRIC]} printed, but {given}: the weights do not fit into the file."
    else:
        verdict = "note"
        word = "more" if off.value > 0 else "less"
        amount = said(100 * abs(off.value), 2)
        sentence = f"{file.rows[row].values[METRIC]} printed, {amount} % {word} than the weights: {given}."
    return Finding(
        rule="sizes",
        verdict=verdict,
        row=row,
        metric=METRIC,
        sentence=sentence,
        unit=unit,
        recomputed=exactly(size / UNITS[unit]),
        printed=figure(file, row, METRIC),
    )
