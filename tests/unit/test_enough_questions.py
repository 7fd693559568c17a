"""Rounds of questions that are not needed: by whole rounds, alike after a resume, and never at a partner's cost."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.measure.enough_questions import EnoughQuestions
from harness.measure.parts import ROUNDS
from harness.stats import FEWEST_IN_SEQUENCE
from harness.store import Run, read_lines
from harness.values import Answers, Plan, Task, Trial, TrialRecord
from tests.builders import TRUTHS, Truth, build_and_read

ITEMS = 2000
PER_ROUND = ITEMS // ROUNDS


def run_of(tmp_path: Path, until: float, items: int = ITEMS, **more: Any) -> Run:
    return build_and_read(tmp_path, measures=(Task(task="knowledge_200", until=until),), items=items, **more)


def with_flips(**flips: float) -> dict[str, Truth]:
    """The first is the baseline."""
    return {name: Truth(name, 10**8, 100, 100, 0.46, share, 3.0, 0.0) for name, share in flips.items()}


def answers_of(record: TrialRecord) -> Answers:
    (found,) = (o for o in record.observations if isinstance(o, Answers))
    return found


def told(questions: EnoughQuestions, run: Run, record: TrialRecord) -> None:
    answers = answers_of(record)
    questions.add(record.cell, record.round, answers.of, None, read_lines(run.path / answers.items))


def carried_out(run: Run, known: Sequence[Trial] = ()) -> dict[str, dict[int, str | None]]:
    """Variant → round → why it was left out, or None, when the run goes on after these trials."""
    cells = {cell.key: cell for cell in run.plan.cells}
    records = {record.trial: record for record in run.records}
    questions = EnoughQuestions(run.plan)
    for trial in known:
        told(questions, run, records[trial.id])
    found: dict[str, dict[int, str | None]] = defaultdict(dict)
    for trial in run.plan.trials:
        if trial in known:
            continue
        why = questions.reason(trial, cells[trial.cell])
        found[str(cells[trial.cell].variant)][trial.round] = why
        if why is None:
            told(questions, run, records[trial.id])
    return found


def asked(found: dict[str, dict[int, str | None]]) -> dict[str, int]:
    """Variant → rounds that were asked, which must be the first ones."""
    rounds = {}
    for variant, reasons in found.items():
        taken = [number for number, why in reasons.items() if why is None]
        assert taken == list(range(len(taken))), "no round is asked after one was left out"
        rounds[variant] = len(taken)
    return rounds


def test_each_variant_ends_when_its_own_difference_is_narrow(tmp_path: Path) -> None:
    rounds = asked(carried_out(run_of(tmp_path, 0.03)))
    assert 1 <= rounds["int8"] < rounds["int4-ptq"] < ROUNDS, "more flips need more questions"
    assert rounds["bf16"] == rounds["f16"] == rounds["int4-ptq"], "baselines go on while one variant needs them"


def test_what_is_not_narrow_asks_everything(tmp_path: Path) -> None:
    assert set(asked(carried_out(run_of(tmp_path, 0.001))).values()) == {ROUNDS}


def test_the_reason_says_how_many_of_how_many(tmp_path: Path) -> None:
    found = carried_out(run_of(tmp_path, 0.03))
    rounds = asked(found)
    (why,) = {why for why in found["int8"].values() if why}
    assert why == (
        f"stopped after {rounds['int8'] * PER_ROUND:,} of 2,000 questions: known within ± 3 points, "
        "by an interval that holds however often it is looked at"
    )


@pytest.mark.parametrize("items", [180, 400, 2000])
def test_never_before_a_hundred_questions(tmp_path: Path, items: int) -> None:
    rounds = asked(carried_out(run_of(tmp_path, 0.9, items)))
    (least,) = set(rounds.values())
    assert (least - 1) * items / ROUNDS < FEWEST_IN_SEQUENCE <= least * items / ROUNDS


def test_fewer_questions_than_that_are_all_asked(tmp_path: Path) -> None:
    assert set(asked(carried_out(run_of(tmp_path, 0.9, 99))).values()) == {ROUNDS}


def test_identical_answers_do_not_end_it_at_once(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0.01, truths=with_flips(a=0, b=0), baselines=("a",))
    rounds = asked(carried_out(run))
    assert 2 * FEWEST_IN_SEQUENCE < rounds["b"] * PER_ROUND < ITEMS / 2, "no difference yet is not certainty"
    assert rounds["a"] == rounds["b"]


def test_every_metric_must_be_narrow(tmp_path: Path) -> None:
    """The change doubles what `acc_norm` varies by, and leaves `acc` as it is."""
    run = run_of(tmp_path, 0.03, truths=with_flips(a=0, b=0.05), baselines=("a",))
    cells = {cell.key: cell for cell in run.plan.cells}
    rounds = {}
    for shaken in (False, True):
        questions = EnoughQuestions(run.plan)
        key = next(c.key for c in run.plan.cells if c.variant == "b")
        for record in run.records:
            lines = list(read_lines(run.path / answers_of(record).items))
            for line in lines:
                if shaken and record.cell == key and line["id"] % 3 == 0:
                    line["metrics"]["acc_norm"] = 1.0 - line["metrics"]["acc_norm"]
            questions.add(record.cell, record.round, ITEMS, None, lines)
        left = [t.round for t in run.plan.trials if t.cell == key and questions.reason(t, cells[key])]
        rounds[shaken] = min(left, default=ROUNDS)
    assert rounds[False] < rounds[True]


def test_a_baseline_that_is_compared_with_nothing_is_judged_by_its_own_value(tmp_path: Path) -> None:
    truths = {name: TRUTHS[name] for name in ("bf16", "f16")}
    rounds = asked(carried_out(run_of(tmp_path, 0.06, truths=truths)))
    assert rounds["bf16"] == rounds["f16"] and 1 < rounds["bf16"] < ROUNDS
    wider = asked(carried_out(run_of(tmp_path / "wider", 0.12, truths=truths)))
    assert wider["bf16"] < rounds["bf16"]


@pytest.mark.parametrize("known", [1, 4, 5, 11])
def test_a_resumed_run_decides_alike(tmp_path: Path, known: int) -> None:
    run = run_of(tmp_path, 0.06)
    whole = carried_out(run)
    cells = {cell.key: str(cell.variant) for cell in run.plan.cells}
    before = [t for t in run.plan.trials if whole[cells[t.cell]][t.round] is None][:known]
    for variant, reasons in carried_out(run, before).items():
        for number, why in reasons.items():
            assert why == whole[variant][number]


def test_a_round_without_answers_is_missing_and_stops_nothing(tmp_path: Path) -> None:
    """Failed rounds of the baseline leave their questions unpaired: the first round alone is not enough."""
    run = run_of(tmp_path, 0.04, truths=with_flips(a=0, b=0.05), baselines=("a",))
    cells = {cell.key: cell for cell in run.plan.cells}
    keys = {str(cell.variant): cell.key for cell in run.plan.cells}
    last = next(t for t in run.plan.trials if t.cell == keys["b"] and t.round == ROUNDS - 1)
    reasons = []
    for failed in (False, True):
        questions = EnoughQuestions(run.plan)
        for record in run.records:
            if not (failed and record.cell == keys["a"] and record.round > 0):
                told(questions, run, record)
        reasons.append(questions.reason(last, cells[keys["b"]]))
    whole, missing = reasons
    assert whole is not None and f"stopped after {PER_ROUND * (ROUNDS - 1):,}" in whole
    assert missing is None


def test_a_question_that_the_baseline_has_no_value_for_is_not_counted_as_zero(tmp_path: Path) -> None:
    """A metric that the baseline lacks everywhere can never be narrow."""
    run = run_of(tmp_path, 0.9, truths=with_flips(a=0, b=0.05), baselines=("a",))
    cells = {cell.key: cell for cell in run.plan.cells}
    questions = EnoughQuestions(run.plan)
    for record in run.records:
        lines = list(read_lines(run.path / answers_of(record).items))
        for line in lines if cells[record.cell].variant == "a" else ():
            del line["metrics"]["acc_norm"]
        questions.add(record.cell, record.round, ITEMS, None, lines)
    assert not any(questions.reason(t, cells[t.cell]) for t in run.plan.trials)


def test_without_a_wish_nothing_is_counted(tmp_path: Path) -> None:
    run = build_and_read(tmp_path, measures=(Task(task="knowledge_200"),))
    questions = EnoughQuestions(run.plan)
    for record in run.records:
        told(questions, run, record)
    assert questions.cells == {} and questions.items == {}
    assert all(questions.reason(t, c) is None for t in run.plan.trials for c in run.plan.cells if c.key == t.cell)


def test_an_impossible_cell_keeps_nobody_waiting(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0.06)
    cells = tuple(
        msgspec.structs.replace(c, unsupported="no" if c.variant == "int4-ptq" else None) for c in run.plan.cells
    )
    plan: Plan = msgspec.structs.replace(run.plan, cells=cells)
    possible = tuple(t for t in plan.trials if next(c for c in cells if c.key == t.cell).unsupported is None)
    without = msgspec.structs.replace(run, plan=msgspec.structs.replace(plan, trials=possible))
    rounds = asked(carried_out(without))
    assert rounds["bf16"] == max(rounds["int8"], rounds["f16"]) < asked(carried_out(run))["bf16"]
