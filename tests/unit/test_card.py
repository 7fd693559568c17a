"""Model cards: every number follows from the run, and nothing else of a card is touched."""

import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCardData, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from harness import cards
from harness.analyse.compare import analyse
from harness.cli import main
from harness.config import PROJECT
from harness.errors import InputError
from harness.markdown_tables import read_markdown
from harness.render.card.block import BEGIN, END, updated
from harness.render.card.figures import plain
from harness.store import read_run
from harness.values import Answers, Cell, Task, TrialRecord
from tests.builders import build_run

RUN = "example"
RESULTS = PROJECT / "results"


@pytest.fixture(scope="module")
def block() -> str:
    return cards.block_of([RUN], RESULTS, stand_in=True)


def bench(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["card", *arguments])
    return done.exit_code, done.output


def test_numbers_are_those_of_the_run_with_their_changes(block: str) -> None:
    tables = {table.headings[-1]: table for table in read_markdown(block).tables}
    assert "canary" in block[block.index("## Notes") :]
    speed = tables["Performance"]
    assert speed.header[:2] == ("Model", "Decode@64 (tok/s)")
    of = {row[0]: dict(zip(speed.header, row, strict=True)) for row in speed.rows}
    assert of["bf16"]["Size (MB)"] == "270.9" and of["int4-ptq"]["Size (MB)"] == "91.73 (-66.1%)"
    decode = of["spinquant"]["Decode@64 (tok/s)"]
    assert decode.startswith("246.1 (2.28x, 95 % 2.20x to 2.40x) [")
    assert {row[0] for row in tables["Accuracy"].rows} == {"knowledge_200"}
    assert len(tables["Schemes"].rows) == 6 and "ce2edc083af8dc7a" in tables["Schemes"].rows[0]
    commands = tables["Commands"].rows
    assert ("qlora", "speed p64+g64") in {row[:2] for row in commands}
    assert all(row[2].startswith("bench run --suite quick") for row in commands)
    assert cards.origin_hash(RESULTS / RUN) in block


def test_what_must_be_known_before_a_number_stands_first(block: str) -> None:
    said = read_markdown(block).texts[1:3]
    assert said[0].startswith("Numbers of a stand-in, not of the released model") and "dequantized" in said[0]
    assert "trials are doubtful" in said[1] and "Noise and failures" not in said[1]


def test_a_stand_in_or_random_weights_need_leave() -> None:
    for run, why in ((RUN, "stand-in for SmolLM2"), ("llama32-1b-shape", "random weights")):
        with pytest.raises(InputError, match=f"{why}.*--stand-in"):
            cards.block_of([run], RESULTS, stand_in=False)
    assert cards.block_of(["llama32-1b-shape"], RESULTS, stand_in=True).count("random") > 2


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("before", [b"", b"---\nlicense: apache-2.0\n---\n# A model\n\xff\xfe no UTF-8", b"# A\n\n"])
def test_an_update_replaces_the_block_alone_and_once(tmp_path: Path, before: bytes, newline: bytes, block: str) -> None:
    card = tmp_path / "README.md"
    newline = newline if before else b"\n"  # an empty card tells no line ending
    card.write_bytes(before.replace(b"\n", newline))
    assert cards.update(card, block)
    first = card.read_bytes()
    assert first.startswith(before.replace(b"\n", newline)) and first.count(BEGIN.encode()) == 1
    assert not cards.update(card, block) and card.read_bytes() == first
    around = first + b"after \xff" + newline
    card.write_bytes(around)
    assert cards.update(card, f"{BEGIN}\nother\n{END}\n")
    shorter = card.read_bytes()
    assert shorter.endswith(END.encode() + newline + b"after \xff" + newline)
    assert cards.update(card, block) and card.read_bytes() == around
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@settings(max_examples=200)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_every_other_byte_stays(before: bytes, after: bytes) -> None:
    own = f"{BEGIN}\nold\n{END}".encode()
    text = f"{BEGIN}\nnew\n{END}\n"
    got = updated(before + own + after, text)
    assert got.startswith(before) and got.endswith(after) and len(got) >= len(before) + len(after)
    assert updated(got, text) == got


