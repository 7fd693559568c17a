"""Whether the parts of a claim file fit each other.

Every name exists, every form suits its metric, every ratio has a baseline above zero.
"""

from collections.abc import Iterable

from harness.config import Document
from harness.errors import unknown_name
from harness.metrics import METRICS, Metric
from harness.published import (
    CONDITIONS,
    PUBLISHED_ONLY,
    UNITS,
    Claim,
    ClaimFile,
    PublishedTask,
    printed,
    printed_change,
    published_metric,
    scale_of,
)

# ---------------------------------------------------------------- parts


def _known(document: Document, kind: str, name: str | None, names: Iterable[str], path: str) -> None:
    if name is not None and name not in names:
        raise document.error(unknown_name(kind, name, names), path)


def _metric(document: Document, name: str, path: str) -> Metric:
    metric = published_metric(name)
    if metric is None:
        raise document.error(unknown_name("metric", name, (*METRICS, *PUBLISHED_ONLY)), path)
    return metric


def _check_unit(document: Document, metric: Metric, unit: str, path: str) -> None:
    _known(document, "unit", unit, UNITS, path)
    if scale_of(metric, unit) is None:
        fitting = ", ".join(one for one in UNITS if scale_of(metric, one) is not None)
        raise document.error(f"unit {unit!r} does not fit {metric.name} (fitting: {fitting or 'none'})", path)


def check_parts(document: Document, file: ClaimFile) -> None:
    for name, column in file.columns.items():
        path = f"$.columns.{name}"
        _check_unit(document, _metric(document, name, path), column.unit, f"{path}.unit")
        _known(document, "column", column.inverse_of, file.columns, f"{path}.inverse_of")
        if column.inverse_of == name:
            raise document.error("is its own inverse", f"{path}.inverse_of")
    for name, model in file.models.items():
        if model.heads % model.kv_heads:
            raise document.error("heads are no multiple of kv_heads", f"$.models.{name}.kv_heads")
    for name, scheme in file.schemes.items():
        if bool(scheme.lora_rank) != bool(scheme.lora_bits):
            raise document.error("lora_rank and lora_bits need each other", f"$.schemes.{name}.lora_rank")
    if file.device is not None:
        _known(document, "source", file.device.source, file.sources, "$.device.source")
        if file.device.memory_bandwidth_bytes_s is not None and file.device.source is None:
            raise document.error("a memory bandwidth needs a source", "$.device.memory_bandwidth_bytes_s")
    _check_conditions(document, file)


def _check_conditions(document: Document, file: ClaimFile) -> None:
    said: set[tuple[str, str]] = set()
    for index, condition in enumerate(file.conditions):
        path = f"$.conditions[{index}]"
        _known(document, "condition", condition.name, CONDITIONS, f"{path}.name")
        _known(document, "source", condition.source, file.sources, f"{path}.source")
        if condition.status == "unknown" and condition.value is not None:
            raise document.error("is unknown and yet has a value", f"{path}.value")
        if condition.status != "unknown" and condition.value is None:
            raise document.error(f"is {condition.status} and has no value", f"{path}.status")
        if condition.status != "unknown" and condition.source is None:
            raise document.error(f"is {condition.status} and has no source", f"{path}.status")
        for place, metric in enumerate(condition.metrics):
            _metric(document, metric, f"{path}.metrics[{place}]")
        for metric in condition.metrics or ("",):
            if (condition.name, metric) in said:
                where = f" for {metric}" if metric else ""
                raise document.error(f"condition {condition.name!r} is there twice{where}", path)
            said.add((condition.name, metric))


# ---------------------------------------------------------------- figures


def check_row(document: Document, file: ClaimFile, name: str) -> None:
    row, path = file.rows[name], f"$.rows.{name}"
    _known(document, "model", row.model, file.models, f"{path}.model")
    _known(document, "scheme", row.scheme, file.schemes, f"{path}.scheme")
    _known(document, "row", row.baseline, file.rows, f"{path}.baseline")
    if row.scheme and row.model is None:
        raise document.error("a scheme needs a model, whose weights it stores", f"{path}.scheme")
    if row.scheme and row.model and file.schemes[row.scheme].output_bits is None and not file.models[row.model].tied:
        raise document.error(
            f"scheme {row.scheme!r} stores no output layer (output_bits), but model {row.model!r} is not tied",
            f"{path}.scheme",
        )
    if row.baseline is not None:
        base = file.rows[row.baseline]
        if row.baseline == name or base.baseline is not None:
            what = "is its own baseline" if row.baseline == name else f"{row.baseline!r} has a baseline itself"
            raise document.error(what, f"{path}.baseline")
        if base.model != row.model:
            raise document.error(f"baseline {row.baseline!r} is of another model", f"{path}.baseline")
    elif row.control or row.changes:
        raise document.error("control or changes need a baseline", f"{path}.{'control' if row.control else 'changes'}")
    for metric, figure in row.values.items():
        _known(document, "column", metric, file.columns, f"{path}.values.{metric}")
        if printed(figure).value <= 0:
            raise document.error(f"{figure} is not above zero: no ratio can be formed", f"{path}.values.{metric}")
    for metric, text in row.changes.items():
        _check_change(document, file, name, metric, text)


def _check_change(document: Document, file: ClaimFile, name: str, metric: str, text: str) -> None:
    row, path = file.rows[name], f"$.rows.{name}.changes.{metric}"
    _known(document, "column", metric, file.columns, path)
    try:
        kind, change = printed_change(text)
    except ValueError as error:
        raise document.error(str(error), path) from None
    if (kind == "times" and change.value <= 0) or (kind == "percent" and change.value <= -100):
        raise document.error(f"{text} leaves nothing: no ratio can be formed", path)
    for one in (name, row.baseline):
        if one is not None and metric not in file.rows[one].values:
            raise document.error(f"row {one!r} has no figure for {metric}", path)


