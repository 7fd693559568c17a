"""Tables of model cards → claim files: what is read, what is left alone, and what an audit then finds."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from harness import cards, pipeline
from harness.card_figures import cell_of, metric_of, unit_of
from harness.card_reading import draft
from harness.claim_files import load_claims
from harness.cli import main
from harness.config import PROJECT
from harness.errors import InputError
from harness.markdown_tables import read_markdown

HEADER = "| Model | Decode (tokens/sec) | Time-to-first-token (sec) | Prefill (tokens/sec) | Model size (file in MB) | Memory size (RSS in MB) |\n|---|--:|--:|--:|--:|--:|\n"  # noqa: E501
METRICS = ("decode_tok_s", "ttft_s", "prefill_tok_s", "size_bytes", "peak_rss_bytes")


def read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(draft(text, "card", "README.md"))
    return found


def contradictions(card: Path) -> list[str]:
    return [f.sentence for f in pipeline.audit(str(card)).findings if f.verdict == "contradiction"]


def published_card() -> str:
    """The figures of the claim file that ships with the project, in the form of a card's tables."""
    file = load_claims("llama32-quantized")
    lines = []
    for name, row in file.rows.items():
        cells = [f"{row.values[m]}" + (f" ({c})" if (c := row.changes.get(m)) else "") for m in METRICS if row.values]
        if cells:
            lines.append(f"| {row.title or name} | {' | '.join(cells)} |")
    names = list(file.rows)
    tasks = [
        f"| {t.name} | {t.shots if t.shots is not None else ''} | {t.measure} | "
        + " | ".join(t.values.get(n) or "-" for n in names)
        + " |"
        for t in file.tasks
    ]
    titles = [file.rows[n].title or n for n in names]
    accuracy = f"| Benchmark | # Shots | Metric | {' | '.join(titles)} |\n|{'---|' * (3 + len(names))}\n" + "\n".join(
        tasks
    )
    return f"# Card\n\n{HEADER}" + "\n".join(lines) + f"\n\n{accuracy}\n"


def test_a_card_of_ours_is_read_back_and_every_number_follows(tmp_path: Path) -> None:
    for run in ("example", "llama32-1b-shape"):
        text = cards.block_of([run], PROJECT / "results", stand_in=True)
        card = tmp_path / f"{run}.md"
        card.write_text(text)
        found = pipeline.audit(str(card), tmp_path / "draft.yaml")
        verdicts = [f.verdict for f in found.findings if f.rule == "changes"]
        assert len(verdicts) >= 10 and set(verdicts) == {"follows"}
        assert not contradictions(card)
        shown = read_markdown(text).tables[0]
        kept = load_claims(str(tmp_path / "draft.yaml"))
        for row in shown.rows:
            for metric, said in zip(METRICS, row[1:], strict=False):
                if said[0].isdigit() and metric_of(shown.header[1]) == METRICS[0]:
                    assert (
                        kept.rows[row[0].lower().split(" ")[0].replace("_", "-")].values[metric] == said.split(" ")[0]
                    )


