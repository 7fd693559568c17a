"""The audit: what Meta's card must give, and each rule on files that are made up."""

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analyse.audit import RULES, audit
from harness.analyse.audit.conditions import BINDS
from harness.analyse.audit.findings import VERDICTS, Audit, Finding
from harness.analyse.audit.intervals import (
    exactly,
    highest,
    loosened,
    lowest,
    mean,
    minus,
    over,
    plus,
    said,
    shared,
    times,
    total,
    touch,
)
from harness.analyse.audit.shapes import parameters, parts, read_bytes, stored_bytes
from harness.claim_files import load_claims
from harness.published import (
    CONDITIONS,
    Claim,
    ClaimFile,
    Column,
    Original,
    Printed,
    PublishedCondition,
    PublishedDevice,
    PublishedModel,
    PublishedRow,
    PublishedTask,
    Scheme,
    Source,
)
from harness.store import encode

# ---------------------------------------------------------------- Meta's card


@pytest.fixture(scope="module")
def card() -> Audit:
    return audit(load_claims("llama32-quantized"))


def found(audit_: Audit, rule: str, **wanted: Any) -> list[Finding]:
    return [
        f for f in audit_.findings if f.rule == rule and all(getattr(f, key) == value for key, value in wanted.items())
    ]


def one(audit_: Audit, rule: str, **wanted: Any) -> Finding:
    (finding,) = found(audit_, rule, **wanted)
    return finding


HEADLINES = [("size", 56.32), ("memory", 40.98), ("decode", 2.507), ("prefill", 4.230)]


@pytest.mark.parametrize(("claim", "mean_"), HEADLINES)
def test_the_headlines_follow_from_the_mean_of_the_rows(card: Audit, claim: str, mean_: float) -> None:
    finding = next(f for f in found(card, "headlines", claim=claim) if "pooled" in f.others)
    assert finding.verdict == "follows"
    assert finding.others["mean"].value == pytest.approx(mean_, abs=0.01)
    assert finding.recomputed == finding.others["mean"]


def test_pooled_bytes_give_other_headlines(card: Audit) -> None:
    size, memory = (
        next(f for f in found(card, "headlines", claim=c) if "pooled" in f.others) for c in ("size", "memory")
    )
    assert size.others["pooled"].value == pytest.approx(57.7, abs=0.05)
    assert memory.others["pooled"].value == pytest.approx(43.6, abs=0.05)
    assert "their sums 57.7 %" in size.sentence
    assert size.sentence.endswith("Printed so by the mean of the rows.")


def test_one_figure_hides_a_spread(card: Audit) -> None:
    hidden = one(card, "headlines", claim="memory", verdict="note")
    assert hidden.recomputed is not None
    assert (hidden.recomputed.low, hidden.recomputed.high) == pytest.approx((29.2, 49.8), abs=0.05)


def test_a_range_that_rounding_alone_saves_is_a_note(card: Audit) -> None:
    assert one(card, "headlines", claim="speed-decode").verdict == "follows"
    assert "4.32 × lie above the printed end" in one(card, "headlines", claim="speed-prefill", verdict="note").sentence


def test_the_only_change_that_its_column_cannot_give_comes_from_the_inverse(card: Audit) -> None:
    changes = found(card, "changes")
    assert len(changes) == 20
    (odd,) = [f for f in changes if f.verdict != "follows"]
    assert (odd.verdict, odd.row, odd.metric) == ("note", "1b-spinquant", "ttft_s")
    assert odd.recomputed is not None and odd.printed is not None
    assert (odd.recomputed.low, odd.recomputed.high) == pytest.approx((-76.2, -63.2), abs=0.05)
    assert "but from Prefill, which the publication calls its inverse (−76.88 to −76.83 %)" in odd.sentence
    assert odd.others["prefill_tok_s"].value == pytest.approx(-76.85, abs=0.005)


def test_sizes_are_predicted_within_half_a_percent_and_fit_another_unit(card: Audit) -> None:
    rows = [f for f in found(card, "sizes") if f.row]
    assert len(rows) == 6
    for finding in rows:
        assert finding.verdict == "follows" and finding.unit == "MiB"
        assert finding.recomputed is not None and finding.printed is not None
        assert finding.recomputed.value == pytest.approx(finding.printed.value, rel=0.005)
    assert "printed in MB; 6 of 6 fit their scheme in MiB" in one(card, "sizes", verdict="note").sentence
    assert len(found(card, "sizes", unit="parameters", verdict="follows")) == 2


