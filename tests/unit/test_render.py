"""Report → files: golden pages, escaping, and what must be said before a number is read.

`BENCH_REGENERATE=1 pytest tests/unit/test_render.py` writes the golden files anew.
"""

import io
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from harness.analyse.compare import analyse
from harness.analyse.findings import Report
from harness.errors import StoreError, UnknownNameError
from harness.render.markdown import code, escape
from harness.render.palette import TOKENS
from harness.render.report import write_report
from harness.render.terminal import comparison
from harness.store import read_lines, write_lines
from harness.values import (
    Bandwidth,
    Cell,
    Memory,
    MemorySeen,
    Size,
    Speed,
    Task,
    Text,
    TrialRecord,
)
from tests.builders import TRUTHS, build_and_read, only

GOLDEN = Path(__file__).parent.parent / "golden"
SMALL: tuple[Any, ...] = (
    Size(),
    Bandwidth(rounds=3, repetitions=1),
    Memory(load_mode="none", rounds=3),
    Speed(prompt_tokens=64, generated_tokens=16, rounds=3, repetitions=1),
    Task(task="knowledge_200"),
    Text(text="text_5000", reference="f16"),
)
THREE = {name: TRUTHS[name] for name in ("bf16", "f16", "int4-ptq")}
HOSTILE = "<script>alert(1)</script>|`x`|**b**|[l](http://e.example)|\"'><img src=x onerror=alert(1)>\n# h\x1b[31m"


def troubled(cell: Cell, record: TrialRecord) -> TrialRecord | None:
    """One noisy trial, one failed one, one that was never measured."""
    if only(cell, variant="int4-ptq", measure="speed") and record.round == 1:
        return msgspec.structs.replace(record, noise=("other load 0.41 cores during the timed windows",))
    if only(cell, variant="bf16", measure="memory") and record.round == 2:
        return msgspec.structs.replace(record, status="oom_killed", reason="killed", observations=())
    return None if only(cell, variant="f16", measure="memory") and record.round == 2 else record


def small(results: Path, **changes: Any) -> Report:
    options = {"truths": THREE, "measures": SMALL, "items": 60, **changes}
    return analyse([build_and_read(results, **options)])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(small(folder / "results", change=troubled), folder / "out")
    return folder / "out"


# ---------------------------------------------------------------- golden files


def test_markdown_is_as_it_was(written: Path) -> None:
    same_as_golden("report.md", (written / "report.md").read_text(encoding="utf-8"))


