"""The runs of all shards of one plan, joined into one run: answers and items side by side, nothing measured."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.errors import InputError, StoreError
from harness.measure.grade import check_answers
from harness.measure.parts import CUT, cut_remark
from harness.measure.same_requests import request_differences
from harness.store import Run, append_record, create_run, inside, read_lines, write_durably, write_lines
from harness.values import Answers, Cell, CrossChecked, Plan, TrialRecord

OF_THE_SHARD = ("shard", "command", "facts", "bench_version")
"""Parts of a plan in which shards may differ: each may have run on a machine of its own."""


def merge_runs(runs: Sequence[Run], results: Path, *, host: str) -> Path:
    """Write the joined run; returns its folder.

    Raises:
        InputError: no shards, not all of them, one twice, or shards of different plans.
        StoreError: a shard has no answers yet, or answers of another artifact, other requests or another version of
            a task.
    """
    ordered = _in_order(runs)
    plan = msgspec.structs.replace(
        ordered[0].plan, shard=None, command=("bench", "merge", *(run.id for run in ordered))
    )
    records = [_joined(ordered, cell) for cell in plan.cells]
    folder = create_run(results, plan, host=host)
    try:
        for cell, of_cell in zip(plan.cells, records, strict=True):
            append_record(folder, _written(folder, ordered, cell, of_cell))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # half a join would look like a run that can go on
        raise
    return folder


def _in_order(runs: Sequence[Run]) -> list[Run]:
    parts = [run.plan.shard for run in runs]
    if not runs or any(part is None for part in parts):
        raise InputError("only runs of shards can be merged: `bench run --shard 1/4`, 2/4, 3/4, 4/4")
    by_number = {part.number: run for part, run in zip(parts, runs, strict=True) if part is not None}
    of = parts[0].of if parts[0] else 0
    missing = [f"{number}/{of}" for number in range(1, of + 1) if number not in by_number]
    if any(part is not None and part.of != of for part in parts):
        raise InputError("these shards are parts of different divisions: " + ", ".join(map(str, parts)))
    if missing or len(by_number) < len(runs):
        what = f"missing: {', '.join(missing)}" if missing else "one is there twice"
        raise InputError(f"all {of} shards are needed, each once; {what}")
    ordered = [by_number[number] for number in sorted(by_number)]
    for run in ordered[1:]:
        if _wish(run.plan) != _wish(ordered[0].plan):
            raise InputError(f"{run.id} and {ordered[0].id} are shards of different plans")
    return ordered


def _wish(plan: Plan) -> object:
    return {field: getattr(plan, field) for field in plan.__struct_fields__ if field not in OF_THE_SHARD}


def _joined(runs: Sequence[Run], cell: Cell) -> list[TrialRecord]:
    """The cell's record of each shard."""
    found = []
    for run in runs:
        record = next((r for r in run.records if r.cell == cell.key), None)
        if record is None:
            raise StoreError(f"{run.id} is not complete: `bench run --resume {run.id}` goes on")
        found.append(record)
    return found


def _written(folder: Path, runs: Sequence[Run], cell: Cell, records: Sequence[TrialRecord]) -> TrialRecord:
    """The joined record, its files written before it."""
    bad = [(run, record) for run, record in zip(runs, records, strict=True) if record.status != "ok"]
    if bad:
        run, record = bad[0]
        reason = record.reason if record.status == "unsupported" else f"in shard {run.plan.shard}: {record.reason}"
        return msgspec.structs.replace(record, reason=reason)
    _check_alike(runs, cell, records)
    joined = _write_answers(folder, runs, cell, [_answers(record) for record in records])
    first = records[0]
    others = tuple(o for o in first.observations if not isinstance(o, Answers | CrossChecked))
    checks = tuple(o for record in records for o in record.observations if isinstance(o, CrossChecked))
    return msgspec.structs.replace(
        first,
        observations=(*others, joined, *checks),
        noise=(*_marks(records, inside(folder, joined.requests)), *_several_builds(records)),
        started=min(record.started for record in records),
        duration_ns=sum(record.duration_ns for record in records),
    )


def _write_answers(folder: Path, runs: Sequence[Run], cell: Cell, answers: Sequence[Answers]) -> Answers:
    """Requests, answers and, where every shard is graded, items of all shards; returns where they lie."""
    joined = msgspec.structs.replace(
        answers[0],
        count=sum(a.count for a in answers),
        tokens=sum(a.tokens for a in answers),
        questions=sum(a.questions for a in answers),
    )
    requests = inside(folder, joined.requests)
    if not requests.exists():
        write_durably(requests, inside(runs[0].path, joined.requests).read_bytes())
    pairs = list(zip(runs, answers, strict=True))
    lines = [line for run, one in pairs for line in read_lines(_answers_file(run, one))]
    write_lines(inside(folder, joined.answers), sorted(lines, key=lambda line: int(line["id"])))
    if (wrong := check_answers(requests, inside(folder, joined.answers))) is not None:
        raise StoreError(f"{cell.variant} {cell.workload.label}: {wrong}")
    if all(inside(run.path, one.items).is_file() for run, one in pairs):
        items = [line for run, one in pairs for line in read_lines(inside(run.path, one.items))]
        write_lines(inside(folder, joined.items), items)
    return joined


def _check_alike(runs: Sequence[Run], cell: Cell, records: Sequence[TrialRecord]) -> None:
    what = f"{cell.variant} {cell.workload.label}"
    if len({record.artifact_sha256 for record in records}) > 1:
        raise StoreError(f"{what}: the shards were answered by different artifacts")
    answers = [_answers(record) for record in records]
    if len({tuple(sorted(one.task_versions.items())) for one in answers}) > 1:
        raise StoreError(f"{what}: the shards asked different versions of the task")
    first, *others = [inside(run.path, one.requests) for run, one in zip(runs, answers, strict=True)]
    for other in others:
        if request_differences(other, first)[0]:
            raise StoreError(f"{what}: the shards had different requests (another tokenizer, or other data)")


def _answers_file(run: Run, answers: Answers) -> Path:
    """Compressed when graded; a run that ended after its last record and before that has them plain."""
    path = inside(run.path, answers.answers)
    found = next((one for one in (path, path.with_suffix("")) if one.is_file()), None)
    if found is None:
        raise StoreError(f"{run.id} has lost {answers.answers}: its answers cannot be joined")
    return found


def _marks(records: Sequence[TrialRecord], requests: Path) -> list[str]:
    """Each mark once; what each shard said of its own questions is said anew of all."""
    marks = dict.fromkeys(mark for record in records for mark in record.noise)
    kept = [mark for mark in marks if not mark.endswith(CUT)]
    cut = cut_remark(requests, None) if len(kept) < len(marks) else None
    return kept if cut is None else [*kept, cut]


def _several_builds(records: Sequence[TrialRecord]) -> tuple[str, ...]:
    programs = {record.environment.runner_sha256 for record in records if record.environment}
    return (f"the shards were answered by {len(programs)} builds of the program",) if len(programs) > 1 else ()


def _answers(record: TrialRecord) -> Answers:
    found = next((o for o in record.observations if isinstance(o, Answers)), None)
    if found is None:
        raise StoreError(f"trial {record.trial} has no answers")
    return found
