"""The comparison in a terminal."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from harness.analyse.findings import Report
from harness.analyse.verdicts.values import Check
from harness.metrics import check_names, metric
from harness.render.accuracy import answers_table
from harness.render.details import differing_section, weak_sentences
from harness.render.page import Cell, Notes, Table
from harness.render.sections import banners
from harness.render.settings import settings
from harness.render.tables import comparison_table, runs_table
from harness.render.verdicts import absolutes, figure
from harness.render.words import clean

SHOWN = (
    "size_bytes",
    "peak_rss_bytes",
    "prefill_tok_s",
    "ttft_s",
    "decode_tok_s",
    "perplexity",
    "kl_divergence",
    "top1_agreement",
)
"""What is shown when nothing is asked for, beside all metrics of tasks."""


ANSWERS = "Answers, question by question (95 % interval: the wider of plain and clustered)"
GAP = 2
NARROWEST = 9


def comparison(report: Report, metrics: tuple[str, ...] | None = None) -> RenderableType:
    """Every variant against its baselines; for several runs a column a run, after what differs.

    Raises:
        UnknownNameError: a metric that no row of the report has.
    """
    names = dict.fromkeys(row.metric for row in report.rows)
    if metrics is None:
        metrics = tuple(n for n in names if n in SHOWN or metric(n).kind == "accuracy")
    else:
        check_names(metrics, names)
    notes = Notes()
    return Group(*_parts(report, metrics, notes))


def _parts(report: Report, metrics: Sequence[str], notes: Notes) -> Iterator[RenderableType]:
    for banner in banners(report):
        yield Text(clean(banner), style="bold yellow")
    if len(report.runs) > 1:
        section = differing_section(report)
        yield from (Text(clean(p)) for p in section.paragraphs)
        yield from (Aligned(one) for one in (*section.tables, runs_table(report, notes, metrics)))
    else:
        for setting in settings(report):
            yield Text(clean(setting.name), style="bold")
            yield from (Text(clean(sentence)) for sentence in weak_sentences(setting))
            yield Aligned(comparison_table(setting, notes, metrics))
    for setting in settings(report):
        answers = answers_table(setting, notes, metrics)
        if answers is not None:
            heading = f"{ANSWERS}, {setting.name}" if len(report.runs) > 1 else ANSWERS
            yield Padding(Group(Text(clean(heading), style="bold"), Aligned(answers)), (1, 0, 0, 0))
    lines = [Text(f"[{number}] {clean(note)}", style="dim") for number, note in enumerate(notes.all, 1)]
    if lines:
        yield Padding(Group(*lines), (1, 0, 0, 0))


WORD_STYLES = {
    "reproduced": "bold green",
    "exceeded": "bold green",
    "not reproduced": "bold red",
    "baseline moved": "bold yellow",
    "inconclusive": "bold yellow",
}


def verdicts(check: Check) -> RenderableType:
    """Each claim with its word, our figure beside it, why, and how to measure it again."""
    lines: list[RenderableType] = [Text(clean(f"{check.title}, by {', '.join(check.runs)}"), style="bold")]
    for one in check.verdicts:
        must = " (must hold)" if one.must_hold else ""
        head = Text(clean(f"{one.claim}{must}: {one.printed}") + " — ")
        head.append(one.word, style=WORD_STYLES.get(one.word, "bold"))
        said = [one.statement, one.reason]
        if one.value is not None:
            said.append(f"ours: {figure(one)}")
        said += absolutes(one.rows)
        if one.command:
            said.append(f"again: {shlex.join(one.command)}")
        lines += [Text(""), head, Padding(Text(clean_lines(said)), (0, 0, 0, 4))]
    return Group(*lines)


def clean_lines(lines: Sequence[str]) -> str:
    """Each as one harmless line."""
    return "\n".join(clean(line) for line in lines)


@dataclass(frozen=True)
class Aligned:
    """A grid a group, so that a long heading widens no column; the columns stand under each other."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table, columns = self.table, len(self.table.header)
        header = tuple(Text(clean(title), style="dim") for title in table.header)
        groups = [[_padded(row, columns) for row in group.rows] for group in table.groups]
        lines = [header, *(row for rows in groups for row in rows)]
        widths = [max(cell_len(line[i].plain) for line in lines) for i in range(columns)]
        widths = _fitted(widths, options.max_width - GAP * (columns - 1))
        yield self._grid(widths, [header])
        for group, rows in zip(table.groups, groups, strict=True):
            if group.title:
                yield Text(clean(group.title), style="bold")
            yield self._grid(widths, rows)

    def _grid(self, widths: Sequence[int], rows: Sequence[tuple[Text, ...]]) -> RichTable:
        grid = RichTable.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        for index, width in enumerate(widths):
            grid.add_column(width=width, justify="right" if index >= self.table.numeric else "left")
        for row in rows:
            grid.add_row(*row)
        return grid


def _fitted(widths: Sequence[int], room: int) -> list[int]:
    """The widest columns give way until all fit, or until none is wider than a word."""
    fitted = list(widths)
    while sum(fitted) > room and max(fitted) > NARROWEST:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _padded(row: Sequence[Cell], columns: int) -> tuple[Text, ...]:
    """A row of a group without baselines: its last column stays last."""
    texts = [_cell(cell) for cell in row]
    return (*texts[:-1], *[Text("")] * (columns - len(texts)), texts[-1])


def _cell(cell: Cell) -> Text:
    text = Text(clean(cell.text))
    if cell.refs:
        text.append(f" [{','.join(map(str, cell.refs))}]", style="dim")
    return text
