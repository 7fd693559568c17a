"""lm-eval's requests as token ids, by lm-eval's own rules; texts as windows and positions."""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import PROJECT
from harness.errors import InputError, StoreError
from harness.measure import pieces
from harness.measure.grade import check_answers
from harness.measure.pieces import encode_all
from harness.measure.requests import head_tokens, plain_requests, window_lines
from harness.measure.token_requests import Tokenizer, assemble
from harness.request_lines import Heads, alike, read_requests, whole_requests
from harness.store import read_lines, write_lines


def by_character(texts: Sequence[str], add_special: Sequence[bool], parse_special: bool) -> list[list[int]]:
    return [[ord(c) for c in text] for text in texts]


def ask(kind: str, *args: object, doc: int = 0) -> dict[str, object]:
    return {"kind": kind, "task": "t", "doc": doc, "index": 0, "args": list(args), "doc_hash": "h"}


def lines_of(*asked: dict[str, object], context: int = 100, prefix: int = 1) -> list[dict[str, Any]]:
    tokenizer = Tokenizer(encode=by_character, identity="characters", prefix_token=prefix)
    return list(whole_requests(assemble(asked, tokenizer, context)))


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
    """To one token more than the context: the last one never goes through the model."""
    (line,) = lines_of(ask("loglikelihood", "abcdefgh", "xy"), context=6)
    assert line["context"] == [ord(c) for c in "defgh"] and line["truncated"] is True
    (line,) = lines_of(ask("loglikelihood", "abcdefgh", "xy"), context=9)
    assert line["context"] == [ord(c) for c in "abcdefgh"] and "truncated" not in line
    (line,) = lines_of(ask("loglikelihood", "abcdefgh", "uvwxyz"), context=6)
    assert line["context"] == [ord("h")]


def test_an_answer_longer_than_the_context_is_refused_by_its_document() -> None:
    with pytest.raises(InputError, match="document 7 has 7 tokens, the context only 6"):
        lines_of(ask("loglikelihood", "a", "bcdefgh", doc=7), context=6)


def test_a_continuation_without_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="no tokens of its own"):
        lines_of(ask("loglikelihood", "ab", ""))


def test_an_empty_text_is_refused_by_its_document() -> None:
    with pytest.raises(InputError, match="document 3 is empty"):
        lines_of(ask("loglikelihood_rolling", "", doc=3))


@given(st.text(alphabet="abc", min_size=1, max_size=60), st.integers(min_value=3, max_value=20))
def test_rolling_windows_score_every_token_once_and_fit(text: str, context: int) -> None:
    lines = lines_of(ask("loglikelihood_rolling", text), context=context)
    scored = [token for line in lines for token in line["continuation"]]
    assert scored == [ord(c) for c in text]
    for line in lines:
        assert line["context"] and len(line["context"]) + len(line["continuation"]) <= context + 1


def test_rolling_windows_may_be_shorter_than_the_context_of_questions() -> None:
    asked = [ask("loglikelihood_rolling", "a" * 50), ask("loglikelihood", "a" * 50, "b")]
    tokenizer = Tokenizer(encode=by_character, identity="characters", prefix_token=1)
    lines = list(whole_requests(assemble(asked, tokenizer, 60, window=20)))
    assert max(len(line["continuation"]) for line in lines[:-1]) == 20
    assert len(lines[-1]["context"]) == 50


@given(st.lists(st.integers(2, 99), min_size=1, max_size=80), st.integers(min_value=1, max_value=20))
def test_rolling_windows_are_those_of_lm_eval(tokens: list[int], context: int) -> None:
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    text = "".join(map(chr, tokens))
    found = [(x["context"], x["continuation"]) for x in lines_of(ask("loglikelihood_rolling", text), context=context)]
    windows = get_rolling_token_windows(tokens, prefix_token=1, max_seq_len=context, context_len=1)
    assert found == [make_disjoint_window(window) for window in windows]


def test_generation_leaves_room_for_its_answer() -> None:
    (line,) = lines_of(ask("generate_until", "a" * 50, {"until": ["\n", ""], "max_gen_toks": 10}), context=40)
    assert len(line["tokens"]) == 30 and line["max_tokens"] == 10 and line["stop"] == ["\n"]
    with pytest.raises(InputError, match="only greedy"):
        lines_of(ask("generate_until", "a", {"until": [], "do_sample": True}))


