"""Paired comparison → a page of its questions, and what report and terminal say of it."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.analyse.compare import analyse
from harness.analyse.drill import DrillDown, drill_downs
from harness.analyse.side_by_side import Asked, side_by_side
from harness.render.items_page import embedded, items_data, items_name, items_page
from harness.render.report import write_report
from harness.render.sides_terminal import side_by_side as sides_shown
from harness.render.terminal import comparison
from harness.store import Run, read_lines, write_lines
from harness.values import Size, Task
from tests.builders import TRUTHS, build_and_read

TASK = (Size(), Task(task="knowledge_200"))
THREE = {name: TRUTHS[name] for name in ("bf16", "f16", "int4-ptq")}
HOSTILE = "</script><!--<script>alert(1)</script>\u202e\x1b[31m&amp;\nnext"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_and_read(tmp_path, truths=THREE, measures=TASK, items=60)


def rewritten(run: Run, name: str, change: Any) -> None:
    for path in (run.path / name).glob("*knowledge*" if name == "requests" else "*"):
        write_lines(path, [change(line) for line in read_lines(path)])


def first(run: Run) -> DrillDown:
    return next(drill_downs(run))


def scripts(page: str) -> list[tuple[dict[str, str | None], str]]:
    """Attributes and content of each script, as a browser takes them apart."""

    class Scripts(HTMLParser):
        found: list[tuple[dict[str, str | None], str]] = []
        inside = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "script":
                self.inside = True
                self.found.append((dict(attrs), ""))

        def handle_endtag(self, tag: str) -> None:
            self.inside = self.inside and tag != "script"

        def handle_data(self, data: str) -> None:
            if self.inside:
                self.found[-1] = (self.found[-1][0], self.found[-1][1] + data)

    reader = Scripts()
    reader.found = []
    reader.feed(page)
    return reader.found


# ---------------------------------------------------------------- data


def test_every_question_of_both_sides_is_there(run: Run) -> None:
    found = list(drill_downs(run))
    assert [(d.pair.variant, d.pair.baseline, d.pair.metric) for d in found] == [
        ("int4-ptq", "bf16", "acc"),
        ("int4-ptq", "f16", "acc"),
    ]
    one = found[0]
    assert len(one.items) == one.pair.items == 60
    lost = sum(i.baseline.right and not i.variant.right for i in one.items)
    changed = sum(i.baseline.answer != i.variant.answer for i in one.items)
    assert (lost, changed) == (one.pair.right_to_wrong, one.pair.answers_changed)
    assert all(len(i.asked.choices) == len(i.variant.logprobs) == 4 for i in one.items)
    assert one.items[7].asked.prompt.startswith("Question 7:")


def test_generated_texts_of_both_sides_are_there(run: Run) -> None:
    rewritten(run, "requests", lambda x: x if "head" in x else {**x, "kind": "generate_until", "target": None})
    rewritten(
        run, "items", lambda x: {**x, "answer": "4", "target": "4", "logprobs": [], "metrics": {"exact_match": 1}}
    )
    for cell in run.plan.cells:
        if cell.measure == "task":
            texts = [{"id": 4 * n, "text": f"{cell.variant} says {n}", "tokens": [1]} for n in range(60)]
            write_lines(run.path / f"answers/{cell.key}.jsonl.gz", texts)
    one = first(run).items[5]
    assert (one.variant.text, one.baseline.text) == ("int4-ptq says 5", "bf16 says 5")
    assert (one.asked.choices, one.target) == ((), "4")


def test_items_of_old_and_missing_requests(run: Run) -> None:
    rewritten(run, "items", lambda x: {k: v for k, v in x.items() if k not in ("answer", "target", "logprobs")})
    old = items_data(first(run))["items"]
    assert {tuple(one[5:]) for one in old} <= {
        (None, b, None, None, None, v, None, None, None) for b in (0, 1) for v in (0, 1)
    }
    for path in (run.path / "requests").glob("*"):
        path.unlink()
    assert list(drill_downs(run)) == []


def test_what_many_items_share_is_stored_once(run: Run) -> None:
    data = items_data(first(run))
    assert len(data["heads"]) == 1 and data["heads"][0].endswith("\n\n")
    assert len(data["tasks"]) == 1
    assert len(data["choices"]) <= 60
    assert len({one[4] for one in data["items"]}) == len(data["choices"])


# ---------------------------------------------------------------- the page


def test_no_text_of_a_data_set_leaves_its_block(run: Run) -> None:
    rewritten(
        run,
        "requests",
        lambda x: x if "head" in x else {**x, "prompt": x["prompt"] + HOSTILE, "target": f"{HOSTILE}{x['index']}"},
    )
    page = items_page(first(run))
    (kind, block), (_, script) = scripts(page)
    assert kind == {"type": "application/json", "id": "data"}
    data = json.loads(block)
    assert "</script><!--<script>alert(1)</script>��[31m&amp;\nnext" in data["items"][0][3]
    assert "alert(1)" not in page.replace(block, "")
    assert "<" not in block
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page and not re.search(r"(src|href)=\"(?!index\.html)", page)


def test_json_in_a_page_is_the_same_json() -> None:
    data = {"a": ["<b>", "\\u003c", "</script>", "\u2028"]}
    assert json.loads(embedded(data)) == data


def test_names_tell_comparisons_apart(run: Run) -> None:
    names = [items_name(d.pair) for d in drill_downs(run)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"items-[a-z0-9-]+\.html", name) for name in names)


def test_the_report_links_its_questions_and_its_json_has_none(run: Run, tmp_path: Path) -> None:
    paths = write_report(analyse([run]), tmp_path / "out", drill_downs(run))
    of_items = {p.name for p in paths if p.name.startswith("items-")}
    assert len(of_items) == 2
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'href="(items-[^"]+)"', page)) == of_items
    said = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((items-[^)]+)\)", said)) == of_items
    assert "what is said of" not in (tmp_path / "out/report.json").read_text(encoding="utf-8")
    without = write_report(analyse([run]), tmp_path / "plain")
    assert not [p for p in without if p.name.startswith("items-")]
    assert "items-" not in (tmp_path / "plain/index.html").read_text(encoding="utf-8")


# ---------------------------------------------------------------- what is said


def shown(what: Any) -> str:
    console = Console(file=io.StringIO(), width=150)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_terminal_says_flips_changes_and_recovery(run: Run) -> None:
    report = analyse([run])
    pair = next(p for p in report.accuracy if (p.variant, p.baseline, p.metric) == ("int4-ptq", "bf16", "acc"))
    line = next(x for x in shown(comparison(report)).split("Answers,")[1].splitlines() if x.startswith("int4-ptq"))
    assert f" {pair.right_to_wrong} / {pair.wrong_to_right} " in line
    assert f" {pair.answers_changed} " in line
    assert re.search(r"p = 0\.\d+ .* % \(\d", line)
    assert "Answers," not in shown(comparison(report, ("size_bytes",)))


def test_near_chance_is_said_everywhere(run: Run, tmp_path: Path) -> None:
    rewritten(run, "items", lambda x: {**x, "metrics": {"acc": float(x["id"] % 4 == 0)}})
    report = analyse([run])
    write_report(report, tmp_path / "out", drill_downs(run))
    text = shown(comparison(report))
    assert "NEAR CHANCE" in text and ", near chance" in text
    for name in ("index.html", "report.md"):
        page = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert page.count("NEAR CHANCE") >= 2 and ", near chance" in page, name
    assert "Near chance: bf16" in next((tmp_path / "out").glob("items-*-bf16-*")).read_text(encoding="utf-8")
    rewritten(run, "items", lambda x: {**x, "metrics": {"acc": float(x["id"] % 2)}})
    assert "NEAR CHANCE" not in shown(comparison(analyse([run])))


def test_two_variants_are_paired_by_question(run: Run) -> None:
    found = side_by_side(run, run, Asked(variants=("int4-ptq", "f16")))
    assert [(p.variant, p.baseline) for p in found.accuracy] == [("int4-ptq", "f16")] * 2
    assert "→ wrong / → right" in shown(sides_shown(found))