def test_html_is_as_it_was(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    page = re.sub(r"<style>.*?</style>", "<style/>", page, flags=re.DOTALL)
    page = re.sub(r"<svg.*?</svg>", "<svg/>", page, flags=re.DOTALL)
    same_as_golden("index.html", page)


def test_json_is_as_it_was(written: Path) -> None:
    text = (written / "report.json").read_text(encoding="utf-8")
    path = GOLDEN / "report.json"
    if os.environ.get("BENCH_REGENERATE"):
        path.write_text(text, encoding="utf-8")
    same_values(json.loads(text), json.loads(path.read_text(encoding="utf-8")), "$")


def same_as_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("BENCH_REGENERATE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def same_values(one: Any, other: Any, path: str) -> None:
    """Equal, but for the last bits of floats, which mathematical libraries round differently."""
    if isinstance(one, float) and isinstance(other, float):
        assert one == pytest.approx(other, rel=1e-9), path
    elif isinstance(one, dict) and isinstance(other, dict):
        assert list(one) == list(other), path
        for key, value in one.items():
            same_values(value, other[key], f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other), path
        for index, value in enumerate(one):
            same_values(value, other[index], f"{path}[{index}]")
    else:
        assert one == other, path


# ---------------------------------------------------------------- files


def test_all_files_are_there_and_named(tmp_path: Path) -> None:
    paths = write_report(small(tmp_path / "results"), tmp_path / "out")
    assert all(path.is_file() for path in paths)
    names = {path.relative_to(tmp_path / "out").as_posix() for path in paths}
    first = {"plots/accuracy-against-decode.svg", "plots/accuracy-against-decode.png"}
    assert {"report.md", "index.html", "report.json", *first} <= names
    for path in paths:
        if path.suffix == ".svg":
            ElementTree.parse(path)
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
    linked = re.findall(r"\]\((plots/[^)]+)\)", (tmp_path / "out/report.md").read_text(encoding="utf-8"))
    assert linked
    assert set(linked) <= names


def test_equal_reports_give_equal_bytes(tmp_path: Path) -> None:
    report = small(tmp_path / "results")
    one, other = write_report(report, tmp_path / "a"), write_report(report, tmp_path / "b")
    for a, b in zip(one, other, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name


def test_a_folder_that_cannot_be_written_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StoreError, match="cannot write the report"):
        write_report(small(tmp_path / "results"), tmp_path / "out")


def test_rows_of_the_json_keep_their_columns(written: Path) -> None:
    rows = json.loads((written / "report.json").read_text(encoding="utf-8"))["rows"]
    first = "run variant baseline runtime device workload metric unit status reason value baseline_value ratio"
    assert list(rows[0])[:13] == first.split(" ")
    assert list(rows[0])[13:] == [
        "ratio_low", "ratio_high", "diff", "diff_low", "diff_high", "n", "notes", "artifact_sha256",
    ]  # fmt: skip


# ---------------------------------------------------------------- the page


class Elements(HTMLParser):
    """Tags, ids, links and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, attribute: str) -> Iterator[str]:
        for _, attrs in self.tags:
            if value := attrs.get(attribute):
                yield value


def test_the_page_stands_alone_and_its_links_lead_somewhere(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    elements = Elements(page)
    ids = list(elements.values("id"))
    assert len(set(ids)) == len(ids)
    links = [href for href in elements.values("href") if not href.startswith("#")]
    assert links == []
    assert {href[1:] for href in elements.values("href")} <= set(ids)
    assert not list(elements.values("src"))
    assert {tag for tag, _ in elements.tags}.isdisjoint({"script", "link", "iframe", "img", "object"})
    assert not re.search(r"@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_plots_in_the_page_follow_its_colours(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    svgs = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(svgs) > 8
    for svg in svgs:
        ElementTree.fromstring(svg)
        assert "var(--ink)" in svg
        assert not re.search(r"#[0-9a-f]{6}\b", re.sub(r'(id|href)="[^"]*"|url\([^)]*\)', "", svg))
    for token in vars(TOKENS).values():
        assert token not in page
    assert "var(--" not in (written / "plots/accuracy-against-decode.svg").read_text(encoding="utf-8")


def test_figures_say_in_words_what_they_show(written: Path) -> None:
    elements = Elements((written / "index.html").read_text(encoding="utf-8"))
    labels = [a["aria-label"] for _, a in elements.tags if a.get("role") == "img"]
    assert labels and all(label and re.search(r"\d", label) for label in labels)


def test_the_first_screen_holds_what_must_be_known(written: Path) -> None:
    text = " ".join((written / "report.md").read_text(encoding="utf-8").split("## All metrics")[0].split())
    for said in (
        "This run is not complete: 29 of 30 trials",
        "1 trial does not count",
        "stand-in for SmolLM2-135M-Instruct, dequantized from Q4_1",
        "Example Core X1",
        "16.0 GiB memory",
        "Debian GNU/Linux 12",
        "not a phone",
        "llama.cpp b9999",
        "14 July 2026",
        "66.1 % smaller",
        "bf16 decodes at 26 % of the read bandwidth",
        "turned wrong",
        "KL divergence",
        "`bench run --suite quick --device local`",
    ):
        assert said in text, said


def test_noise_and_failures_are_named(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8").split("## Noise and failures")[1]
    assert "| int4-ptq | speed p64+g16 | 2 | noisy | other load 0.41 cores during the timed windows |" in text
    assert "| bf16 | memory p512+g16 ctx2048 no-mmap | 3 | out of memory | killed |" in text


def test_a_weak_baseline_gets_no_headline(tmp_path: Path) -> None:
    weak = page_text(small(tmp_path / "a"), tmp_path / "a")
    strong = page_text(small(tmp_path / "b", read_bandwidth_bytes_s=15e9), tmp_path / "b")
    assert re.search(r"faster\*\* \([^)]*\) than f16\. [^\n]*no headline: bf16 decodes at 26 %", weak)
    assert "no headline" not in strong
    assert re.search(r"faster\*\* \([^)]*\) than bf16", strong)
    assert not re.search(r"faster\*\* \([^)]*\) than bf16", weak)


def test_random_weights_earn_no_accuracy(tmp_path: Path) -> None:
    text = page_text(small(tmp_path, random_weights=True, label="random weights"), tmp_path)
    assert "The weights of bf16, f16 and int4-ptq are random" in text
    assert "**no accuracy**" in text
    assert "McNemar" not in text.split("## Definitions")[0]
    assert "smaller" in text


@pytest.mark.parametrize(
    "measures",
    [(Size(),), SMALL[:4], (SMALL[4],), (SMALL[5],), (Speed(prompt_tokens=8, generated_tokens=1, rounds=1),)],
)
def test_any_part_of_a_suite_makes_a_page(tmp_path: Path, measures: tuple[Any, ...]) -> None:
    text = page_text(small(tmp_path, measures=measures), tmp_path)
    assert "## All metrics" in text
    assert "nan" not in text.lower().replace("dominan", "")


def test_a_run_without_any_record_makes_a_page(tmp_path: Path) -> None:
    text = page_text(small(tmp_path, change=lambda _cell, _record: None), tmp_path)
    assert "This run is not complete: 0 of 30 trials" in text
    assert "not measured yet" in text


def test_a_run_in_which_all_failed_makes_a_page(tmp_path: Path) -> None:
    def change(_cell: Cell, record: TrialRecord) -> TrialRecord:
        return msgspec.structs.replace(record, status="failed", reason="no such file", observations=())

    text = page_text(small(tmp_path, change=change), tmp_path)
    assert "30 trials do not count" in text
    assert "failed: no such file" in text


def test_a_task_of_perplexities_is_no_share_of_items(tmp_path: Path) -> None:
    run = build_and_read(tmp_path, truths=THREE, measures=SMALL[:5], items=30)
    for path in (run.path / "items").iterdir():
        lines = [{**x, "metrics": {}, "sums": {"word_perplexity": [-300.0, 100.0]}} for x in read_lines(path)]
        write_lines(path, lines)
    text = page_text(analyse([run]), tmp_path)
    assert "Perplexity a word 20.1, no difference seen" in text
    assert "No chart of accuracy against decode: it needs accuracy" in text
    assert "20.1 %" not in text and "2,010" not in text


def test_a_noisy_run_says_so_before_its_numbers(tmp_path: Path) -> None:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        return msgspec.structs.replace(record, noise=("a", "b")) if cell.measure == "speed" else record

    text = page_text(small(tmp_path, change=change), tmp_path)
    assert "9 of 30 trials are doubtful" in text.split("**Size**")[0]


def test_a_peak_that_is_not_understood_is_said(tmp_path: Path) -> None:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        if not only(cell, variant="int4-ptq", measure="memory"):
            return record
        seen = tuple(
            msgspec.structs.replace(o, vm_hwm_bytes=400 << 20) if isinstance(o, MemorySeen) else o
            for o in record.observations
        )
        return msgspec.structs.replace(record, observations=seen)

    text = page_text(small(tmp_path, change=change), tmp_path)
    assert "only 62 % (int4-ptq) of the peak is explained, less than 95 %" in text
    assert "less than 95 %" not in page_text(small(tmp_path / "b"), tmp_path / "b")


def test_only_baselines_make_a_page(tmp_path: Path) -> None:
    truths = {name: TRUTHS[name] for name in ("bf16", "f16")}
    assert "## All metrics" in page_text(small(tmp_path, truths=truths), tmp_path)


def test_runs_stand_side_by_side_after_what_differs(tmp_path: Path) -> None:
    options: dict[str, Any] = {"truths": THREE, "measures": SMALL[:4]}
    one = build_and_read(tmp_path, **options)
    other = build_and_read(tmp_path, name="20260715T101500Z-quick-example-00bb", threads=8, **options)
    text = page_text(analyse([one, other]), tmp_path)
    assert text.index("## What differs between the runs") < text.index("## Runs side by side")
    assert re.search(r"\| decode threads \(local, llama\.cpp\) \| 4 \| 8 \|", text)
    assert "These runs differ in their conditions" in text
    assert (tmp_path / "out/plots/1-size_bytes.svg").is_file()
    assert (tmp_path / "out/plots/2-size_bytes.svg").is_file()


def page_text(report: Report, folder: Path) -> str:
    write_report(report, folder / "out")
    return (folder / "out/report.md").read_text(encoding="utf-8")


# ---------------------------------------------------------------- hostile strings


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose every free string is an attack."""
    folder = tmp_path_factory.mktemp("hostile")

    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        if only(cell, variant="int4-ptq", measure="memory"):
            return msgspec.structs.replace(record, status="failed", reason=HOSTILE, observations=())
        return msgspec.structs.replace(record, noise=(HOSTILE,))

    run = build_and_read(folder, truths=THREE, measures=SMALL, items=30, title=HOSTILE, label=HOSTILE, change=change)
    for path in (run.path / "items").iterdir():
        lines = list(read_lines(path))
        for line in lines:
            if line["kind"] == "item":
                line["metrics"] = {HOSTILE: line["metrics"]["acc"], "../../x": 1.0, "$\\frac{$": 0.0}
                line["task"] = HOSTILE + str(line["id"] % 2)
        write_lines(path, lines)
    write_report(analyse([run]), folder / "out")
    return folder / "out"


def test_hostile_strings_are_text_in_html(hostile: Path) -> None:
    elements = Elements((hostile / "index.html").read_text(encoding="utf-8"))
    assert {tag for tag, _ in elements.tags}.isdisjoint({"script", "img"})
    assert not any(name.startswith("on") for _, attrs in elements.tags for name in attrs)
    assert "<script>alert(1)</script>" in "".join(elements.text)
    assert "\x1b" not in "".join(elements.text)


def test_hostile_strings_are_text_in_markdown(hostile: Path) -> None:
    source = (hostile / "report.md").read_text(encoding="utf-8")
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table"])
    rendered = Elements(parser.render(source))
    tags = {tag for tag, _ in rendered.tags}
    assert tags.isdisjoint({"script", "a"})
    assert all(value.startswith("plots/") for value in rendered.values("src"))
    text = "".join(rendered.text)
    assert "<script>alert(1)</script>|`x`|**b**" in text
    headings = [t.content for t in parser.parse(source) if t.type == "inline"]
    assert "h" not in headings
    assert "\x1b" not in source


def test_hostile_strings_are_text_in_plots(hostile: Path) -> None:
    plots = list((hostile / "plots").glob("*.svg"))
    assert any("alert(1)" in path.read_text(encoding="utf-8") for path in plots)
    for path in plots:
        assert re.fullmatch(r"[A-Za-z0-9_-]+\.svg", path.name)
        tags = {element.tag.split("}")[-1] for element in ElementTree.parse(path).iter()}
        assert tags.isdisjoint({"script", "img", "image", "foreignObject"})
    assert not list(hostile.parent.glob("x*"))


def test_hostile_strings_are_text_in_the_terminal(tmp_path: Path) -> None:
    def change(_cell: Cell, record: TrialRecord) -> TrialRecord:
        return msgspec.structs.replace(record, status="failed", reason="[bold]x[/bold]\x1b[31m", observations=())

    out = io.StringIO()
    report = small(tmp_path, measures=(Size(),), change=change)
    Console(file=out, width=120, force_terminal=False).print(comparison(report))
    assert "[bold]x[/bold]" in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "a|b",
        "`c`",
        "*d*",
        "_e_",
        "[f](g)",
        "<b>h</b>",
        "# i",
        "~~j~~",
        "k\nl",
        "&amp;",
        "![m](n)",
        "1. o",
        "\\p",
        "- q",
    ],
)
def test_escaped_markdown_renders_as_the_text_it_was(text: str) -> None:
    rendered = Elements(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"x {escape(text)}"))
    assert "".join(rendered.text).strip() == "x " + text.replace("\n", " ")
    assert [tag for tag, _ in rendered.tags] == ["p"]