def test_an_answer_may_be_as_long_as_its_task_says() -> None:
    """As in lm-eval the prompt makes room for it; a context that leaves no room for a prompt is refused."""
    (line,) = lines_of(ask("generate_until", "a" * 50, {"until": [], "max_gen_toks": 30}), context=40)
    assert len(line["tokens"]) == 10 and line["max_tokens"] == 30 and line["truncated"]
    with pytest.raises(InputError, match=r"task t lets an answer have 40 tokens, .* context of 40"):
        lines_of(ask("generate_until", "a", {"until": [], "max_gen_toks": 40}), context=40)


@pytest.mark.parametrize(
    ("options", "longest"),
    [
        ({}, 256),
        ({"max_new_tokens": 5}, 5),
        ({"max_tokens": 6, "max_completion_tokens": 7}, 6),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 6, "max_gen_toks": 8, "max_new_tokens": None}, 8),
    ],
)
def test_the_length_of_an_answer_has_the_names_of_lm_eval(options: dict[str, int | None], longest: int) -> None:
    (line,) = lines_of(ask("generate_until", "a", {"until": [], **options}), context=1000)
    assert line["max_tokens"] == longest


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
    assert line["shared"] < len(line["context"])


def test_ids_are_numbered_and_equal_contexts_stand_side_by_side() -> None:
    lines = lines_of(*(ask("loglikelihood", f"q{d}", f" {c}", doc=d) for d in range(3) for c in "xyz"))
    assert [line["id"] for line in lines] == list(range(9))
    contexts = [tuple(line["context"]) for line in lines]
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


def test_an_endless_log_likelihood_is_no_answer(tmp_path: Path) -> None:
    write_lines(tmp_path / "r.jsonl.gz", [{"head": {}}, {"id": 0}, {"id": 1}])
    write_lines(tmp_path / "a.jsonl", [{"id": 0, "logprob": -1.5}, {"id": 1, "logprob": None}])
    assert check_answers(tmp_path / "r.jsonl.gz", tmp_path / "a.jsonl") == (
        "request 1: its log-likelihood is not a finite number"
    )


def test_heads_are_written_once_and_read_whole(tmp_path: Path) -> None:
    asked = [ask("loglikelihood", f"{SHOTS}Q: {d}", f" {c}", doc=d) for d in range(3) for c in "xyz"] + [
        ask("generate_until", f"{SHOTS}Q: go", {"until": ["x"], "max_gen_toks": 5}, doc=9)
    ]
    tokenizer = Tokenizer(encode=by_character, identity="characters", prefix_token=1)
    lines = list(assemble(asked, tokenizer, 300))
    assert [line["text"] for line in lines if "part" in line] == [SHOTS]
    assert sum(1 for line in lines if line.get("same")) == 6
    write_lines(tmp_path / "r.jsonl.gz", [{"head": {}}, *lines])
    whole = list(read_requests(tmp_path / "r.jsonl.gz"))
    assert [line["prompt"] for line in whole] == [str(one["args"][0]) for one in asked]  # type: ignore[index]
    assert all("".join(map(chr, line.get("context") or line["tokens"])) == line["prompt"] for line in whole)
    assert {line["shared"] for line in whole} == {len(SHOTS)}


def test_the_docs_name_every_field_of_a_requests_file() -> None:
    asked = [ask("loglikelihood", f"{SHOTS}Q: two", c) for c in (" a", " b")]
    asked += [ask("generate_until", f"{SHOTS}Q", {"max_gen_toks": 290}), ask("loglikelihood_rolling", "text")]
    tokenizer = Tokenizer(encode=by_character, identity="characters", prefix_token=1)
    lines = list(assemble(asked, tokenizer, 300))
    page = (PROJECT / "docs" / "results-format.md").read_text(encoding="utf-8")
    section = page.partition("## Requests, answers, items")[2].partition("\n## ")[0]
    named = set(re.findall(r"[`\"](\w+)[`\"]", section))
    assert {key for line in lines for key in line} <= named
    assert {"same", "part", "truncated", "shared"} <= {key for line in lines for key in line}


def test_a_request_without_its_part_is_damage() -> None:
    lines = [{"id": 0, "prompt": {"part": 3, "text": "Q"}}]
    with pytest.raises(StoreError, match="request 0 begins with a part that is not there"):
        list(whole_requests(lines))


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=12), st.integers(0, 8))
def test_lines_and_requests_are_two_forms_of_one_thing(contexts: list[list[int]], split: int) -> None:
    heads, lines, wanted = Heads(), [], []
    for number, context in enumerate(contexts):
        request = {"id": number, "prompt": "ab" * 4, "context": context, "shared": 0, "continuation": [number]}
        wanted.append(request)
        lines += list(heads.lines(request, "ab" * 4 if split else "", [0, 1, 2][:split]))
    assert list(whole_requests(lines)) == wanted