def test_no_single_prompt_length_fits_all_rows(card: Audit) -> None:
    base, cut = (one(card, "prompts", row=row).recomputed for row in ("1b-bf16", "1b-spinquant"))
    assert base is not None and cut is not None
    assert (base.low, base.high) == pytest.approx((57.2, 63.4), abs=0.1)
    assert (cut.low, cut.high) == pytest.approx((65.1, 91.2), abs=0.1)
    assert any("No single prompt length" in f.sentence for f in found(card, "prompts", row=None, verdict="note"))
    assert not found(card, "prompts", verdict="contradiction")


def test_memory_beside_the_file_is_constant_but_for_adaptors(card: Audit) -> None:
    models = found(card, "memory", row=None)
    assert [f.others["1b-bf16" if "1b-bf16" in f.others else "3b-bf16"].value for f in models] == [827, 1290]
    assert "nearly constant for 1b-bf16 and 1b-spinquant, and 1b-qlora adds 301 MB" in models[0].sentence
    assert "nearly constant for 3b-bf16 and 3b-spinquant, and 3b-qlora adds 241 MB" in models[1].sentence
    row = one(card, "memory", row="1b-spinquant")
    assert "smaller by 54.1 % makes 39.7 % less memory, since 827 MB" in row.sentence


def test_decode_implies_memory_traffic(card: Audit) -> None:
    traffic = {f.row: f for f in found(card, "bandwidth", unit="GB/s")}
    for row, rate, share in (("1b-bf16", 47.5, "62 %"), ("1b-spinquant", 43.7, "57 %")):
        assert traffic[row].verdict == "follows"
        assert traffic[row].recomputed.value == pytest.approx(rate, abs=0.06)  # type: ignore[union-attr]
        assert share in traffic[row].sentence
    speed_up = one(card, "bandwidth", unit="×", row="1b-spinquant")
    assert speed_up.recomputed is not None and speed_up.printed is not None
    assert speed_up.recomputed.value == pytest.approx(2.84, abs=0.005)
    assert speed_up.printed.value == pytest.approx(2.61, abs=0.01)


def test_conditions_that_are_left_out_are_named(card: Audit) -> None:
    missing = [f.sentence.split(": ")[1].split(".")[0] for f in found(card, "conditions", verdict="not stated")]
    assert sorted(missing) == [
        "KV cache type", "batch", "dispersion", "generated tokens", "operating system build", "repetitions",
        "thermal state", "threads",
    ]  # fmt: skip
    documented = " ".join(f.sentence for f in found(card, "conditions", verdict="note"))
    assert "Prompt length: 64" in documented and "Allocated context: 2048" in documented


def test_the_last_digit_bounds_every_tolerance(card: Audit) -> None:
    assert (
        "7.6 tok/s (3b-bf16) is known to ± 0.66 %" in one(card, "precision", metric="decode_tok_s", claim=None).sentence
    )


def test_a_wide_tolerance_bounds_a_claim_instead(card: Audit) -> None:
    assert "“8k” is known to ± 2.4 %" in one(card, "precision", claim="context").sentence


def test_accuracy_is_compared_with_baseline_and_plain_compression(card: Audit) -> None:
    assert len(card.scores) == 4 * 19
    mmlu = next(s for s in card.scores if s.task == "MMLU" and s.row == "1b-qlora")
    assert mmlu.difference.value == pytest.approx(-0.3)
    assert (mmlu.difference.low, mmlu.difference.high) == pytest.approx((-0.4, -0.2))
    assert mmlu.control is not None and mmlu.control.value == pytest.approx(-6.0)
    above = one(card, "accuracy", row="1b-qlora", unit="points", printed=None, recomputed=_above(card, "1b-qlora"))
    assert "no evidence" in above.sentence
    assert found(card, "accuracy", row="1b-qlora", unit="%")
    assert found(card, "accuracy", verdict="not stated")


def _above(card: Audit, row: str) -> Printed | None:
    return next(f.recomputed for f in found(card, "accuracy", row=row) if f.sentence.startswith("Above"))


def test_the_card_has_no_contradiction_and_is_audited_at_once(card: Audit) -> None:
    assert card.counts["contradiction"] == 0
    assert {f.rule for f in card.findings} == set(RULES) - {"originals", "means"}
    file = load_claims("llama32-quantized")
    began = time.perf_counter()
    audit(file)
    assert time.perf_counter() - began < 1