def check_task(document: Document, file: ClaimFile, index: int) -> None:
    task, path = file.tasks[index], f"$.tasks[{index}]"
    if any(task.name == other.name for other in file.tasks[:index]):
        raise document.error(f"task {task.name!r} is there twice", f"{path}.name")
    _check_unit(document, METRICS["acc"], task.unit, f"{path}.unit")
    for row, figure in task.values.items():
        _known(document, "row", row, file.rows, f"{path}.values.{row}")
        if figure is not None and printed(figure).value < 0:
            raise document.error(f"{figure} is negative", f"{path}.values.{row}")
    for row in task.changes:
        _known(document, "row", row, file.rows, f"{path}.changes.{row}")
        for one in (row, file.rows[row].baseline):
            if one is None or task.values.get(one) is None:
                raise document.error("a change needs a figure of the row and of its baseline", f"{path}.changes.{row}")
    _check_mean(document, file, task, path)


def _check_mean(document: Document, file: ClaimFile, task: PublishedTask, path: str) -> None:
    single = {one.name: None for one in file.tasks if not one.mean_of} if task.mean_of else {}
    seen: set[str] = set()
    for place, name in enumerate(task.mean_of):
        where = f"{path}.mean_of[{place}]"
        _known(document, "task", name, single, where)
        if name in seen:
            raise document.error(f"task {name!r} is there twice", where)
        seen.add(name)


# ---------------------------------------------------------------- claims


def check_claim(document: Document, file: ClaimFile, name: str) -> None:
    claim, path = file.claims[name], f"$.claims.{name}"
    metric = _metric(document, claim.metric, f"{path}.metric")
    _known(document, "source", claim.source, file.sources, f"{path}.source")
    if not claim.rows:
        raise document.error("'rows' is empty: a claim is about something", f"{path}.rows")
    for index, row in enumerate(claim.rows):
        _known(document, "row", row, file.rows, f"{path}.rows[{index}]")
        if row in claim.rows[:index]:
            raise document.error(f"row {row!r} is there twice", f"{path}.rows[{index}]")
        if claim.expressed != "value" and file.rows[row].baseline is None:
            raise document.error(f"{claim.expressed!r} needs a baseline, and row {row!r} has none", f"{path}.expressed")
    if claim.aggregation is not None and len(claim.rows) == 1:
        raise document.error("an aggregation needs several rows", f"{path}.aggregation")
    _check_expression(document, claim, metric, path)
    _check_form(document, claim, path)
    _check_claimed_task(document, file, claim, metric, path)
    if claim.original is not None:
        inner = f"{path}.original"
        _known(document, "source", claim.original.source, file.sources, f"{inner}.source")
        _known(document, "unit", claim.original.unit, UNITS, f"{inner}.unit")
        if claim.original.to is not None and claim.original.figure is None:
            raise document.error("'to' needs a 'figure'", f"{inner}.to")


def _check_expression(document: Document, claim: Claim, metric: Metric, path: str) -> None:
    if claim.expressed == "value":
        if claim.unit is None:
            raise document.error("a 'value' needs a unit", path)
        _check_unit(document, metric, claim.unit, f"{path}.unit")
    elif claim.unit is not None:
        raise document.error(f"{claim.expressed!r} has no unit", f"{path}.unit")
    if claim.expressed == "reduction" and metric.better == "higher":
        raise document.error(f"a reduction does not fit {metric.name}: higher is better", f"{path}.expressed")
    if claim.expressed == "points" and metric.kind != "accuracy":
        raise document.error(f"points do not fit {metric.name}: they are for accuracy", f"{path}.expressed")


def _check_form(document: Document, claim: Claim, path: str) -> None:
    ends = [("figure", claim.figure)] + ([("to", claim.to)] if claim.to is not None else [])
    if claim.form == "range" and claim.to is None:
        raise document.error("a 'range' needs 'to'", f"{path}.form")
    if claim.form != "range" and claim.to is not None:
        raise document.error(f"'to' does not fit the form {claim.form!r}", f"{path}.to")
    if claim.to is not None and printed(claim.to).value < printed(claim.figure).value:
        raise document.error(f"ends at {claim.to}, below its beginning {claim.figure}", f"{path}.to")
    for key, figure in ends:
        value = printed(figure).value
        if claim.expressed != "points" and value <= 0:
            raise document.error(f"{figure} is not above zero", f"{path}.{key}")
        if claim.expressed == "reduction" and value >= 100:
            raise document.error(f"a reduction by {figure} % leaves nothing", f"{path}.{key}")


def _check_claimed_task(document: Document, file: ClaimFile, claim: Claim, metric: Metric, path: str) -> None:
    if metric.kind != "accuracy":
        if claim.task is not None:
            raise document.error(f"a task does not fit {metric.name}", f"{path}.task")
        return
    if claim.task is None:
        raise document.error(f"{metric.name} needs a task", path)
    _known(document, "task", claim.task, [task.name for task in file.tasks], f"{path}.task")
    scores = next(task.values for task in file.tasks if task.name == claim.task)
    for row in claim.rows if claim.expressed == "times" else ():
        base = scores.get(file.rows[row].baseline or "")
        if base is not None and printed(base).value <= 0:
            raise document.error(f"the baseline of row {row!r} is at {base}: no ratio can be formed", f"{path}.rows")