def test_a_published_card_is_read_with_its_baselines_and_nothing_is_invented(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(published_card())
    found = read(card.read_text())
    own = load_claims("llama32-quantized")
    assert {row["values"]["decode_tok_s"] for row in found["rows"].values() if "values" in row} == {
        row.values["decode_tok_s"] for row in own.rows.values() if row.values
    }
    assert (
        found["rows"]["3b-spinquant"]["baseline"] == "3b-bf16"
        and found["rows"]["1b-qat-with-lora"]["baseline"] == "1b-bf16"
    )
    assert len(found["tasks"]) == len(own.tasks) and found["tasks"][0]["values"]["1b-qat-with-lora"] == "49.0"
    assert not contradictions(card)


@pytest.mark.parametrize(
    ("old", "new"),
    [("2.6x", "2.9x"), ("(-54.1%)", "(-45.1%)"), ("1083 (", "1136 ("), ("| 50.2 (", "| 260.5 ("), ("19.2", "29.2")],
)
def test_what_was_changed_is_found(tmp_path: Path, old: str, new: str) -> None:
    card = tmp_path / "README.md"
    text = published_card()
    assert old in text
    card.write_text(text.replace(old, new, 1))
    assert contradictions(card)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("50.2 (2.6x)", ("50.2", None, "2.6x", None)),
        ("1,083 (-54.1%)", ("1,083", None, "-54.1%", None)),
        ("1083 MB (−54.1 %)", ("1083", "MB", "-54.1%", None)),
        ("227.5 (2.11x, 95 % 2.02x to 2.32x)", ("227.5", None, "2.11x", None)),
        ("57.50 (-3.50, 95 % -8.42 to +1.42)", ("57.50", None, None, "-3.50")),
        ("61.0%", ("61.0", "%", None, None)),
        ("-", None),
        ("1B", None),
        ("50.2 (+2.6x)", ("50.2", None, None, None)),
        ("2.6 (2.6145833333333333x)", ("2.6", None, None, None)),
        ("246.1 (2.28x) [1, 2]", ("246.1", None, "2.28x", None)),
        ("1" * 101, None),
        ("12 / 14", None),
        ("<1.5", None),
        ("1e5", None),
    ],
)
def test_a_cell(text: str, said: tuple[str | None, ...] | None) -> None:
    found = cell_of(text)
    assert (None if found is None else tuple(found)) == said


@pytest.mark.parametrize(
    ("header", "metric", "unit"),
    [
        ("Decode (tokens/sec)", "decode_tok_s", "tok/s"),
        ("tg128 t/s", "decode_tok_s", "tok/s"),
        ("Prompt processing, tok/s", "prefill_tok_s", "tok/s"),
        ("TTFT (ms)", "ttft_s", "ms"),
        ("Time to first token@512 (s)", "ttft_s", "s"),
        ("Memory size (RSS in MB)", "peak_rss_bytes", "MB"),
        ("Model size (PTE file size in MB)", "size_bytes", "MB"),
        ("Peak memory (MiB)", "peak_rss_bytes", "MiB"),
        ("RAM", "peak_rss_bytes", None),
        ("Decode (ms/token)", "decode_tok_s", None),
        ("Prefill time (s)", "prefill_tok_s", None),
        ("TTFT (min)", "ttft_s", None),
        ("TTFT", "ttft_s", None),
        ("Code generation (pass@1)", None, None),
        ("Downloads", None, None),
    ],
)
def test_a_header(header: str, metric: str | None, unit: str | None) -> None:
    assert metric_of(header) == metric
    assert metric is None or unit_of(header, metric) == unit