def test_an_audit_is_json_and_back(card: Audit) -> None:
    assert msgspec.json.decode(encode(card), type=Audit) == card


# ---------------------------------------------------------------- the other files


def test_the_press_differs_from_its_source() -> None:
    press = audit(load_claims("llama32-press"))
    assert one(press, "originals", claim="context").verdict == "contradiction"
    assert {one(press, "originals", claim=f"four-times-{p}").verdict for p in ("decode", "prefill")} == {"note"}
    assert {one(press, "originals", claim=c).verdict for c in ("size", "memory", "more-than-two-times")} == {"follows"}
    assert one(press, "headlines", claim="four-times-decode").verdict == "contradiction"
    assert one(press, "headlines", claim="four-times-prefill").verdict == "follows"
    assert found(press, "headlines", claim="context")[0].verdict == "not stated"


def test_another_publication_of_the_same_form() -> None:
    qwen = audit(load_claims("litert-qwen25-1.5b"))
    assert one(qwen, "sizes", unit="parameters").verdict == "follows"
    assert one(qwen, "sizes", row="fp32").verdict == "follows"
    assert one(qwen, "sizes", row="int8").verdict == "note"
    assert "MB; 1 of 3 fit their scheme in MiB" in one(qwen, "sizes", metric="size_bytes", row=None).sentence
    assert "nearly constant for fp32 and int8" in one(qwen, "memory", row=None).sentence
    assert qwen.counts["contradiction"] == 0


# ---------------------------------------------------------------- made up

TINY = PublishedModel(
    title="Tiny",
    parameters=64_320,
    hidden=64,
    intermediate=128,
    layers=1,
    heads=4,
    kv_heads=2,
    head=16,
    vocabulary=426,
    tied=True,
)
WIDE = Scheme(title="16 bits", linear_bits=16, embedding_bits=16, norm_bits=16)
NARROW = Scheme(title="4 bits", linear_bits=4, group=32, scale_bits=16, embedding_bits=8, output_bits=8)
RISING = {"mean": 60.0, "pooled": 66.7, "lowest": 50.0, "highest": 70.0}


def publication(base: dict[str, str], cut: dict[str, str], **more: Any) -> ClaimFile:
    metrics = dict.fromkeys((*base, *cut))
    units = {"size_bytes": "kB", "peak_rss_bytes": "kB", "ttft_s": "s"}
    fields: dict[str, Any] = {
        "name": "made-up",
        "title": "Made up",
        "sources": {
            "page": Source(title="Page", url="https://example.org"),
            "press": Source(title="Press", url="https://e.org"),
        },
        "models": {"tiny": TINY},
        "schemes": {"wide": WIDE, "narrow": NARROW},
        "columns": {metric: Column(unit=units.get(metric, "tok/s")) for metric in metrics},
        "rows": {
            "base": PublishedRow(model="tiny", scheme="wide", values=base),
            "cut": PublishedRow(model="tiny", scheme="narrow", baseline="base", values=cut),
        },
    }
    return ClaimFile(**{**fields, **more})


def claim(**fields: Any) -> Claim:
    settled: dict[str, Any] = {"source": "page", "statement": "s", "printed": "p", "metric": "size_bytes",
                               "expressed": "reduction", "figure": "50", "rows": ("cut",)}  # fmt: skip
    return Claim(**{**settled, **fields})


def test_a_change_that_nothing_explains_is_a_contradiction() -> None:
    file = publication({"size_bytes": "128"}, {"size_bytes": "64"})
    for text, verdict in (("-50%", "follows"), ("-50.3%", "follows"), ("-60%", "contradiction"), ("2.0x", "follows")):
        row = msgspec.structs.replace(file.rows["cut"], changes={"size_bytes": text})
        changed = msgspec.structs.replace(file, rows={**file.rows, "cut": row})
        assert one(audit(changed), "changes").verdict == verdict, text


def test_a_change_of_cut_figures_is_a_note() -> None:
    """1.90 and 1.099, cut to 1.9 and 1.0, are 42.2 % apart; figures that are rounded to these cannot be."""
    file = publication({"ttft_s": "1.9"}, {"ttft_s": "1.0"})
    row = msgspec.structs.replace(file.rows["cut"], changes={"ttft_s": "-42.2%"})
    finding = one(audit(msgspec.structs.replace(file, rows={**file.rows, "cut": row})), "changes")
    assert finding.verdict == "note"
    assert "cut instead of rounded" in finding.sentence


