"""Questions to a `.pte` file: the same requests and answers as of torch, one row at a time.

Where the program returns the logits of a call's last token alone, every token of a continuation is a call of its own:
so the very file that is timed can be asked.
"""

from pathlib import Path

import msgspec
import torch

from harness.measure.workers.hf.cache import PrefixCache
from harness.measure.workers.hf.distance import write_reference
from harness.measure.workers.hf.ends import ends_of
from harness.measure.workers.hf.errors import BadInputError
from harness.measure.workers.hf.files import Answers, Events, Tally, read_requests
from harness.measure.workers.hf.generate import check, choices, generate
from harness.measure.workers.hf.jobs import GenerateRequest
from harness.measure.workers.hf.packing import Pass, Row
from harness.measure.workers.hf.score import score
from harness.measure.workers.hf.texts import load_tokenizer
from harness.measure.workers.pte.jobs import Engine, GenerateJob, ReferenceJob, ScoreJob
from harness.measure.workers.pte.program import LONGEST_CALL, Loaded

TOKENIZER = "tokenizer"
"""Folder beside the file."""


class Asked:
    """A program that answers as `hf.scorer.Scorer` wants it; nothing is shared between rows."""

    place, shares = "cpu", False

    def __init__(self, engine: Engine) -> None:
        self.loaded = Loaded(engine)
        self.vocabulary = self.loaded.vocabulary

    def cache(self, capacity: int) -> PrefixCache:
        return PrefixCache(0, capacity)

    def run(self, one: Pass, cache: PrefixCache, wanted: list[int]) -> torch.Tensor:  # noqa: ARG002
        raise AssertionError("rows are asked one at a time")

    def run_plain(self, tokens: Row, wanted: list[int]) -> torch.Tensor:
        """Logits [wanted, vocabulary] in float32 at these tokens, which are in order."""
        row, found = [int(token) for token in tokens], []
        if self.loaded.full:
            size = min(self.loaded.longest_call, LONGEST_CALL)
            for at in range(0, len(row), size):
                logits = self.loaded.call(row[at : at + size], at)
                found += [logits[place - at].float() for place in wanted if at <= place < at + size]
            return torch.stack(found)
        at = 0
        for place in wanted:
            found.append(self.loaded.read(row[at : place + 1], at)[0].float())
            at = place + 1
        return torch.stack(found) if found else torch.empty(0, self.vocabulary)

    def check_tokens(self, tokens: list[int], name: str) -> None:
        if max(tokens) >= self.vocabulary:
            raise BadInputError(f"{name}: token {max(tokens)} is none of the model's {self.vocabulary}")

    def opened(self, events: Events) -> None:
        self.loaded.events(events)


class HeadReader:
    """Reads requests; a head that neighbours share is read once."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._head: list[int] = []

    def start(self, tokens: list[int], shared: int) -> torch.Tensor:
        """Logits of the last token; the first `shared` are read in calls of their own."""
        if shared and self._head != tokens[:shared]:
            self._head = tokens[:shared]
            self.loaded.read(self._head, 0)
        if not shared:
            self._head = []
        return self.loaded.read(tokens[shared:], shared)

    def next(self, token: int, position: int) -> torch.Tensor:
        return self.loaded.call([token], position)


def run_score(job: ScoreJob, events: Events) -> None:
    score(job, events, lambda: Asked(job))


def run_reference(job: ReferenceJob, events: Events) -> None:
    write_reference(job, events, lambda: Asked(job))


def run_generate(job: GenerateJob, events: Events) -> None:
    requests = read_requests(Path(job.requests), GenerateRequest)
    for request in requests:
        check(request, job.context)
    folder = Path(job.model).with_name(TOKENIZER)
    with Answers(Path(job.answers)) as answers:
        asked, tokenizer = Asked(job), load_tokenizer(folder)
        for request in requests:
            asked.check_tokens(request.tokens, f"request {request.id}")
        asked.opened(events)
        reader, ends = HeadReader(asked.loaded), frozenset(ends_of(folder, tokenizer))
        tally = Tally(len(requests), sum(1 for r in requests if r.id in answers.earlier))
        for request in requests:
            if request.id not in answers.earlier:
                result = generate(request, choices(reader, request), tokenizer, ends, job.context)
                answers.append({"id": request.id, **msgspec.to_builtins(result)})
                tally.answer(result.tokens)
        tally.write(events)