def test_other_tables_and_metadata_are_left_alone(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    other = "| License | Link |\n|---|---|\n| MIT | [a](b) |\n"
    card.write_text(
        f"---\nlicense: mit\nmodel-index: [\n---\n# A\n\n{other}\n{HEADER}| a BF16 | 1.5 | 2.0 | 3.0 | 4.0 | 5.0 |\n"
    )
    found = pipeline.audit(str(card))
    assert found.title == "Tables of README.md" and not contradictions(card)
    card.write_text(f"# A\n\n{other}")
    with pytest.raises(InputError, match="no table with decode"):
        pipeline.audit(str(card))


def table(header: str, *rows: str) -> str:
    return f"| {header} |\n|{'---|' * len(header.split('|'))}\n" + "".join(f"| {row} |\n" for row in rows) + "\n"


def test_tables_of_two_devices_stay_apart(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    head = "Model | Decode (tok/s) | Size (MB)"
    one = table(head, "BF16 | 20.0 | 100", "Q4 | 50.0 (2.5x) | 40")
    card.write_text(one + table(head, "BF16 | 10.0 | 100", "Q4 | 41.0 | 40"))
    assert not contradictions(card)
    found = read(card.read_text())["rows"]
    assert found["q4"]["baseline"] == "bf16" and found["q4-2"]["baseline"] == "bf16-2"
    assert found["bf16-2"]["values"]["decode_tok_s"] == "10.0"


def test_sizes_of_models_are_part_of_their_names(tmp_path: Path) -> None:
    head = "Family | Params | Quant | Decode (tok/s) | Size (MB)"
    rows = ("Llama | 7B | BF16 | 20.0 | 100", "Llama | 7B | Q4 | 50.0 (2.5x) | 40", "Llama | 13B | BF16 | 8.0 | 200")
    found = read(table(head, *rows, "Llama | 13B | Q4 | 16.0 (2.0x) | 80"))["rows"]
    assert list(found) == ["llama-7b-bf16", "llama-7b-q4", "llama-13b-bf16", "llama-13b-q4"]
    assert found["llama-13b-q4"]["baseline"] == "llama-13b-bf16"


def test_a_figure_in_another_unit_than_its_column_is_left_out(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(
        table("Model | Decode (tok/s) | Size", "BF16 | 20.0 | 2.47 GB", "Q4 | 50.0 (2.5x) | 950 MB (-61.5%)")
    )
    assert not contradictions(card)
    assert "size_bytes" not in read(card.read_text())["rows"]["q4"]["values"]


def test_scores_against_another_baseline_are_a_row_of_their_own(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    speed = table(
        "Model | Decode (tok/s) | Size (MB)", "BF16 | 10.0 | 100", "F16 | 20.0 | 100", "Q4 | 50.0 (2.5x) | 40"
    )
    card.write_text(speed + table("Benchmark | BF16 (%) | F16 (%) | Q4 (%)", "MMLU | 61.0 | 60.0 | 57.5 (-3.5)"))
    assert not contradictions(card)
    found = read(card.read_text())
    assert found["rows"]["q4"]["baseline"] == "f16" and found["rows"]["q4-2"]["baseline"] == "bf16"
    assert found["tasks"][0]["changes"] == {"q4-2": "-3.5"}


@pytest.mark.parametrize(
    "odd",
    [
        table("Benchmark | Q4 | BF16", "MMLU | 57.5 (-3.5) | 61.0"),
        table("Benchmark | BF16 | Q4", "MMLU | - | 57.5 (-3.5)", "ARC | 61.0 | 57.5 (-3.5)"),
        table("Benchmark | BF16 | Q4", "MMLU | -1.2 | 57.5", "qa_s | 61.0 | 30.5 (0.5x)"),
        table("Benchmark | Shots | BF16", f"MMLU | {'9' * 5000} | 57.5"),
        table(
            "Model | Decode (tok/s) | Size (MB)",
            "BF16 | 0 | 100",
            "Q4 | 50.0 (0x) | 40 (-100%)",
            "模型 | 1 | 2",
            "型 | 1 | 2",
        ),
    ],
)
def test_odd_cells_are_left_out_and_the_rest_is_read(tmp_path: Path, odd: str) -> None:
    card = tmp_path / "README.md"
    card.write_text(odd, encoding="utf-8")
    pipeline.audit(str(card), tmp_path / "draft.yaml")
    assert (tmp_path / "draft.yaml").is_file()


def test_a_large_card_is_read_in_time_that_grows_with_it() -> None:
    text = "|a|\n|-|\n\nx\n\n" * 20_000
    assert len(read_markdown(text).tables) == 20_000
    assert cell_of("1" + "*" * 100_000 + "x") is None
    assert read_markdown("<table>\n\n" * 5_000).tables == ()
    rows = "".join(f"| same | {n} | bf16 |\n" for n in range(500))
    assert len(read(f"| Task | BF16 | INT4 |\n|---|---|---|\n{rows}")["tasks"]) == 500


@pytest.mark.parametrize("name", ["foo/bar--baz", "foo/bar.", "foo/bar.git"])
def test_names_that_no_model_has(name: str) -> None:
    with pytest.raises(InputError, match="no name of a model"):
        pipeline.audit(name)


def test_bad_cards_end_with_one_line(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_bytes(b"# \xff\n")
    done = CliRunner().invoke(main, ["claims", "audit", str(card)])
    assert done.exit_code == 2 and "no UTF-8" in done.output
    done = CliRunner().invoke(main, ["claims", "audit", str(tmp_path / "none.md")])
    assert done.exit_code == 2 and "No such file" in done.output
    with pytest.raises(InputError, match="a claim file already"):
        pipeline.audit("llama32-quantized", tmp_path / "x.yaml")


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\n\r|"), max_size=20) | st.sampled_from(
    [
        "50.2 (2.6x)",
        "50.2 (+2.6x)",
        "57.5 (-3.5)",
        "12.5 GB",
        "7B",
        "0",
        "-1",
        "1083",
        "",
        "99999999999999999999",
        "0.3 (-100%)",
        "bf16",
        "1 (0x)",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=6, max_size=6), max_size=5))
def test_hostile_tables_become_a_claim_file_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    card = tmp_path_factory.mktemp("card") / "README.md"
    body = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    scores = "| Benchmark | Shots | BF16 | F16 | Q4 | Q8 |\n|---|---|---|---|---|---|\n"
    card.write_text(f"{HEADER}{body}\n{scores}{body}", encoding="utf-8")
    try:
        pipeline.audit(str(card))
    except InputError as error:
        assert "\n" not in str(error)


# ---------------------------------------------------------------- means of tasks

SCORES = """| Benchmark | BF16 | SpinQuant | QLoRA |
|---|--:|--:|--:|
| MMLU | 49.3 | 47.3 | 49.0 |
| GSM8K | 44.4 | 41.2 | 42.0 |
| ARC-C | 59.4 | 57.3 | 58.4 |
| Average | {} | {} | {} |
"""


@pytest.mark.parametrize(
    ("averages", "rows"),
    [
        (("51.0", "48.6", "49.8"), []),
        (("51.0", "46.8", "49.8"), ["spinquant"]),
        (("51.0", "48.6", "58.9"), ["qlora"]),
        (("53.0", "50.6", "51.8"), []),  # alike in all rows: a weighed mean, and no contradiction
        (("51.0", "50.6", "51.8"), []),  # one may follow by chance
    ],
)
def test_an_average_of_a_table_follows_from_its_tasks(
    averages: tuple[str, ...], rows: list[str], tmp_path: Path
) -> None:
    card = tmp_path / "README.md"
    card.write_text(SCORES.format(*averages))
    found = [f for f in pipeline.audit(str(card)).findings if f.rule == "means"]
    assert [f.row for f in found if f.verdict == "contradiction"] == rows
    (one,) = [f for f in found if f.verdict != "contradiction"]
    assert one.verdict == ("note" if averages[1] == "50.6" else "follows")


def test_an_average_is_no_task_of_its_own(tmp_path: Path) -> None:
    (mean,) = [task for task in read(SCORES.format("51.0", "48.6", "49.8"))["tasks"] if "mean_of" in task]
    assert mean["mean_of"] == ["MMLU", "GSM8K", "ARC-C"]
    card = tmp_path / "README.md"
    card.write_text(SCORES.format("51.0", "48.6", "49.8"))
    changes = pipeline.audit(str(card)).scores
    assert {change.task for change in changes} == {"MMLU", "GSM8K", "ARC-C"}


def test_a_mean_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    text = draft(SCORES.format("51.0", "48.6", "49.8"), "card", "README.md").decode()
    path = tmp_path / "claims.yaml"
    path.write_text(text.replace("- GSM8K", "- GSM9K"))
    with pytest.raises(InputError, match=r"mean_of\[1\].*GSM9K|GSM9K.*GSM8K"):
        pipeline.audit(str(path))


# ---------------------------------------------------------------- tables of HTML

HTML = """# Card

Text before.

<table>
<thead>
<tr><th rowspan="2">Model</th><th colspan="2">Speed</th><th rowspan="2">Model size (MB)</th></tr>
<tr><th>Decode (tok/s)</th><th>Prefill (tok/s)</th></tr>
</thead>

<tbody>
<tr><td>1B BF16</td><td>19.2</td><td>60.3</td><td>2358</td></tr>

<tr><td>1B <b>SpinQuant</b></td><td>50.2 (2.6x)</td><td>260.5 (4.3x)</td><td>1083 (-54.1%)</td></tr>
</tbody>
</table>

| Benchmark | BF16 | SpinQuant |
|---|--:|--:|
| MMLU | 49.3 | 47.3 |
"""


def test_tables_of_html_are_read_like_others() -> None:
    found = read(HTML)
    rows = {row["title"]: row for row in found["rows"].values()}
    assert rows["1B BF16"]["values"] == {"decode_tok_s": "19.2", "prefill_tok_s": "60.3", "size_bytes": "2358"}
    assert rows["1B SpinQuant"]["changes"] == {"decode_tok_s": "2.6x", "prefill_tok_s": "4.3x", "size_bytes": "-54.1%"}
    assert [task["name"] for task in found["tasks"]] == ["MMLU"]


def test_a_header_of_two_lines_names_both() -> None:
    (table, _) = read_markdown(HTML).tables
    assert table.header == ("Model", "Decode (tok/s) Speed", "Prefill (tok/s) Speed", "Model size (MB)")
    assert table.last == ("Model", "Decode (tok/s)", "Prefill (tok/s)", "Model size (MB)")
    assert table.headings == ("Card",)


def test_merged_cells_stand_in_each_of_their_places() -> None:
    text = (
        "<table><tr><th>Model</th><th>Device</th><th>Decode (tok/s)</th><th>Prefill (tok/s)</th></tr>"
        '<tr><td rowspan="2">1B</td><td>A</td><td>10</td><td>20</td></tr>'
        '<tr><td>B</td><td colspan="2">30</td></tr></table>'
    )
    (table,) = read_markdown(text).tables
    assert table.rows == (("1B", "A", "10", "20"), ("1B", "B", "30", "30"))


@pytest.mark.parametrize(
    "text",
    [
        '<table><tr><td colspan="99999999999">a</td></tr><tr><td rowspan="-1">b</td></tr></table>',
        '<table><tr><td rowspan="99999" colspan="99999">a</td></tr>' + "<tr><td>b</td></tr>" * 3 + "</table>",
        "<table><tr><th>a</th></tr>",
        "<table>\n\n<table><tr><td>",
        "<table></table>",
        "<table><tr></tr><tr></tr></table>",
    ],
)
def test_html_that_is_none_harms_nobody(text: str) -> None:
    for table in read_markdown(f"# Card\n\n{text}\n\nafter").tables:
        assert len(table.header) <= 200
        assert all(len(row) == len(table.header) for row in table.rows)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["<table>", "</table>", "<tr>", "<td>", "<td rowspan=3>", "<th colspan=2>", "1", "\n\n"]))
)
def test_any_html_is_read(parts: list[str]) -> None:
    for table in read_markdown("".join(parts)).tables:
        assert all(len(row) == len(table.header) for row in table.rows)


