"""How far a model's next tokens are from a reference's: the file of a reference, and distances to it."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from harness.measure.workers.hf.errors import BadInputError, JobFailedError, ModelError
from harness.measure.workers.hf.files import Answers, Events, Tally, read_requests
from harness.measure.workers.hf.jobs import NO_ROW, DistanceRequest, ReferenceJob
from harness.measure.workers.hf.network import Network
from harness.measure.workers.hf.packing import chain
from harness.measure.workers.hf.scorer import Positions, Questions, Scorer

MAGIC, VERSION = b"BENCHREF", 1
HEADER_BYTES = 24
PASS_TOKENS = 256
"""As many rows of the vocabulary are in memory at once."""
Halves = npt.NDArray[np.float16]


def run_reference(job: ReferenceJob, events: Events) -> None:
    write_reference(job, events, lambda: Network(job))


def write_reference(job: Positions, events: Events, opening: Callable[[], Scorer]) -> None:
    """Write a reference file: log-probabilities as half floats, see docs/runner-protocol.md."""
    requests = _requests(Path(job.requests), job.context)
    rows = sorted(row for request in requests for row in request.rows)
    if not rows or rows != list(range(len(rows))):
        raise BadInputError("rows must be 0 to n - 1, each once")
    network = opening()
    network.opened(events)
    part = Path(f"{job.output}.partial")
    tally = Tally(len(requests), 0)
    try:
        target = np.memmap(part, np.float16, "w+", HEADER_BYTES, (len(rows), network.vocabulary))
        for request in requests:
            for places, logits in _logits(network, request):
                if not bool(torch.isfinite(logits).all()):
                    raise ModelError(f"request {request.id}: the model's logits are not numbers")
                target[[request.rows[place] for place in places]] = torch.log_softmax(logits, -1).cpu().half().numpy()
            tally.answer(len(request.positions))
        target.flush()
        with open(part, "r+b") as file:
            file.write(MAGIC + np.array([VERSION, len(rows), network.vocabulary, 0], "<u4").tobytes())
            os.fsync(file.fileno())
        part.rename(job.output)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise JobFailedError(f"cannot write {job.output}: {error.strerror}") from error
    tally.write(events)


def run_distance(job: Questions, events: Events, opening: Callable[[], Scorer]) -> None:
    """Answer each request with its distances to the job's reference."""
    assert job.reference is not None
    requests = _requests(Path(job.requests), job.context)
    reference = read_reference(Path(job.reference))
    for request in requests:
        if max(request.rows) >= len(reference):
            raise BadInputError(f"request {request.id}: row {max(request.rows)} is outside of the reference")
    with Answers(Path(job.answers)) as answers:
        network = opening()
        if reference.shape[1] != network.vocabulary:
            raise BadInputError(
                f"the reference's vocabulary of {reference.shape[1]} is not the model's of {network.vocabulary}"
            )
        network.opened(events)
        tally = Tally(len(requests), sum(request.id in answers.earlier for request in requests))
        for request in requests:
            if request.id not in answers.earlier:
                answers.append(_compare(network, request, reference))
                tally.answer(len(request.positions))
    tally.write(events)


def read_reference(path: Path) -> Halves:
    """[rows, vocabulary] log-probabilities.

    Raises:
        BadInputError: no such file.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEADER_BYTES)
        version, rows, vocabulary, zero = (
            np.frombuffer(head[8:], "<u4").tolist() if len(head) == HEADER_BYTES else [0] * 4
        )
        if (
            head[:8] != MAGIC
            or version != VERSION
            or zero
            or path.stat().st_size != HEADER_BYTES + 2 * rows * vocabulary
        ):
            raise BadInputError(f"{path} is not a reference file of version {VERSION}")
        return np.memmap(path, np.float16, "r", HEADER_BYTES, (rows, vocabulary))
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}") from error


def _compare(network: Scorer, request: DistanceRequest, reference: Halves) -> dict[str, object]:
    kl: list[float | None] = [None] * len(request.positions)
    top1: list[bool | None] = [None] * len(request.positions)
    logprob: list[float] = [0.0] * len(request.positions)
    for places, logits in _logits(network, request):
        logprobs = torch.log_softmax(logits, -1).cpu()
        best = logits.argmax(-1).tolist()
        for i, place in enumerate(places):
            logprob[place] = float(logprobs[i, request.tokens[request.positions[place] + 1]])
        compared = [(i, place) for i, place in enumerate(places) if request.rows[place] != NO_ROW]
        if compared:
            halves = torch.from_numpy(reference[[request.rows[place] for _, place in compared]]).double()
            wanted = torch.log_softmax(halves, -1)  # half floats do not sum to one
            found = logprobs[[i for i, _ in compared]].double()
            distances = (wanted.exp() * (wanted - found)).sum(-1).tolist()
            for k, (i, place) in enumerate(compared):
                kl[place] = max(distances[k], 0.0)  # in this order a distance that is no number stays one
                top1[place] = bool(halves[k, best[i]] == halves[k].max())  # half floats tie
    if not all(map(math.isfinite, (*logprob, *(k for k in kl if k is not None)))):
        raise ModelError(f"request {request.id}: the model's logits are not numbers")
    return {"id": request.id, "kl": kl, "top1": top1, "logprob": logprob}


def _logits(network: Scorer, request: DistanceRequest) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Places in the request's lists with their logits, some at a time; the request goes through the network once."""
    network.check_tokens([max(request.tokens)], f"request {request.id}")
    order = sorted(range(len(request.positions)), key=lambda place: request.positions[place])
    row = np.array(request.tokens[: max(request.positions) + 1], np.int32)
    if not network.shares:
        yield order, network.run_plain(row, [request.positions[place] for place in order])
        return
    cache = network.cache(len(row))
    for at in range(0, len(row), PASS_TOKENS):
        places = [place for place in order if at <= request.positions[place] < at + PASS_TOKENS]
        wanted = [request.positions[place] - at for place in places]
        yield places, network.run(chain(row[at : at + PASS_TOKENS], at), cache, wanted)


def _requests(path: Path, context: int) -> Sequence[DistanceRequest]:
    """Raises BadInputError: a request contradicts itself or does not fit."""
    requests = read_requests(path, DistanceRequest)
    for request in requests:
        name, size = f"request {request.id}", len(request.tokens)
        if len(set(request.positions)) < len(request.positions):
            raise BadInputError(f"{name}: a position stands there twice")
        if max(request.positions) + 1 >= size:
            raise BadInputError(f"{name}: position {max(request.positions)} has no next token among {size}")
        if len(request.rows) != len(request.positions):
            raise BadInputError(f"{name}: positions and rows differ in length")
        if size > context:
            raise BadInputError(f"{name}: has {size} tokens, the job's context only {context}")
    return requests
