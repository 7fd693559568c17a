"""Parts of a cell's questions: rounds and shards cover all, overlap nowhere, and are alike in size."""

from itertools import chain
from pathlib import Path

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.grade import grade_task
from harness.measure.parts import CUT, ROUNDS, Part, Unit, cut_remark, kept, part_of, unit_of, units_of
from harness.options import HalfWidth, ShardOf
from harness.store import read_lines, write_lines
from harness.values import Answers, Cell, Shard, Task
from tests.builders import build_and_read

counts = st.integers(min_value=0, max_value=300)
seeds = st.integers(min_value=0, max_value=10**6)


def units(count: int) -> list[Unit]:
    return [(f"task-{n % 3}", n) for n in range(count)]


@given(count=counts, seed=seeds)
def test_rounds_are_disjoint_and_cover_all(count: int, seed: int) -> None:
    rounds = [Part(shard=None, round=number, seed=seed).of(units(count)) for number in range(ROUNDS)]
    every = list(chain.from_iterable(rounds))
    assert sorted(every) == sorted(units(count))
    sizes = [len(one) for one in rounds]
    assert max(sizes) - min(sizes) <= 1


@given(count=counts, of=st.integers(min_value=1, max_value=12), seed=seeds)
def test_shards_are_disjoint_and_cover_all_in_order(count: int, of: int, seed: int) -> None:
    shards = [Part(shard=Shard(number=n, of=of), round=None, seed=seed).of(units(count)) for n in range(1, of + 1)]
    assert list(chain.from_iterable(shards)) == units(count)
    sizes = [len(one) for one in shards]
    assert max(sizes) - min(sizes) <= 1


def test_a_round_is_a_draw_of_its_seed_and_not_the_files_beginning() -> None:
    first, again, other = (Part(shard=None, round=0, seed=seed).of(units(400)) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(first) != units(400)[: len(first)]


@given(seed=seeds, of=st.integers(min_value=2, max_value=5))
def test_files_of_different_parts_have_different_names(seed: int, of: int) -> None:
    shards = [Part(shard=Shard(number=n, of=of), round=None, seed=seed).suffix for n in range(1, of + 1)]
    rounds = [Part(shard=None, round=n, seed=seed).suffix for n in range(ROUNDS)]
    assert len({*shards, *rounds}) == of + ROUNDS


def test_requests_of_one_question_stay_together(tmp_path: Path) -> None:
    lines = [{"id": n, "task": "t", "doc": n // 4, "index": n % 4} for n in range(40)]
    path = tmp_path / "r.jsonl.gz"
    write_lines(path, [{"head": {"t": "1"}}, {"part": 0, "text": "", "tokens": []}, *lines])
    assert units_of(path) == [("t", doc) for doc in range(10)]
    chosen = Part(shard=Shard(number=2, of=3), round=None, seed=0).chosen(path)
    asked = list(kept(lines, chosen))
    assert len(asked) == 4 * len(chosen) == 12
    assert {unit_of(line) for line in asked} == chosen
    assert list(kept([{"head": {}}, *lines], None)) == lines


def test_a_cut_prompt_counts_for_its_question_where_it_is_asked(tmp_path: Path) -> None:
    """However many choices the question has, and also where its neighbour begins with the same prompt."""
    cut, same = {"truncated": True, "prompt": "p", "context": [1]}, {"same": True}
    about = [(0, cut), (0, same), (1, same), (2, {"prompt": "q", "context": [2]}), (2, same), (3, cut)]
    path = tmp_path / "r.jsonl.gz"
    write_lines(path, [{"head": {}}, *({"id": n, "task": "t", "doc": d, **more} for n, (d, more) in enumerate(about))])
    assert cut_remark(path, None) == f"3 of 4 {CUT}"
    assert cut_remark(path, {("t", 0), ("t", 2)}) == f"1 of 2 {CUT}"
    assert cut_remark(path, {("t", 2)}) is None


def test_windows_of_a_text_are_units_of_their_own() -> None:
    assert [unit_of({"id": n, "kind": "window", "tokens": []}) for n in range(2)] == [("", 0), ("", 1)]


def test_only_rounds_and_shards_ask_a_part(tmp_path: Path) -> None:
    whole = build_and_read(tmp_path / "a", measures=(Task(task="knowledge_200"),), items=40).plan
    rounds = build_and_read(tmp_path / "b", measures=(Task(task="knowledge_200", until=0.1),), items=40).plan
    cells: dict[str, Cell] = {cell.key: cell for cell in (*whole.cells, *rounds.cells)}
    assert part_of(whole, whole.trials[0], cells[whole.trials[0].cell]) is None
    found = [part_of(rounds, trial, cells[trial.cell]) for trial in rounds.trials]
    assert {part.round for part in found if part} == set(range(ROUNDS))
    sharded = msgspec.structs.replace(whole, shard=Shard(number=1, of=2))
    part = part_of(sharded, whole.trials[0], cells[whole.trials[0].cell])
    assert part is not None and part.shard == sharded.shard and part.round is None


def test_a_part_without_questions_has_no_items(tmp_path: Path) -> None:
    """More parts than questions; lm-eval, asked for no documents, would take them all."""
    answers = Answers(
        requests="requests/r.jsonl.gz", answers="answers/a.jsonl.gz", items="items/i.jsonl.gz", count=0, tokens=0
    )
    grade_task(tmp_path, answers, Task(task="knowledge_200"), [], 0, set())
    assert list(read_lines(tmp_path / answers.items)) == []


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("text", "share"),
    [("±1pt", 0.01), ("1pt", 0.01), ("+-0.5pt", 0.005), ("+/- 2.25 pt", 0.0225), (" ±99pt ", 0.99), (0.02, 0.02)],
)
def test_half_widths_are_points(text: object, share: float) -> None:
    assert HalfWidth().convert(text, None, None) == pytest.approx(share)


@pytest.mark.parametrize(
    "text", ["", "1", "±1", "±1%", "0pt", "±100pt", "-1pt", "±1e-3pt", "±.5pt", "1pt 2pt", "±Infpt"]
)
def test_what_is_no_half_width_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no half width such as ±1pt"):
        HalfWidth().convert(text, None, None)


@pytest.mark.parametrize(("text", "number", "of"), [("1/1", 1, 1), ("2/4", 2, 4), (" 10/16 ", 10, 16)])
def test_shards_are_a_number_of_so_many(text: str, number: int, of: int) -> None:
    found = ShardOf().convert(text, None, None)
    assert found == Shard(number=number, of=of) and str(found) == text.strip()
    assert ShardOf().convert(found, None, None) is found


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/4", "a/b", "1.0/2", "1/9999999"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no part such as 1/4"):
        ShardOf().convert(text, None, None)


def test_a_shard_beyond_the_last_is_no_value() -> None:
    with pytest.raises(ValueError, match="no shard 5 of 4"):
        Shard(number=5, of=4)
