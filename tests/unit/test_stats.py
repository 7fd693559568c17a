"""Intervals and tests on plain numbers: known values, invariances, coverage."""

import math
import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats import (
    FEWEST_IN_SEQUENCE,
    Interval,
    always_valid_interval,
    clustered_interval,
    coefficient_of_variation,
    difference_interval,
    effective_items,
    log_interval,
    mcnemar_exact_p,
    quotient_interval,
    ratio_interval,
    ratio_of_sums_interval,
    share_interval,
    t_interval,
    t_quantile,
    weighed,
)

positive = st.floats(min_value=1e-6, max_value=1e9)
rounds = st.lists(st.tuples(positive, positive), min_size=3, max_size=12)
factor = st.floats(min_value=1e-3, max_value=1e3)


def test_t_quantiles_are_those_of_the_tables() -> None:
    assert t_quantile(2) == pytest.approx(4.302653, abs=1e-6)
    assert t_quantile(4) == pytest.approx(2.776445, abs=1e-6)
    assert t_quantile(9, 0.99) == pytest.approx(3.249836, abs=1e-6)


def test_ratio_interval_by_hand() -> None:
    # log-ratios ln 2, ln 3, ln 4: mean ln 24 / 3, sd 0.348311..., half 4.302653 × sd / √3
    interval = ratio_interval([2, 6, 20], [1, 2, 5])
    logs = [math.log(2), math.log(3), math.log(4)]
    mean = sum(logs) / 3
    sd = math.sqrt(sum((x - mean) ** 2 for x in logs) / 2)
    assert interval is not None
    assert interval.low == pytest.approx(math.exp(mean - 4.302653 * sd / math.sqrt(3)), rel=1e-6)
    assert interval.high == pytest.approx(math.exp(mean + 4.302653 * sd / math.sqrt(3)), rel=1e-6)


def test_ratio_interval_needs_three_positive_rounds() -> None:
    assert ratio_interval([2.0, 2.1], [1.0, 1.0]) is None
    assert ratio_interval([2.0, 2.1, 0.0], [1.0, 1.0, 1.0]) is None
    assert ratio_interval([2.0, 2.1, 2.2], [1.0, 0.0, 1.0]) is None
    assert log_interval([1.0, 2.0]) is None
    assert t_interval([1.0]) is None


def test_ratio_interval_refuses_unpaired_rounds() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio_interval([1.0, 2.0, 3.0], [1.0, 2.0])


@given(rounds, factor)
def test_scaling_both_sides_changes_nothing(pairs: list[tuple[float, float]], by: float) -> None:
    values, baselines = [v for v, _ in pairs], [b for _, b in pairs]
    one = ratio_interval(values, baselines)
    other = ratio_interval([v * by for v in values], [b * by for b in baselines])
    assert one is not None and other is not None
    assert other.low == pytest.approx(one.low, rel=1e-6)
    assert other.high == pytest.approx(one.high, rel=1e-6)


@given(rounds)
def test_swapping_sides_gives_the_reciprocal(pairs: list[tuple[float, float]]) -> None:
    values, baselines = [v for v, _ in pairs], [b for _, b in pairs]
    one, other = ratio_interval(values, baselines), ratio_interval(baselines, values)
    assert one is not None and other is not None
    assert other.low == pytest.approx(1 / one.high, rel=1e-6)
    assert other.high == pytest.approx(1 / one.low, rel=1e-6)


@given(rounds)
def test_the_geometric_mean_lies_inside(pairs: list[tuple[float, float]]) -> None:
    interval = ratio_interval([v for v, _ in pairs], [b for _, b in pairs])
    centre = math.exp(fmean(math.log(v / b) for v, b in pairs))
    assert interval is not None
    assert interval.low <= centre * (1 + 1e-9)
    assert interval.high >= centre * (1 - 1e-9)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    draw = random.Random(20260)
    hits = 0
    for _ in range(3000):
        drift = [math.exp(draw.gauss(0, 0.2)) for _ in range(5)]  # shared by both sides of a round
        values = [3.0 * d * math.exp(draw.gauss(0, 0.02)) for d in drift]
        baselines = [d * math.exp(draw.gauss(0, 0.02)) for d in drift]
        interval = ratio_interval(values, baselines)
        assert interval is not None
        hits += 3.0 in interval
    assert 0.935 < hits / 3000 < 0.965


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=2, max_size=200))
def test_swapping_variants_mirrors_the_difference(differences: list[float]) -> None:
    one, other = difference_interval(differences), difference_interval([-d for d in differences])
    assert one is not None and other is not None
    assert other.low == pytest.approx(-one.high, abs=1e-12)
    assert other.high == pytest.approx(-one.low, abs=1e-12)


