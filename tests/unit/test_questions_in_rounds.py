"""The report of a run whose questions ended early: how many of how many, and only what holds then."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from harness.analyse.compare import analyse
from harness.analyse.findings import PairedItems, Report, Row
from harness.measure.parts import ROUNDS
from harness.pipeline import report
from harness.stats import always_valid_interval
from harness.store import Run, read_lines
from harness.values import Answers, Cell, Task, TrialRecord
from tests.builders import TRUTHS, Change, build_and_read

ITEMS = 1000
TASK = Task(task="knowledge_200", until=0.03)


def ended_after(rounds: int, *variants: str) -> Change:
    """Later rounds of these variants were not needed."""

    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        if cell.variant not in variants or record.round < rounds:
            return record
        return msgspec.structs.replace(
            record, status="not_needed", reason="stopped after some questions", observations=(), environment=None
        )

    return change


def run_of(tmp_path: Path, rounds: int = 8, task: Task = TASK) -> Run:
    return build_and_read(tmp_path, measures=(task,), items=ITEMS, change=ended_after(rounds, "int8"))


def pair_of(found: Report, variant: str = "int8", baseline: str = "bf16", metric: str = "acc") -> PairedItems:
    return next(p for p in found.accuracy if (p.variant, p.baseline, p.metric) == (variant, baseline, metric))


def row_of(found: Report, variant: str = "int8", baseline: str = "bf16", metric: str = "acc") -> Row:
    return next(r for r in found.rows if (r.variant, r.baseline, r.metric) == (variant, baseline, metric))


def values_of(run: Run, variant: str) -> dict[int, tuple[float, str]]:
    cells = {cell.key: cell for cell in run.plan.cells}
    answers = [o for r in run.records if cells[r.cell].variant == variant for o in r.observations]
    lines = (line for o in answers if isinstance(o, Answers) for line in read_lines(run.path / o.items))
    return {line["id"]: (line["metrics"]["acc"], line["group"]) for line in lines}


def test_pairs_are_the_questions_that_both_were_asked(tmp_path: Path) -> None:
    found = analyse([run := run_of(tmp_path)])
    pair, whole = pair_of(found), pair_of(found, "int4-ptq")
    assert (pair.items, pair.of) == (8 * ITEMS // ROUNDS, ITEMS)
    assert (whole.items, whole.of) == (ITEMS, ITEMS)
    own, base = values_of(run, "int8"), values_of(run, "bf16")
    assert len(own) == 400 and len(base) == ITEMS
    assert pair.value == pytest.approx(sum(v for v, _ in own.values()) / 400)
    assert pair.diff == pytest.approx(sum(v - base[i][0] for i, (v, _) in own.items()) / 400)


def test_the_interval_is_the_one_that_may_be_looked_at_again(tmp_path: Path) -> None:
    found = analyse([run := run_of(tmp_path)])
    own, base = values_of(run, "int8"), values_of(run, "bf16")
    differences = [v - base[i][0] for i, (v, _) in own.items()]
    wanted = always_valid_interval(differences, [group for _, group in own.values()], ITEMS)
    pair, row = pair_of(found), row_of(found)
    assert pair.interval is not None and wanted is not None and row.diff_low is not None and row.diff_high is not None
    assert (pair.interval.low, pair.interval.high) == pytest.approx((wanted.low, wanted.high))
    assert (row.diff_low, row.diff_high) == pytest.approx((wanted.low, wanted.high))


def test_what_holds_for_a_fixed_number_only_is_left_out(tmp_path: Path) -> None:
    for variant in ("int8", "int4-ptq"):
        pair = pair_of(analyse([run_of(tmp_path / variant)]), variant)
        assert pair.mcnemar_p is None and pair.clustered is None and pair.choice_kl_interval is None
        assert pair.recovery is not None and pair.recovery_low is None and pair.recovery_high is None
        assert pair.right_to_wrong is not None and pair.wrong_to_right is not None
        assert pair.answers_changed is not None and pair.choice_kl is not None


def test_the_rows_say_how_many_of_how_many(tmp_path: Path) -> None:
    row = row_of(analyse([run_of(tmp_path)]))
    said = "400 of 1,000 questions asked, in random order; the interval holds however often it was looked at"
    assert said in row.notes
    assert not any("exact p" in note or "exact bound" in note for note in row.notes)


def test_too_few_questions_have_no_interval_and_say_so(tmp_path: Path) -> None:
    found = analyse([run_of(tmp_path, rounds=1)])
    pair, row = pair_of(found), row_of(found)
    assert pair.items == 50 and pair.interval is None and pair.one_point == "unknown"
    assert row.diff is not None and row.diff_low is None
    assert any("50 of 1,000 questions asked" in n and "no interval below 100 questions" in n for n in row.notes)


def test_identical_answers_have_an_interval_that_is_not_a_point(tmp_path: Path) -> None:
    truths = {name: replace(TRUTHS[name], flips=0.0) for name in ("bf16", "int8")}
    run = build_and_read(tmp_path, measures=(TASK,), items=ITEMS, truths=truths, baselines=("bf16",))
    pair = pair_of(analyse([run]))
    assert pair.diff == 0 and pair.interval is not None and pair.interval.high - pair.interval.low > 0.001


def test_rounds_that_were_not_needed_are_no_trouble(tmp_path: Path) -> None:
    found = analyse([run_of(tmp_path)])
    assert not [t for t in found.troubles if t.status in ("failed", "not_measured")]


def test_questions_that_are_all_asked_at_once_are_as_they_were(tmp_path: Path) -> None:
    found = analyse([build_and_read(tmp_path, measures=(Task(task="knowledge_200"),), items=ITEMS)])
    pair = pair_of(found, "int4-ptq")
    assert pair.of is None and pair.mcnemar_p is not None and pair.recovery_low is not None
    assert not any("questions asked" in note for note in row_of(found, "int4-ptq").notes)


def test_every_page_is_made_of_such_a_run(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    files = report([str(run.path)], tmp_path, tmp_path / "report")
    assert any(path.name.startswith("items-") for path in files)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "400 of 1,000" in page
    assert "400 of 1,000 questions asked" in (tmp_path / "report" / "report.md").read_text() + page
