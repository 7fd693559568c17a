"""Any two sides: pairs within a run, Welch's interval across runs, and no silent merging."""

import math
import random
from dataclasses import replace
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from scipy.stats import ttest_ind

from harness import pipeline
from harness.analyse.compare import analyse
from harness.analyse.sides import SideBySide, SideRow
from harness.errors import InputError, UnknownNameError
from harness.stats import unpaired_ratio_interval, welch_interval
from harness.store import PLAN, encode, read_run
from harness.values import Bandwidth, Cell, Size, Speed, Task, TrialRecord, digest
from tests.builders import TRUTHS, Change, build_run

DECODE = Speed(prompt_tokens=64, generated_tokens=16, rounds=5, repetitions=2)
MEASURES = (Size(), Bandwidth(rounds=5, repetitions=2), DECODE, Task(task="knowledge_200"))
A, B = "20260714T101500Z-quick-example-00aa", "20260715T101500Z-quick-example-00bb"


def one(found: SideBySide, metric: str, variant: str | None = "int8") -> SideRow:
    (row,) = [r for r in found.rows if (r.metric, r.variant) == (metric, variant)]
    return row


def two_runs(results: Path, *, factor: float = 1.0, seed: int = 8, change: Change | None = None) -> None:
    """The second run decodes `factor` times as fast as the first, whatever the variant."""
    slower = {n: replace(t, decode_tok_s=t.decode_tok_s * factor) for n, t in TRUTHS.items()}
    build_run(results, name=A, measures=MEASURES, seed=seed)
    build_run(results, name=B, measures=MEASURES, seed=seed + 1000, truths=slower, change=change)


def other_artifact(cell: Cell, record: TrialRecord) -> TrialRecord:
    return msgspec.structs.replace(record, artifact_sha256=digest(["other", cell.variant])) if cell.variant else record


# ---------------------------------------------------------------- statistics


def test_welch_agrees_with_scipy() -> None:
    rng = random.Random(3)
    for n, m, spread in ((5, 5, 1.0), (3, 12, 4.0), (20, 4, 0.1)):
        a, b = [rng.gauss(2, 1) for _ in range(n)], [rng.gauss(1, spread) for _ in range(m)]
        expected = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
        found = welch_interval(a, b)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_welch_at_the_edges() -> None:
    assert welch_interval([1.0], [1.0, 2.0]) is None
    assert welch_interval([3.0, 3.0], [1.0, 1.0]) is None, "no spread on either side is no certainty"
    assert unpaired_ratio_interval([1.0, 2.0], [1.0, 2.0, 3.0]) is None
    assert unpaired_ratio_interval([1.0, 2.0, 0.0], [1.0, 2.0, 3.0]) is None


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    rng, hits, trials = random.Random(11), 0, 2000
    for _ in range(trials):
        a = [200 * rng.lognormvariate(0, 0.05) for _ in range(5)]
        b = [100 * rng.lognormvariate(0, 0.01) for _ in range(4)]
        found = unpaired_ratio_interval(a, b)
        hits += found is not None and found.low <= 2.0 <= found.high
    assert 0.935 <= hits / trials <= 0.975


# ---------------------------------------------------------------- two variants of a run


def test_two_variants_of_a_run_are_paired_as_with_a_baseline(tmp_path: Path) -> None:
    build_run(tmp_path, name=A, measures=MEASURES)
    found = pipeline.side_by_side(A, None, tmp_path, variants=("int8", "f16"))
    assert found.paired and not found.alone
    report = analyse([read_run(tmp_path / A)])
    (row,) = [r for r in report.rows if (r.variant, r.baseline, r.metric) == ("int8", "f16", "decode_tok_s")]
    mine = one(found, "decode_tok_s")
    assert (mine.ratio, mine.ratio_low, mine.ratio_high, mine.n) == (row.ratio, row.ratio_low, row.ratio_high, row.n)
    (row,) = [r for r in report.rows if (r.variant, r.baseline, r.metric) == ("int8", "f16", "acc")]
    mine = one(found, "acc")
    assert (mine.diff, mine.diff_low, mine.diff_high, mine.n) == (row.diff, row.diff_low, row.diff_high, row.n)


