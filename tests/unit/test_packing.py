"""How rows are packed into passes: whatever the rows, each token is there once and sees its own ancestors."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.workers.hf.packing import Limits, Pass, Row, common, needed, plan, singly

tokens = st.lists(st.integers(0, 2), min_size=1, max_size=14)
rows_of = st.lists(tokens, min_size=1, max_size=14).map(
    lambda rows: [np.array(row, np.int32) for row in sorted({tuple(row) for row in rows})]
)
limits_of = st.builds(Limits, st.integers(1, 12), st.integers(1, 4))


def flat(one: Pass) -> list[int]:
    return [int(token) for piece in one.tokens for token in piece]


def places(one: Pass) -> list[int]:
    return [place for start, stop in one.positions for place in range(start, stop)]


def seen_in_pass(one: Pass) -> dict[int, list[int]]:
    """Token of the pass → the tokens of the pass that it sees, itself last."""
    seen: dict[int, list[int]] = {}
    for group in one.groups:
        for segment in group.segments:
            before = [n for start, stop in segment.ancestors for n in range(start, stop)]
            assert all(group.start <= n < segment.start for n in before)
            for node in range(segment.start, segment.stop):
                seen[node] = [*before, *range(segment.start, node + 1)]
    return seen


def follow(passes: list[Pass]) -> dict[tuple[int, int], list[int]]:
    """(row, position) → all tokens that it sees, the cache followed as the network would."""
    cached: list[int] = []
    found: dict[tuple[int, int], list[int]] = {}
    for one in passes:
        assert one.prefix <= len(cached), "the prefix was read before"
        cached = cached[: one.prefix]
        inside, ids, where = seen_in_pass(one), flat(one), places(one)
        assert sorted(inside) == list(range(one.size))
        for part in one.parts:
            path = [n for start, stop in part.ranges for n in range(start, stop)]
            for offset, node in enumerate(path):
                assert (part.row, one.prefix + offset) not in found, "each token of a row is there once"
                assert where[node] == one.prefix + offset
                found[part.row, one.prefix + offset] = [*cached, *(ids[n] for n in inside[node])]
        if one.stays:
            cached += ids
    return found


@given(rows_of, limits_of)
def test_each_position_of_each_row_sees_exactly_what_comes_before_it(rows: list[Row], limits: Limits) -> None:
    expected = {(r, p): row[: p + 1].tolist() for r, row in enumerate(rows) for p in range(len(row))}
    assert follow(plan(rows, limits)) == expected
    assert follow(singly(rows)) == expected


@given(rows_of, limits_of)
def test_no_pass_is_too_large_and_no_token_runs_more_often_than_it_stands(rows: list[Row], limits: Limits) -> None:
    passes = plan(rows, limits)
    assert all(1 <= one.size <= limits.pass_tokens for one in passes)
    run = sum(one.size for one in passes)
    unique = len(rows[0]) + sum(len(b) - common(a, b) for a, b in itertools.pairwise(rows))
    assert unique <= run <= sum(len(row) for row in rows)


@given(rows_of)
def test_with_room_enough_every_token_of_the_trie_runs_once(rows: list[Row]) -> None:
    passes = plan(rows, Limits(1000, 1))
    unique = {tuple(row[: p + 1].tolist()) for row in rows for p in range(len(row))}
    assert sum(one.size for one in passes) == len(unique)


@given(rows_of, limits_of, st.data())
def test_a_resumed_job_runs_the_same_passes_and_only_those_it_needs(
    rows: list[Row], limits: Limits, data: st.DataObject
) -> None:
    wanted = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    passes = plan(rows, limits)
    some = [one for one, needs in zip(passes, needed(passes, wanted), strict=True) if needs]
    found = follow(some)
    for number, row in enumerate(rows):
        if wanted[number]:
            assert found[number, len(row) - 1] == row.tolist()
    assert all(any(wanted[part.row] for part in one.parts) for one in some)


def test_a_long_beginning_is_cached_once_and_what_is_left_is_packed() -> None:
    head = list(range(100, 140))
    rows = [np.array([*head, question, 7, 8], np.int32) for question in range(10)]
    passes = plan(rows, Limits(20, 16))
    assert [(one.prefix, one.size, one.stays) for one in passes] == [
        (0, 20, True),
        (20, 20, True),
        (40, 18, False),
        (40, 12, False),
    ]
