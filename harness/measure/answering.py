"""An accuracy cell's way from its requests to answers that may be graded."""

from collections.abc import Iterable, Iterator

import msgspec

from harness.errors import BuildError, InputError, StoreError
from harness.measure.cross_check import cross_checked
from harness.measure.floor import Floor, answers_name
from harness.measure.grade import check_answers
from harness.measure.overlap import refuse_overlap
from harness.measure.parts import cut_remark, part_of, units_of
from harness.measure.requests import Requests
from harness.measure.same_requests import request_differences, token_differences
from harness.measure.tasks import TaskFile, resolve_task
from harness.store import Run, inside, read_lines, write_durably
from harness.values import Answers, Cell, Suite, Task, Text, Trial, TrialRecord


def open_accuracy(floor: Floor, run: Run, left: Iterable[Cell]) -> None:
    """Make requests and references before the first trial, so that no timed window waits on them.

    Where one accuracy cell is left, the requests of all are made: those that have answers must be the same still.

    Raises:
        StoreError: the run has answers to other requests.
    """
    wanted = {cell.key for cell in left if isinstance(cell.workload, Task | Text)}
    opened: list[Cell] = []
    for cell in floor.plan.cells if wanted else ():
        if cell.unsupported or not isinstance(cell.workload, Task | Text) or floor.why_not(cell):
            continue
        try:
            _open_requests(floor, run, cell)
            if isinstance(cell.workload, Text) and cell.key in wanted:
                _open_reference(floor, cell, cell.workload)
            opened.append(cell)
        except (BuildError, InputError) as error:
            floor.broken[cell.key] = str(error)
    _compare_tokenizers(floor, opened)


def with_answers(floor: Floor, trial: Trial, cell: Cell, record: TrialRecord) -> TrialRecord:
    """The record with where its answers lie, if there is exactly one a request."""
    requests, reference = floor.requests[cell.key], floor.references.get(cell.key)
    part, path = part_of(floor.plan, trial, cell), floor.answers(trial, cell)
    units = units_of(requests.path)
    chosen = set(part.of(units)) if part else None
    wrong = check_answers(requests.path, path, chosen)
    if wrong is not None:
        return msgspec.structs.replace(record, status="failed", reason=wrong)
    given = list(read_lines(path))
    answers = Answers(
        requests=f"requests/{requests.hash}.jsonl.gz",
        answers=f"answers/{path.name}.gz",
        items=f"items/{answers_name(trial, cell)}.jsonl.gz",
        count=len(given),
        tokens=sum(map(_token_count, given)),
        questions=len(units if chosen is None else chosen),
        of=len(units),
        task_versions=requests.versions,
        label=floor.labels.get(cell.key, ""),
        reference=reference.variant if reference else None,
        reference_sha256=reference.artifact_sha256 if reference else None,
    )
    cut = cut_remark(requests.path, chosen) if requests.truncated else None
    remarks = (remark for remark in (cut, floor.remarks.get(cell.key)) if remark is not None)
    record = msgspec.structs.replace(
        record, observations=(*record.observations, answers), noise=(*record.noise, *remarks)
    )
    if not floor.plan.cross_check or trial.round > 0:  # of rounds, the first is a draw of all questions already
        return record
    return cross_checked(floor, cell, record, given)


def _open_requests(floor: Floor, run: Run, cell: Cell) -> None:
    assert cell.variant is not None
    load = cell.workload
    files: list[TaskFile] = resolve_task(load.task, floor.data, load.fewshot) if isinstance(load, Task) else []
    variant = floor.variants[cell.variant]
    requests = floor.preparation(cell).requests(cell, variant, floor.artifact(cell), files)
    refuse_overlap(cell, variant, floor.ready.workshop.learned_text(variant), requests.path)
    check_requests(run, cell, requests)
    kept = floor.folder / "requests" / f"{requests.hash}.jsonl.gz"
    if not kept.exists():
        write_durably(kept, requests.path.read_bytes())
    floor.requests[cell.key] = requests
    floor.labels[cell.key] = "; ".join(sorted({f.label for f in files if f.label}))


def check_requests(run: Run, cell: Cell, requests: Requests) -> None:
    """What was answered is compared with what would be asked now; another name may still be the same requests."""
    answered = (o for r in run.records if r.cell == cell.key for o in r.observations if isinstance(o, Answers))
    for name in dict.fromkeys(one.requests for one in answered):
        before = inside(run.path, name)
        if before.name == f"{requests.hash}.jsonl.gz":
            continue
        differ, of = request_differences(before, requests.path)
        if differ:
            raise StoreError(
                f"{run.id} cannot go on: {differ:,} of {of:,} requests of {cell.variant} {cell.workload.label} are not"
                " those that it has answers to (data, task file or tokenizer changed): start a new run"
            )


def _open_reference(floor: Floor, cell: Cell, text: Text) -> None:
    preparation, artifacts = floor.preparation(cell), floor.ready.artifacts
    name = text.reference or (*floor.plan.suite.baselines_of(str(cell.variant)), str(cell.variant))[0]
    if (name, preparation.format) not in artifacts:
        raise BuildError(f"the reference {name} could not be made")
    artifact, requests = artifacts[name, preparation.format], floor.requests[cell.key]
    floor.references[cell.key] = preparation.reference(cell, floor.variants[name], artifact, requests)


def _compare_tokenizers(floor: Floor, cells: list[Cell]) -> None:
    """Where cells that are compared ask the same questions, say whether their tokenizers agree.

    Whatever a model is called: a user's checkpoint and a user's GGUF of the same weights are two models of one family.
    """
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for one, other in compared_cells(floor.plan.suite, cells):
        ours, theirs = floor.requests[other.key], floor.requests[one.key]
        if ours.hash == theirs.hash or other.key in floor.remarks:
            continue
        if (ours.hash, theirs.hash) not in found:
            found[ours.hash, theirs.hash] = token_differences(ours.path, theirs.path)
        differ, of = found[ours.hash, theirs.hash]
        if differ:
            names = " and ".join(_asked_by(other, one))
            floor.remarks[other.key] = f"the tokenizers of {names} differ on {differ:,} of {of:,} requests"


def compared_cells(suite: Suite, cells: Iterable[Cell]) -> Iterator[tuple[Cell, Cell]]:
    """Pairs of cells of one baseline family, workload and device; the first of each pair is a baseline's where there
    is one, and the same for all of them."""
    cells = sorted(cells, key=lambda cell: cell.variant not in suite.baselines)
    for family in suite.families():
        first: dict[object, Cell] = {}
        for cell in (c for c in cells if c.variant in family):
            one = first.setdefault((cell.device, cell.workload), cell)
            if one is not cell:
                yield one, cell


def _asked_by(cell: Cell, other: Cell) -> tuple[str, str]:
    """Two cells by what tells them apart: runtimes, or else variants."""
    assert cell.runtime is not None and other.runtime is not None
    if cell.runtime.name != other.runtime.name:
        return cell.runtime.name, other.runtime.name
    return str(cell.variant), str(other.variant)


def _token_count(answer: dict[str, object]) -> int:
    tokens = answer.get("tokens")
    if isinstance(tokens, int):
        return tokens
    scored = answer.get("logprob")
    return len(scored) if isinstance(scored, list) else 0