def test_variants_that_are_no_baselines_are_compared_and_their_artifacts_named(tmp_path: Path) -> None:
    build_run(tmp_path, name=A, measures=MEASURES)
    found = pipeline.side_by_side(A, None, tmp_path, variants=("int4-ptq", "int8"))
    row = one(found, "decode_tok_s", "int4-ptq")
    assert row.ratio_low is not None and row.ratio_high is not None
    assert row.ratio_low < 322 / 214 < row.ratio_high
    assert one(found, "size_bytes", "int4-ptq").ratio == TRUTHS["int4-ptq"].size_bytes / TRUTHS["int8"].size_bytes
    assert any(w.startswith("DIFFERENT ARTIFACTS") and "int4-ptq" in w for w in found.warnings)
    assert not any("baseline" in note for row in found.rows for note in row.notes)
    assert {"recipe", "artifact"} <= {d.name for d in found.differing}


# ---------------------------------------------------------------- two runs


@pytest.mark.parametrize("seed", range(10, 16))
def test_one_variant_in_two_runs_is_not_paired(tmp_path: Path, seed: int) -> None:
    two_runs(tmp_path, factor=0.8, seed=seed)
    found = pipeline.side_by_side(A, B, tmp_path, variants=("int8",))
    assert not found.paired
    assert any("not measured in turns" in warning for warning in found.warnings)
    row = one(found, "decode_tok_s")
    assert row.ratio_low is not None and row.ratio_high is not None
    # Five rounds whose drift is shared by all variants of a round: wide enough to hold the truth.
    assert row.ratio_low * 0.97 < 1 / 0.8 < row.ratio_high * 1.03
    assert row.ratio_low > 1


def test_the_unpaired_interval_is_welchs_over_logarithms(tmp_path: Path) -> None:
    two_runs(tmp_path)
    row = one(pipeline.side_by_side(A, B, tmp_path), "decode_tok_s")
    logs = []
    for name in (A, B):
        levels = analyse([read_run(tmp_path / name)]).levels
        (level,) = [x for x in levels if (x.variant, x.metric) == ("int8", "decode_tok_s")]
        logs.append([math.log(r.value) for r in level.rounds])
    expected = ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    assert (row.ratio_low, row.ratio_high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))


def test_all_variants_and_the_device_are_compared_each_with_itself(tmp_path: Path) -> None:
    two_runs(tmp_path)
    found = pipeline.side_by_side(A, B, tmp_path)
    assert all(row.variant == row.other_variant for row in found.rows)
    assert one(found, "read_bandwidth_bytes_s", None).ratio == pytest.approx(1, rel=0.05)
    assert one(found, "size_bytes").ratio == 1.0


def test_accuracy_of_two_runs_has_an_unpaired_difference(tmp_path: Path) -> None:
    two_runs(tmp_path)
    row = one(pipeline.side_by_side(A, B, tmp_path), "acc")
    assert row.diff is not None and row.diff_low is not None and row.diff_high is not None
    assert row.diff_low < row.diff < row.diff_high and row.n == row.other_n == 200
    assert "not paired by item" in " ".join(row.notes)


def test_conditions_that_differ_are_listed(tmp_path: Path) -> None:
    build_run(tmp_path, name=A, measures=MEASURES, threads=4)
    build_run(tmp_path, name=B, measures=MEASURES, threads=2)
    found = pipeline.side_by_side(A, B, tmp_path)
    differing = {d.name: (d.value, d.other) for d in found.differing}
    assert differing["decode threads"] == ("4", "2")
    assert "seed of rounds and questions" not in differing


def test_runs_of_unequal_rounds_can_be_compared(tmp_path: Path) -> None:
    build_run(tmp_path, name=A, measures=(DECODE,))
    build_run(tmp_path, name=B, measures=(msgspec.structs.replace(DECODE, rounds=8),))
    row = one(pipeline.side_by_side(A, B, tmp_path), "decode_tok_s")
    assert (row.n, row.other_n) == (5, 8)


def test_too_few_rounds_have_no_interval_and_say_so(tmp_path: Path) -> None:
    few = (msgspec.structs.replace(DECODE, rounds=2),)
    build_run(tmp_path, name=A, measures=few)
    build_run(tmp_path, name=B, measures=few)
    row = one(pipeline.side_by_side(A, B, tmp_path), "decode_tok_s")
    assert row.ratio is not None and row.ratio_low is None
    assert "no interval of the ratio: 2 and 2 of at least 3 rounds" in row.notes