def test_no_difference_at_all_still_has_a_width() -> None:
    interval = difference_interval([0.0] * 200)
    assert interval is not None
    # Were a share p of all items different, 200 items would all be alike with probability (1 − p)²⁰⁰.
    assert (1 - interval.high) ** 200 == pytest.approx(0.025)
    assert interval.low == -interval.high
    wider = difference_interval([0.0] * 50)
    assert wider is not None and wider.high > interval.high


def test_clusters_of_alike_items_widen_the_interval() -> None:
    draw = random.Random(3)
    values, clusters = [], []
    for cluster in range(20):
        shared = draw.gauss(0, 1)
        values += [shared + draw.gauss(0, 0.1) for _ in range(10)]
        clusters += [cluster] * 10
    plain, clustered = t_interval(values), clustered_interval(values, clusters)
    assert plain is not None and clustered is not None
    assert clustered.high - clustered.low > 2.5 * (plain.high - plain.low)


def test_equal_clusters_are_a_t_interval_of_their_means() -> None:
    draw = random.Random(4)
    values = [draw.gauss(0, 1) for _ in range(60)]
    clusters = [i // 5 for i in range(60)]
    clustered = clustered_interval(values, clusters)
    means = t_interval([fmean(values[i : i + 5]) for i in range(0, 60, 5)])
    assert clustered is not None and means is not None
    assert (clustered.low, clustered.high) == pytest.approx((means.low, means.high))


def test_windows_of_equal_length_are_a_t_interval_of_their_means() -> None:
    losses, tokens = [10.0, 14.0, 9.0, 13.0], [4, 4, 4, 4]
    found, means = ratio_of_sums_interval(losses, tokens), t_interval([x / 4 for x in losses])
    assert found is not None and means is not None
    assert (found.low, found.high) == pytest.approx((means.low, means.high))


def test_long_windows_weigh_more() -> None:
    found = ratio_of_sums_interval([1.0, 90.0, 1.0, 1.0], [1, 30, 1, 1])
    assert found is not None
    assert (found.low + found.high) / 2 == pytest.approx(93 / 33)
    assert ratio_of_sums_interval([1.0], [1]) is None


def test_mcnemar_known_values() -> None:
    assert mcnemar_exact_p(1, 9) == pytest.approx(22 / 1024)  # 2 × (1 + 10) / 2¹⁰
    assert mcnemar_exact_p(0, 0) == 1.0
    assert mcnemar_exact_p(5, 5) == 1.0


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_a_probability(a: int, b: int) -> None:
    assert mcnemar_exact_p(a, b) == mcnemar_exact_p(b, a)
    assert 0 < mcnemar_exact_p(a, b) <= 1


def test_share_interval_is_wilsons() -> None:
    interval = share_interval(8, 10)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert share_interval(0, 0) is None


@given(st.integers(1, 500), st.data())
def test_share_interval_holds_the_share_and_stays_in_range(items: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, items))
    interval = share_interval(hits, items)
    assert interval is not None
    assert 0 <= interval.low <= hits / items + 1e-12
    assert hits / items - 1e-12 <= interval.high <= 1


def test_variation_is_relative() -> None:
    assert coefficient_of_variation([9, 10, 11]) == pytest.approx(0.1)
    assert coefficient_of_variation([90, 100, 110]) == pytest.approx(0.1)
    assert coefficient_of_variation([5]) is None
    assert coefficient_of_variation([-1, 1]) is None


def test_a_quotients_interval_covers_as_it_says() -> None:
    draw = random.Random(11)
    hits = 0
    for _ in range(500):
        base = [float(draw.random() < 0.5) for _ in range(300)]
        ours = [b if draw.random() < 0.8 else float(draw.random() < 0.4) for b in base]
        interval = quotient_interval(ours, base)
        assert interval is not None
        hits += (0.8 * 0.5 + 0.2 * 0.4) / 0.5 in interval
    assert 0.92 < hits / 500 < 0.98


def test_clusters_widen_a_quotient_and_few_right_ones_have_none() -> None:
    base = [1.0, 1.0, 0.0, 0.0] * 30
    ours = [1.0, 0.0, 0.0, 0.0] * 15 + [1.0, 1.0, 0.0, 0.0] * 15
    plain, clustered = quotient_interval(ours, base), quotient_interval(ours, base, [i // 12 for i in range(120)])
    assert plain is not None and clustered is not None
    assert clustered.high - clustered.low > 1.5 * (plain.high - plain.low)
    assert quotient_interval([0.0] * 100, [1.0] * 5 + [0.0] * 95) is None
    assert quotient_interval([1.0], [1.0]) is None


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(0.01, 10)), min_size=2, max_size=30))
def test_weighed_values_have_the_weighted_mean(pairs: list[tuple[float, float]]) -> None:
    values, raw = [v for v, _ in pairs], [w for _, w in pairs]
    weights = [w / sum(raw) for w in raw]
    wanted = sum(w * v for v, w in zip(values, weights, strict=True))
    assert fmean(weighed(values, weights)) == pytest.approx(wanted, abs=1e-9)
    assert weighed(values, [1 / len(values)] * len(values)) == pytest.approx(values, abs=1e-9)
    assert 1 - 1e-9 <= effective_items(weights) <= len(weights) + 1e-9