# ---------------------------------------------------------------- a published card, in its own form

PUBLISHED = PROJECT / "tests" / "recordings" / "cards" / "llama-3.2-tables.md"


def test_a_published_card_in_its_own_form_is_read_whole() -> None:
    found, figures = read(PUBLISHED.read_text()), load_claims("llama32-quantized")
    rows = {row["title"]: row for row in reversed(found["rows"].values())}
    for name, row in figures.rows.items():
        if row.values:
            title = name.replace("1b", "1B").replace("3b", "3B").replace("-", " ")
            own = next(one for t, one in rows.items() if t.lower().startswith(title.lower()) and "values" in one)
            assert own["values"] == row.values, name
            assert own.get("changes", {}) == row.changes, name
    tasks = {task["name"]: task for task in found["tasks"]}
    assert len(tasks) == 29
    assert {"MMLU (5-shot, macro_avg/acc), Thai", "NIH/Multi-needle", "MMLU, macro_avg/acc"} <= set(tasks)
    assert "49.0" in tasks["MMLU, macro_avg/acc"]["values"].values()
    assert rows["Llama 3.2 3B QLoRA"]["baseline"] == "llama-3.2-3b-bf16"
    assert "baseline" not in rows["Llama 3.1 8B"], "another model"


def test_a_published_card_in_its_own_form_contradicts_nothing() -> None:
    assert contradictions(PUBLISHED) == []


