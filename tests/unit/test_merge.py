"""Runs of all shards joined: as an undivided run, or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.errors import InputError, StoreError
from harness.measure.merge import merge_runs
from harness.measure.parts import CUT, Part, kept
from harness.pipeline import report
from harness.store import RECORDS, Run, read_lines, read_run, write_lines
from harness.values import Answers, Cell, CrossChecked, Shard, Task, Text, TrialRecord
from tests.builders import Change, build_run

MEASURES = (Task(task="knowledge_200"), Text(text="text_5000", reference="f16"))
ITEMS = 41
CHECKED = CrossChecked(
    requests=3, largest_nats=1e-6, mean_nats=1e-7, tolerance_nats=1e-4, itself_nats=None, rule="r", reference="lm-eval"
)


def built(tmp_path: Path, number: int, of: int, change: Change | None = None, **more: Any) -> Run:
    """A run of one shard with its answers, the last first, as several programs may have written them."""
    wish: dict[str, Any] = {"measures": MEASURES, "items": ITEMS, **more}
    shard = Shard(number=number, of=of)
    folder = build_run(tmp_path / "results", name=f"r-{number}-{of}", shard=shard, change=change, **wish)
    run = read_run(folder)
    for record in run.records:
        for one in of_kind(record, Answers):
            requests = folder / one.requests
            if not requests.exists():
                write_lines(requests, [{"head": {}}, *({"id": n, "kind": "window"} for n in range(12))])
            chosen = Part(shard=shard, round=None, seed=run.plan.suite.seed).chosen(requests)
            ids = [line["id"] for line in kept(read_lines(requests), chosen)]
            write_lines(folder / one.answers, [{"id": n, "logprob": -n / 7, "greedy": False} for n in reversed(ids)])
    return run


def of_kind(record: TrialRecord, kind: Any) -> list[Any]:
    return [o for o in record.observations if isinstance(o, kind)]


def merged(tmp_path: Path, runs: list[Run]) -> Run:
    return read_run(merge_runs(runs, tmp_path / "merged", host="h"))


def shards(tmp_path: Path, of: int, **more: Any) -> list[Run]:
    return [built(tmp_path, number, of, **more) for number in range(1, of + 1)]


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_a_merged_run_is_that_of_an_undivided_one(tmp_path: Path, of: int) -> None:
    whole = read_run(build_run(tmp_path / "whole", measures=MEASURES, items=ITEMS))
    joined = merged(tmp_path, shards(tmp_path, of)[::-1])
    assert joined.complete and joined.plan.shard is None
    assert joined.plan.cells == whole.plan.cells and joined.plan.trials == whole.plan.trials
    for ours, theirs in zip(joined.records, whole.records, strict=True):
        (one,), (other,) = of_kind(ours, Answers), of_kind(theirs, Answers)
        assert (one.questions, one.of, one.count) == (other.questions, other.of, other.count)
        assert list(read_lines(joined.path / one.items)) == list(read_lines(whole.path / other.items)), "in order"
        ids = [line["id"] for line in read_lines(joined.path / one.answers)]
        assert ids == list(range(len(ids))) and len(ids) == (4 * ITEMS if one.reference is None else 12)


def test_the_report_of_a_merged_run_is_that_of_an_undivided_one(tmp_path: Path) -> None:
    whole = build_run(tmp_path / "whole", measures=MEASURES, items=ITEMS)
    joined = merged(tmp_path, shards(tmp_path, 2))
    found = []
    for folder in (whole, joined.path):
        report([str(folder)], tmp_path, out := tmp_path / f"report-{folder.name}")
        body = msgspec.json.decode((out / "report.json").read_bytes())
        found.append([{k: v for k, v in pair.items() if k != "run"} for pair in body["accuracy"]])
    assert found[0] and found[0] == found[1]


def test_it_says_what_it_was_made_of(tmp_path: Path) -> None:
    runs = shards(tmp_path, 2)
    assert merged(tmp_path, runs).plan.command == ("bench", "merge", "r-1-2", "r-2-2")
    assert all((run.path / RECORDS).exists() for run in runs), "the shards' own runs stay"


def test_it_is_marked_where_builds_of_the_program_differ_and_keeps_every_mark(tmp_path: Path) -> None:
    def by_another(cell: Cell, record: TrialRecord) -> TrialRecord:
        assert record.environment is not None
        other = msgspec.structs.replace(record.environment, runner_sha256="e" * 64)
        seen = (*record.observations, CHECKED)
        return msgspec.structs.replace(record, environment=other, noise=("cut",), observations=seen)

    one, other = built(tmp_path, 1, 2), built(tmp_path, 2, 2, change=by_another)
    for record in merged(tmp_path, [one, other]).records:
        assert record.noise == ("cut", "the shards were answered by 2 builds of the program")
        assert of_kind(record, CrossChecked) == [CHECKED]


def test_cut_prompts_are_counted_over_all_shards(tmp_path: Path) -> None:
    def marked(cell: Cell, record: TrialRecord) -> TrialRecord:
        return msgspec.structs.replace(record, noise=(f"4 of 20 {CUT}", "doubtful"))

    runs = shards(tmp_path, 2, measures=MEASURES[:1], change=marked)
    for run in runs:
        path = run.path / "requests" / "knowledge_200.jsonl.gz"
        write_lines(path, [{**line, "truncated": line.get("doc", 9) < 8} for line in read_lines(path)])
    for record in merged(tmp_path, runs).records:
        assert record.noise == ("doubtful", f"8 of 41 {CUT}")


def test_the_checks_of_all_shards_stay(tmp_path: Path) -> None:
    def checked(cell: Cell, record: TrialRecord) -> TrialRecord:
        return msgspec.structs.replace(record, observations=(*record.observations, CHECKED))

    joined = merged(tmp_path, shards(tmp_path, 3, change=checked))
    assert {len(of_kind(record, CrossChecked)) for record in joined.records} == {3}


def test_a_failed_shard_fails_its_cell_alone(tmp_path: Path) -> None:
    def broken(cell: Cell, record: TrialRecord) -> TrialRecord:
        if (cell.variant, cell.measure) != ("int8", "task"):
            return record
        return msgspec.structs.replace(record, status="failed", reason="no memory", observations=())

    joined = merged(tmp_path, [built(tmp_path, 1, 2), built(tmp_path, 2, 2, change=broken)])
    bad = [record for record in joined.records if record.status != "ok"]
    assert [(r.status, r.reason) for r in bad] == [("failed", "in shard 2/2: no memory")]
    assert joined.complete


def test_answers_that_are_not_graded_yet_can_be_later(tmp_path: Path) -> None:
    runs = shards(tmp_path, 2)
    for path in (runs[1].path / "items").iterdir():
        path.unlink()
    joined = merged(tmp_path, runs)
    assert not (joined.path / "items").exists() and list((joined.path / "answers").iterdir())


def test_answers_that_are_not_compressed_yet_are_joined_all_the_same(tmp_path: Path) -> None:
    """As a shard leaves them that was killed between its last record and grading."""
    runs = shards(tmp_path, 2)
    whole = merged(tmp_path, runs)
    for path in list((runs[1].path / "answers").iterdir()):
        write_lines(path.with_suffix(""), list(read_lines(path)))
        path.unlink()
    joined = merged(tmp_path, runs)
    for path in (whole.path / "answers").iterdir():
        assert list(read_lines(joined.path / "answers" / path.name)) == list(read_lines(path))


# ---------------------------------------------------------------- refused

Spoil = Callable[[list[Run], Path], list[Run]]


def replaced(run: Run, **plan: Any) -> Run:
    return msgspec.structs.replace(run, plan=msgspec.structs.replace(run.plan, **plan))


def other_artifacts(runs: list[Run], _: Path) -> list[Run]:
    records = tuple(msgspec.structs.replace(r, artifact_sha256="a" * 64) for r in runs[1].records)
    return [runs[0], msgspec.structs.replace(runs[1], records=records)]


def other_requests(runs: list[Run], _: Path) -> list[Run]:
    """A file of another name whose token ids differ at one place."""
    path = runs[1].path / "requests" / "knowledge_200.jsonl.gz"
    lines = list(read_lines(path))
    lines[-1]["continuation"] = [4]
    write_lines(path.with_name("other.jsonl.gz"), lines)
    records = [
        msgspec.structs.replace(
            r,
            observations=tuple(
                msgspec.structs.replace(o, requests="requests/other.jsonl.gz")
                if isinstance(o, Answers) and "knowledge" in o.requests
                else o
                for o in r.observations
            ),
        )
        for r in runs[1].records
    ]
    return [runs[0], msgspec.structs.replace(runs[1], records=tuple(records))]


def changed_requests(**change: Any) -> Spoil:
    """A file of the same name in which one request differs in this."""

    def spoil(runs: list[Run], _: Path) -> list[Run]:
        path = runs[1].path / "requests" / "knowledge_200.jsonl.gz"
        lines = list(read_lines(path))
        write_lines(path, [*lines[:-1], lines[-1] | change])
        return runs

    return spoil


def other_versions(runs: list[Run], _: Path) -> list[Run]:
    def changed(record: TrialRecord) -> TrialRecord:
        seen = [
            msgspec.structs.replace(o, task_versions={"t": "9"}) if isinstance(o, Answers) else o
            for o in record.observations
        ]
        return msgspec.structs.replace(record, observations=tuple(seen))

    return [runs[0], msgspec.structs.replace(runs[1], records=tuple(map(changed, runs[1].records)))]


def no_answers(runs: list[Run], _: Path) -> list[Run]:
    next((runs[0].path / "answers").iterdir()).unlink()
    return runs


def an_answer_lost(runs: list[Run], _: Path) -> list[Run]:
    path = next((runs[0].path / "answers").iterdir())
    write_lines(path, list(read_lines(path))[:-1])
    return runs


def an_answer_of_the_other_shard(runs: list[Run], _: Path) -> list[Run]:
    name = next((runs[0].path / "answers").iterdir()).name
    first, second = (list(read_lines(run.path / "answers" / name)) for run in runs)
    write_lines(runs[1].path / "answers" / name, [*second, first[0]])
    return runs


REFUSED: list[tuple[Spoil, type[Exception], str]] = [
    (lambda runs, _: [], InputError, "only runs of shards can be merged"),
    (lambda runs, _: runs[:1], InputError, "all 2 shards are needed, each once; missing: 2/2"),
    (lambda runs, _: [*runs, runs[0]], InputError, "one is there twice"),
    (lambda runs, _: [runs[0], replaced(runs[1], shard=None)], InputError, "only runs of shards can be merged"),
    (lambda runs, path: [runs[0], built(path, 2, 3)], InputError, "different divisions: 1/2, 2/3"),
    (
        lambda runs, _: [runs[0], replaced(runs[1], cross_check=9)],
        InputError,
        "r-2-2 and r-1-2 are shards of different",
    ),
    (
        lambda runs, _: [runs[0], msgspec.structs.replace(runs[1], records=runs[1].records[:-1])],
        StoreError,
        "r-2-2 is not complete: `bench run --resume r-2-2` goes on",
    ),
    (other_artifacts, StoreError, "bf16 knowledge_200: the shards were answered by different artifacts"),
    (other_requests, StoreError, "the shards had different requests"),
    (changed_requests(stop=["x"]), StoreError, r"had different requests \(another tokenizer"),
    (changed_requests(max_tokens=7), StoreError, r"had different requests \(another tokenizer, or"),
    (changed_requests(target="!"), StoreError, r"had different requests \(another tokenizer, or other"),
    (changed_requests(doc_hash="!"), StoreError, r"had different requests \(another tokenizer, or other data\)"),
    (other_versions, StoreError, "the shards asked different versions of the task"),
    (no_answers, StoreError, "r-1-2 has lost answers/.*: its answers cannot be joined"),
    (an_answer_lost, StoreError, "1 of .* requests have no answer"),
    (an_answer_of_the_other_shard, StoreError, "a request was answered twice"),
]


@pytest.mark.parametrize(("spoil", "kind", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, spoil: Spoil, kind: type[Exception], said: str
) -> None:
    runs = spoil(shards(tmp_path, 2), tmp_path)
    with pytest.raises(kind, match=said):
        merge_runs(runs, tmp_path / "merged", host="h")
    assert not list((tmp_path / "merged").glob("*")), "half a join would look like a run"


def test_shards_of_another_seed_are_of_another_plan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="different plans"):
        merge_runs([built(tmp_path, 1, 2), built(tmp_path, 2, 2, seed=8)], tmp_path / "merged", host="h")


def test_machines_and_versions_may_differ(tmp_path: Path) -> None:
    one, other = shards(tmp_path, 2)
    elsewhere = replaced(other, facts={}, command=("bench",), bench_version="9")
    assert merged(tmp_path, [one, elsewhere]).complete