@pytest.mark.parametrize("spoilt", [BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_card_with_other_marks_is_left_alone(tmp_path: Path, spoilt: str, block: str) -> None:
    card = tmp_path / "README.md"
    card.write_text(spoilt)
    with pytest.raises(InputError, match="one of each, in this order"):
        cards.update(card, block)
    assert card.read_text() == spoilt


def test_a_number_that_does_not_follow_is_named(tmp_path: Path, block: str) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"# A model\n\n{block}\nmore\n")
    assert bench(RUN, "--verify", str(card)) == (0, f"{card}: every number follows from the run\n")
    aligned = block.replace("| bf16 |", "|   bf16   |").replace("| --- |", "|:------|")
    card.write_text(aligned)
    assert bench(RUN, "--verify", str(card))[0] == 0
    card.write_text(block.replace("246.1 (2.28x", "264.1 (2.28x"))
    assert bench(RUN, "--verify", str(card))[1].endswith(": 1 difference\n")
    card.write_text(block.replace("246.1 (2.28x", "264.1 (2.28x").replace("40 of 94 trials", "4 of 94 trials"))
    code, said = bench(RUN, "--verify", str(card))
    assert code == 3 and "3 differences" in said
    assert "Performance, spinquant, Decode@64 (tok/s): the card says '264.1 (2.28x" in said
    assert "the card says '4 of 94 trials are doubtful.', the run nothing" in said


def test_rows_columns_and_tables_that_are_gone_are_named(tmp_path: Path, block: str) -> None:
    lines = block.splitlines()
    card = tmp_path / "README.md"
    row = next(n for n, line in enumerate(lines) if line.startswith("| int8 |"))
    card.write_text("\n".join(lines[:row] + lines[row + 1 :]))
    (found,) = cards.differences(card, [RUN], RESULTS)
    assert found.where == "Performance, int8" and found.card is None
    table = next(n for n, line in enumerate(lines) if line == "## Commands")
    card.write_text("\n".join((*lines[:table], END)))
    found = cards.differences(card, [RUN], RESULTS)
    assert any(one.where == "Commands" and one.card is None for one in found)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## Performance", "## Performance: 10x faster than BF16"),
        ("## Accuracy", "<p>Decode: 999 tok/s</p>\n\n## Accuracy"),
        ("## Accuracy", "```\n999 tok/s\n```\n\n## Accuracy"),
    ],
)
def test_what_was_put_beside_the_tables_is_found(tmp_path: Path, block: str, old: str, new: str) -> None:
    card = tmp_path / "README.md"
    card.write_text(block.replace(old, new, 1))
    assert cards.differences(card, [RUN], RESULTS)


def test_released_weights_with_a_label_are_no_stand_in(tmp_path: Path) -> None:
    folder = build_run(tmp_path, label="Llama 3.2 1B Instruct, from the user's own file")
    text = cards.block_of([str(folder)], tmp_path, stand_in=False)
    assert "Numbers of a stand-in" not in text and "from the user's own file" in text


def test_marks_in_a_runs_own_texts_cannot_be_forged(tmp_path: Path) -> None:
    folder = build_run(tmp_path, label="", title=f"{END} {BEGIN}")
    plan = msgspec.json.decode((folder / "plan.json").read_bytes())
    plan["command"] += ["--suite", END]
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    card = tmp_path / "README.md"
    card.write_text("# A\n")
    for _ in range(2):
        cards.update(card, cards.block_of([str(folder)], tmp_path, stand_in=False))
    assert "<! -- bench card end" in card.read_text()
    assert card.read_text().count(END) == 1 and not cards.differences(card, [str(folder)], tmp_path)


def test_a_link_stays_a_link_and_keeps_its_mode(tmp_path: Path, block: str) -> None:
    real = tmp_path / "blob"
    real.write_text("# A\n")
    real.chmod(0o640)
    (tmp_path / "README.md").symlink_to(real)
    assert cards.update(tmp_path / "README.md", block)
    assert (tmp_path / "README.md").is_symlink() and real.stat().st_mode & 0o777 == 0o640 and BEGIN in real.read_text()


def test_grading_again_with_another_result_is_another_origin(tmp_path: Path) -> None:
    shutil.copytree(RESULTS / RUN, tmp_path / RUN)
    before = cards.origin_hash(tmp_path / RUN)
    items = next((tmp_path / RUN / "items").iterdir())
    items.write_bytes(items.read_bytes() + b" ")
    assert cards.origin_hash(tmp_path / RUN) != before


def test_a_run_that_changed_is_another_run(tmp_path: Path, block: str) -> None:
    shutil.copytree(RESULTS / RUN, tmp_path / "results" / RUN)
    card = tmp_path / "README.md"
    card.write_text(block)
    records = tmp_path / "results" / RUN / "records.jsonl"
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(lines[:-1]))
    found = cards.differences(card, [RUN], tmp_path / "results")
    assert any(one.where == "text" and "sha256" in str(one.card) for one in found)


