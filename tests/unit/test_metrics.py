"""Each metric follows from nanoseconds and bytes as its definition says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.derivations import quantile, trial_values
from harness.errors import UnknownNameError
from harness.metrics import METRICS, check_names
from harness.values import Hello, MemorySeen, Timing, TrialRecord


def timing(logits_ns: int, token_ns: tuple[int, ...], prompt: int = 64) -> Timing:
    return Timing(
        index=0,
        warmup=False,
        prefix_tokens=0,
        prompt_tokens=prompt,
        generated_tokens=len(token_ns),
        logits_ns=logits_ns,
        token_ns=token_ns,
        wall_ns=token_ns[-1],
        cpu_ns=None,
        machine_busy_ns=None,
        machine_steal_ns=None,
        major_faults=None,
        minor_faults=None,
        voluntary_switches=None,
        involuntary_switches=None,
    )


def record(*seen: object) -> TrialRecord:
    return TrialRecord(trial="t", cell="c", round=0, status="ok", reason=None, observations=seen)  # type: ignore[arg-type]


def test_speed_from_one_repetition() -> None:
    values = trial_values(record(timing(500_000_000, (510_000_000, 520_000_000, 540_000_000))))
    assert values["prefill_tok_s"] == pytest.approx(128)
    assert values["ttft_s"] == pytest.approx(0.51)
    assert values["decode_tok_s"] == pytest.approx(2 / 0.03)
    assert values["itl_p50_s"] == pytest.approx(0.015)


def test_a_process_is_the_median_of_its_repetitions() -> None:
    runs = [timing(ns, (ns + 1, ns + 2)) for ns in (100, 900, 300)]
    assert trial_values(record(*runs))["prefill_tok_s"] == pytest.approx(64 / (300 / 1e9))


def test_one_generated_token_gives_no_decode_and_no_gap() -> None:
    values = trial_values(record(timing(100, (110,))))
    assert "decode_tok_s" not in values and "itl_p50_s" not in values
    assert values["ttft_s"] == pytest.approx(110e-9)


@pytest.mark.parametrize(("swapped", "peak"), [(None, 1000), (900, 1000), (1700, 1700)])
def test_peak_memory_is_the_high_water_mark_or_rss_and_swap(swapped: int | None, peak: int) -> None:
    seen = MemorySeen(
        vm_hwm_bytes=1000,
        rss_bytes=900,
        rss_anon_bytes=800,
        rss_file_bytes=100,
        rss_shmem_bytes=0,
        swap_bytes=0,
        peak_anon_bytes=850,
        peak_file_bytes=None,
        peak_swap_bytes=0,
        peak_rss_plus_swap_bytes=swapped,
        samples=10,
        rss_before_load_bytes=10,
        rss_before_weights_bytes=None,
        rss_after_load_bytes=800,
        prompt_tokens=8,
        generated_tokens=2,
    )
    values = trial_values(record(seen))
    assert values["peak_rss_bytes"] == peak
    assert "peak_file_bytes" not in values, "what was not seen is absent, never 0"
    assert "peak_over_interpreter_bytes" not in values, "bench-llama is no interpreter"
    hello = Hello(program="bench-executorch", runner_sha256="x", llama_version="", kind="memory", pid=1)
    assert trial_values(record(hello, seen))["peak_over_interpreter_bytes"] == peak - 10


@given(st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_quantile_lies_between_neighbours(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found is not None and min(values) <= found <= max(values)
    assert quantile(values, 0) == min(values) and quantile(values, 1) == max(values)


def test_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'decode_tok_s'"):
        check_names(["decode_tok"])
    assert check_names(["acc_special"], ["acc_special"]) == ("acc_special",)


def test_every_metric_defines_itself() -> None:
    for name, one in METRICS.items():
        assert one.name == name and one.definition.endswith(".") and one.title