def test_each_section_has_an_average_of_its_own() -> None:
    text = (
        "| Benchmark | BF16 | INT4 |\n|---|--:|--:|\n| A | 50 | 40 |\n| B | 60 | 50 |\n| Average | 55 | 45 |\n"
        "| C | 10 | 8 |\n| D | 20 | 18 |\n| Wikitext perplexity | 9.1 | 9.9 |\n| Average | 15 | 13 |\n"
        "| Overall average | 35 | 29 |\n"
    )
    means = {task["name"]: task["mean_of"] for task in read(text)["tasks"] if "mean_of" in task}
    assert means == {"Average": ["A", "B"], "Average 2": ["C", "D"], "Overall average": ["A", "B", "C", "D"]}


@pytest.mark.parametrize("title", ["Phi-3.5 int4", "Phi-30 int4"])
def test_a_model_whose_name_only_begins_alike_is_no_variant(title: str) -> None:
    text = f"| Task | Phi-3 bf16 | Phi-3 int4 | {title} |\n|---|--:|--:|--:|\n| MMLU | 50.0 | 49.0 | 60.0 |\n"
    rows = {row["title"]: row.get("baseline") for row in read(text)["rows"].values()}
    assert rows == {"Phi-3 bf16": None, "Phi-3 int4": "phi-3-bf16", title: None}