def test_cards_that_cannot_be_read(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("# no block\n")
    code, said = bench(RUN, "--verify", str(card))
    assert code == 2 and "has no block of bench" in said
    card.write_bytes(f"{BEGIN}\n".encode() + b"\xff" + f"\n{END}".encode())
    with pytest.raises(InputError, match="no UTF-8"):
        cards.differences(card, [RUN], RESULTS)
    with open(card, "wb") as file:
        file.truncate(cards.MOST_BYTES + 1)
    with pytest.raises(InputError, match="too large for a card"):
        cards.update(card, "")
    assert bench(RUN, "--verify", str(card), "--stand-in")[0] == 2
    assert bench(RUN, "--json")[0] == 2
    assert bench(RUN, "--update", str(tmp_path / "missing.md"))[0] == 2


@given(st.floats(1e-9, 1e12), st.integers(1, 6))
def test_digits_are_kept_without_exponents(value: float, digits: int) -> None:
    text = plain(value, digits)
    assert "e" not in text and float(text) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))


def written(tmp_path: Path, items: int, label: str = "", **measure: object) -> tuple[int, str, Path]:
    """`bench card --metadata` of a synthetic run of OpenBookQA: exit code, what it said, and the folder."""

    def labelled(cell: Cell, record: TrialRecord) -> TrialRecord:
        seen = (msgspec.structs.replace(o, label=label) if isinstance(o, Answers) else o for o in record.observations)
        return msgspec.structs.replace(record, observations=tuple(seen))

    task = Task(task="openbookqa", **measure)  # type: ignore[arg-type]
    run = build_run(tmp_path, label="a model of my own", measures=(task,), items=items, change=labelled)
    code, said = bench(str(run), "--metadata", str(tmp_path / "hub"))
    return code, said, tmp_path / "hub"


def test_scores_of_a_whole_data_set_in_the_hubs_own_forms(tmp_path: Path) -> None:
    code, said, folder = written(tmp_path, 500, fewshot=0)
    assert code == 0, said
    report = analyse([read_run(next(tmp_path.glob("2026*")))])
    for variant in ("bf16", "int4-ptq"):
        scores = {row.metric: row.value for row in report.rows if row.variant == variant and row.value is not None}
        found = sorted((folder / variant / ".eval_results").iterdir())
        assert all(path.name.startswith("openbookqa_acc") and path.suffix == ".yaml" for path in found)
        entries = [one for path in found for one in parse_eval_result_entries(YAML(typ="safe").load(path.read_text()))]
        assert sorted(one.value for one in entries) == sorted(round(100 * value, 2) for value in scores.values())
        assert {(one.dataset_id, one.task_id) for one in entries} == {("allenai/openbookqa", "openbookqa")}
        assert all("openbookqa 0-shot" in str(one.notes) and "sha256" in str(one.notes) for one in entries)
        index = YAML(typ="safe").load((folder / variant / "model-index.yaml").read_text())["model-index"]
        name, results = model_index_to_eval_results(index)
        assert name.endswith(f" {variant}") and len(results) == len(scores)
        assert {(r.dataset_config, r.dataset_split) for r in results} == {("main", "test")}
        assert {r.metric_type: r.metric_value for r in results} == {m: round(100 * v, 2) for m, v in scores.items()}
        card = ModelCardData(eval_results=results, model_name=name)
        assert f"name: {name}" in card.to_yaml()
        assert all("openbookqa 0-shot" in r.metric_name and r.metric_args["num_few_shot"] == 0 for r in results)
        assert all(r.dataset_name == "allenai/openbookqa" for r in results)
    assert all((folder.parent / line).is_file() for line in said.splitlines())


@pytest.mark.parametrize(
    ("items", "label", "measure"),
    [(499, "", {}), (500, "local variant: choices derived", {}), (100, "", {"limit": 100})],
)
def test_a_part_or_a_local_copy_of_a_data_set_is_no_score_of_it(
    tmp_path: Path, items: int, label: str, measure: dict[str, int]
) -> None:
    code, said, folder = written(tmp_path, items, label, **measure)
    assert code == 2 and "no score is of a whole data set as it was published" in said
    assert not folder.exists()


def test_the_hub_gets_no_numbers_of_a_stand_in(tmp_path: Path) -> None:
    code, said = bench(RUN, "--metadata", str(tmp_path / "hub"))
    assert code == 2 and "stand-in for SmolLM2" in said and not (tmp_path / "hub").exists()
    code, said = bench(RUN, "--metadata", str(tmp_path / "hub"), "--stand-in")
    assert code == 2 and "without --update, --verify and --stand-in" in said