def two_rows(**fields: Any) -> ClaimFile:
    """Reductions of 50 and 70 percent: 60 in the mean, 66.7 by sums."""
    file = publication({"size_bytes": "100"}, {"size_bytes": "50"})
    other = PublishedRow(model="tiny", values={"size_bytes": "500"})
    less = PublishedRow(model="tiny", baseline="other", values={"size_bytes": "150"})
    return msgspec.structs.replace(
        file, rows={**file.rows, "other": other, "less": less}, claims={"c": claim(rows=("cut", "less"), **fields)}
    )


AGGREGATED = [
    ({"figure": "60", "aggregation": "mean"}, "follows"),
    ({"figure": "60", "aggregation": "pooled"}, "note"),
    ({"figure": "67", "aggregation": "pooled"}, "follows"),
    ({"figure": "67"}, "follows"),
    ({"figure": "80"}, "contradiction"),
    ({"figure": "60", "aggregation": "each"}, "note"),
    ({"figure": "50", "aggregation": "each", "form": "at_least"}, "follows"),
    ({"figure": "70", "aggregation": "highest", "form": "at_most"}, "follows"),
    ({"figure": "80", "form": "at_least", "aggregation": "mean"}, "contradiction"),
    ({"figure": "80", "form": "at_most", "aggregation": "mean"}, "follows"),
    ({"figure": "40", "form": "at_most", "aggregation": "mean"}, "contradiction"),
    ({"figure": "80", "tolerance": 20.0, "aggregation": "mean"}, "follows"),
    ({"figure": "50", "to": "70", "form": "range"}, "follows"),
    ({"figure": "55", "to": "70", "form": "range"}, "note"),
    ({"figure": "80", "to": "90", "form": "range"}, "contradiction"),
]


@pytest.mark.parametrize(("fields", "verdict"), AGGREGATED)
def test_a_claim_is_judged_under_every_aggregation(fields: dict[str, Any], verdict: str) -> None:
    finding = next(f for f in found(audit(two_rows(**fields)), "headlines") if "mean" in f.others)
    assert finding.verdict == verdict, finding.sentence
    assert {key: finding.others[key].value for key in RISING} == pytest.approx(RISING, abs=0.05)


def test_values_and_points_are_claims_too() -> None:
    file = publication({"size_bytes": "100"}, {"size_bytes": "50"})
    file = msgspec.structs.replace(
        file,
        tasks=(
            PublishedTask(name="Quiz", measure="acc", values={"base": "50.0", "cut": "48.5"}),
            PublishedTask(name="Share", measure="acc", unit="fraction", values={"base": "0.500", "cut": "0.485"}),
        ),
        claims={
            "share": claim(metric="acc", expressed="points", task="Share", figure="-1.5"),
            "fraction": claim(metric="acc", expressed="value", unit="fraction", task="Quiz", figure="0.485"),
            "kib": claim(expressed="value", unit="KiB", figure="48.8"),
            "points": claim(metric="acc", expressed="points", task="Quiz", figure="-1.5"),
            "wrong": claim(metric="acc", expressed="points", task="Quiz", figure="-3.0"),
            "absent": claim(metric="decode_tok_s", expressed="times", figure="2"),
        },
    )
    verdicts = {f.claim: f.verdict for f in found(audit(file), "headlines")}
    assert verdicts == {
        "share": "follows",
        "fraction": "follows",
        "kib": "follows",
        "points": "follows",
        "wrong": "contradiction",
        "absent": "not stated",
    }


SIZED = [
    ("128", "follows", "kB"),
    ("125", "follows", "KiB"),
    ("140", "note", "kB"),
    ("90", "contradiction", "kB"),
]


@pytest.mark.parametrize(("text", "verdict", "unit"), SIZED)
def test_a_size_is_judged_in_the_unit_that_fits(text: str, verdict: str, unit: str) -> None:
    file = publication({"size_bytes": text}, {})
    finding = one(audit(file), "sizes", row="base")
    assert (finding.verdict, finding.unit) == (verdict, unit), finding.sentence


def test_a_shape_with_other_parameters_is_a_contradiction() -> None:
    for stated, verdict in ((64_320, "follows"), (64_000, "note"), (90_000, "contradiction")):
        model = msgspec.structs.replace(TINY, parameters=stated)
        file = publication({"size_bytes": "128"}, {}, models={"tiny": model})
        assert one(audit(file), "sizes", unit="parameters").verdict == verdict


