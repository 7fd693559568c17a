"""Log-likelihoods: each distinct beginning goes through the network once; see packing.py."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch

from harness.measure.workers.hf.distance import run_distance
from harness.measure.workers.hf.errors import BadInputError, ModelError
from harness.measure.workers.hf.files import Answers, Events, Tally, each_request
from harness.measure.workers.hf.jobs import ScoreJob, ScoreRequest
from harness.measure.workers.hf.network import Network
from harness.measure.workers.hf.packing import Limits, Part, Pass, Row, needed, plan, singly
from harness.measure.workers.hf.scorer import Questions, Scorer

BIG_ENDIAN = np.dtype(">i4")
"""Bytes of rows sort as their tokens do."""
LIMITS = {"cpu": Limits(pass_tokens=1536, shortest_stem=8), "cuda": Limits(pass_tokens=4096, shortest_stem=8)}
ROWS_AT_ONCE = {"cpu": 16, "cuda": 4096}
"""Rows of logits that are summed together: on a CPU what is made of them on the way then stays in its cache."""


class Wanted(msgspec.Struct, frozen=True):
    """What a request reads of its row."""

    id: int
    first: int
    """Position whose logits predict the continuation's first token."""
    continuation: tuple[int, ...]


class Sum:
    """What is known of one request while its passes run."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.logprob, self.greedy, self.read = 0.0, True, 0

    def add(self, logprobs: Sequence[float], greedy: Sequence[bool]) -> None:
        self.logprob += math.fsum(logprobs)
        self.greedy = self.greedy and all(greedy)
        self.read += len(logprobs)
        if not math.isfinite(self.logprob):
            raise ModelError(f"request {self.wanted.id}: the model's logits are not numbers")

    @property
    def complete(self) -> bool:
        return self.read == len(self.wanted.continuation)

    def targets(self, prefix: int, end: int) -> tuple[range, list[int]]:
        """Positions of prefix … end − 1 that are read, and the token that each must predict."""
        first, tail = self.wanted.first, self.wanted.continuation
        places = range(max(prefix, first), min(end, first + len(tail)))
        return places, [tail[place - first] for place in places]


class Asked(msgspec.Struct, frozen=True):
    """The distinct rows of all requests, in order, and who reads each; no prompt is kept twice."""

    rows: list[Row]
    readers: list[list[Wanted]]
    requests: int
    tokens: int
    """Of all requests, contexts and continuations."""
    largest: int
    """Largest token, and the request that it stands in."""
    largest_in: int


def ask(requests: Iterable[ScoreRequest], context: int) -> Asked:
    """Raises BadInputError: a request does not fit the job."""
    readers: dict[bytes, list[Wanted]] = {}
    count = tokens = 0
    largest = (-1, 0)
    for request in requests:
        check(request, context)
        whole = np.array([*request.context, *request.continuation], BIG_ENDIAN)
        wanted = Wanted(request.id, len(request.context) - 1, tuple(request.continuation))
        readers.setdefault(whole[:-1].tobytes(), []).append(wanted)
        largest = max(largest, (int(whole.max()), request.id))
        count, tokens = count + 1, tokens + len(whole)
    ordered = sorted(readers)
    return Asked(
        rows=[np.frombuffer(row, BIG_ENDIAN).astype(np.int32) for row in ordered],
        readers=[sorted(readers[row], key=lambda wanted: wanted.id) for row in ordered],
        requests=count,
        tokens=tokens,
        largest=largest[0],
        largest_in=largest[1],
    )


def check(request: ScoreRequest, context: int) -> None:
    """Raises BadInputError: the request does not fit the job."""
    name, size = f"request {request.id}", len(request.context) + len(request.continuation)
    if request.shared >= len(request.context):
        raise BadInputError(
            f"{name}: shares {request.shared} of its {len(request.context)} tokens; the last one cannot be shared"
        )
    if size - 1 > context:  # the last token is only predicted
        raise BadInputError(
            f"{name}: context and continuation have {size} tokens; in the job's context fit {context} and a last one"
        )


def run(job: ScoreJob, events: Events) -> None:
    score(job, events, lambda: Network(job))


def score(job: Questions, events: Events, opening: Callable[[], Scorer]) -> None:
    """Answers all requests of the job by the network that `opening` opens."""
    if job.reference is not None:
        run_distance(job, events, opening)
        return
    asked = ask(each_request(Path(job.requests), ScoreRequest), job.context)
    with Answers(Path(job.answers)) as answers:
        network = opening()
        network.check_tokens([asked.largest], f"request {asked.largest_in}")
        network.opened(events)
        known = sum(1 for readers in asked.readers for wanted in readers if wanted.id in answers.earlier)
        tally = Tally(asked.requests, known)
        passes, tokens = _score(network, asked, answers, tally)
    tally.write(events, run_tokens=tokens, request_tokens=asked.tokens, passes=passes)


def _score(network: Scorer, asked: Asked, answers: Answers, tally: Tally) -> tuple[int, int]:
    """Runs what the missing answers need; the passes follow from all requests, answered or not."""
    sums = [[Sum(w) for w in readers if w.id not in answers.earlier] for readers in asked.readers]
    passes = plan(asked.rows, LIMITS[network.place]) if network.shares else singly(asked.rows)
    cache = network.cache(max((one.prefix + one.size for one in passes), default=1) if network.shares else 1)
    count = tokens = 0
    for one, wanted in zip(passes, needed(passes, [bool(s) for s in sums]), strict=True):
        if not wanted:
            continue
        reads = [read for part in one.parts for total in sums[part.row] if (read := _reads(one, part, total))[1]]
        nodes = sorted({node for _, places, _ in reads for node in places})
        if network.shares:
            logits = network.run(one, cache, nodes)
        else:
            logits = network.run_plain(asked.rows[one.parts[0].row], nodes)
        _add(reads, nodes, logits)
        count, tokens = count + 1, tokens + one.size
        for total, _, _ in reads:
            if total.complete:
                _answer(total, answers, tally)
    return count, tokens


def _reads(one: Pass, part: Part, total: Sum) -> tuple[Sum, list[int], list[int]]:
    """Which tokens of the pass the request reads, and what each must predict."""
    size = sum(stop - start for start, stop in part.ranges)
    places, targets = total.targets(one.prefix, one.prefix + size)
    if not places:
        return total, [], []
    nodes = [node for start, stop in part.ranges for node in range(start, stop)]
    return total, [nodes[place - one.prefix] for place in places], targets


def _add(reads: list[tuple[Sum, list[int], list[int]]], nodes: list[int], logits: torch.Tensor) -> None:
    if not reads:
        return
    row_of = {node: row for row, node in enumerate(nodes)}
    rows = [row_of[node] for _, places, _ in reads for node in places]
    targets = [target for *_, some in reads for target in some]
    best, of_all = _of_rows(logits)
    place = torch.tensor(rows, device=logits.device)
    logprobs = (logits[place, torch.tensor(targets, device=logits.device)] - of_all[place]).tolist()
    at = 0
    for total, places, some in reads:
        end = at + len(places)
        total.add(logprobs[at:end], [best[row] == target for row, target in zip(rows[at:end], some, strict=True)])
        at = end


def _of_rows(logits: torch.Tensor) -> tuple[list[int], torch.Tensor]:
    """(most likely token, logarithm of the sum of all exponentials) of each row."""
    best, sums = [], []
    for some in logits.split(ROWS_AT_ONCE[logits.device.type]):
        top, token = some.max(-1)
        best.append(token)
        sums.append((some - top[:, None]).exp_().sum(-1).log_().add_(top))
    return torch.cat(best).tolist(), torch.cat(sums)


def _answer(total: Sum, answers: Answers, tally: Tally) -> None:
    size = len(total.wanted.continuation)
    answers.append({"id": total.wanted.id, "logprob": total.logprob, "greedy": total.greedy, "tokens": size})
    tally.answer(size)