def test_different_artifacts_of_one_name_are_refused_unless_asked_for(tmp_path: Path) -> None:
    two_runs(tmp_path, change=other_artifact)
    with pytest.raises(InputError, match=r"not the same artifact on both sides: .*--different-artifacts"):
        pipeline.side_by_side(A, B, tmp_path)
    found = pipeline.side_by_side(A, B, tmp_path, different_artifacts=True)
    assert len([w for w in found.warnings if w.startswith("DIFFERENT ARTIFACTS")]) == len(TRUTHS)


def test_two_variants_of_two_runs_are_what_is_compared(tmp_path: Path) -> None:
    two_runs(tmp_path)
    found = pipeline.side_by_side(A, B, tmp_path, variants=("int8", "bf16"))
    assert not found.paired and any(w.startswith("DIFFERENT ARTIFACTS") for w in found.warnings)
    ratio = one(found, "decode_tok_s").ratio
    assert ratio == pytest.approx(214 / 42, rel=0.1)


# ---------------------------------------------------------------- two devices


def on_two_devices(results: Path) -> None:
    """The first run again as if its second half had been on another device: the same plan, other names."""
    for name in (A, B):
        build_run(results, name=name, measures=(DECODE,), seed=5 if name == A else 6)
    run = read_run(results / B)
    device = msgspec.structs.replace(run.plan.suite.devices[0], name="phone")
    plan = msgspec.structs.replace(
        run.plan,
        suite=msgspec.structs.replace(run.plan.suite, devices=(device,)),
        facts={"phone": msgspec.structs.replace(run.plan.facts["local"], device="phone", cpu="Other Core")},
        cells=tuple(msgspec.structs.replace(cell, device="phone") for cell in run.plan.cells),
    )
    (results / B / PLAN).write_bytes(encode(plan))


def test_the_same_variant_on_two_devices(tmp_path: Path) -> None:
    on_two_devices(tmp_path)
    found = pipeline.side_by_side(A, B, tmp_path, devices=("local", "phone"))
    assert not found.paired
    row = one(found, "decode_tok_s")
    assert (row.device, row.other_device) == ("local", "phone") and row.ratio_low is not None
    assert found == pipeline.side_by_side(A, B, tmp_path), "each run has one device"
    assert ("device", "local", "phone") in {(d.name, d.value, d.other) for d in found.differing}
    assert ("CPU", "Example Core X1", "Other Core") in {(d.name, d.value, d.other) for d in found.differing}


# ---------------------------------------------------------------- wrong wishes


def test_wrong_wishes_are_one_line(tmp_path: Path) -> None:
    two_runs(tmp_path)
    with pytest.raises(InputError, match="both sides are the same"):
        pipeline.side_by_side(A, None, tmp_path, variants=("int8",))
    with pytest.raises(UnknownNameError, match="did you mean 'int8'"):
        pipeline.side_by_side(A, None, tmp_path, variants=("int5", "bf16"))
    with pytest.raises(UnknownNameError, match="unknown device"):
        pipeline.side_by_side(A, B, tmp_path, devices=("local", "phone"))
    with pytest.raises(InputError, match="two variants can be compared, not 3"):
        pipeline.side_by_side(A, None, tmp_path, variants=("int8", "f16", "bf16"))
    with pytest.raises(UnknownNameError, match="decode_tok_s"):
        pipeline.side_by_side(A, B, tmp_path, metrics=("decode_toks",))


def test_the_terminal_says_conditions_before_numbers(tmp_path: Path) -> None:
    from rich.console import Console

    from harness.render.sides_terminal import side_by_side

    two_runs(tmp_path, change=other_artifact)
    found = pipeline.side_by_side(A, B, tmp_path, different_artifacts=True)
    console = Console(width=140, record=True, file=StringIO())
    console.print(side_by_side(found))
    text = console.export_text()
    assert text.index("DIFFERENT ARTIFACTS") < text.index("what differs") < text.index("Decode")
    assert "not measured in turns" in text
