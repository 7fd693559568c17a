"""The next candidate and the verdict: always narrower, never past a contradiction, right where steps are right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.nightly.bisection import Narrowed, Side, Step, doubts, midpoint, narrowed, side_of_interval


@given(st.integers(2, 200), st.data())
def test_the_step_is_found_in_logarithmic_time(count: int, data: st.DataObject) -> None:
    first_bad = data.draw(st.integers(1, count - 1))
    known: dict[int, Side] = {0: "good", count - 1: "bad"}
    asked = 0
    while (candidate := midpoint(count, known)) is not None:
        assert candidate not in known
        known[candidate] = "bad" if candidate >= first_bad else "good"
        asked += 1
    assert narrowed(count, known) == Narrowed(good=first_bad - 1, bad=first_bad)
    assert asked <= (count - 1).bit_length()


@given(st.integers(2, 40), st.data())
def test_candidates_that_cannot_be_told_are_passed_over_and_named(count: int, data: st.DataObject) -> None:
    first_bad = data.draw(st.integers(1, count - 1))
    dumb = data.draw(st.sets(st.integers(1, max(1, count - 2))))
    known: dict[int, Side] = {0: "good", count - 1: "bad"}
    while (candidate := midpoint(count, known)) is not None:
        told: Side = "bad" if candidate >= first_bad else "good"
        known[candidate] = "unsure" if candidate in dumb else told
    found = narrowed(count, known)
    assert found.good < first_bad <= found.bad
    assert set(found.left) == set(range(found.good + 1, found.bad)) <= dumb


def test_a_contradiction_is_an_error() -> None:
    with pytest.raises(ValueError, match="more than one change"):
        midpoint(5, {0: "good", 1: "bad", 2: "good", 4: "bad"})
    with pytest.raises(ValueError, match="both ends"):
        narrowed(5, {0: "good"})


@pytest.mark.parametrize(
    ("low", "high", "at_bad", "side"),
    [
        (0.99, 1.01, 1.10, "good"),
        (1.08, 1.12, 1.10, "bad"),
        (1.02, 1.09, 1.10, "unsure"),
        (0.99, 1.01, 0.90, "good"),
        (0.88, 0.92, 0.90, "bad"),
        (0.93, 0.96, 0.90, "unsure"),
        (1.0, 1.0, 1.02, "good"),
    ],
)
def test_a_side_is_told_only_by_a_whole_interval(low: float, high: float, at_bad: float, side: Side) -> None:
    assert side_of_interval(low, high, at_bad) == side


def test_doubts_add_up() -> None:
    sides: list[Side] = ["good", "bad", "unsure"]
    steps = [Step(candidate=n, side=side, pairs=6) for n, side in enumerate(sides)]
    assert doubts(steps, 0.995, 6) == pytest.approx(0.015), "the first could have gone either way"
    again = [*steps, Step(candidate=3, side="bad", pairs=12)]
    assert doubts(again, 0.995, 6) == pytest.approx(0.025), "what was unsure was looked at twice"
    assert doubts([], 0.995, 6) == 0
