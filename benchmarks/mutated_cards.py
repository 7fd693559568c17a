"""Faults in model cards that an audit finds: `python benchmarks/mutated_cards.py --count 100`.

Cards in Markdown, made of the figures of the project's claim files, are read and audited as they are (no contradiction
may be found) and with one fault each: a digit of a figure or of a printed change, two figures of a row swapped, MB
printed for MiB, a column's figures of two rows swapped, a digit of a mean of scores. Counted is how often the audit has
a contradiction to tell, or a note that a change follows only from figures that were cut, of those that what is printed
can show: `50.3` for `50.2` beside `2.6x` fits as well.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import pipeline
from harness.analyse.audit.findings import Finding
from harness.card_figures import cell_of, follows, metric_of
from harness.claim_files import load_claims

TITLES = {
    "decode_tok_s": "Decode (tokens/sec)",
    "ttft_s": "Time-to-first-token (sec)",
    "prefill_tok_s": "Prefill (tokens/sec)",
    "size_bytes": "Model size ({})",
    "peak_rss_bytes": "Memory size (RSS in {})",
}
Table = list[list[str]]
"""Rows of cells, without the header."""


def table_of(name: str) -> tuple[list[str], Table]:
    """Header and rows; changes that a publication does not print are worked out, as a card would print them."""
    file = load_claims(name)
    metrics = [m for m in TITLES if m in file.columns]
    header = ["Model", *(TITLES[m].format(file.columns[m].unit) for m in metrics)]
    rows = []
    for key, row in file.rows.items():
        if not row.values:
            continue
        base = file.rows[row.baseline].values if row.baseline else {}
        cells = []
        for m in metrics:
            figure = row.values.get(m, "-")
            change = row.changes.get(m) or (_change(m, figure, base[m]) if m in base and figure != "-" else "")
            cells.append(f"{figure} ({change})" if change else figure)
        rows.append([row.title or key, *cells])
    return header, rows


SCORES = "llama32-quantized, scores"


def scores_of(name: str) -> tuple[list[str], Table]:
    """The table of scores, with the differences to the baseline and a line of means that a card would print."""
    file = load_claims(name)
    rows = [row for row in file.rows if all(task.values.get(row) for task in file.tasks)]
    lines = [[task.name, *(_score(task.values, row, file.rows[row].baseline) for row in rows)] for task in file.tasks]
    columns = ([float(task.values[row] or 0) for task in file.tasks] for row in rows)
    return ["Benchmark", *(file.rows[row].title or row for row in rows)], [
        *lines,
        ["Average", *(f"{fmean(column):.1f}" for column in columns)],
    ]


def _score(values: dict[str, str | None], row: str, base: str | None) -> str:
    own = values[row] or ""
    return own if base is None else f"{own} ({float(own) - float(values[base] or 0):+.1f})"


def _change(metric: str, figure: str, base: str) -> str:
    own, other = (float(one.replace(",", "")) for one in (figure, base))
    return f"{own / other:.2f}x" if metric.endswith("tok_s") else f"{100 * (own / other - 1):+.1f}%"


def card(header: list[str], rows: Table) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "# A card\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def contradictions(text: str, folder: Path) -> int:
    return sum(finding.verdict == "contradiction" for finding in audited(text, folder))


def told(text: str, folder: Path) -> list[str]:
    """What an audit has to say of printed changes and means: contradictions, and what follows only from cut figures."""
    return [f.sentence for f in audited(text, folder) if f.rule in ("changes", "means") and f.verdict != "follows"]


def audited(text: str, folder: Path) -> tuple[Finding, ...]:
    path = folder / "card.md"
    path.write_text(text, encoding="utf-8")
    return pipeline.audit(str(path)).findings


def _changed(rows: Table) -> list[tuple[int, int]]:
    """Cells with a printed change."""
    return [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if c and "(" in cell]


def digit_of_change(rows: Table, draw: random.Random) -> None:
    r, c = draw.choice(_changed(rows))
    figure, _, change = rows[r][c].partition(" (")
    rows[r][c] = f"{figure} ({_other_digit(change, draw)}"


def digit_of_figure(rows: Table, draw: random.Random) -> None:
    r, c = draw.choice(_changed(rows))
    figure, _, change = rows[r][c].partition(" (")
    rows[r][c] = f"{_other_digit(figure, draw)} ({change}"


def _other_digit(text: str, draw: random.Random) -> str:
    place = draw.choice([n for n, c in enumerate(text) if c.isdigit()])
    new = draw.choice([d for d in "0123456789" if d != text[place]])
    return text[:place] + new + text[place + 1 :]


def swapped_columns(rows: Table, draw: random.Random) -> None:
    """Two figures of a row change places; the changes stay."""
    r = draw.choice([r for r, _ in _changed(rows)])
    a, b = draw.sample([c for row, c in _changed(rows) if row == r], 2)
    (one, _, x), (other, _, y) = rows[r][a].partition(" ("), rows[r][b].partition(" (")
    rows[r][a], rows[r][b] = f"{other} ({x}", f"{one} ({y}"


def mb_for_mib(rows: Table, draw: random.Random) -> None:
    """A row's size in other units than its baseline's."""
    sizes = [
        (r, c)
        for r, c in _changed(rows)
        if "%" in rows[r][c] and float(rows[r][c].split(" ")[0].replace(",", "")) > 100
    ]
    r, c = draw.choice(sizes)
    figure, _, change = rows[r][c].partition(" (")
    value = float(figure.replace(",", "")) * draw.choice([1.048576, 1 / 1.048576])
    rows[r][c] = f"{value:.0f} ({change}"


def swapped_rows(rows: Table, draw: random.Random) -> None:
    """A baseline's figures under the name of another row's baseline, or a figure of one row in another."""
    c = draw.choice([c for _, c in _changed(rows)])
    a, b = draw.sample([r for r, col in _changed(rows) if col == c], 2)
    (one, _, x), (other, _, y) = rows[a][c].partition(" ("), rows[b][c].partition(" (")
    rows[a][c], rows[b][c] = f"{other} ({x}", f"{one} ({y}"


def wrong_mean(rows: Table, draw: random.Random) -> None:
    (r,) = [r for r, row in enumerate(rows) if row[0] == "Average"]
    c = draw.randrange(1, len(rows[r]))
    rows[r][c] = _other_digit(rows[r][c], draw)


FAULTS: dict[str, Callable[[Table, random.Random], None]] = {
    "a digit of a change": digit_of_change,
    "a digit of a figure": digit_of_figure,
    "two columns of a row": swapped_columns,
    "MB for MiB": mb_for_mib,
    "one column of two rows": swapped_rows,
    "a digit of a mean": wrong_mean,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--claims", nargs="+", default=["llama32-quantized", "litert-qwen25-1.5b"])
    options = parser.parse_args()
    draw, notes, missed = random.Random(options.seed), dict[str, int](), list[str]()
    found, noted, asked, hidden = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cards = {one: table_of(one) for one in options.claims} | {SCORES: scores_of("llama32-quantized")}
        for one, (header, rows) in cards.items():
            whole = card(header, rows)
            notes[one] = len(told(whole, folder))
            print(f"{one}, as it is: {contradictions(whole, folder)} contradictions, {notes[one]} notes of changes")
        while asked.total() < options.count:
            kind, which = draw.choice(list(FAULTS)), draw.choice(list(cards))
            header, rows = cards[which]
            spoilt = [list(row) for row in rows]
            try:
                FAULTS[kind](spoilt, draw)
            except (ValueError, IndexError):  # the table has no such cells
                continue
            if spoilt == rows:
                continue
            asked[kind] += 1
            if contradictions(card(header, spoilt), folder):
                found[kind] += 1
            elif len(told(card(header, spoilt), folder)) > notes[which]:
                noted[kind] += 1
            elif fits(header, spoilt, rows):
                hidden[kind] += 1
            else:
                missed += [f"  {kind}: {b} → {a}" for a, b in changed_cells(spoilt, rows)]
    shown = asked.total() - hidden.total()
    print(f"contradictions in {found.total()} and notes in {noted.total()} of {shown} that can be seen;")
    print(f"{hidden.total()} of {asked.total()} fit what is printed")
    for kind in FAULTS:
        print(f"  {kind}: {found[kind]} and {noted[kind]} of {asked[kind] - hidden[kind]}, {hidden[kind]} fit")
    print("\n".join(["missed:", *missed]) if missed else "none missed")


def changed_cells(spoilt: Table, rows: Table) -> list[tuple[str, str]]:
    return [(a, b) for x, y in zip(spoilt, rows, strict=True) for a, b in zip(x, y, strict=True) if a != b]


def fits(header: list[str], spoilt: Table, rows: Table) -> bool:
    """Whether every changed figure still gives its printed change within the rounding of both."""
    metrics = [None, *(metric_of(title) for title in header[1:])]
    base: list[str] = []
    for line, old in zip(spoilt, rows, strict=True):
        if not any("(" in text for text in old[1:]):
            base = line
        for place, (text, was) in enumerate(zip(line, old, strict=True)):
            if text != was and not _fits(metrics[place], text, base[place]):
                return False
    return True


def _fits(metric: str | None, text: str, base: str) -> bool:
    said, other = cell_of(text), cell_of(base)
    return bool(metric and said and other and said.change and follows(metric, said.figure, other.figure, said.change))


if __name__ == "__main__":
    main()
