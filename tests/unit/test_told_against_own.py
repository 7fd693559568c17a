"""What another tool told, against what bench measured: the same work, the same questions, and what is not known."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import pipeline
from harness.analyse.sides import SideRow
from harness.errors import InputError
from harness.measure.foreign.making import import_told
from harness.progress import Silent
from harness.store import PLAN, RECORDS, encode, read_lines, read_run, write_lines
from harness.values import Answers, Plan, Reported, Size, Speed
from tests.builders import build_run
from tests.unit.test_foreign import LLAMA_BENCH, LM_EVAL

OWN = "20260714T101500Z-quick-example-00aa"
TOLD = "smollm2-135m-instruct-f16"
MEASURES = (
    Size(),
    Speed(prompt_tokens=128, generated_tokens=32, rounds=3),
    Speed(prompt_tokens=64, generated_tokens=16, rounds=3),
    Speed(prompt_tokens=32, generated_tokens=8, depth=64, rounds=3),
    Speed(prompt_tokens=128, generated_tokens=16, rounds=3, threads=1),
)


def imported(path: Path, results: Path) -> str:
    return import_told(path, results, Silent()).name


def rows(results: Path, told: str) -> dict[tuple[str, str], SideRow]:
    found = pipeline.side_by_side(OWN, told, results, variants=("f16", TOLD))
    return {(row.workload, row.metric): row for row in found.rows}


# ---------------------------------------------------------------- llama-bench


def test_a_test_of_llama_bench_is_set_against_the_same_work(tmp_path: Path) -> None:
    build_run(tmp_path, name=OWN, measures=MEASURES)
    told = imported(LLAMA_BENCH, tmp_path)
    found = rows(tmp_path, told)
    # The prompt at its depth is what prefill is known by, whatever is generated afterwards.
    assert {key for key in found if key[1] == "prefill_tok_s"} == {
        ("p128+g32", "prefill_tok_s"),
        ("p32+g8 d64", "prefill_tok_s"),
    }
    # Decode is known by where it begins and how long it is.
    assert {key for key in found if key[1] == "decode_tok_s"} == {("p64+g16", "decode_tok_s")}
    row = found["p64+g16", "decode_tok_s"]
    assert any("one work in two tests" in note for note in row.notes)
    assert row.ratio is not None and row.value is not None and row.other_value is not None
    assert row.ratio == row.value / row.other_value


def test_what_is_not_known_is_said_before_any_number(tmp_path: Path) -> None:
    build_run(tmp_path, name=OWN, measures=MEASURES)
    found = pipeline.side_by_side(OWN, imported(LLAMA_BENCH, tmp_path), tmp_path, variants=("f16", TOLD))
    assert any("does not say which file it ran" in warning for warning in found.warnings)
    assert any("not measured in turns" in warning for warning in found.warnings)
    assert not found.paired
    differing = {one.name: (one.value, one.other) for one in found.differing}
    assert differing["runtime"] == ("llama.cpp", "llama-bench")
    assert differing["decode threads"] == ("4", "2")
    assert not {"batch", "micro-batch", "KV cache type"} & set(differing), "what is alike on both sides"


def test_bits_a_weight_are_set_against_each_other(tmp_path: Path) -> None:
    build_run(tmp_path, name=OWN, measures=MEASURES)
    found = rows(tmp_path, imported(LLAMA_BENCH, tmp_path))
    assert [key for key in found if key[1] == "bits_per_weight"]


def told_at(tmp_path: Path, counts: dict[int, float]) -> str:
    """Prefill of 128 tokens at each number of threads, so many times as fast as it was recorded."""
    first = json.loads(LLAMA_BENCH.read_text().splitlines()[0])
    lines = [
        json.dumps({**first, "n_threads": count, "samples_ns": [int(one / times) for one in first["samples_ns"]]})
        for count, times in counts.items()
    ]
    (tmp_path / "told.jsonl").write_text("\n".join(lines) + "\n")
    return imported(tmp_path / "told.jsonl", tmp_path)


@pytest.mark.parametrize("counts", [{1: 0.5, 4: 2.0}, {4: 2.0, 1: 0.5}])
@pytest.mark.parametrize("first", ["own", "told"])
def test_of_several_settings_the_likest_is_taken(tmp_path: Path, counts: dict[int, float], first: str) -> None:
    build_run(tmp_path, name=OWN, measures=MEASURES, threads=4)
    told = told_at(tmp_path, counts)
    sides = (OWN, told) if first == "own" else (told, OWN)
    variants = ("f16", TOLD) if first == "own" else (TOLD, "f16")
    found = pipeline.side_by_side(*sides, tmp_path, variants=variants)
    prefills = [row for row in found.rows if row.metric == "prefill_tok_s"]
    four = [row for row in prefills if "llama-bench-n_threads4" in (row.runtime, row.other_runtime)]
    assert len(four) == 1
    if first == "own":
        assert prefills == four


def test_a_measure_that_is_matched_in_part_says_what_is_left(tmp_path: Path) -> None:
    build_run(tmp_path, name=OWN, measures=MEASURES)
    found = pipeline.side_by_side(OWN, imported(LLAMA_BENCH, tmp_path), tmp_path, variants=("f16", TOLD))
    assert any("decode_tok_s" in words and "p128+g32" in words for words in found.alone)
    assert not any(words == "f16 speed p128+g32" for words in found.alone)


def test_nothing_alike_is_refused(tmp_path: Path) -> None:
    build_run(tmp_path, name=OWN, measures=(Speed(prompt_tokens=100, generated_tokens=7, rounds=3),))
    told = imported(LLAMA_BENCH, tmp_path)
    with pytest.raises(InputError, match="no cell in common"):
        pipeline.side_by_side(OWN, told, tmp_path, variants=("f16", TOLD))
    with pytest.raises(InputError, match="OURS,THEIRS"):
        pipeline.side_by_side(OWN, told, tmp_path)


# ---------------------------------------------------------------- lm-eval


def measured_here(
    told: Path, name: str, flips: int, *, words: str = "", first: int | None = None, version: str | None = None
) -> None:
    """The imported run as one that bench measured: without the tool's name, and with some answers wrong.

    Args:
        words: put before each prompt.
        first: only so many of each cell's graded questions.
        version: of every task.
    """
    own = shutil.copytree(told, told.parent / name)
    plan = read_run(told).plan
    renamed = {cell.key: msgspec.structs.replace(cell, runtime=_hf(cell.runtime)) for cell in plan.cells}
    runtimes = tuple(_hf(one) for one in plan.suite.runtimes)
    suite = msgspec.structs.replace(plan.suite, runtimes=runtimes)
    changed: Plan = msgspec.structs.replace(plan, cells=tuple(renamed.values()), suite=suite)
    (own / PLAN).write_bytes(encode(changed))
    (own / "imported.json").unlink()
    lines = []
    for record in read_run(told).records:
        kept = tuple(_versioned(one, version) for one in record.observations if not isinstance(one, Reported))
        lines.append(encode(msgspec.structs.replace(record, observations=kept)) + b"\n")
        for answers in (one for one in kept if isinstance(one, Answers)):
            items = list(read_lines(own / answers.items))
            for item in [one for one in items if one["metrics"].get("acc") == 1.0][:flips]:
                item["metrics"]["acc"] = 0.0
            write_lines(own / answers.items, items[:first])
            asked: list[dict[str, Any]] = [
                {**line, "prompt": words + line["prompt"]} if "prompt" in line else line
                for line in read_lines(own / answers.requests)
            ]
            write_lines(own / answers.requests, asked)
    (own / RECORDS).write_bytes(b"".join(lines))


def _versioned(one: Any, version: str | None) -> Any:
    if not isinstance(one, Answers) or version is None:
        return one
    return msgspec.structs.replace(one, task_versions=dict.fromkeys(one.task_versions, version))


def _hf(runtime: Any) -> Any:
    return msgspec.structs.replace(runtime, name="hf")


def test_scores_of_the_same_questions_are_paired_by_question(tmp_path: Path) -> None:
    told = import_told(LM_EVAL, tmp_path, Silent())
    measured_here(told, OWN, flips=1)
    found = pipeline.side_by_side(OWN, told.name, tmp_path)
    row = next(row for row in found.rows if (row.workload.split()[0], row.metric) == ("arc_easy", "acc"))
    pair = next(pair for pair in found.accuracy if (pair.workload.split()[0], pair.metric) == ("arc_easy", "acc"))
    assert (pair.right_to_wrong, pair.wrong_to_right) == (1, 0)
    assert row.diff == pytest.approx(-1 / pair.items)
    assert row.n == row.other_n == pair.items
    assert not found.paired and pair.mcnemar_p == 1.0


def test_other_words_are_no_pairs(tmp_path: Path) -> None:
    told = import_told(LM_EVAL, tmp_path, Silent())
    measured_here(told, OWN, flips=1, words="Well. ")
    found = pipeline.side_by_side(OWN, told.name, tmp_path)
    row = next(row for row in found.rows if (row.workload.split()[0], row.metric) == ("arc_easy", "acc"))
    assert not found.accuracy
    assert any("were asked in other words" in note for note in row.notes)


def test_two_runs_of_bench_pair_their_questions_too(tmp_path: Path) -> None:
    told = import_told(LM_EVAL, tmp_path, Silent())
    other = OWN.replace("00aa", "00bb")
    measured_here(told, OWN, flips=1)
    measured_here(told, other, flips=0)
    found = pipeline.side_by_side(OWN, other, tmp_path)
    pair = next(pair for pair in found.accuracy if (pair.workload.split()[0], pair.metric) == ("arc_easy", "acc"))
    assert pair.right_to_wrong == 1


def test_only_questions_that_both_were_asked_count(tmp_path: Path) -> None:
    told = import_told(LM_EVAL, tmp_path, Silent())
    measured_here(told, OWN, flips=1, first=3)
    found = pipeline.side_by_side(OWN, told.name, tmp_path)
    row = next(row for row in found.rows if (row.workload.split()[0], row.metric) == ("arc_easy", "acc"))
    assert row.n == row.other_n == 3
    assert row.value is not None and row.other_value is not None
    assert row.diff == pytest.approx(row.value - row.other_value)
    assert row.ratio is None or row.ratio == pytest.approx(row.value / row.other_value)


def test_another_version_or_another_right_answer_is_another_question(tmp_path: Path) -> None:
    told = import_told(LM_EVAL, tmp_path, Silent())
    measured_here(told, OWN, flips=0, version="99")
    found = pipeline.side_by_side(OWN, told.name, tmp_path)
    assert not found.accuracy and any("version 99" in note for row in found.rows for note in row.notes)
    other = OWN.replace("00aa", "00bb")
    measured_here(told, other, flips=0)
    for path in (tmp_path / other / "items").iterdir():
        lines = [
            {**line, "target": 3 - line["target"]} if "target" in line and line["task"] == "arc_easy" else line
            for line in read_lines(path)
        ]
        write_lines(path, lines)
    found = pipeline.side_by_side(other, told.name, tmp_path)
    assert any("another right answer" in note for row in found.rows for note in row.notes)
    assert "arc_easy" not in {pair.workload.split()[0] for pair in found.accuracy}
