"""Claims against runs whose truth is known: each word, and what keeps one from being said."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.verdict_rates import BAND, coverage, verdicts
from harness.analyse.compare import analyse
from harness.analyse.verdicts.bands import Band, band_of, judge, more_rounds
from harness.analyse.verdicts.check import broken, check
from harness.analyse.verdicts.figures import over_rounds
from harness.analyse.verdicts.places import same_word
from harness.analyse.verdicts.values import Check, Verdict
from harness.errors import InputError, UnknownNameError
from harness.published import (
    Claim,
    ClaimFile,
    Column,
    PublishedCondition,
    PublishedModel,
    PublishedRow,
    PublishedTask,
    Source,
)
from harness.stats import Interval, t_quantile
from harness.values import Bandwidth, Cell, Memory, Size, Speed, Stands, TrialRecord
from tests.builders import PARAMETERS, TRUTHS, Truth, build_and_read

STANDS = {
    "paper": {"16bit": Stands(variant="bf16"), "8bit": Stands(variant="int8"), "4bit": Stands(variant="int4-ptq")}
}
SPEEDS = (Size(), Memory(rounds=5), Speed(prompt_tokens=64, generated_tokens=64, rounds=5, repetitions=3))
MODEL = PublishedModel(
    title="a model",
    parameters=PARAMETERS,
    hidden=576,
    intermediate=1536,
    layers=30,
    heads=9,
    kv_heads=3,
    head=64,
    vocabulary=49152,
    tied=True,
)


def claim(metric: str, expressed: Any, figure: str, rows: tuple[str, ...] = ("8bit",), **more: Any) -> Claim:
    return Claim(
        source="paper",
        statement="It is so.",
        printed=figure,
        metric=metric,
        expressed=expressed,
        figure=figure,
        rows=rows,
        **more,
    )


def claims(*conditions: PublishedCondition, rows: dict[str, PublishedRow] | None = None, **made: Claim) -> ClaimFile:
    known = rows or {
        "16bit": PublishedRow(model="m", values={"decode_tok_s": "42", "size_bytes": "271"}),
        "8bit": PublishedRow(model="m", baseline="16bit", values={"decode_tok_s": "214", "size_bytes": "145"}),
        "4bit": PublishedRow(model="m", baseline="16bit", values={"decode_tok_s": "322", "size_bytes": "92"}),
    }
    return ClaimFile(
        name="paper",
        title="A paper",
        sources={"paper": Source(title="The paper", url="https://example.org/paper")},
        models={"m": MODEL},
        conditions=conditions,
        columns={"decode_tok_s": Column(unit="tok/s"), "size_bytes": Column(unit="MB")},
        rows=known,
        tasks=(PublishedTask(name="General", measure="acc", task="knowledge_200", values={}),),
        claims=made,
    )


def judged(tmp_path: Path, file: ClaimFile, **run: Any) -> Check:
    run = {"claims": STANDS, "measures": SPEEDS, "noise": 0.005, **run}
    return check(file, analyse([build_and_read(tmp_path / "results", **run)]))


def only_verdict(tmp_path: Path, one: Claim, *conditions: PublishedCondition, **run: Any) -> Verdict:
    (verdict,) = judged(tmp_path, claims(*conditions, it=one), **run).verdicts
    return verdict


def fast(decode: float, baseline: float = 42.0) -> dict[str, Truth]:
    return {
        **TRUTHS,
        "bf16": replace(TRUTHS["bf16"], decode_tok_s=baseline),
        "int8": replace(TRUTHS["int8"], decode_tok_s=decode),
    }


@pytest.mark.parametrize(
    ("figure", "more", "word"),
    [
        ("5.1", {"tolerance": 0.3}, "reproduced"),
        ("4.0", {"tolerance": 0.2}, "exceeded"),
        ("7.0", {"tolerance": 0.2}, "not reproduced"),
        ("4", {"form": "at_least"}, "reproduced"),
        ("7", {"form": "at_least"}, "not reproduced"),
        ("4", {"form": "range", "to": "6"}, "reproduced"),
        ("2", {"form": "range", "to": "3"}, "exceeded"),
        ("5.09", {"tolerance": 0.001}, "inconclusive"),
    ],
)
def test_a_speed_up_of_five_gets_the_word_that_its_claim_earns(
    tmp_path: Path, figure: str, more: dict[str, Any], word: str
) -> None:
    verdict = only_verdict(tmp_path, claim("decode_tok_s", "times", figure, **more))
    assert verdict.word == word, verdict
    assert verdict.low is not None and verdict.value is not None and verdict.high is not None
    assert verdict.low < 214 / 42 < verdict.high
    assert verdict.rows[0].baseline_value == pytest.approx(42, rel=0.05)
    assert verdict.command[-4:] == ("--variants", "int8", "--measures", "speed")


def test_a_size_is_exact_and_its_reduction_in_percent(tmp_path: Path) -> None:
    verdict = only_verdict(tmp_path, claim("size_bytes", "reduction", "46.5"))
    exact = 100 * (1 - TRUTHS["int8"].size_bytes / TRUTHS["bf16"].size_bytes)
    assert (verdict.word, verdict.value, verdict.low, verdict.high) == ("reproduced", exact, exact, exact)


def test_a_mean_needs_all_its_rows_and_is_judged_beside_them(tmp_path: Path) -> None:
    both = claim("decode_tok_s", "times", "6.4", ("8bit", "4bit"), aggregation="mean", tolerance=0.3)
    verdict = only_verdict(tmp_path, both)
    assert verdict.word == "reproduced" and verdict.rounds == 5
    assert [row.row for row in verdict.rows] == ["8bit", "4bit"]
    assert {row.word for row in verdict.rows} <= {"reproduced", "inconclusive"}
    assert verdict.value == pytest.approx((214 / 42 + 322 / 42) / 2, rel=0.02)
    less = {"paper": {name: one for name, one in STANDS["paper"].items() if name != "4bit"}}
    lacking = only_verdict(tmp_path / "less", both, claims=less)
    assert lacking.word == "not attempted"
    assert lacking.reason == "needs all 2 rows; no run stands for 4bit"
    assert [row.row for row in lacking.rows] == ["8bit"]


def test_pooled_bytes_are_not_the_mean_of_percentages(tmp_path: Path) -> None:
    rows = {
        "16bit": PublishedRow(model="m"),
        "8bit": PublishedRow(model="m", baseline="16bit"),
        "4bit": PublishedRow(model="m", baseline="16bit"),
    }
    pooled = claim("size_bytes", "reduction", "56", ("8bit", "4bit"), aggregation="pooled")
    (verdict,) = judged(tmp_path, claims(rows=rows, it=pooled)).verdicts
    sizes = [TRUTHS[name].size_bytes for name in ("int8", "int4-ptq")]
    assert verdict.value == pytest.approx(100 * (1 - sum(sizes) / (2 * TRUTHS["bf16"].size_bytes)))


def test_a_better_baseline_moves_the_ratio_not_the_variant(tmp_path: Path) -> None:
    verdict = only_verdict(
        tmp_path, claim("decode_tok_s", "times", "5.1", tolerance=0.1), truths=fast(214, baseline=60)
    )
    assert verdict.word == "baseline moved", verdict
    slower = only_verdict(
        tmp_path / "slower", claim("decode_tok_s", "times", "5.1", tolerance=0.1), truths=fast(150, baseline=42)
    )
    assert slower.word == "not reproduced"


@pytest.mark.parametrize(
    ("condition", "metric", "decisive"),
    [
        (PublishedCondition(name="device", status="stated", value="OnePlus 12"), "decode_tok_s", "device"),
        (PublishedCondition(name="runtime", status="stated", value="ExecuTorch"), "decode_tok_s", "runtime"),
        (PublishedCondition(name="prompt_tokens", status="documented", value=128), "decode_tok_s", "prompt length"),
        (PublishedCondition(name="threads", status="stated", value=8), "decode_tok_s", "threads"),
        (PublishedCondition(name="format", status="stated", value="pte"), "size_bytes", "file format"),
    ],
)
def test_one_condition_that_differs_decides(
    tmp_path: Path, condition: PublishedCondition, metric: str, decisive: str
) -> None:
    one = claim(metric, "times", "5.1", tolerance=0.3) if metric != "size_bytes" else claim(metric, "reduction", "46.5")
    verdict = only_verdict(tmp_path, one, condition)
    assert verdict.word == "not comparable"
    assert verdict.decisive is not None and verdict.decisive.name == decisive
    assert str(condition.value) in verdict.reason
    assert verdict.value is not None, "our value stands beside the claim"


def test_a_size_does_not_depend_on_device_runtime_or_weights(tmp_path: Path) -> None:
    phone = PublishedCondition(name="device", status="stated", value="OnePlus 12")
    runtime = PublishedCondition(name="runtime", status="stated", value="ExecuTorch")
    verdict = only_verdict(tmp_path, claim("size_bytes", "reduction", "46.5"), phone, runtime, random_weights=True)
    assert verdict.word == "reproduced"


def test_another_scheme_or_shape_is_not_comparable(tmp_path: Path) -> None:
    other = {"paper": {**STANDS["paper"], "8bit": Stands(variant="int8", differs="F16 scales instead of F32")}}
    verdict = only_verdict(tmp_path, claim("size_bytes", "reduction", "46.5"), claims=other)
    assert (verdict.word, verdict.reason) == ("not comparable", "the scheme differs: F16 scales instead of F32")
    bigger = msgspec.structs.replace(MODEL, parameters=2 * PARAMETERS)
    file = msgspec.structs.replace(claims(it=claim("size_bytes", "reduction", "46.5")), models={"m": bigger})
    (verdict,) = judged(tmp_path / "shape", file).verdicts
    assert verdict.word == "not comparable"
    assert verdict.decisive is not None and verdict.decisive.name == "parameters"


def test_unknown_conditions_are_listed_and_decide_nothing(tmp_path: Path) -> None:
    verdict = only_verdict(tmp_path, claim("decode_tok_s", "times", "5.1", tolerance=0.3))
    threads = next(c for c in verdict.checks if c.name == "threads")
    assert (threads.status, threads.published, threads.agrees) == ("unknown", None, None)
    assert threads.here == "4"


def test_random_weights_refuse_accuracy(tmp_path: Path) -> None:
    points = claim("acc", "points", "-1.0", task="General")
    verdict = only_verdict(tmp_path, points, random_weights=True)
    assert (verdict.word, verdict.reason) == ("not attempted", "the weights are random: no score means anything")


def test_one_device_cannot_refute_an_absolute(tmp_path: Path) -> None:
    verdict = only_verdict(tmp_path, claim("decode_tok_s", "value", "300", unit="tok/s"))
    assert verdict.word == "inconclusive" and "cannot refute" in verdict.reason


def test_what_bench_does_not_measure_is_not_attempted(tmp_path: Path) -> None:
    verdict = only_verdict(tmp_path, claim("context_tokens", "value", "8000", unit="tokens"))
    assert (verdict.word, verdict.reason) == ("not attempted", "bench does not measure context")


def test_a_crippled_baseline_earns_no_headline(tmp_path: Path) -> None:
    """42 tok/s of 0.27 GB are 11 GB/s, a quarter of the read bandwidth."""
    measured = (*SPEEDS, Bandwidth(rounds=5, repetitions=2))
    verdict = only_verdict(tmp_path, claim("decode_tok_s", "times", "5.1", tolerance=0.3), measures=measured)
    assert verdict.word == "inconclusive"
    assert verdict.reason.startswith("bf16 decodes at") and "no headline" in verdict.reason


def test_too_few_rounds_are_inconclusive_and_say_so(tmp_path: Path) -> None:
    short = (Size(), Speed(prompt_tokens=64, generated_tokens=64, rounds=2, repetitions=3))
    verdict = only_verdict(tmp_path, claim("decode_tok_s", "times", "5.1", tolerance=0.3), measures=short)
    assert verdict.word == "inconclusive" and "2 rounds, at least 3" in verdict.reason


def test_a_baseline_without_a_value_is_not_attempted(tmp_path: Path) -> None:
    def without(cell: Cell, record: TrialRecord) -> TrialRecord | None:
        return None if cell.variant == "bf16" and cell.measure == "speed" else record

    verdict = only_verdict(tmp_path, claim("decode_tok_s", "times", "5.1"), change=without)
    assert verdict.word == "not attempted"
    assert "int8: no ratio: the baseline has" in verdict.reason


def test_inconclusive_says_how_many_more_rounds_would_decide(tmp_path: Path) -> None:
    verdict = only_verdict(tmp_path, claim("decode_tok_s", "times", "5.4", tolerance=0.3), noise=0.05)
    assert verdict.word == "inconclusive"
    assert verdict.more_rounds is None or f"about {verdict.more_rounds} more rounds" in verdict.reason


def test_only_a_broken_promise_is_broken(tmp_path: Path) -> None:
    file = claims(
        lost=claim("decode_tok_s", "times", "9.0", must_hold=True),
        kept=claim("size_bytes", "reduction", "46.5", must_hold=True),
        idle=claim("decode_tok_s", "times", "9.0"),
    )
    assert broken(judged(tmp_path, file)) == ("lost",)


def test_every_published_figure_stands_beside_ours(tmp_path: Path) -> None:
    table = judged(tmp_path, claims()).table
    assert [(b.row, b.unit) for b in table] == [
        ("8bit", "tok/s"),
        ("8bit", "bytes"),
        ("4bit", "tok/s"),
        ("4bit", "bytes"),
    ]
    assert table[0].published == 214 and table[1].published == 145e6


def test_runs_of_other_artifacts_are_refused(tmp_path: Path) -> None:
    def remade(cell: Cell, record: TrialRecord) -> TrialRecord:
        other = "ab" * 32 if cell.variant == "int8" else record.artifact_sha256
        return msgspec.structs.replace(record, artifact_sha256=other)

    runs = [
        build_and_read(tmp_path, name="20260714T101500Z-quick-a-00aa", claims=STANDS, measures=SPEEDS),
        build_and_read(tmp_path, name="20260714T111500Z-quick-a-00ab", claims=STANDS, measures=SPEEDS, change=remade),
    ]
    with pytest.raises(InputError, match="different artifacts for the published row '8bit'"):
        check(claims(), analyse(runs))


def test_two_runs_of_one_row_are_refused_and_rows_of_two_runs_are_not(tmp_path: Path) -> None:
    both = [
        build_and_read(tmp_path, name=f"20260714T1{n}1500Z-quick-a-00aa", claims=STANDS, measures=SPEEDS)
        for n in (0, 1)
    ]
    with pytest.raises(InputError, match="both stand for the published row '16bit'"):
        check(claims(), analyse(both))


def test_the_lowest_row_is_not_the_mean_of_the_lowest_rounds(tmp_path: Path) -> None:
    same = {
        **TRUTHS,
        "int8": replace(TRUTHS["int8"], decode_tok_s=84),
        "int4-ptq": replace(TRUTHS["int4-ptq"], decode_tok_s=84),
    }
    low = claim("decode_tok_s", "times", "2.0", ("8bit", "4bit"), aggregation="lowest", form="at_least")
    verdict = only_verdict(tmp_path, low, truths=same, noise=0.03)
    lows = [row.figure_interval.low for row in verdict.rows if row.figure_interval]
    highs = [row.figure_interval.high for row in verdict.rows if row.figure_interval]
    assert (verdict.low, verdict.high) == (min(lows), min(highs))


def test_each_row_must_hold_by_itself(tmp_path: Path) -> None:
    both = claim("decode_tok_s", "times", "6", ("8bit", "4bit"), aggregation="each", form="at_least")
    verdict = only_verdict(tmp_path, both)
    assert verdict.word == "not reproduced"
    assert verdict.reason == "each row must hold; not reproduced: 8bit"


@pytest.mark.parametrize(
    ("published", "here", "alike"),
    [
        ("OnePlus 12", "my phone, OnePlus 12 (16 GB)", True),
        ("OnePlus 12", "OnePlus 12R", False),
        ("OnePlus 12", "OnePlus 12 Pro", False),
        ("Galaxy S24", "Galaxy S24+", False),
        ("ExecuTorch on its Arm CPU backend", "executorch", True),
        ("f16", "bf16", False),
        ("12 threads", "2", False),
        ("2048 in the export", "2048", True),
        ("…", "anything", False),
    ],
)
def test_names_agree_word_by_word(published: str, here: str, alike: bool) -> None:
    assert same_word(published, here) is alike


def test_a_row_that_nobody_published_is_named(tmp_path: Path) -> None:
    wrong = {"paper": {"8bits": Stands(variant="int8")}}
    with pytest.raises(UnknownNameError, match="did you mean '8bit'"):
        judged(tmp_path, claims(), claims=wrong)


def test_rates_on_a_thousand_runs_of_known_truth() -> None:
    assert verdicts(1000, 0.0, seed=3)["not reproduced"] <= 50
    assert verdicts(1000, 0.15, seed=4)["not reproduced"] >= 950


@pytest.mark.parametrize(("between", "within"), [(0.03, 0.0), (0.0, 0.03), (0.03, 0.03), (0.01, 0.10)])
def test_intervals_cover_what_they_say(between: float, within: float) -> None:
    assert 0.93 <= coverage(4000, between, within, seed=5) <= 0.97


finite = st.floats(-1e6, 1e6)


@given(finite, finite, finite, finite)
def test_exactly_one_word_for_every_interval(a: float, b: float, c: float, d: float) -> None:
    band, interval = Band(low=min(a, b), high=max(a, b)), Interval(low=min(c, d), high=max(c, d))
    word = judge(band, interval, "higher")
    inside = interval.low >= band.low and interval.high <= band.high
    apart = interval.high < band.low or interval.low > band.high
    assert (word == "reproduced") == inside
    assert (word in ("exceeded", "not reproduced")) == (apart and not inside)
    mirrored = judge(Band(low=-band.high, high=-band.low), Interval(low=-interval.high, high=-interval.low), "lower")
    assert mirrored == word


@given(st.integers(1, 999), st.floats(0, 3))
def test_a_band_is_never_tighter_than_the_print(tenths: int, tolerance: float) -> None:
    band = band_of(claim("decode_tok_s", "times", f"{tenths / 10:.1f}", tolerance=tolerance))
    assert band.high - band.low >= 2 * max(tolerance, 0.05) - 1e-9


def test_more_rounds_is_the_first_number_that_decides() -> None:
    interval = Interval(low=2.3, high=2.5)
    more = more_rounds(BAND, interval, 5)
    assert more is not None and more >= 1
    assert more_rounds(Band(low=2.4, high=math.inf), interval, 5) is None, "the middle lies on the edge"
    assert more_rounds(BAND, Interval(low=2.4, high=2.4), 5) is None


def test_independent_groups_add_their_variances() -> None:
    one, other = [2.0, 2.1, 1.9, 2.0], [4.0, 4.1, 3.9, 4.0]
    both, alone = over_rounds([one, other], [1, 1]), over_rounds([one], [1])
    assert both is not None and alone is not None
    assert (both.low + both.high) / 2 == pytest.approx(3.0)
    # Equal variances: the mean of two has half of it, with twice the degrees of freedom.
    widths = (both.high - both.low) / (alone.high - alone.low)
    assert widths == pytest.approx(t_quantile(6) / t_quantile(3) / math.sqrt(2))
    assert over_rounds([one, [1.0, 2.0]], [1, 1]) is None


PAPER = """name: paper
title: A paper
sources:
  paper: {{title: The paper, url: "https://example.org/paper"}}
