"""A model card's tables → a draft of a claim file, which is then read and checked as any claim file is."""

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from harness.card_figures import CellSaid, cell_of, follows, metric_of, unit_of
from harness.errors import InputError
from harness.markdown_tables import MarkdownTable, read_markdown

BASELINE = re.compile(
    r"\b(bf16|b?float16|fp16|f16|fp32|f32|float32|baseline|original|full[- ]precision)\b", re.IGNORECASE
)
_TASK = re.compile(r"\b(benchmarks?|tasks?|datasets?|evals?)\b", re.IGNORECASE)
_BESIDE = re.compile(
    r"\b(category|capability|shots?|n-shot|metric|measure|questions|samples|language)\b", re.IGNORECASE
)
_SHOTS = re.compile(r"shots?", re.IGNORECASE)
_MEASURE = re.compile(r"metric|measure", re.IGNORECASE)
FEWEST_METRICS = 2
"""Columns that make a table one of performance."""


class Entry(NamedTuple):
    """A row or a column of one model, with what its cells say."""

    title: str
    cells: dict[str, CellSaid]
    """By metric, or by task."""


def draft(text: str, name: str, origin: str) -> bytes:
    """A claim file in YAML, of all tables with figures that are known.

    Args:
        text: the card, Markdown.
        name: of the claim file.
        origin: what the draft was read from, for its title.

    Raises:
        InputError: no table has figures of performance or scores.
    """
    columns: dict[str, dict[str, str]] = {}
    rows: dict[str, dict[str, Any]] = {}
    tasks: list[dict[str, Any]] = []
    for table in read_markdown(text).tables:
        if metrics := _metrics(table):
            _add_performance(table, metrics, columns, rows)
        elif any(_TASK.search(header) for header in table.header):
            tasks += _tasks(table, rows, {task["name"] for task in tasks})
    if not rows:
        raise InputError(f"{origin}: no table with decode, prefill, time to first token, size, memory or scores")
    body = {"name": name, "title": f"Tables of {origin}", "sources": {}, "columns": columns, "rows": rows}
    return _yaml(body | ({"tasks": tasks} if tasks else {}))


def _metrics(table: MarkdownTable) -> dict[int, tuple[str, str]]:
    """Place → (metric, unit) of the columns that are known; of two alike the first."""
    found: dict[int, tuple[str, str]] = {}
    for place, header in enumerate(table.header):
        metric = metric_of(header)
        if metric is None or metric in {name for name, _ in found.values()}:
            continue
        seen = [cell for row in table.rows if (cell := cell_of(row[place]))]
        beside = " ".join(cell.unit for cell in seen if cell.unit)
        if seen and (unit := unit_of(f"{header} {beside}", metric)):
            found[place] = metric, unit
    return found if len(found) >= FEWEST_METRICS else {}


def _add_performance(
    table: MarkdownTable,
    metrics: dict[int, tuple[str, str]],
    columns: dict[str, dict[str, str]],
    rows: dict[str, dict[str, Any]],
) -> None:
    if any(columns.get(metric, {}).get("unit", unit) != unit for metric, unit in metrics.values()):
        return  # the same metric in another unit: a table of another device or way of measuring
    columns |= {metric: {"unit": unit} for metric, unit in metrics.values()}
    entries = []
    for row in table.rows:
        said = {metrics[place][0]: cell for place in metrics if (cell := cell_of(row[place]))}
        title = ", ".join(text for place, text in enumerate(row) if place not in metrics and text and not cell_of(text))
        if said and title:
            entries.append(Entry(title, said))
    for entry, base in _with_baselines(entries):
        changes = {metric: cell.change for metric, cell in entry.cells.items() if cell.change}
        values = {metric: cell.figure for metric, cell in entry.cells.items()}
        known = rows.setdefault(row_name(entry.title), {"title": entry.title})
        known.setdefault("values", {}).update(values)
        if base is not None:
            known["baseline"] = row_name(base.title)
            known.setdefault("changes", {}).update({m: c for m, c in changes.items() if m in base.cells})


