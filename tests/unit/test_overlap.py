"""Questions that a recipe learned from."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.sources import read_text
from harness.errors import InputError
from harness.measure.overlap import WORDS, refuse_overlap, sequences
from harness.request_lines import Heads, own_texts
from harness.store import write_lines
from harness.values import Cell, FileSource, Model, Runtime, Task, Text, Variant

LEARNED = "Alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon."


MODEL = Model(name="m", source=FileSource(path="/m.gguf"), label="m")
VARIANT = Variant(name="v", model=MODEL, recipe="spinquant")


def learned(tmp_path: Path) -> Path:
    text = tmp_path / "learned.txt"
    text.write_text(LEARNED, encoding="utf-8")
    return text


def asked(tmp_path: Path, *prompts: str) -> Path:
    path = tmp_path / "requests.jsonl.gz"
    lines = [{"head": {}}]
    heads = Heads()
    for i, prompt in enumerate(prompts):
        request = {"id": i, "task": "t", "doc": i, "prompt": prompt, "context": [i], "continuation": [1], "shared": 0}
        lines += list(heads.lines(request, "", []))
    write_lines(path, lines)
    return path


CELL = Cell(
    key="0" * 16, variant="v", runtime=Runtime(name="hf"), device="local", workload=Task(task="arc_easy", fewshot=0)
)


def test_a_question_that_was_learned_is_refused_with_its_words(tmp_path: Path) -> None:
    question = "Which comes first?  BETA, gamma delta epsilon zeta eta theta iota kappa lambda: mu nu xi (omicron)"
    requests = asked(tmp_path, "What is two and two?", question)
    with pytest.raises(InputError, match=r"parts of 1 of 2 texts of .*“beta gamma delta"):
        refuse_overlap(CELL, VARIANT, learned(tmp_path), requests)


def test_fewer_words_alike_are_no_overlap(tmp_path: Path) -> None:
    requests = asked(tmp_path, "beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu and others")
    refuse_overlap(CELL, VARIANT, learned(tmp_path), requests)


def test_a_short_question_is_compared_whole(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="“kappa lambda mu nu xi omicron”"):
        refuse_overlap(CELL, VARIANT, learned(tmp_path), asked(tmp_path, "Kappa, lambda, mu: nu xi omicron?"))
    refuse_overlap(CELL, VARIANT, learned(tmp_path), asked(tmp_path, "Kappa, lambda, mu: nu xi sigma?", "mu nu xi"))


def test_a_text_is_compared_as_it_is_read(tmp_path: Path) -> None:
    cell = msgspec.structs.replace(CELL, workload=Text(text="text_5000"))
    refuse_overlap(cell, VARIANT, learned(tmp_path), asked(tmp_path, LEARNED))
    essays = tmp_path / "essays.txt"
    essays.write_text("\n".join(read_text("text_5000").splitlines()[:6]), encoding="utf-8")
    named = msgspec.structs.replace(VARIANT, settings={"text": str(essays)})
    with pytest.raises(InputError, match=r"learned from essays\.txt, which holds parts of 1 of 1 texts"):
        refuse_overlap(cell, named, essays, asked(tmp_path, "x"))
    with pytest.raises(InputError, match=r"learned from a text that its 16-bit model wrote, .*another `seed`"):
        refuse_overlap(cell, VARIANT, essays, asked(tmp_path, "x"))


def test_a_recipe_without_text_learned_nothing(tmp_path: Path) -> None:
    refuse_overlap(CELL, VARIANT, None, asked(tmp_path, LEARNED))


@given(st.lists(st.sampled_from(["a", "b", "ce"]), max_size=40))
def test_sequences_are_all_windows(words: list[str]) -> None:
    found = list(sequences(", ".join(words).upper()))
    assert found == [tuple(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1)]


def test_own_texts_hold_heads_once() -> None:
    lines = [
        {"part": 0, "text": "head", "tokens": [1]},
        {"id": 0, "prompt": {"part": 0, "text": "a"}, "target": "x"},
        {"id": 1, "same": True, "target": "y"},
        {"id": 2, "prompt": "b"},
    ]
    assert list(own_texts(lines)) == ["head", "a x", "a y", "b"]