def test_bytes_of_each_part() -> None:
    """By hand: linears 64·64·2 + 32·64·2 + 3·64·128 = 36,864; table 426·64 = 27,264; norms 3·64 = 192."""
    assert parameters(TINY) == 36_864 + 27_264 + 192 == TINY.parameters
    assert stored_bytes(TINY, WIDE) == 2 * parameters(TINY)
    assert parts(TINY, NARROW)["linears"] == 36_864 * 4.5 / 8
    assert parts(TINY, NARROW)["output"] == 27_264
    assert read_bytes(TINY, WIDE) == stored_bytes(TINY, WIDE)
    assert read_bytes(TINY, NARROW) == stored_bytes(TINY, NARROW) - 27_264 + 64
    lora = msgspec.structs.replace(NARROW, lora_rank=2, lora_bits=32)
    added = 2 * (128 + 96 + 96 + 128 + 3 * 192) * 4
    assert stored_bytes(TINY, lora) - stored_bytes(TINY, NARROW) == added
    a_row = Scheme(title="8 bits", linear_bits=8, scale_bits=32, embedding_bits=8)
    assert parts(TINY, a_row)["linears"] == 36_864 + 4 * (64 + 32 + 32 + 64 + 128 + 128 + 64)
    biased = msgspec.structs.replace(TINY, biases=True, tied=False)
    assert parameters(biased) - parameters(TINY) == 64 + 2 * 32 + 27_264


def test_traffic_above_the_memory_is_a_contradiction() -> None:
    device = PublishedDevice(title="D", memory_bandwidth_bytes_s=1e9)
    single = (PublishedCondition(name="batch", status="stated", value=1, source="page"),)
    for speed, conditions, verdict in (
        ("1000", (), "follows"),
        ("9000", single, "contradiction"),
        ("9000", (), "note"),
    ):
        file = publication({"decode_tok_s": speed}, {}, device=device, conditions=conditions)
        assert one(audit(file), "bandwidth").verdict == verdict
    assert one(audit(publication({"decode_tok_s": "9000"}, {})), "bandwidth").verdict == "note"


def test_a_speed_up_beyond_the_bytes_is_a_note() -> None:
    for speed, verdict in (("20.0", "follows"), ("90.0", "note")):
        file = publication({"decode_tok_s": "10.0"}, {"decode_tok_s": speed})
        assert one(audit(file), "bandwidth", unit="×").verdict == verdict


def test_prompt_lengths() -> None:
    base, cut = {"ttft_s": "1.00", "prefill_tok_s": "64.0"}, {"ttft_s": "0.50", "prefill_tok_s": "128.0"}
    alike = audit(publication(base, cut))
    assert found(alike, "prompts", row=None)[0].verdict == "follows"
    assert {f.verdict for f in found(alike, "prompts") if f.row} == {"note"}
    stated = (PublishedCondition(name="prompt_tokens", status="stated", value=64, source="page"),)
    told = audit(publication(base, {**cut, "ttft_s": "0.60"}, conditions=stated))
    assert [f.verdict for f in found(told, "prompts")] == ["follows", "note", "note"]
    assert "more than the stated 64" in one(told, "prompts", row="cut").sentence
    fewer = audit(publication(base, {**cut, "ttft_s": "0.40"}, conditions=stated))
    assert "fewer than the stated 64" in one(fewer, "prompts", row="cut", verdict="note").sentence
    milli = publication({"ttft_s": "1000", "prefill_tok_s": "64.0"}, {}, conditions=stated)
    columns = {**milli.columns, "ttft_s": Column(unit="ms")}
    assert one(audit(msgspec.structs.replace(milli, columns=columns)), "prompts").verdict == "follows"


def test_memory_below_size_and_memory_that_falls_as_much() -> None:
    mapped = audit(
        publication({"size_bytes": "128", "peak_rss_bytes": "100"}, {"size_bytes": "64", "peak_rss_bytes": "60"})
    )
    assert "below its file's size" in one(mapped, "memory", row="cut").sentence
    same = audit(
        publication({"size_bytes": "128", "peak_rss_bytes": "200"}, {"size_bytes": "64", "peak_rss_bytes": "80"})
    )
    assert "as much as size" in one(same, "memory", row="cut").sentence


