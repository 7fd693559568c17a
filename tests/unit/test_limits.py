"""Roofline, memory by context and what fits: against values worked out by hand."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.analyse.compare import analyse
from harness.analyse.findings import Report
from harness.analyse.limits import Footprint, Roof
from harness.values import (
    Bandwidth,
    Cell,
    Files,
    Loaded,
    Memory,
    MemorySeen,
    Size,
    Speed,
    Task,
    Text,
    TrialRecord,
)
from tests.builders import MIB, TRUTHS, build_and_read, only

MEASURES: tuple[Any, ...] = (
    Size(),
    Bandwidth(rounds=3, repetitions=1),
    Memory(rounds=3),
    Speed(prompt_tokens=64, generated_tokens=16, rounds=3, repetitions=1),
    Task(task="knowledge_200"),
)
THREE = {name: TRUTHS[name] for name in ("bf16", "f16", "int4-ptq")}
KV_A_TOKEN = 2 * 30 * 192 * 2


def report(results: Path, **changes: Any) -> Report:
    options: dict[str, Any] = {"truths": THREE, "measures": MEASURES, "items": 60, "noise": 0.0, **changes}
    return analyse([build_and_read(results, **options)])


def roof(found: Report, variant: str) -> Roof:
    return next(r for r in found.roofs if r.variant == variant)


def footprint(found: Report, variant: str, context: int) -> Footprint:
    return next(f for f in found.footprints if (f.variant, f.context) == (variant, context))


def altered(cell: Cell, record: TrialRecord, kind: type[Any], **fields: Any) -> TrialRecord:
    seen = tuple(msgspec.structs.replace(o, **fields) if isinstance(o, kind) else o for o in record.observations)
    return msgspec.structs.replace(record, observations=seen)


# ---------------------------------------------------------------- roofline


def test_the_roof_is_bandwidth_over_bytes(tmp_path: Path) -> None:
    one = roof(report(tmp_path), "int4-ptq")
    weights = 91_727_328 - 1_800_000
    assert one.bytes_a_token == weights + KV_A_TOKEN * (64 + 8)
    assert one.bandwidth_bytes_s == pytest.approx(45e9)
    assert one.allowed_tok_s == pytest.approx(45e9 / one.bytes_a_token)
    assert one.tok_s == pytest.approx(322, rel=1e-6)
    assert one.share == pytest.approx(322 * one.bytes_a_token / 45e9, rel=1e-6)
    assert one.reason is None


def test_the_speed_up_by_bytes_stands_beside_the_measured_one(tmp_path: Path) -> None:
    found = report(tmp_path)
    gains = {g.baseline: g for g in roof(found, "int4-ptq").gains}
    own, base = roof(found, "int4-ptq").bytes_a_token, roof(found, "bf16").bytes_a_token
    assert own is not None and base is not None
    assert gains["bf16"].allowed == pytest.approx(base / own)
    assert gains["bf16"].measured == pytest.approx(322 / 42, rel=1e-6)
    assert gains["f16"].measured == pytest.approx(322 / 121, rel=1e-6)
    assert roof(found, "bf16").gains == ()


def test_without_bandwidth_there_is_no_roof(tmp_path: Path) -> None:
    measures = tuple(m for m in MEASURES if not isinstance(m, Bandwidth))
    assert report(tmp_path, measures=measures).roofs == ()


def test_a_failed_bandwidth_gives_no_roof_and_says_why(tmp_path: Path) -> None:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        if cell.measure != "bandwidth":
            return record
        return msgspec.structs.replace(record, status="failed", reason="no room", observations=())

    one = roof(report(tmp_path, change=change), "f16")
    assert (one.bandwidth_bytes_s, one.allowed_tok_s, one.share) == (None, None, None)
    assert one.tok_s is not None and one.bytes_a_token is not None
    assert one.reason == "no read bandwidth: no room"


def test_unseen_bytes_are_no_zero(tmp_path: Path) -> None:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        return altered(cell, record, Files, decode_bytes=None) if only(cell, variant="f16") else record

    found = report(tmp_path, change=change)
    one = roof(found, "f16")
    assert (one.bytes_a_token, one.allowed_tok_s, one.share) == (None, None, None)
    assert one.reason is not None and "decode bytes were not seen" in one.reason
    assert {g.baseline: g.allowed is None for g in roof(found, "int4-ptq").gains} == {"bf16": False, "f16": True}


def test_a_prompt_without_decode_is_not_under_the_roof(tmp_path: Path) -> None:
    speed = Speed(prompt_tokens=64, generated_tokens=1, rounds=3)
    assert report(tmp_path, measures=(Bandwidth(rounds=3, repetitions=1), speed)).roofs == ()


# ---------------------------------------------------------------- memory by context


def test_memory_at_other_contexts_is_the_peak_with_another_cache(tmp_path: Path) -> None:
    found = report(tmp_path)
    measured = footprint(found, "int4-ptq", 2048)
    assert not measured.computed
    assert measured.bytes == 91_727_328 + (98 + 9 + 18) * MIB + KV_A_TOKEN * 2048
    for context in (512, 1024, 4096, 8192):
        one = footprint(found, "int4-ptq", context)
        assert one.computed
        assert one.bytes == measured.bytes + KV_A_TOKEN * (context - 2048)
        assert one.kv_bytes == KV_A_TOKEN * context
        assert one.rest_bytes == measured.rest_bytes


def test_the_saving_shrinks_with_the_context(tmp_path: Path) -> None:
    found = report(tmp_path)
    saved = []
    for context in (512, 2048, 8192):
        own, base = footprint(found, "int4-ptq", context), footprint(found, "bf16", context)
        assert own.bytes is not None and base.bytes is not None
        saving = next(s for s in own.savings if s.baseline == "bf16")
        assert saving.saved == pytest.approx(1 - own.bytes / base.bytes)
        saved.append(saving.saved)
    assert saved == sorted(saved, reverse=True)
    assert footprint(found, "bf16", 512).savings == ()


def test_a_context_that_is_not_usual_stands_among_them(tmp_path: Path) -> None:
    found = report(tmp_path, measures=(Memory(rounds=3, context=768),))
    contexts = [f.context for f in found.footprints if f.variant == "f16"]
    assert contexts == [512, 768, 1024, 2048, 4096, 8192]
    assert [f.context for f in found.footprints if f.variant == "f16" and not f.computed] == [768]


def test_nothing_is_computed_beyond_the_trained_context(tmp_path: Path) -> None:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        return altered(cell, record, Loaded, context_trained=2048)

    found = report(tmp_path, change=change)
    one = footprint(found, "int4-ptq", 4096)
    assert (one.bytes, one.kv_bytes, one.rest_bytes) == (None, None, None)
    assert one.reason == "beyond the 2,048 tokens that the model was trained for"
    assert [s.saved for s in one.savings] == [None, None]
    assert footprint(found, "int4-ptq", 2048).bytes is not None


def test_without_the_caches_bytes_only_the_measured_context_is_known(tmp_path: Path) -> None:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        return altered(cell, record, Loaded, kv_bytes=None) if only(cell, variant="bf16") else record

    found = report(tmp_path, change=change)
    assert footprint(found, "bf16", 2048).bytes is not None
    assert footprint(found, "bf16", 4096).reason == "the runtime did not report the KV cache's bytes"
    saving = next(s for s in footprint(found, "int4-ptq", 4096).savings if s.baseline == "bf16")
    assert saving.saved is None
    assert saving.reason is not None and "KV cache's bytes" in saving.reason


def test_a_failed_memory_cell_has_a_reason_at_every_context(tmp_path: Path) -> None:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        if not only(cell, variant="f16", measure="memory"):
            return record
        return msgspec.structs.replace(record, status="oom_killed", reason="killed", observations=())

    found = report(tmp_path, change=change)
    here = [f for f in found.footprints if f.variant == "f16"]
    assert {(f.bytes, f.reason) for f in here} == {(None, "killed")}


# ---------------------------------------------------------------- what fits


def sized(peaks: dict[str, int]) -> Any:
    """Memory cells with these peaks, in MiB."""

    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        peak = peaks[str(cell.variant)] * MIB if cell.variant else 0
        return altered(cell, record, MemorySeen, vm_hwm_bytes=peak, peak_rss_plus_swap_bytes=peak)

    return change


def test_the_need_is_the_peak_and_a_margin(tmp_path: Path) -> None:
    # 1024 / 1.3 = 787.7 MiB is the most that fits 1 GiB
    found = report(tmp_path, change=sized({"bf16": 788, "f16": 787, "int4-ptq": 700}))
    (one,) = found.frontiers
    assert one.context == 2048
    assert next(n for n in one.needs if n.variant == "f16").need_bytes == round(1.3 * 787 * MIB)
    fits = {fit.memory_bytes >> 30: fit.variants for fit in one.fits}
    assert list(fits) == [1, 2, 3, 4, 6, 8, 12, 16]
    assert fits[1] == ("f16", "int4-ptq")
    assert fits[2] == ("bf16", "f16", "int4-ptq")


def test_the_frontier_holds_the_best_score_that_fits(tmp_path: Path) -> None:
    found = report(tmp_path, change=sized({"bf16": 9000, "f16": 3000, "int4-ptq": 700}), items=200)
    (one,) = found.frontiers
    assert (one.judged_by, one.metric, one.judged_on, one.said) == ("accuracy", "acc", "knowledge_200", None)
    worth = {n.variant: n.worth for n in one.needs}
    best = {fit.memory_bytes >> 30: fit.best for fit in one.fits}
    assert best[1] == "int4-ptq"
    assert best[16] == max(worth, key=lambda v: (worth[v], -{"bf16": 9000, "f16": 3000, "int4-ptq": 700}[v]))
    assert worth["f16"] > worth["int4-ptq"] and best[4] == "f16"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"random_weights": True}, "the weights are random, so accuracy means nothing"),
        ({"measures": MEASURES[:4]}, "no accuracy was measured"),
        ({"measures": (*MEASURES[:4], Text(text="text_5000", reference="f16"))}, "no accuracy was measured"),
    ],
)
def test_without_accuracy_bits_per_weight_judge(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    (one,) = report(tmp_path, change=sized({"bf16": 900, "f16": 890, "int4-ptq": 700}), **changes).frontiers
    assert (one.judged_by, one.said) == ("bits_per_weight", said)
    best = {fit.memory_bytes >> 30: fit.best for fit in one.fits}
    assert best[1] == "int4-ptq"
    assert best[2] == "f16"  # as many bits as bf16, and less memory


def test_a_variant_without_an_answer_leaves_the_judging_to_bits(tmp_path: Path) -> None:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        if not only(cell, variant="f16", measure="task"):
            return record
        return msgspec.structs.replace(record, status="failed", reason="x", observations=())

    (one,) = report(tmp_path, change=change).frontiers
    assert (one.judged_by, one.said) == ("bits_per_weight", "not every variant has an accuracy")


def test_without_any_worth_there_is_no_best(tmp_path: Path) -> None:
    (one,) = report(tmp_path, measures=(Memory(rounds=3),)).frontiers
    assert one.fits[0].variants == ("bf16", "f16", "int4-ptq")
    assert {fit.best for fit in one.fits} == {None}


def test_what_was_not_measured_fits_nowhere(tmp_path: Path) -> None:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord | None:
        return None if only(cell, variant="f16", measure="memory") else record

    (one,) = report(tmp_path, change=change).frontiers
    need = next(n for n in one.needs if n.variant == "f16")
    assert (need.peak_bytes, need.need_bytes) == (None, None)
    assert need.reason is not None and "not measured yet" in need.reason
    assert all("f16" not in fit.variants for fit in one.fits)


# ---------------------------------------------------------------- random weights


def test_random_weights_have_no_score_anywhere(tmp_path: Path) -> None:
    found = report(tmp_path, random_weights=True, measures=(*MEASURES, Text(text="text_5000", reference="f16")))
    scores = [r for r in found.rows if r.metric in ("acc", "acc_norm", "perplexity")]
    assert scores
    assert {(r.value, r.ratio, r.diff, r.reason) for r in scores} == {
        (None, None, None, "the weights are random: no score means anything")
    }
    assert found.accuracy == () and found.tasks == ()
    assert [r for r in found.rows if r.metric == "kl_divergence" and r.value is not None]
