"""Requests on disk → questions: whole prompts, heads once, choices in order."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analyse.questions import Asked, _asked, _Part, _split, asked_of, texts_of
from harness.errors import StoreError
from harness.store import write_lines

EXAMPLES = "Question: 1 + 1?\nAnswer: 2\n\nQuestion: 2 + 2?\nAnswer: 4\n\n"


def request(number: int, doc: int, prompt: str, target: str | None = None, index: int = 0, **more: Any) -> Any:
    about = {"id": number, "kind": "loglikelihood", "task": "t", "doc": doc, "index": index, "prompt": prompt}
    return {**about, **({} if target is None else {"target": target}), "context": [1] * 50, **more}


def read(folder: Path, lines: list[Any]) -> dict[Any, Asked]:
    write_lines(folder / "r.jsonl.gz", [{"head": {}}, *lines])
    return asked_of(folder / "r.jsonl.gz")


def test_choices_stand_in_the_tasks_order_and_examples_are_kept_once(tmp_path: Path) -> None:
    lines = []
    for doc in range(3):
        prompt = f"{EXAMPLES}Question: {doc}?\nAnswer:"
        lines += [request(4 * doc + i, doc, prompt, f" {i}", i) for i in (2, 0, 1)]
    found = read(tmp_path, lines)
    assert list(found) == [("t", 0), ("t", 1), ("t", 2)]
    assert found["t", 1] == Asked(EXAMPLES, "Question: 1?\nAnswer:", (" 0", " 1", " 2"), 4)
    assert len({id(one.head) for one in found.values()}) == 1


def test_a_question_with_a_blank_line_of_its_own_stays_whole(tmp_path: Path) -> None:
    odd = f"{EXAMPLES}Read this.\n\nWhat does it say?\nAnswer:"
    lines = [request(0, 0, f"{EXAMPLES}a?", " x"), request(1, 1, f"{EXAMPLES}b?", " x"), request(2, 2, odd, " x")]
    found = read(tmp_path, lines)
    assert found["t", 2].head == EXAMPLES
    assert found["t", 2].prompt == "Read this.\n\nWhat does it say?\nAnswer:"
    alone = read(tmp_path / "b", [request(0, 0, "Write a poem.\n\nIt must rhyme."), request(1, 1, "Write.\n\nNow.")])
    assert [one.head for one in alone.values()] == ["", ""]


def test_examples_drawn_for_one_question_stay_folded(tmp_path: Path) -> None:
    long = "Question: what?\nAnswer: that\n\n" * 100
    found = read(tmp_path, [request(0, 0, f"{long}a?", " x"), request(1, 1, f"Other.\n\n{long}b?", " x")])
    assert [one.prompt for one in found.values()] == ["a?", "b?"]


def test_a_chat_prompt_shows_its_question_and_not_the_end_of_the_template(tmp_path: Path) -> None:
    start, end = "<|user|>\n\nBe brief.<|end|><|user|>\n\n", "<|end|><|assistant|>\n\n"
    found = read(tmp_path, [request(i, i, f"{start}Question {i}{end}", kind="generate_until") for i in range(2)])
    assert found["t", 1] == Asked(start, f"Question 1{end}", (), 1)


def test_a_choice_that_stands_in_the_prompt_is_a_choice(tmp_path: Path) -> None:
    """WinoGrande's way: several prompts, one continuation."""
    stem = "Sarah was better than Samantha so "
    lines = [request(0, 0, stem + "Sarah", " won.", 0), request(1, 0, stem + "Samantha", " won.", 1)]
    assert read(tmp_path, lines)["t", 0] == Asked("", stem, ("Sarah won.", "Samantha won."), 0)


def test_windows_of_a_text_are_no_questions(tmp_path: Path) -> None:
    assert read(tmp_path, [{"id": 0, "kind": "window", "tokens": [1, 2], "positions": [0]}]) == {}


def test_texts_are_found_by_request(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl.gz", [{"id": 3, "text": "yes", "tokens": [1]}, {"id": 4, "logprob": -1.0}])
    assert texts_of(tmp_path / "a.jsonl.gz") == {3: "yes"}


def test_a_damaged_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(StoreError, match="damaged"):
        asked_of(tmp_path / "r.jsonl.gz")
    for wrong in ({"id": 1, "prompt": "p"}, {**request(1, 1, "p"), "prompt": 5}, {**request(1, 1, "p"), "id": -1}):
        with pytest.raises(StoreError, match="damaged"):
            read(tmp_path, [wrong])
    write_lines(tmp_path / "a.jsonl.gz", [{"id": 1, "text": 5}])
    with pytest.raises(StoreError, match="damaged"):
        texts_of(tmp_path / "a.jsonl.gz")


prompts = st.text(st.sampled_from("ab \n"), max_size=40)


@given(prompts)
def test_a_split_prompt_is_whole_again(prompt: str) -> None:
    head, own = _split(prompt)
    assert head + own == prompt
    assert head == "" or head.endswith("\n\n")
    assert own.strip() or not prompt.strip()


@given(prompts, st.lists(st.tuples(prompts, prompts), min_size=1, max_size=4))
def test_every_choice_completes_its_prompt(stem: str, ends: list[tuple[str, str]]) -> None:
    parts = [_Part(i, i, *_split(stem + end), target) for i, (end, target) in enumerate(ends)]
    asked = _asked(parts)
    wholes = [asked.head + asked.prompt + choice for choice in asked.choices]
    assert wholes == [stem + end + target for end, target in ends]