def test_conditions_bind_only_their_metrics() -> None:
    size = audit(publication({"size_bytes": "128"}, {}))
    assert [f.sentence for f in found(size, "conditions")] == ["Not stated: file format. It binds size."]
    assert set(BINDS) == set(CONDITIONS)
    ttft = audit(publication({"ttft_s": "1.0"}, {}))
    assert found(ttft, "conditions")
    assert not any("generated tokens" in f.sentence for f in found(ttft, "conditions"))


ORIGINALS = [
    ({"figure": "50"}, {}, "follows"),
    ({"figure": "70"}, {}, "contradiction"),
    ({"figure": "30"}, {}, "contradiction"),
    ({"figure": "40", "to": "60"}, {}, "note"),
    ({"figure": "50"}, {"form": "range", "figure": "40", "to": "60"}, "note"),
    ({}, {}, "not stated"),
    ({"figure": "50", "unit": "kB"}, {"expressed": "value", "unit": "MB", "figure": "0.05"}, "follows"),
    ({"figure": "50", "unit": "tokens"}, {"metric": "context_tokens", "expressed": "value", "unit": "characters"},
     "contradiction"),
]  # fmt: skip


@pytest.mark.parametrize(("original", "fields", "verdict"), ORIGINALS)
def test_a_report_against_its_source(original: dict[str, Any], fields: dict[str, Any], verdict: str) -> None:
    told = claim(original=Original(source="press", printed="x", **original), **fields)
    file = publication({"size_bytes": "100"}, {"size_bytes": "50"}, claims={"c": told})
    assert one(audit(file), "originals").verdict == verdict


def test_scores_of_a_control_are_no_row_of_their_own() -> None:
    file = publication({}, {})
    control = PublishedRow(model="tiny", baseline="base", control=True)
    tasks = (PublishedTask(name="Quiz", measure="acc", values={"base": "50.0", "plain": "40.0", "cut": "48.0"}),)
    made = audit(msgspec.structs.replace(file, rows={**file.rows, "plain": control}, tasks=tasks))
    assert [score.row for score in made.scores] == ["cut"]
    share = one(made, "accuracy", unit="%").recomputed
    assert share is not None and share.value == pytest.approx(80.0)


def test_counts_name_every_verdict() -> None:
    assert tuple(audit(publication({"size_bytes": "128"}, {})).counts) == VERDICTS


# ---------------------------------------------------------------- intervals


def numbers(low: float = 0.01) -> st.SearchStrategy[Printed]:
    return st.tuples(st.floats(low, 1e6), st.floats(0, 0.4)).map(
        lambda p: Printed(value=p[0], low=p[0] * (1 - p[1]), high=p[0] * (1 + p[1]))
    )


def inside(a: Printed, share: float) -> float:
    return a.low + share * (a.high - a.low)


def holds(a: Printed, value: float) -> bool:
    slack = 1e-9 * max(abs(a.low), abs(a.high), abs(value), 1e-9)
    return a.low - slack <= value <= a.high + slack


@given(numbers(), numbers(), st.floats(0, 1), st.floats(0, 1))
def test_every_operation_holds_all_results_of_its_operands(a: Printed, b: Printed, s: float, t: float) -> None:
    x, y = inside(a, s), inside(b, t)
    results = ((plus(a, b), x + y), (minus(a, b), x - y), (times(a, b), x * y), (over(a, b), x / y),
               (mean([a, b]), (x + y) / 2), (total([a, b]), x + y), (lowest([a, b]), min(x, y)),
               (highest([a, b]), max(x, y)))  # fmt: skip
    for interval, value in results:
        assert interval.low <= interval.high
        assert holds(interval, value)
        assert holds(interval, interval.value)


@given(numbers(), numbers(), st.floats(0, 1))
def test_touching_means_that_a_value_is_in_both(a: Printed, b: Printed, s: float) -> None:
    assert touch(a, b) == touch(b, a)
    if b.low <= inside(a, s) <= b.high:
        assert touch(a, b)
        common = shared([a, b])
        assert common is not None and common[0] <= common[1] + 1e-9 * abs(common[1])
    assert touch(a, loosened(a))


def test_no_ratio_to_what_may_be_zero() -> None:
    with pytest.raises(ValueError, match="may be zero"):
        over(exactly(1), Printed(value=0.5, low=0.0, high=1.0))


NUMBERS = [(0, "0"), (0.2734, "0.273"), (1283.4, "1,283"), (-76.853, "−76.9"), (2.507, "2.51"), (40.98, "41.0")]


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_numbers_in_words(value: float, text: str) -> None:
    assert said(value) == text