def test_escaped_markdown_links_to_nothing_and_calls_nobody() -> None:
    # A code host makes links of bare addresses and mentions, which CommonMark's parser does not show.
    assert not re.search(r"<|(?<!\\)://|www\.|(^|\s)@", escape("<b> http://e.example www.e.example @someone"))
    assert escape("Decode@64") == "Decode@64"


def test_code_spans_hold_backticks() -> None:
    rendered = Elements(MarkdownIt("commonmark").render(code("a `b` ``c``")))
    assert "".join(rendered.text).strip() == "a `b` ``c``"


def test_names_with_underscores_stay_readable() -> None:
    assert escape("peak_rss_bytes") == "peak_rss_bytes"


# ---------------------------------------------------------------- terminal


def shown(report: Report, metrics: tuple[str, ...] | None = None, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(comparison(report, metrics))
    return out.getvalue()


def test_the_terminal_shows_values_ratios_and_notes(tmp_path: Path) -> None:
    text = shown(small(tmp_path, change=troubled))
    assert re.search(r"int4-ptq +91\.7 MB +0\.339× +0\.339× +1", text)
    assert "This run is not complete: 29 of 30 trials." in text
    assert "other load 0.41 cores" in text
    assert "Inter-token" not in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_terminal_table_fits(tmp_path: Path, width: int) -> None:
    text = shown(small(tmp_path), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "2.65×" in text or "2.66×" in text


def test_the_terminal_shows_the_metrics_asked_for(tmp_path: Path) -> None:
    report = small(tmp_path)
    text = shown(report, ("itl_p95_s",))
    assert "Inter-token latency p95" in text
    assert "Size" not in text
    with pytest.raises(UnknownNameError, match="decode_tok_s"):
        comparison(report, ("decode_toks",))


def test_the_terminal_has_a_column_a_run(tmp_path: Path) -> None:
    options: dict[str, Any] = {"truths": THREE, "measures": (Size(),)}
    one = build_and_read(tmp_path, **options)
    other = build_and_read(tmp_path, name="20260715T101500Z-quick-example-00bb", **options)
    text = shown(analyse([one, other]), width=140)
    assert re.search(rf"variant +{one.id} +{other.id}", text)
    assert "alike in every recorded condition" in text