WORD = re.compile(r" ?[A-Za-z0-9]+| ?[^A-Za-z0-9\s]+\n*|\s+(?!\S)|\s+")


def by_word(texts: Sequence[str], special: Sequence[bool]) -> list[list[int]]:
    """A pattern as byte-level BPE tokenizers have: punctuation takes line breaks along, blanks look ahead."""
    begins = [[0] if one else [] for one in special]
    words = [[zlib.crc32(word.encode()) for word in WORD.findall(text)] for text in texts]
    return [begin + rest for begin, rest in zip(begins, words, strict=True)]


def with_marked_start(texts: Sequence[str], special: Sequence[bool]) -> list[list[int]]:
    """As SentencePiece: the start of a text is seen in its first token."""
    return [[zlib.crc32(b"_" + word.encode()) for word in f"_{text}".split(" ")] for text in texts]


def with_marked_lines(texts: Sequence[str], special: Sequence[bool]) -> list[list[int]]:
    """Marks the start of a text unless a blank stands there, so that a word may be cut off and a line may not."""
    marked = [text if text.startswith(" ") else f"_{text}" for text in texts]
    return by_word(marked, special)


@pytest.mark.parametrize("encode", [by_word, with_marked_start, with_marked_lines])
@given(texts=st.lists(st.text(alphabet="ax1 .\n", max_size=40), max_size=8), special=st.booleans())
def test_pieces_give_the_tokens_of_the_whole(encode: Any, texts: list[str], special: bool) -> None:
    parts = [tuple(re.split("(?<=x)", text)) for text in texts]
    encoded = encode_all(parts, encode, special)
    assert [encoded[one] for one in parts] == encode(texts, [special] * len(texts))


@given(texts=st.lists(st.text(alphabet="ax1 .\n", max_size=40), max_size=8))
def test_a_tokenizer_of_words_needs_no_whole_texts(texts: list[str]) -> None:
    """Whatever is checked: with no text encoded whole the pieces are right as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_checked", lambda _: [])
        encoded = encode_all([(text,) for text in texts], by_word, special=True)
    assert [encoded[text,] for text in texts] == by_word(texts, [True] * len(texts))


def test_a_few_lines_among_many_texts_are_checked() -> None:
    texts = [f"is it {n}?" for n in range(2000)]
    for place in (7, 900, 1999):
        texts[place] = f"is it {place}\nor not?"
    encoded = encode_all([(text,) for text in texts], with_marked_lines, special=False)
    assert [encoded[text,] for text in texts] == with_marked_lines(texts, [False] * len(texts))


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=12))
def test_how_far_two_rows_are_alike(one: list[int], other: list[int]) -> None:
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    assert alike(one, other) == count


def test_each_distinct_piece_is_encoded_once() -> None:
    seen: list[str] = []

    def counted(texts: Sequence[str], special: Sequence[bool]) -> list[list[int]]:
        seen.extend(texts)
        return by_word(texts, special)

    texts = [f"first line\nsecond line\nquestion {n}\nAnswer: A" for n in range(500)]
    encoded = encode_all([(text,) for text in texts], counted, special=False)
    assert encoded[texts[7],] == by_word([texts[7]], [False])[0]
    whole = [text for text in seen if text in texts]
    # "first", " line", "\nsecond", "\nquestion 7" of each, "\nAnswer:", " A"
    assert len(whole) < 50 and len(seen) - len(whole) == len(set(seen) - set(whole)) == 505


@pytest.mark.parametrize(
    ("chat", "bos", "prompt", "begun"),
    [
        (True, "<s>", "<s>a\nb", ""),  # the template names it
        (True, "<s>", "a\nb", "!"),
        (True, "", "a\nb", "!"),  # the tokenizer knows whether it has one
        (False, "<s>", "<s>a\nb", "!"),  # text like any other
    ],
)
def test_a_prompt_begins_once(chat: bool, bos: str, prompt: str, begun: str) -> None:
    asked: list[bool] = []

    def encode(texts: Sequence[str], add_special: Sequence[bool], parse_special: bool) -> list[list[int]]:
        asked.append(parse_special)
        begun = [("!" if special else "") + text for special, text in zip(add_special, texts, strict=True)]
        return by_character(begun, add_special, parse_special)

    tokenizer = Tokenizer(encode=encode, identity="characters", prefix_token=1, bos=bos)
    (line,) = whole_requests(assemble([ask("loglikelihood", prompt, " c")], tokenizer, 100, chat=chat))
    assert "".join(map(chr, line["context"])) == begun + prompt
    assert "".join(map(chr, line["continuation"])) == " c"
    assert set(asked) == {chat}