def _with_baselines(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Entry | None]]:
    """Each with what its changes are against: of the earlier entries without changes the one they follow from best.

    Where nothing is printed against anything, the last one before that is called like a 16-bit model.
    """
    changed = any(cell.change or cell.points for entry in entries for cell in entry.cells.values())
    for number, entry in enumerate(entries):
        before = [other for other in entries[:number] if not _has_changes(other)]
        if changed and not _has_changes(entry):
            yield entry, None
        elif changed:
            yield entry, max(reversed(before), key=lambda other: _fitting(entry, other), default=None)
        elif BASELINE.search(entry.title):
            yield entry, None
        else:
            yield entry, next((other for other in reversed(before) if BASELINE.search(other.title)), None)


def _has_changes(entry: Entry) -> bool:
    return any(cell.change or cell.points for cell in entry.cells.values())


def _fitting(entry: Entry, base: Entry) -> int:
    """How many of the printed changes follow from this baseline."""
    pairs = [(key, cell, base.cells[key]) for key, cell in entry.cells.items() if key in base.cells]
    speeds = sum(follows(key, c.figure, b.figure, c.change) for key, c, b in pairs if c.change and metric_of_key(key))
    return speeds + sum(_difference(c, b) for _, c, b in pairs if c.points)


def metric_of_key(key: str) -> bool:
    return key.endswith(("_s", "_bytes"))


def _difference(cell: CellSaid, base: CellSaid) -> bool:
    own, other = float(cell.figure.replace(",", "")), float(base.figure.replace(",", ""))
    digits = max(len(text.partition(".")[2]) for text in (cell.figure, base.figure, cell.points or ""))
    return abs(own - other - float(cell.points or 0)) <= 1.5 * 10.0**-digits


def _tasks(table: MarkdownTable, rows: dict[str, dict[str, Any]], known: set[str]) -> list[dict[str, Any]]:
    first = next(place for place, header in enumerate(table.header) if _TASK.search(header))
    shots = next((place for place, header in enumerate(table.header) if _SHOTS.search(header)), None)
    measure = next((place for place, header in enumerate(table.header) if _MEASURE.search(header)), None)
    models = {p: h for p, h in enumerate(table.header) if not _TASK.search(h) and not _BESIDE.search(h) and h}
    names: list[str] = []
    for row in table.rows:
        label = row[first] or (names[-1] if names else "")
        said = row[measure] if measure is not None else ""
        names.append(next(n for n in _free(label, said) if n not in known and n not in names))
    cells = {p: {n: c for n, row in zip(names, table.rows, strict=True) if (c := cell_of(row[p]))} for p in models}
    entries = [Entry(_without_unit(models[place]), found) for place, found in cells.items() if found]
    for entry, base in _with_baselines(entries):
        known_row = rows.setdefault(row_name(entry.title), {"title": entry.title})
        if base is not None:
            known_row.setdefault("baseline", row_name(base.title))
    made = []
    for name, row in zip(names, table.rows, strict=True):
        values = {row_name(e.title): e.cells[name].figure for e in entries if name in e.cells}
        changes = {row_name(e.title): e.cells[name].points for e in entries if name in e.cells and e.cells[name].points}
        if not values:
            continue
        task: dict[str, Any] = {"name": name, "measure": (row[measure] if measure is not None else "") or "score"}
        if shots is not None and row[shots].isdecimal():
            task["shots"] = int(row[shots])
        made.append(task | {"values": values} | ({"changes": changes} if changes else {}))
    return made


def _free(label: str, measure: str) -> Iterator[str]:
    """Names for a task, the plainest first."""
    yield label or "task"
    yield f"{label}, {measure}"
    number = 2
    while True:
        yield f"{label}, {measure} {number}".strip()
        number += 1


def _without_unit(header: str) -> str:
    return re.sub(r"\s*\((%|in %|percent)\)\s*$", "", header)


def row_name(title: str) -> str:
    """A name in the form that claim files want."""
    return re.sub(r"[^A-Za-z0-9._+]+", "-", title).strip("-._+").lower()[:64] or "row"


def _yaml(body: dict[str, Any]) -> bytes:
    writer, out = YAML(typ="safe", pure=True), io.BytesIO()
    writer.default_flow_style, writer.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]
    writer.dump(body, out)
    return out.getvalue()
