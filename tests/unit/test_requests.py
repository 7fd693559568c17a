"""lm-eval's requests as token ids, by lm-eval's own rules; texts as windows and positions."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.measure.grade import check_answers
from harness.measure.requests import assemble, head_tokens, plain_requests, window_lines
from harness.store import read_lines, write_lines


def by_character(texts: object) -> list[list[int]]:
    return [[ord(c) for c in text] for text in texts]  # type: ignore[attr-defined]


def ask(kind: str, *args: object, doc: int = 0) -> dict[str, object]:
    return {"kind": kind, "task": "t", "doc": doc, "index": 0, "args": list(args), "hash": "h"}


def lines_of(*asked: dict[str, object], context: int = 100, prefix: int = 1) -> list[dict[str, object]]:
    return list(assemble(list(asked), by_character, context, prefix))  # type: ignore[arg-type]


def test_a_pair_splits_where_the_context_ends() -> None:
    (line,) = lines_of(ask("loglikelihood", "ab", " c"))
    assert (line["context"], line["continuation"]) == ([97, 98], [32, 99])


def test_trailing_blanks_of_the_context_move_to_the_continuation() -> None:
    (line,) = lines_of(ask("loglikelihood", "ab ", "c"))
    assert (line["context"], line["continuation"]) == ([97, 98], [32, 99])


def test_an_empty_context_is_the_prefix_token() -> None:
    (line,) = lines_of(ask("loglikelihood", "", "bc"))
    assert (line["context"], line["continuation"]) == ([1], [98, 99])


def test_a_long_context_is_cut_from_the_left_and_says_so() -> None:
    (line,) = lines_of(ask("loglikelihood", "abcdefgh", "xy"), context=6)
    assert line["context"] == [ord(c) for c in "efgh"] and line["truncated"] is True


def test_a_continuation_without_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="no tokens of its own"):
        lines_of(ask("loglikelihood", "ab", ""))


@given(st.text(alphabet="abc", min_size=1, max_size=60), st.integers(min_value=3, max_value=20))
def test_rolling_windows_score_every_token_once_and_fit(text: str, context: int) -> None:
    lines = lines_of(ask("loglikelihood_rolling", text), context=context)
    scored = [token for line in lines for token in line["continuation"]]  # type: ignore[attr-defined]
    assert scored == [ord(c) for c in text]
    for line in lines:
        assert line["context"] and len(line["context"]) + len(line["continuation"]) <= context  # type: ignore[arg-type]


def test_generation_leaves_room_for_its_answer() -> None:
    (line,) = lines_of(ask("generate_until", "a" * 50, {"until": ["\n", ""], "max_gen_toks": 10}), context=40)
    assert len(line["tokens"]) == 30 and line["max_tokens"] == 10 and line["stop"] == ["\n"]  # type: ignore[arg-type]
    with pytest.raises(InputError, match="only greedy"):
        lines_of(ask("generate_until", "a", {"until": [], "do_sample": True}))


SHOTS = "Q: one\n" * 20 + "\n"


def test_what_a_prompt_shares_follows_from_itself_alone() -> None:
    pair = ask("loglikelihood", f"{SHOTS}Q: two", " yes")
    together = lines_of(ask("loglikelihood", f"{SHOTS}Q: three", " no"), pair, context=300)
    (alone,) = lines_of(pair, context=300)
    assert alone["shared"] == together[1]["shared"] == len(SHOTS)
    (generated,) = lines_of(ask("generate_until", f"{SHOTS}Q", {"until": ["x"], "max_gen_toks": 5}), context=300)
    assert generated["shared"] == len(SHOTS)


@pytest.mark.parametrize(
    ("prompt", "context"),
    [
        (SHOTS.replace("\n\n", "\n") + "Q", 300),  # no blank line
        ("ab\n\nQ", 300),  # too short to be worth it
        (f"{SHOTS}Q: two", 40),  # cut
    ],
)
def test_a_prompt_without_a_long_whole_head_shares_nothing(prompt: str, context: int) -> None:
    (line,) = lines_of(ask("loglikelihood", prompt, " yes"), context=context)
    assert line["shared"] == 0


def test_the_last_token_of_a_prompt_is_never_shared() -> None:
    (line,) = lines_of(ask("loglikelihood", SHOTS.rstrip("\n") + "\n\n", " yes"), context=300)
    assert line["shared"] < len(line["context"])  # type: ignore[arg-type, operator]


def test_ids_are_numbered_and_equal_contexts_stand_side_by_side() -> None:
    lines = lines_of(*(ask("loglikelihood", f"q{d}", f" {c}", doc=d) for d in range(3) for c in "xyz"))
    assert [line["id"] for line in lines] == list(range(9))
    contexts = [tuple(line["context"]) for line in lines]  # type: ignore[arg-type]
    assert contexts == sorted(contexts, key=contexts.index)


@given(st.integers(2, 400), st.integers(16, 64), st.integers(1, 200), st.integers(0, 99))
def test_windows_cover_the_text_and_positions_are_distinct(length: int, window: int, wanted: int, seed: int) -> None:
    lines = window_lines(list(range(length)), window, wanted, seed)
    covered = [t for line in lines for t in line["tokens"]]
    assert covered == list(range(len(covered))) and length - len(covered) <= 1
    rows = [row for line in lines for row in line["rows"] if row >= 0]
    places = sum(len(line["tokens"]) - 1 for line in lines)
    assert rows == list(range(min(wanted, places)))
    for line in lines:
        assert line["positions"] == list(range(len(line["tokens"]) - 1))
        assert len(line["rows"]) == len(line["positions"])
    assert lines == window_lines(list(range(length)), window, wanted, seed)


def test_prompt_tokens_repeat_a_short_text() -> None:
    assert head_tokens([1, 2, 3], 7, "m") == (1, 2, 3, 1, 2, 3, 1)


def test_the_runner_gets_ids_and_tokens_only(tmp_path: Path) -> None:
    folder = tmp_path
    lines = [{"head": {}}, {"id": 0, "kind": "loglikelihood", "prompt": "p", "context": [1], "continuation": [2]}]
    write_lines(folder / "r.jsonl.gz", lines)
    plain_requests(folder / "r.jsonl.gz", folder / "plain.jsonl")
    asked = {"id": 0, "shared": 0, "context": [1], "continuation": [2]}
    assert list(read_lines(folder / "plain.jsonl")) == [asked]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([0, 1], None),
        ([1, 0], None),
        ([0], "1 of 2 requests have no answer"),
        ([0, 1, 1], "answered twice"),
        ([0, 1, 5], "1 answers have no request"),
    ],
)
def test_exactly_one_answer_a_request(tmp_path: Path, answers: list[int], said: str | None) -> None:
    folder = tmp_path
    write_lines(folder / "r.jsonl.gz", [{"head": {}}, {"id": 0}, {"id": 1}])
    write_lines(folder / "a.jsonl", [{"id": i} for i in answers])
    found = check_answers(folder / "r.jsonl.gz", folder / "a.jsonl")
    assert (found is None) if said is None else (found is not None and said in found)