models:
  m: {{title: a model, parameters: {parameters}, hidden: 576, intermediate: 1536, layers: 30, heads: 9, kv_heads: 3,
       head: 64, vocabulary: 49152, tied: true}}
columns:
  decode_tok_s: {{unit: tok/s}}
rows:
  16bit: {{model: m, values: {{decode_tok_s: "42"}}}}
  8bit: {{model: m, baseline: 16bit, values: {{decode_tok_s: "214"}}}}
claims:
  fast:
    source: paper
    statement: It is fast.
    printed: {figure}x
    metric: decode_tok_s
    expressed: times
    figure: "{figure}"
    rows: [8bit]
    tolerance: 0.3
    must_hold: true
"""


@pytest.mark.parametrize(("figure", "code", "word"), [("9.0", 3, "not reproduced"), ("5.1", 0, "reproduced")])
def test_a_broken_promise_is_exit_code_three(tmp_path: Path, figure: str, code: int, word: str) -> None:
    from click.testing import CliRunner

    from harness.cli import main
    from tests.builders import build_run

    file = tmp_path / "paper.yaml"
    file.write_text(PAPER.format(figure=figure, parameters=PARAMETERS), encoding="utf-8")
    stands = {"paper": {row: STANDS["paper"][row] for row in ("16bit", "8bit")}}
    run = build_run(tmp_path / "results", claims=stands, measures=SPEEDS, noise=0.005)
    done = CliRunner().invoke(main, ["claims", "check", str(file), str(run)])
    assert done.exit_code == code, done.output
    assert f"fast (must hold): {figure}x — {word}" in done.output
    assert "again: bench run" in done.output
    as_json = CliRunner().invoke(main, ["claims", "check", str(file), str(run), "--json"])
    assert as_json.exit_code == code
    assert msgspec.json.decode(as_json.output)["verdicts"][0]["word"] == word