def test_the_column_of_tasks_names_no_part_of_itself() -> None:
    (task,) = read("| Dataset subset | BF16 | INT4 |\n|---|--:|--:|\n| MMLU | 50.0 | 49.0 |\n")["tasks"]
    assert task["name"] == "MMLU"


def cells_of(body: str) -> list[tuple[str, ...]]:
    (table,) = read_markdown(f"<table>{body}</table>").tables
    return [table.header, *table.rows]


def test_what_stands_in_a_cell_is_what_a_reader_sees() -> None:
    head = "<tr><th>Model<br>size (MB)</th><th>x</th></tr>"
    row = "<tr><td><p>Llama</p><p>BF16</p></td><td><del>18</del>19.2<sup>1</sup></td></tr>"
    assert cells_of(head + row) == [("Model size (MB)", "x"), ("Llama BF16", "19.2")]
    (table,) = read_markdown("| a<sup>2</sup> | b |\n|---|---|\n| 19.2<sup>1</sup> | 2 |\n").tables
    assert (table.header, table.rows) == (("a", "b"), (("19.2", "2"),))


def test_a_hanging_cell_ends_with_its_rows() -> None:
    head = "<tr><th>a</th><th>b</th><th>c</th><th>d</th></tr>"
    rows = "<tr><td>1</td><td>2</td><td>3</td><td rowspan=2>4</td></tr><tr><td>x</td></tr>"
    assert cells_of(head + rows + "<tr><td>y</td><td>1</td><td>2</td><td>9</td></tr>")[1:] == [
        ("1", "2", "3", "4"),
        ("x", "", "", "4"),
        ("y", "1", "2", "9"),
    ]
    part = "<tbody><tr><td rowspan=0>p</td><td>1</td></tr><tr><td>2</td></tr></tbody>"
    part += "<tbody><tr><td>q</td><td>3</td></tr></tbody>"
    assert cells_of(f"<thead><tr><th>a</th><th>b</th></tr></thead>{part}")[1:] == [("p", "1"), ("p", "2"), ("q", "3")]


def test_the_header_next_to_the_cells_says_what_they_are() -> None:
    text = (
        '<table><tr></tr><tr><th colspan="4">Table 1</th></tr>'
        '<tr><th rowspan="2">Model</th><th colspan="2">Prefill / Decode speed (tok/s)</th>'
        '<th rowspan="2">Size (MB)</th></tr>'
        "<tr><th>Decode</th><th>Prefill</th></tr><tr><td>1B</td><td>19</td><td>60</td><td>2358</td></tr></table>"
    )
    (row,) = read(text)["rows"].values()
    assert row["values"] == {"decode_tok_s": "19", "prefill_tok_s": "60", "size_bytes": "2358"}


def test_what_follows_a_table_in_a_box_is_read() -> None:
    box = "<div align=center>\n<table><tr><th>a</th></tr><tr><td>1</td></tr></table>\n</div>\n\n"
    found = read_markdown(f"{box}## Scores\n\n| Task | BF16 |\n|---|---|\n| MMLU | 50 |\n\n{box}")
    assert [table.header for table in found.tables] == [("a",), ("Task", "BF16"), ("a",)]
    assert found.tables[1].headings == ("Scores",)
