"""A model card's tables → a draft of a claim file, which is then read and checked as any claim file is."""

import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from harness.card_figures import CellSaid, cell_of, follows, leaves_something, metric_of, unit_of
from harness.errors import InputError
from harness.markdown_tables import MarkdownTable, read_markdown
from harness.metrics import METRICS

BASELINE = re.compile(
    r"\b(bf16|b?float16|fp16|f16|fp32|f32|float32|baseline|original|full[- ]precision)\b", re.IGNORECASE
)
_TASK = re.compile(r"\b(benchmarks?|tasks?|datasets?|evals?)\b", re.IGNORECASE)
_BESIDE = re.compile(
    r"\b(category|capability|shots?|n-shot|metric|measure|questions|samples|languages?|subsets?|subjects?|splits?)\b",
    re.IGNORECASE,
)
_MEAN = re.compile(r"(overall\s+)?(average|avg\.?|mean|macro[ -]?(average|avg\.?))(\s+score)?", re.IGNORECASE)
_NO_SCORE = re.compile(r"perplexity|\bppl\b|\bbits per\b", re.IGNORECASE)
_SHOTS = re.compile(r"shots?", re.IGNORECASE)
_MEASURE = re.compile(r"metric|measure", re.IGNORECASE)
_PART = re.compile(r"\blanguages?\b|\bsubsets?\b|\bsubjects?\b|\bsplits?\b", re.IGNORECASE)
FEWEST_METRICS = 2
"""Columns that make a table one of performance."""
LONGEST_NAME = 60


class Entry(NamedTuple):
    """A row or a column of one model, with what its cells say."""

    title: str
    cells: dict[str, CellSaid]
    """By metric, or by task."""


