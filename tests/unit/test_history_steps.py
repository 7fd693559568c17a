"""Steps of plain numbers, cuts, and what asks for a rerun: functions of a history up to tonight."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from harness.analyse.history.confirming import confirmed
from harness.analyse.history.cuts import find_cuts, segments
from harness.analyse.history.levels_of import change_of
from harness.analyse.history.scores import Scores, in_pairs
from harness.analyse.history.settings import Settings
from harness.analyse.history.steps import find_steps
from harness.analyse.history.watch import _explains as explains
from harness.analyse.history.watch import changes, tonight
from tests.nights import series_of

DEFAULT = Settings()
QUICK = settings(max_examples=40, deadline=None)


def noisy(levels: list[tuple[int, float]], deviation: float = 0.01, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [level * (1 + draw.gauss(0, deviation)) for count, level in levels for _ in range(count)]


# ---------------------------------------------------------------- steps


def test_a_step_is_found_where_it_is() -> None:
    (step,) = find_steps(noisy([(30, 100.0), (20, 90.0)]), DEFAULT)
    assert step == 30


def test_several_levels_far_apart_all_count() -> None:
    """Values are clipped around the nights beside them, not around the whole history."""
    found = find_steps(noisy([(20, 100.0), (20, 200.0), (20, 400.0), (20, 800.0)], 0.001), DEFAULT)
    assert found == [20, 40, 60]


def test_an_outlier_is_no_level() -> None:
    values = noisy([(40, 100.0)])
    values[20] = 300.0
    assert find_steps(values, DEFAULT) == []


@pytest.mark.parametrize("count", [12, 13, 30, 59])
def test_one_odd_night_at_the_end_is_no_level_but_tonight(count: int) -> None:
    """A level has at least two nights; the night before an odd one is not taken along to make it one."""
    values = [*noisy([(count, 100.0)]), 33.0]
    assert find_steps(values, DEFAULT) == []
    (change,) = changes(series_of(values))
    assert (change.at, change.nights) == (count, 1)
    assert change.after == 33.0
    (two,) = changes(series_of([*values, 34.0]))
    assert (two.at, two.nights) == (count, 2)


def test_a_step_too_small_to_matter_is_none() -> None:
    assert find_steps(noisy([(30, 100.0), (30, 99.0)], 0.0005), DEFAULT) == []


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 3.0], [5.0] * 40, [0.0] * 40])
def test_few_and_constant_values_have_no_steps(values: list[float]) -> None:
    assert find_steps(values, DEFAULT) == []
    assert changes(series_of(values)) == ()


def test_a_constant_series_that_steps_is_seen() -> None:
    (change,) = changes(series_of([100.0] * 20 + [90.0] * 5))
    assert (change.at, change.worse, change.before, change.after) == (20, True, 100.0, 90.0)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="what was not seen must be None"):
        changes(series_of([100.0] * 10 + [math.nan]))


def test_a_better_level_is_a_change_and_no_watch() -> None:
    series = series_of(noisy([(30, 100.0), (10, 110.0)]))
    (change,) = changes(series)
    assert not change.worse
    assert tonight(series) is None


def test_lower_is_worse_only_where_higher_is_better() -> None:
    values = noisy([(30, 100.0), (2, 90.0)])
    assert tonight(series_of(values)) is not None
    assert tonight(series_of(values, name="ttft_s")) is None
    assert tonight(series_of([200 - v for v in values], name="ttft_s")) is not None


@pytest.mark.parametrize(("second", "explained"), [(95.0, True), (80.0, False)])
def test_a_known_change_explains_no_much_larger_one(second: float, explained: bool) -> None:
    series = series_of(noisy([(30, 100.0), (5, 95.0), (2, second)]))
    watch = tonight(series)
    assert watch is not None
    known = change_of(series, list(range(30)), list(range(30, 35)), rule="")
    assert explains(known, watch, DEFAULT) is explained


@QUICK
@given(st.integers(0, 10_000), st.integers(10, 45))
def test_tonight_needs_only_the_nights_until_tonight(seed: int, length: int) -> None:
    """Any prefix of a history gives the same past nights: later nights change no decision of an earlier one."""
    values = noisy([(30, 100.0), (20, 93.0)], 0.03, seed)
    whole = series_of(values)
    prefix = series_of(values[:length])
    cut = type(whole)(**{f: getattr(whole, f) for f in whole.__struct_fields__} | {"points": whole.points[:length]})
    assert tonight(cut) == tonight(prefix)


@QUICK
@given(st.floats(0.01, 1e9), st.integers(0, 1000))
def test_the_unit_does_not_matter(factor: float, seed: int) -> None:
    values = noisy([(25, 100.0), (15, 92.0)], 0.02, seed)
    assert find_steps(values, DEFAULT) == find_steps([v * factor for v in values], DEFAULT)


def test_a_change_says_where_else_it_may_lie() -> None:
    (change,) = changes(series_of(noisy([(30, 100.0), (30, 96.0)], 0.02, 5)))
    assert change.earliest <= change.at <= change.latest
    assert change.earliest <= 30 <= change.latest
    assert change.ratio_low is not None
    assert change.ratio_high is not None
    assert change.ratio_low < 0.96 < change.ratio_high


def test_without_a_rerun_only_what_is_beyond_the_fence_alerts() -> None:
    strict = Settings(strict=True)
    (large,) = changes(series_of(noisy([(30, 100.0), (6, 80.0)], 0.02)), strict)
    assert large.tier == "alert"
    assert "without a rerun" in large.rule
    assert all(c.tier == "watch" for c in changes(series_of(noisy([(30, 100.0), (6, 80.0)], 0.02))))
    assert all(c.tier == "watch" for c in changes(series_of(noisy([(30, 100.0), (10, 97.5)], 0.01)), strict))


# ---------------------------------------------------------------- cuts


def test_a_cut_begins_anew_and_says_both_levels() -> None:
    series = series_of(
        noisy([(20, 100.0), (20, 80.0)]),
        conditions=({"operating system": "A"}, {"operating system": "B"}),
        which=[0] * 20 + [1] * 20,
    )
    (cut,) = series.cuts
    assert (cut.at, cut.differences[0].before, cut.differences[0].after) == (20, "A", "B")
    assert cut.before == pytest.approx(100, rel=0.02)
    assert cut.after == pytest.approx(80, rel=0.02)
    assert changes(series) == (), "levels on both sides of a cut are not compared"


def test_an_artifact_and_a_build_do_not_cut_but_stand_beside_the_change() -> None:
    series = series_of(
        [100.0] * 20 + [90.0] * 10,
        conditions=({"runner": "aa", "bench version": "1"}, {"runner": "bb", "bench version": "2"}),
        which=[0] * 20 + [1] * 10,
        artifacts=["old"] * 20 + ["new"] * 10,
    )
    assert series.cuts == ()
    (change,) = changes(series)
    assert [one.what for one in change.between] == ["artifact", "runner", "bench version"]


def test_a_runtime_cuts_unless_asked_otherwise() -> None:
    conditions = ({"llama.cpp version": "b1"}, {"llama.cpp version": "b2"})
    points = series_of([1.0] * 4, conditions=conditions, which=[0, 0, 1, 1]).points
    assert [cut.at for cut in find_cuts(points, conditions, "speed")] == [2]
    assert find_cuts(points, conditions, "speed", across_runtimes=True) == ()


def test_the_system_cuts_what_is_timed_and_no_size() -> None:
    conditions = ({"operating system": "A", "CPU": "X"}, {"operating system": "B", "CPU": "Y"})
    points = series_of([1.0] * 4, conditions=conditions, which=[0, 0, 1, 1]).points
    assert len(find_cuts(points, conditions, "speed")) == 1
    assert find_cuts(points, conditions, "exact") == ()
    (cut,) = find_cuts(points, conditions, "accuracy")
    assert [one.what for one in cut.differences] == ["CPU"]


def test_what_was_not_seen_differs_from_nothing() -> None:
    conditions = ({"power": "mains"}, {"power": "unknown"}, {}, {"power": "battery"})
    points = series_of([1.0] * 4, conditions=conditions, which=[0, 1, 2, 3]).points
    (cut,) = find_cuts(points, conditions, "speed")
    assert (cut.at, cut.differences[0].before) == (3, "mains")


@QUICK
@given(st.lists(st.tuples(st.sampled_from("AB"), st.booleans()), min_size=1, max_size=30))
def test_cuts_divide_all_points_and_no_segment_holds_two_conditions(nights: list[tuple[str, bool]]) -> None:
    conditions = ({"CPU": "A"}, {"CPU": "B"})
    series = series_of(
        [1.0 if has else None for _, has in nights], conditions=conditions, which=["AB".index(c) for c, _ in nights]
    )
    parts = segments(len(nights), series.cuts)
    assert [index for part in parts for index in part] == list(range(len(nights)))
    for part in parts:
        assert len({nights[index][0] for index in part if nights[index][1]}) <= 1


# ---------------------------------------------------------------- metrics without chance


def test_exact_metrics_compare_exactly() -> None:
    (change,) = changes(series_of([1000.0] * 5 + [1001.0] * 2, name="size_bytes"))
    assert (change.at, change.tier, change.worse) == (5, "alert", True)
    (better,) = changes(series_of([1000.0] * 2 + [999.0], name="size_bytes"))
    assert (better.tier, better.worse) == ("watch", False)


def test_a_score_is_set_against_the_first_night_of_its_level() -> None:
    """Losses that are too small each night add up: the level is the night that it began with."""
    rights = [bytes([1] * (200 - lost) + [0] * lost) for lost in (0, 4, 8, 12, 16)]
    scores = [Scores("same", one, None) for one in rights]
    series = series_of([sum(one) / 200 for one in rights], name="acc")
    found = changes(series, compare=lambda old, new: in_pairs(scores[old], scores[new]))
    assert [(c.at, c.tier, c.worse) for c in found] == [(3, "alert", True)]
    assert "McNemar" in found[0].rule


def test_scores_of_other_questions_make_no_pair() -> None:
    a, b = Scores("one", bytes([1, 0, 1]), None), Scores("two", bytes([0, 0, 0]), None)
    assert in_pairs(a, b) is None
    assert in_pairs(a, None) is None
    series = series_of([0.9, 0.1], name="acc")
    assert changes(series, compare=lambda _old, _new: None) == ()


# ---------------------------------------------------------------- reruns


def test_a_rerun_is_a_one_sided_t_bound() -> None:
    ratios = [0.95, 0.96, 0.94, 0.955, 0.945, 0.95]
    ratio, bound, sure = confirmed(ratios, "higher")
    logs = np.log(ratios)
    half = student.ppf(DEFAULT.confirm_level, 5) * logs.std(ddof=1) / math.sqrt(6)
    assert ratio == pytest.approx(math.exp(logs.mean()))
    assert bound == pytest.approx(math.exp(logs.mean() + half))
    assert sure
    assert not confirmed(ratios, "lower")[2], "faster is not worse where lower is better"
    assert confirmed([1 / r for r in ratios], "lower")[2]


def test_a_rerun_without_a_change_confirms_nothing() -> None:
    assert not confirmed([1.01, 0.99, 1.0, 1.02, 0.98, 1.0], "higher")[2]
    assert not confirmed([0.5, 0.5001, 0.5], "higher")[2], "three pairs are too few, however clear"


@pytest.mark.parametrize("ratios", [[], [0.9], [0.9, 0.0], [0.9, math.nan], [0.9, math.inf]])
def test_a_rerun_of_no_numbers_is_refused(ratios: list[float]) -> None:
    with pytest.raises(ValueError, match="positive ratios"):
        confirmed(ratios, "higher")


def test_few_false_watches_and_a_drop_is_soon_one() -> None:
    """A small piece of benchmarks/nightly_alerts.py, with a fixed seed."""
    watches = nights = 0
    for seed in range(12):
        values = noisy([(45, 100.0)], 0.03, seed)
        for length in range(21, 46):
            nights, watches = nights + 1, watches + (tonight(series_of(values[:length])) is not None)
    assert watches / nights < 0.1
    seen = 0
    for seed in range(12):
        values = noisy([(40, 100.0), (3, 90.0)], 0.03, seed)
        seen += any(tonight(series_of(values[:length])) is not None for length in (41, 42, 43))
    assert seen == 12


@QUICK
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e12, 1e12), st.sampled_from([0.0, 1.0, 100.0])), max_size=40),
    st.sampled_from(["decode_tok_s", "ttft_s", "peak_rss_bytes", "size_bytes", "acc", "kl_divergence"]),
)
def test_any_values_give_changes_within_the_series(values: list[float | None], name: str) -> None:
    series = series_of(values, name=name)
    for change in changes(series, Settings(strict=True)):
        assert 0 < change.earliest <= change.at <= change.latest < len(values)
        assert change.before != change.after
