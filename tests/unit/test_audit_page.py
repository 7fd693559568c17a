"""An audit as page, Markdown, JSON and terminal text, and the command that makes them."""

import io
import json
import os
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from harness.analyse.audit import RULES, audit
from harness.analyse.audit.findings import VERDICTS, Audit, Finding, by_gravity
from harness.claim_files import load_claims
from harness.config import PROJECT
from harness.errors import StoreError
from harness.render.audit_page import audit_page, write_audit
from harness.render.audit_terminal import audit_table

HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) | \x1b[31mred \u202edrowssap `a` @you"


@pytest.fixture(scope="module")
def card() -> Audit:
    return audit(load_claims("llama32-quantized"))


@pytest.fixture(scope="module")
def hostile() -> Audit:
    """A claim file's free texts, each hostile."""
    file = load_claims("llama32-press")
    structs = msgspec.structs
    claims = {n: structs.replace(c, printed=HOSTILE, statement=HOSTILE) for n, c in file.claims.items()}
    sources = {n: structs.replace(s, title=HOSTILE) for n, s in file.sources.items()}
    models = {n: structs.replace(m, title=HOSTILE) for n, m in file.models.items()}
    return audit(structs.replace(file, title=HOSTILE, claims=claims, sources=sources, models=models))


class Seen(HTMLParser):
    """Tags, attributes and headings of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        self.ids += [value or "" for key, value in attrs if key == "id"]
        self.links += [value or "" for key, value in attrs if key in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def shown(audit_: Audit, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(audit_table(audit_))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_files(card: Audit, tmp_path: Path) -> None:
    paths = write_audit(card, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["index.html", "audit.md", "audit.json"]
    assert msgspec.json.decode(paths[2].read_bytes(), type=Audit) == card


def test_the_page_is_whole_and_needs_nothing_else(card: Audit, tmp_path: Path) -> None:
    write_audit(card, tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    seen = Seen(text)
    assert not seen.open
    assert seen.tags.count("h1") == 1
    assert "script" not in seen.tags
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.links and {link.removeprefix("#") for link in seen.links} <= set(seen.ids)
    for name in {finding.rule for finding in card.findings}:
        assert name in seen.ids
    for number in ("56.3", "41.0", "2.51", "4.23"):
        assert number in text


def test_every_finding_stands_on_the_page_and_in_markdown(card: Audit, tmp_path: Path) -> None:
    page = audit_page(card)
    cells = [row[2].text for section in page.sections for t in section.tables for g in t.groups for row in g.rows]
    assert {finding.sentence for finding in card.findings} <= set(cells)
    write_audit(card, tmp_path)
    tables = MarkdownIt("commonmark").enable("table").parse((tmp_path / "audit.md").read_text(encoding="utf-8"))
    headings = [tables[i + 1].content for i, token in enumerate(tables) if token.type == "heading_open"]
    assert [
        rule.title for rule in RULES.values() if rule.title not in ("Against the source", "Means of tasks")
    ] == headings[2:-2]
    rows = sum(token.type == "tr_open" for token in tables)
    assert rows > len(card.findings) + len(card.scores)


def test_the_gravest_findings_come_first(card: Audit) -> None:
    order = [VERDICTS.index(finding.verdict) for finding in by_gravity(card.findings)]
    assert order == sorted(order)


def test_contradictions_are_announced_before_everything(card: Audit) -> None:
    assert audit_page(card).banners == ()
    finding = Finding(rule="changes", verdict="contradiction", sentence="s")
    worse = msgspec.structs.replace(card, findings=(finding, *card.findings))
    assert audit_page(worse).banners == ("1 contradiction: see the findings marked so.",)


def test_hostile_texts_are_harmless_everywhere(hostile: Audit, tmp_path: Path) -> None:
    write_audit(hostile, tmp_path)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script" not in html and "&lt;script&gt;" in html
    seen = Seen(html)
    assert not seen.open and not [link for link in seen.links if not link.startswith("#")]
    tokens = MarkdownIt("commonmark").enable("table").parse((tmp_path / "audit.md").read_text(encoding="utf-8"))
    inner = [child for token in tokens for child in token.children or ()]
    assert not {"html_inline", "link_open", "image", "code_inline"} & {token.type for token in inner}
    assert not any(token.type == "html_block" for token in tokens)
    terminal = shown(hostile)
    for text in (html, (tmp_path / "audit.md").read_text(encoding="utf-8"), terminal):
        assert "\x1b" not in text and "\u202e" not in text


def test_the_terminal_shows_counts_and_every_subject(card: Audit) -> None:
    text = shown(card, width=400)
    for verdict, count in card.counts.items():
        assert any(line.split()[:2] == [str(count), verdict.split()[0]] for line in text.splitlines())
    for finding in card.findings:
        assert finding.sentence in text
        assert finding.subject in text


def test_a_folder_that_cannot_be_written_is_said(card: Audit, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the audit into"):
        write_audit(card, tmp_path / "file" / "in")


# ---------------------------------------------------------------- the command


def bench(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "400"},
        capture_output=True,
        text=True,
    )


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    began = time.monotonic()
    done = bench("claims", "audit", "llama32-quantized", "--out", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 5
    assert "the mean of the rows 56.3 %" in done.stdout
    assert done.stdout.splitlines()[-3:] == ["here/index.html", "here/audit.md", "here/audit.json"]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["audit.json", "audit.md", "index.html"]


def test_the_command_prints_json(tmp_path: Path) -> None:
    done = bench("claims", "audit", "llama32-press", "--json", cwd=tmp_path)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["name"] == "llama32-press"
    assert {finding["verdict"] for finding in found["findings"]} == set(VERDICTS)


WRONG = [
    (["claims", "audit", "llama32-pres"], "did you mean 'llama32-press'"),
    (["claims", "audit", "nowhere/c.yaml"], "unknown claim file"),
    (["claims", "adit"], "unknown command 'adit' — did you mean 'audit'?"),
    (["claims", "audit", "bad.yaml"], "bad.yaml:1: nme: unknown key 'nme'"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_a_wrong_wish_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("nme: x\n")
    done = bench(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("bench: ")


def test_list_names_the_claim_files(tmp_path: Path) -> None:
    done = bench("list", "claims", "--json", cwd=tmp_path)
    assert {"llama32-quantized", "llama32-press", "litert-qwen25-1.5b"} <= set(json.loads(done.stdout)["claims"])
