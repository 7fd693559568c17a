"""Paired comparison of items: answers, distances of choices, recovery, macro means, chance."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest

from harness.analyse.compare import analyse
from harness.analyse.findings import PairedItems, Report
from harness.analyse.pairs import BY_GROUPS, NEAR_CHANCE
from harness.metrics import macro_name, metric, micro_name
from harness.stats import mcnemar_exact_p, t_quantile, widest
from harness.store import Run, read_lines, write_lines
from harness.values import Task
from tests.builders import build_and_read

TASK = (Task(task="knowledge_200"),)
Line = dict[str, Any]


def changed(run: Run, change: Callable[[Line], Line | None], variant: str | None = None) -> Report:
    """The report of a run whose items, or those of one variant, were changed; None leaves an item out."""
    for cell in run.plan.cells:
        if variant in (None, cell.variant):
            path = run.path / f"items/{cell.key}.jsonl.gz"
            write_lines(path, [new for line in read_lines(path) if (new := change(line)) is not None])
    return analyse([run])


def items_of(run: Run, variant: str) -> list[Line]:
    key = next(c.key for c in run.plan.cells if c.variant == variant)
    return list(read_lines(run.path / f"items/{key}.jsonl.gz"))


def pair_of(report: Report, name: str = "acc", variant: str = "int4-ptq", baseline: str = "bf16") -> PairedItems:
    return next(p for p in report.accuracy if (p.variant, p.baseline, p.metric) == (variant, baseline, name))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_and_read(tmp_path, measures=TASK)


# ---------------------------------------------------------------- answers


def test_answers_changed_are_counted_right_or_wrong(run: Run) -> None:
    ours, base = items_of(run, "int4-ptq"), items_of(run, "bf16")
    wanted = sum(a["answer"] != b["answer"] for a, b in zip(ours, base, strict=True))
    pair = pair_of(analyse([run]))
    assert pair.answers_changed == wanted
    assert pair.right_to_wrong is not None and pair.wrong_to_right is not None
    assert wanted > pair.right_to_wrong + pair.wrong_to_right


def test_answers_of_another_rule_are_not_said_to_be_the_metrics(run: Run) -> None:
    pair = pair_of(analyse([run]), "acc_norm")
    assert pair.right_to_wrong is not None
    assert pair.answers_changed is None


def test_items_of_old_have_neither_answers_nor_distances(run: Run) -> None:
    new = ("answer", "target", "logprobs")
    pair = pair_of(changed(run, lambda line: {k: v for k, v in line.items() if k not in new}))
    assert (pair.answers_changed, pair.choice_kl, pair.choice_kl_interval) == (None, None, None)
    assert pair.right_to_wrong is not None


def test_texts_that_differ_count_as_changed(run: Run) -> None:
    def text(line: Line) -> Line:
        return {
            **line,
            "metrics": {"exact_match": line["metrics"]["acc"]},
            "answer": str(line["answer"]),
            "target": "1",
        }

    before = pair_of(analyse([run])).answers_changed
    assert pair_of(changed(run, text), "exact_match").answers_changed == before
    contradiction = changed(run, lambda line: {**line, "answer": "the same"})
    assert pair_of(contradiction, "exact_match").answers_changed is None


def test_a_text_that_one_filter_took_is_no_answer_to_another(run: Run) -> None:
    def filtered(line: Line) -> Line:
        scores = {"exact_match,strict": line["metrics"]["acc"], "exact_match,flexible": line["metrics"]["acc"]}
        return {**line, "metrics": scores, "answer": str(line["answer"]), "target": "1", "filter": "strict"}

    report = changed(run, filtered)
    assert pair_of(report, "exact_match,strict").answers_changed is not None
    assert pair_of(report, "exact_match,flexible").answers_changed is None


def test_the_distance_of_choices_is_kl_of_softmaxes(run: Run) -> None:
    ours = softmax(np.array([x["logprobs"] for x in items_of(run, "int4-ptq")]), axis=1)
    base = softmax(np.array([x["logprobs"] for x in items_of(run, "bf16")]), axis=1)
    each = (base * np.log(base / ours)).sum(axis=1)
    pair = pair_of(analyse([run]))
    assert pair.choice_kl == pytest.approx(each.mean())
    groups = np.array([x["group"] for x in items_of(run, "bf16")])
    assert pair.choice_kl_interval is not None and pair.clusters == 12
    centre = each - each.mean()
    sums = [centre[groups == g].sum() for g in sorted(set(groups))]
    half = t_quantile(11) * math.sqrt(12 / 11 * float(np.square(sums).sum())) / 200
    assert pair.choice_kl_interval.high == pytest.approx(each.mean() + half)
    itself = pair_of(changed(run, lambda line: {**line, "logprobs": [-1.0, -2.0, -800.0]}))
    assert itself.choice_kl == 0


def test_a_choice_that_became_impossible_is_far_but_finite(run: Run) -> None:
    changed(run, lambda line: {**line, "logprobs": [-1.0, -2.0]})
    report = changed(run, lambda line: {**line, "logprobs": [-1.0, -9000.0]}, "int4-ptq")
    found = pair_of(report).choice_kl
    assert found is not None and 10 < found < 1e3


# ---------------------------------------------------------------- recovery


def test_recovery_has_the_delta_methods_interval(run: Run) -> None:
    report = changed(run, lambda line: {**line, "group": None})
    ours = np.array([x["metrics"]["acc"] for x in items_of(run, "int4-ptq")])
    base = np.array([x["metrics"]["acc"] for x in items_of(run, "bf16")])
    pair = pair_of(report)
    ratio = ours.mean() / base.mean()
    error = (ours - ratio * base).std(ddof=1) / math.sqrt(200) / base.mean()
    assert pair.recovery == pytest.approx(ratio)
    assert pair.recovery_low == pytest.approx(ratio - t_quantile(199) * error)
    assert pair.recovery_high == pytest.approx(ratio + t_quantile(199) * error)


def test_recovery_of_alike_answers_is_not_certain(run: Run) -> None:
    pair = pair_of(changed(run, lambda line: {**line, "metrics": {"acc": float(line["id"] % 2)}}))
    assert pair.recovery == 1
    assert pair.recovery_low is not None and pair.recovery_high is not None
    assert pair.recovery_low < 0.97 and pair.recovery_high > 1.03


def test_recovery_of_a_baseline_that_is_hardly_known_has_no_interval(run: Run) -> None:
    few = pair_of(changed(run, lambda line: {**line, "metrics": {"acc": float(line["id"] < 5)}}))
    assert few.recovery == 1
    assert (few.recovery_low, few.recovery_high) == (None, None)
    none = pair_of(changed(run, lambda line: {**line, "metrics": {"acc": 0.0}}))
    assert (none.recovery, none.recovery_low) == (None, None)


# ---------------------------------------------------------------- groups of tasks


def subjects(line: Line) -> Line | None:
    """Three subjects of 100, 40 and 10 questions."""
    number = line["id"]
    task = "large" if number < 100 else "middle" if number < 140 else "small" if number < 150 else None
    return None if task is None else {**line, "task": task, "group": None}


def test_a_macro_mean_weighs_tasks_alike_and_its_difference_is_paired(run: Run) -> None:
    report = changed(run, subjects)
    table = {v: items_of(run, v) for v in ("bf16", "int4-ptq")}

    def means(variant: str) -> list[float]:
        return [
            float(np.mean([x["metrics"]["acc"] for x in table[variant] if x["task"] == task]))
            for task in ("large", "middle", "small")
        ]

    pair, micro = pair_of(report, "acc_macro"), pair_of(report, "acc")
    assert pair.value == pytest.approx(np.mean(means("int4-ptq")))
    assert pair.baseline_value == pytest.approx(np.mean(means("bf16")))
    assert pair.diff == pytest.approx(np.mean(means("int4-ptq")) - np.mean(means("bf16")))
    assert pair.value != pytest.approx(micro.value)
    weights = np.repeat([1 / 300, 1 / 120, 1 / 30], [100, 40, 10])
    d = np.array(
        [a["metrics"]["acc"] - b["metrics"]["acc"] for a, b in zip(table["int4-ptq"], table["bf16"], strict=True)]
    )
    error = math.sqrt(150 / 149 * float(np.square(weights * (d - pair.diff)).sum()))
    assert pair.interval is not None
    assert pair.interval.high - pair.diff == pytest.approx(t_quantile(149) * error)
    assert (pair.right_to_wrong, pair.mcnemar_p, pair.answers_changed, pair.choice_kl) == (None, None, None, None)
    row = next(r for r in report.rows if (r.variant, r.baseline, r.metric) == ("int4-ptq", "bf16", "acc_macro"))
    assert row.diff == pytest.approx(pair.diff)
    assert any("10 to 100 questions" in note and "10 times as much" in note for note in row.notes)


def test_a_macro_difference_clustered_by_task_is_the_t_interval_of_the_tasks(run: Run) -> None:
    report = changed(run, lambda line: {**line, "task": f"subject_{line['id'] % 16}", "group": None})
    pair = pair_of(report, "acc_macro")
    table = {v: items_of(run, v) for v in ("bf16", "int4-ptq")}
    by_task = np.array(
        [
            np.mean([x["metrics"]["acc"] for x in table["int4-ptq"] if x["id"] % 16 == k])
            - np.mean([x["metrics"]["acc"] for x in table["bf16"] if x["id"] % 16 == k])
            for k in range(16)
        ]
    )
    assert pair.clusters == 16 and pair.clustered is not None
    half = t_quantile(15) * by_task.std(ddof=1) / 4
    assert (pair.clustered.low, pair.clustered.high) == pytest.approx((by_task.mean() - half, by_task.mean() + half))


def test_one_task_has_no_macro_mean(run: Run) -> None:
    assert not [r for r in analyse([run]).rows if r.metric.endswith("_macro")]


def test_alike_tasks_leave_a_macro_bound_of_the_effective_number(run: Run) -> None:
    def alike(line: Line) -> Line | None:
        new = subjects(line)
        return new and {**new, "metrics": {"acc": float(line["id"] % 2)}}

    pair = pair_of(changed(run, alike), "acc_macro")
    effective = 1 / (100 * (1 / 300) ** 2 + 40 * (1 / 120) ** 2 + 10 * (1 / 30) ** 2)
    assert pair.interval is not None
    assert pair.interval.high == pytest.approx(1 - 0.025 ** (1 / effective))


@pytest.mark.parametrize("name", ["acc", "acc_norm", "exact_match,strict-match", "f1"])
def test_macro_names_lead_back(name: str) -> None:
    assert micro_name(macro_name(name)) == name
    assert micro_name(name) is None
    assert metric(macro_name(name)).unit == metric(name).unit
    assert "macro" in metric(macro_name(name)).title


# ---------------------------------------------------------------- chance


def test_a_baseline_near_chance_is_said_on_every_row(run: Run) -> None:
    report = changed(run, lambda line: {**line, "metrics": {"acc": float(line["id"] % 4 == 0)}})
    assert pair_of(report).near_chance is True
    noted = {r.metric for r in report.rows if r.baseline and NEAR_CHANCE in r.notes}
    assert noted == {"acc"}
    far = changed(run, lambda line: {**line, "metrics": {"acc": float(line["id"] % 2)}})
    assert pair_of(far).near_chance is False
    assert not [r for r in far.rows if NEAR_CHANCE in r.notes]


def test_chance_of_items_with_different_numbers_of_choices_is_their_mean(run: Run) -> None:
    def half(line: Line) -> Line:
        return {**line, "chance": 0.5 if line["id"] % 2 else 0.25, "metrics": {"acc": float(line["id"] % 5 < 2)}}

    assert pair_of(changed(run, half)).near_chance is True
    assert pair_of(changed(run, lambda line: {**line, "chance": 0.25})).near_chance is False
    assert pair_of(changed(run, lambda line: {**line, "chance": None})).near_chance is None


@pytest.mark.parametrize(("lost", "won"), [(1, 9), (0, 7), (30, 41), (500, 430)])
def test_mcnemar_is_the_binomial_test(lost: int, won: int) -> None:
    assert mcnemar_exact_p(lost, won) == pytest.approx(binomtest(lost, lost + won, 0.5).pvalue)


# ---------------------------------------------------------------- groups of alike questions


def test_a_row_takes_the_wider_interval_and_says_so(run: Run) -> None:
    report = analyse([run])
    for pair in report.accuracy:
        (row,) = (
            r for r in report.rows if (r.variant, r.baseline, r.metric) == (pair.variant, pair.baseline, pair.metric)
        )
        assert pair.interval is not None and pair.clustered is not None
        wider = widest(pair.interval, pair.clustered)
        assert wider is not None and (row.diff_low, row.diff_high) == (wider.low, wider.high)
        assert any(BY_GROUPS in note for note in row.notes) is (wider is pair.clustered)
    assert any(BY_GROUPS in note for row in report.rows for note in row.notes)


def test_no_group_differs_is_no_certainty(run: Run) -> None:
    base = {line["id"]: line for line in items_of(run, "bf16")}
    same = pair_of(changed(run, lambda line: {**line, "metrics": base[line["id"]]["metrics"]}, "int4-ptq"))
    assert same.diff == 0.0 and same.clusters == 12 and same.clustered is None
    assert same.interval is not None and same.interval.low < 0 < same.interval.high
    assert same.one_point == "not excluded"