# ---------------------------------------------------------------- intervals that are looked at again and again

LOOKS = 20


def flips(draw: random.Random, count: int, rate: float, lost: float = 0.5) -> list[float]:
    return [0.0 if draw.random() >= rate else (-1.0 if draw.random() < lost else 1.0) for _ in range(count)]


def looks(count: int) -> list[int]:
    return [n for n in (count * (look + 1) // LOOKS for look in range(LOOKS)) if n >= FEWEST_IN_SEQUENCE]


@pytest.mark.parametrize(("rate", "lost"), [(0.01, 0.9), (0.05, 0.5), (0.2, 0.8), (0.5, 0.5)])
def test_a_sequence_covers_the_truth_at_all_looks_together(rate: float, lost: float) -> None:
    draw, runs, count, missed, missed_by_t = random.Random(20260), 300, 600, 0, 0
    truth = rate * (1 - 2 * lost)
    for _ in range(runs):
        values = flips(draw, count, rate, lost)
        seen = [always_valid_interval(values[:n], range(n), count) for n in looks(count)]
        missed += any(i is not None and truth not in i for i in seen)
        missed_by_t += any(truth not in (t_interval(values[:n]) or Interval(low=-1, high=1)) for n in looks(count))
    assert missed <= 0.05 * runs
    assert missed_by_t > 0.05 * runs, "what is asked here would show an interval for a fixed number to be too narrow"


@pytest.mark.parametrize("count", [100, 400, 1000, 2000])
def test_a_sequence_is_wider_than_an_interval_for_a_fixed_number(count: int) -> None:
    values = flips(random.Random(3), count, 0.2)
    one, fixed = always_valid_interval(values, range(count), 2000), t_interval(values)
    assert one is not None and fixed is not None
    assert one.low < fixed.low and fixed.high < one.high
    assert 1.5 < (one.high - one.low) / (fixed.high - fixed.low) < 2.1


def test_a_sequence_by_hand() -> None:
    # m = 1,000: rho² = (-2 ln .05 + ln(1 - 2 ln .05)) / 1000 = (5.9915 + 1.9447) / 1000 = 0.0079362
    # n = 500 without a difference: v = 1 / 500; n rho² + 1 = 4.9681
    # half = sqrt(0.002 × 2 × 4.9681 / (500² × 0.0079362) × ln(sqrt(4.9681) / 0.05)) = 0.0061671
    found = always_valid_interval([0.0] * 500, range(500), 2000)
    assert found is not None
    assert found.high == pytest.approx(0.0061671, rel=1e-3) and found.low == -found.high


def test_values_that_do_not_vary_promise_no_certainty() -> None:
    found = always_valid_interval([0.0] * 100, range(100), 1000)
    assert found is not None and found.high - found.low > 0.05


def test_alike_values_within_clusters_widen_a_sequence() -> None:
    draw = random.Random(4)
    values = [v for v in flips(draw, 40, 0.6) for _ in range(10)]
    clusters = [n // 10 for n in range(400)]
    alone, alike = (always_valid_interval(values, c, 400) for c in (range(400), clusters))
    assert alone is not None and alike is not None
    assert alike.high - alike.low > 2 * (alone.high - alone.low)


def test_few_or_unlike_clusters_change_nothing() -> None:
    values = flips(random.Random(5), 300, 0.3)
    plain = always_valid_interval(values, [0] * 300, 300)
    assert plain == always_valid_interval(values, [n % 9 for n in range(300)], 300)
    balanced = [1.0, -1.0] * 150
    assert always_valid_interval(balanced, [n // 2 for n in range(300)], 300) == always_valid_interval(
        balanced, [0] * 300, 300
    ), "never narrower than without clusters"


def test_a_sequence_needs_a_hundred_values_and_narrows_with_more_of_them() -> None:
    assert always_valid_interval([], [], 100) is None
    assert always_valid_interval([0.5] * 99, range(99), 1000) is None
    values = flips(random.Random(6), 2000, 0.1)
    widths = [
        i.high - i.low for n in (100, 200, 500, 1000, 2000) if (i := always_valid_interval(values[:n], range(n), 2000))
    ]
    assert len(widths) == 5 and widths == sorted(widths, reverse=True)
