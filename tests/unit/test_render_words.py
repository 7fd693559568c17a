"""Numbers in words: units, digits, directions, harmless strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.render.words import (
    clean,
    date,
    gain,
    last_place,
    listed,
    metric_title,
    number,
    p_value,
    points,
    quantity,
    times,
)
from harness.values import Memory, Size, Speed, Task


@pytest.mark.parametrize(
    ("name", "value", "low", "high", "said"),
    [
        ("size_bytes", 270_885_984, None, None, "271 MB"),
        ("size_bytes", 2_471_645_608, None, None, "2.47 GB"),
        ("peak_rss_bytes", 449_209_664, 449_000_000, 449_400_000, "428 MiB"),
        ("peak_rss_bytes", 3 << 30, None, None, "3.0 GiB"),
        ("decode_tok_s", 48.3421, 47.9, 48.8, "48.3 tok/s"),
        ("decode_tok_s", 48.3421, 45.0, 52.0, "48 tok/s"),
        ("decode_tok_s", 48.3421, None, None, "48 tok/s"),
        ("decode_tok_s", 1034.1, 1020.0, 1050.0, "1,030 tok/s"),
        ("ttft_s", 0.0619, 0.0615, 0.0623, "61.9 ms"),
        ("ttft_s", 2.5984, 2.4, 2.8, "2.6 s"),
        ("bandwidth_share", 0.2614, 0.2610, 0.2618, "26.1 %"),
        ("read_bandwidth_bytes_s", 44.92e9, 44.8e9, 45.0e9, "44.9 GB/s"),
        ("acc", 0.465, 0.40, 0.53, "46.5 %"),
        ("perplexity", 20.7067, 18.0, 23.0, "20.7"),
        ("kl_divergence", 0.0942, 0.09, 0.10, "0.094 nats"),
        ("kl_divergence", 2.26e-5, 2.0e-5, 2.5e-5, "2.3 × 10⁻⁵ nats"),
    ],
)
def test_quantities_carry_their_unit_and_no_digit_too_many(
    name: str, value: float, low: float | None, high: float | None, said: str
) -> None:
    assert quantity(name, value, low, high) == said


def test_a_quantity_can_carry_its_interval() -> None:
    assert quantity("top1_agreement", 0.6, 0.45, 0.71, interval=True) == "60 % (45–71)"
    assert quantity("kl_divergence", 2.26e-5, 2.0e-5, 2.5e-5, interval=True) == "2.3 × 10⁻⁵ nats (2.0–2.5)"


@pytest.mark.parametrize(
    ("name", "ratio", "low", "high", "said"),
    [
        ("decode_tok_s", 3.07, 2.92, 3.22, "3.1× faster (2.9–3.2) than bf16"),
        ("decode_tok_s", 0.40, 0.39, 0.41, "2.50× slower (2.44–2.56) than bf16"),
        ("decode_tok_s", 1.22, 1.19, 1.24, "22 % faster (19–24) than bf16"),
        ("decode_tok_s", 1.02, 0.97, 1.07, "no difference seen: 1.02× (0.97–1.07) against bf16"),
        ("ttft_s", 0.25, 0.24, 0.26, "4.0× shorter (3.8–4.2) than bf16"),
        ("ttft_s", 1.3, 1.28, 1.32, "30 % longer (28–32) than bf16"),
        ("size_bytes", 0.281, 0.281, 0.281, "71.9 % smaller than bf16"),
        ("size_bytes", 1.12, 1.12, 1.12, "12.0 % larger than bf16"),
        ("size_bytes", 1.0, 1.0, 1.0, "the same as bf16"),
        ("peak_rss_bytes", 0.6017, 0.6008, 0.6025, "39.8 % less (39.8–39.9) than bf16"),
        ("perplexity", 1.16, 1.15, 1.18, "16 % higher (15–18) than bf16"),
        ("decode_tok_s", 3.07, None, None, "3.1× faster than bf16"),
    ],
)
def test_gains_are_said_in_the_direction_that_matters(
    name: str, ratio: float, low: float | None, high: float | None, said: str
) -> None:
    assert gain(name, ratio, low, high).against("bf16") == said


def test_rounding_never_hides_that_an_interval_lies_beside_nothing() -> None:
    assert points(-0.04, -0.0766, -0.0034) == "−4.0 points (−7.7 to −0.3)"
    assert points(0.01, -0.0097, 0.0297) == "+1 point (−1 to 3)"
    assert times(1.004, 1.001, 1.007) == "1.004× (1.001–1.007)" or "(1.00–" in times(1.004, 1.001, 1.007)


@given(
    st.floats(min_value=1e-6, max_value=1e9),
    st.floats(min_value=1e-6, max_value=0.5),
)
def test_the_last_digit_is_never_finer_than_a_tenth_of_the_interval(value: float, width: float) -> None:
    low, high = value * (1 - width), value * (1 + width)
    place = last_place(value, low, high)
    assert 10.0**place >= (high - low) / 2 / 100  # at most one digit beyond the first of the half width
    assert 10.0**place <= max(value, (high - low) / 2) * 10


def test_numbers() -> None:
    assert number(-0.04, -1) == "0.0"
    assert number(-1234.56, -1) == "−1,234.6"
    assert number(1034.1, 1) == "1,030"
    assert p_value(0.00004) == "p < 0.001"
    assert p_value(0.0573) == "p = 0.057"


@given(st.text())
def test_any_string_becomes_one_harmless_line(text: str) -> None:
    line = clean(text)
    assert "\n" not in line and "\x1b" not in line and "\x00" not in line
    assert not set(line) & set("\u202e\u2066\u200f")
    line.encode("utf-8")
    assert clean(line) == line


def test_clean_keeps_words_and_shows_what_it_removed() -> None:
    assert clean("a\r\n  b\tc") == "a b c"
    assert clean("red \x1b[31m") == "red �[31m"
    assert clean("ab\u202ecd") == "ab�cd"


def test_titles_hold_what_is_part_of_the_metric() -> None:
    speed = Speed(prompt_tokens=512, generated_tokens=64, depth=128)
    assert metric_title("prefill_tok_s", speed) == "Prefill@512 d128"
    assert metric_title("decode_tok_s", speed) == "Decode@640"
    assert metric_title("ttft_s", speed) == "Time to first token, p512+g64 d128"
    assert metric_title("peak_rss_bytes", Memory(load_mode="mmap")) == "Peak memory, memory-mapped"
    assert metric_title("size_bytes", Size()) == "Size"
    assert metric_title("f1", Task(task="squad")) == "f1, squad"


def test_small_words() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert date("2026-07-14T10:15:00Z") == "14 July 2026"
    assert date("no date") == "no date"


def test_a_value_with_a_wide_interval_is_never_printed_as_zero() -> None:
    assert quantity("itl_p99_s", 0.0089, 0.0, 0.8) == "9 ms"
