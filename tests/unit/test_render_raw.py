"""A command for each cell, raw rows, and that random weights are said in every table."""

import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from harness.analyse.compare import analyse
from harness.analyse.findings import Report
from harness.render import raw
from harness.render.markdown import markdown
from harness.render.page import Cell, Notes, Page, Section, Table, table
from harness.render.raw import cell_command, commands_table, raw_table
from harness.render.sections import compose
from harness.render.settings import settings
from harness.values import Bandwidth, Memory, Size, Speed, Task, Text, Workload
from tests.builders import TRUTHS, build_and_read

OWN = ("bench", "run", "--suite", "quick")
THREE = {name: TRUTHS[name] for name in ("bf16", "f16", "int4-ptq")}
SMALL: tuple[Any, ...] = (
    Size(),
    Bandwidth(rounds=3, repetitions=1),
    Memory(rounds=3),
    Speed(prompt_tokens=64, generated_tokens=16, rounds=3, repetitions=1),
    Task(task="knowledge_200"),
    Text(text="text_5000", reference="f16"),
)


def report(results: Path, **changes: Any) -> Report:
    return analyse([build_and_read(results, **{"truths": THREE, "measures": SMALL, "items": 60, **changes})])


@pytest.mark.parametrize(
    ("more", "variant", "workload", "said"),
    [
        ((), "int8", SMALL[3], "--device local --variants int8 --measures speed"),
        ((), None, SMALL[1], "--device local --measures bandwidth"),
        (("--variants", "a,b", "--device", "x"), "int8", SMALL[0], "--device local --variants int8 --measures size"),
        (("--rounds", "3", "--limit", "9"), "a", SMALL[2], "--device local --variants a --measures memory --rounds 3"),
        (("--rounds", "3", "--limit", "9"), "a", SMALL[4], "--device local --variants a --measures task --limit 9"),
        (
            ("--tasks", "knowledge_200,mmlu"),
            "a",
            SMALL[4],
            "--device local --variants a --measures task --tasks knowledge_200",
        ),
        (("--tasks", "knowledge_200,mmlu"), "a", SMALL[3], "--device local --variants a --measures speed"),
        ((), "a", SMALL[5], "--device local --variants a --measures text"),
    ],
)
def test_a_cells_command_is_the_runs_own_narrowed(
    more: tuple[str, ...], variant: str | None, workload: Workload, said: str
) -> None:
    assert cell_command((*OWN, *more), variant, "local", workload) == (*OWN, *said.split(" "))


def test_every_cell_has_its_command(tmp_path: Path) -> None:
    (setting,) = settings(report(tmp_path))
    found = commands_table(setting)
    assert found is not None
    rows = found.groups[0].rows
    assert len(rows) == 5 * len(THREE) + 1
    assert all(row[2].code for row in rows)
    assert "bench run --suite quick --device local --variants int4-ptq --measures speed" in [r[2].text for r in rows]


def test_every_row_is_there_with_its_rounds(tmp_path: Path) -> None:
    found = report(tmp_path)
    (setting,) = settings(found)
    said, shown = raw_table(setting, Notes())
    assert len(shown.groups[0].rows) == len(found.rows)
    assert said == f"{len(found.rows)} rows, as in report.json."
    peak = next(r for r in shown.groups[0].rows if r[3].text == "peak_rss_bytes, bytes" and r[1].text == "bf16")
    level = setting.levels["int4-ptq", "p512+g16 ctx2048 no-mmap", "peak_rss_bytes"]
    assert peak[-1].text.split(" ") == [str(int(r.value)) for r in level.rounds]
    assert len(level.rounds) == 3


def test_a_giant_run_shows_a_part_and_says_what_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "MOST_ROWS", 10)
    found = report(tmp_path)
    (setting,) = settings(found)
    said, shown = raw_table(setting, Notes())
    assert len(shown.groups[0].rows) == 10
    assert said == f"The first 10 rows; {len(found.rows) - 10} more are left out here and stand in report.json."


RESULTS = ("comparison", "roofline", "memory", "contexts", "accuracy", "raw")


def test_random_weights_are_said_in_every_table_of_results(tmp_path: Path) -> None:
    page, drawings = compose(report(tmp_path, random_weights=True))
    by_id = {section.id: section for section in page.sections}
    for name in RESULTS:
        assert by_id[name].tables, name
        for one in by_id[name].tables:
            check_names(one)
    fits = by_id["fits"].tables[0]
    assert all("(weights: random)" in row[1].text for group in fits.groups for row in group.rows)
    check_names(by_id["fits"].tables[1])
    assert all("weights: random" in one.picture.title for one in drawings)


def check_names(one: Table) -> None:
    names = [row[0].text for group in one.groups for row in group.rows]
    assert names
    assert all(name == "the device" or name.endswith(" (weights: random)") for name in names), names


def test_other_weights_are_not_called_random(tmp_path: Path) -> None:
    page, _ = compose(report(tmp_path))
    assert "random" not in markdown(page).split("## Definitions")[0].replace("random draw", "")


def test_random_weights_are_said_where_runs_stand_side_by_side(tmp_path: Path) -> None:
    options: dict[str, Any] = {"truths": THREE, "measures": SMALL[:1], "random_weights": True}
    one = build_and_read(tmp_path, **options)
    other = build_and_read(tmp_path, name="20260715T101500Z-quick-example-00bb", **options)
    page, _ = compose(analyse([one, other]))
    check_names(next(s for s in page.sections if s.id == "runs").tables[0])


def test_code_in_a_markdown_table_stays_one_cell() -> None:
    shown = table(("variant", "command"), [(Cell("a"), Cell("bench 'a|b' `c`", code=True))])
    page = Page("t", (), (), (Section("s", "S", tables=(shown,)),), (), "f")
    rendered = MarkdownIt("commonmark").enable("table").render(markdown(page))
    assert re.search(r"<td><code>bench 'a\|b' `c`</code></td>", rendered)
    assert rendered.count("<td>") == 2


def test_tables_of_the_page_alone_are_not_in_markdown(tmp_path: Path) -> None:
    text = markdown(compose(report(tmp_path))[0])
    assert "## Raw data" in text
    assert "The table is in index.html; exact numbers are in report.json." in text.split("## Raw data")[1]
    assert "| by round |" not in text
    assert "`bench run --suite quick --device local --variants int4-ptq --measures speed`" in text