class Rows:
    """Rows of the draft. Each table has its own; one of scores may go on with those of an earlier table."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}

    def add(self, entries: Sequence[Entry], *, scores: bool) -> Iterator[tuple[Entry, str, Entry | None]]:
        """Each entry with the name of its row, and what its changes are against."""
        names: dict[int, str] = {}
        for entry, base in _with_baselines(entries):
            baseline = None if base is None else names[id(base)]
            name = self._place(entry, baseline, scores=scores)
            row = self.made.setdefault(name, {"title": entry.title})
            if baseline is not None:
                row["baseline"] = baseline
            names[id(entry)] = name
            yield entry, name, base

    def _place(self, entry: Entry, baseline: str | None, *, scores: bool) -> str:
        """A free name, or that of a row of the same title and baseline that lacks these figures."""
        name = row_name(entry.title)
        for number in range(2, 10_000):
            known = self.made.get(name)
            if known is None:
                return name
            alike = known["title"] == entry.title and known.get("baseline") == baseline
            if alike and (scores or not set(entry.cells) & set(known.get("values", {}))):
                return name
            name = f"{row_name(entry.title)}-{number}"
        raise InputError(f"more than 10,000 rows are called {entry.title!r}")


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
    tasks: list[dict[str, Any]] = []
    rows = Rows()
    for table in read_markdown(text).tables:
        if metrics := _metrics(table):
            if all(columns.get(metric, {}).get("unit", unit) == unit for metric, unit in metrics.values()):
                columns |= {metric: {"unit": unit} for metric, unit in metrics.values()}
                _add_performance(table, metrics, rows)
        elif any(_TASK.search(header) for header in table.header):
            tasks += _tasks(table, rows, {task["name"] for task in tasks})
    if not rows.made:
        raise InputError(f"{origin}: no table with decode, prefill, time to first token, size, memory or scores")
    body = {"name": name, "title": f"Tables of {origin}", "sources": {}, "columns": columns, "rows": rows.made}
    return _yaml(body | ({"tasks": tasks} if tasks else {}))


def _metrics(table: MarkdownTable) -> dict[int, tuple[str, str]]:
    """Place → (metric, unit) of the columns that are known; of two alike the first."""
    found: dict[int, tuple[str, str]] = {}
    for place, header in enumerate(table.header):
        metric = metric_of(table.last[place]) or metric_of(header)
        if metric is None or metric in {name for name, _ in found.values()}:
            continue
        beside = [cell.unit for row in table.rows if (cell := cell_of(row[place])) and cell.unit]
        unit = unit_of(header, metric) or (unit_of(f"({beside[0]})", metric) if beside else None)
        if unit is not None:
            found[place] = metric, unit
    return found if len(found) >= FEWEST_METRICS else {}


def _add_performance(table: MarkdownTable, metrics: dict[int, tuple[str, str]], rows: Rows) -> None:
    entries = []
    for row in table.rows:
        said = {}
        for place, (metric, unit) in metrics.items():
            cell = cell_of(row[place])
            if cell is not None and cell.unit in (None, unit) and _number(cell) > 0:
                said[metric] = cell._replace(
                    change=cell.change if cell.change and leaves_something(cell.change) else None
                )
        title = ", ".join(text for place, text in enumerate(row) if place not in metrics and text and not cell_of(text))
        if said and title:
            entries.append(Entry(title, said))
    for entry, name, base in rows.add(entries, scores=False):
        row_of = rows.made[name]
        row_of.setdefault("values", {}).update({metric: cell.figure for metric, cell in entry.cells.items()})
        changes = {m: c.change for m, c in entry.cells.items() if c.change and base is not None and m in base.cells}
        if changes:
            row_of.setdefault("changes", {}).update(changes)


def _with_baselines(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Entry | None]]:
    """Each with what its changes are against: of the earlier entries without changes the one they follow from best.

    Where nothing is printed against anything, the last one before that is called like a 16-bit model, and like the
    entry's own model where titles name models.
    """
    changed = any(_has_changes(entry) for entry in entries)
    sixteen_bit = [entry for entry in entries if BASELINE.search(entry.title)]
    others = [entry for entry in entries if not BASELINE.search(entry.title)]
    models = any(_of_model(entry, other) for other in sixteen_bit for entry in others)
    for number, entry in enumerate(entries):
        before = [other for other in entries[:number] if not _has_changes(other)]
        if changed and not _has_changes(entry):
            yield entry, None
        elif changed:
            yield entry, max(reversed(before), key=lambda other: _fitting(entry, other), default=None)
        elif BASELINE.search(entry.title):
            yield entry, None
        else:
            sixteen = [other for other in reversed(before) if BASELINE.search(other.title)]
            yield entry, next((other for other in sixteen if not models or _of_model(entry, other)), None)


def _of_model(entry: Entry, base: Entry) -> bool:
    """Whether a title begins with the model that a 16-bit one names: `Llama 1B QLoRA` beside `Llama 1B bf16`."""
    named = BASELINE.split(base.title, maxsplit=1)[0].strip(" -_,;:([")
    rest = entry.title[len(named) :]
    begins = bool(named) and entry.title.lower().startswith(named.lower())
    return begins and not re.match(r"[A-Za-z0-9]|\.[0-9]", rest)


def _has_changes(entry: Entry) -> bool:
    return any(cell.change or cell.points for cell in entry.cells.values())


def _fitting(entry: Entry, base: Entry) -> int:
    """How many of the printed changes follow from this baseline."""
    pairs = [(key, cell, base.cells[key]) for key, cell in entry.cells.items() if key in base.cells]
    speeds = sum(follows(key, c.figure, b.figure, c.change) for key, c, b in pairs if c.change and key in METRICS)
    return speeds + sum(_difference(c, b) for _, c, b in pairs if c.points)


def _number(cell: CellSaid) -> float:
    return float(cell.figure.replace(",", ""))


def _difference(cell: CellSaid, base: CellSaid) -> bool:
    digits = max(len(text.partition(".")[2]) for text in (cell.figure, base.figure, cell.points or ""))
    return abs(_number(cell) - _number(base) - float(cell.points or 0)) <= 1.5 * 10.0**-digits


def _tasks(table: MarkdownTable, rows: Rows, known: set[str]) -> list[dict[str, Any]]:
    first = next(place for place, header in enumerate(table.header) if _TASK.search(header))
    shots = next((place for place, header in enumerate(table.header) if _SHOTS.search(header)), None)
    measure = next((place for place, header in enumerate(table.header) if _MEASURE.search(header)), None)
    parts = (place for place, header in enumerate(table.header) if place != first and _PART.search(header))
    part = next(parts, None)
    models = {p: h for p, h in enumerate(table.header) if not _TASK.search(h) and not _BESIDE.search(h) and h}
    names: list[str] = []
    taken, alike, label = set(known), Counter[str](), ""
    for row in table.rows:
        label = row[first] or label  # a cell that goes on from the one above
        whole = ", ".join(one for one in (label, row[part] if part is not None else "") if one)
        said = row[measure] if measure is not None else ""
        alike[whole] += 1
        names.append(next(n for n in _free(whole, said, alike[whole]) if n not in taken))
        taken.add(names[-1])
    entries = []
    for place, header in models.items():
        cells = {
            n: c for n, row in zip(names, table.rows, strict=True) if (c := cell_of(row[place])) and _number(c) >= 0
        }
        if cells:
            entries.append(Entry(_without_unit(header), cells))
    values: dict[str, dict[str, str]] = {name: {} for name in names}
    changes: dict[str, dict[str, str]] = {name: {} for name in names}
    for entry, of_row, base in rows.add(entries, scores=True):
        for name, cell in entry.cells.items():
            values[name][of_row] = cell.figure
            if cell.points and base is not None and name in base.cells:
                changes[name][of_row] = cell.points
    made = []
    for name, row in zip(names, table.rows, strict=True):
        task: dict[str, Any] = {"name": name, "measure": (row[measure] if measure is not None else "") or "score"}
        if shots is not None and re.fullmatch(r"[0-9]{1,4}", row[shots]):
            task["shots"] = int(row[shots])
        if values[name]:
            made.append(task | {"values": values[name]} | ({"changes": changes[name]} if changes[name] else {}))
    means = _means(names, [row[first] for row in table.rows])
    shown = {task["name"] for task in made}
    return [task | _with_mean(means.get(task["name"], ()), shown) for task in made]


def _with_mean(of: Sequence[str], shown: set[str]) -> dict[str, Any]:
    found = [name for name in of if name in shown]
    return {"mean_of": found} if len(found) > 1 else {}


def _means(names: Sequence[str], labels: Sequence[str]) -> dict[str, list[str]]:
    """Of each line that is called an average the tasks above it, up to an earlier average; or all, if there is none."""
    found: dict[str, list[str]] = {}
    every: list[str] = []
    since: list[str] = []
    for name, label in zip(names, labels, strict=True):
        if _MEAN.fullmatch(label.strip()):
            found[name] = since or list(every)
            since = []
        elif not _NO_SCORE.search(label):
            every.append(name)
            since.append(name)
    return found


def _free(label: str, measure: str, number: int) -> Iterator[str]:
    """Names for the `number`th task of a label, the plainest first."""
    yield label or "task"
    if measure:
        label = f"{label}, {measure}"
        yield label
    yield from (f"{label} {number}".strip() for number in itertools.count(max(2, number - 1)))


def _without_unit(header: str) -> str:
    return re.sub(r"\s*\((%|in %|percent)\)\s*$", "", header)


def row_name(title: str) -> str:
    """A name in the form that claim files want."""
    return re.sub(r"[^A-Za-z0-9._+]+", "-", title)[:LONGEST_NAME].strip("-._+").lower() or "row"


def _yaml(body: dict[str, Any]) -> bytes:
    writer, out = YAML(typ="safe", pure=True), io.BytesIO()
    writer.default_flow_style, writer.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]
    writer.dump(body, out)
    return out.getvalue()
