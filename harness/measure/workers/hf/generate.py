"""Greedy generation, one request after another; a head that neighbouring requests share is read once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import torch
from transformers import DynamicCache

from harness.measure.workers.hf.errors import BadInputError, ModelError
from harness.measure.workers.hf.files import Answers, Events, Tally, read_requests
from harness.measure.workers.hf.jobs import GenerateJob, GenerateRequest
from harness.measure.workers.hf.network import Network
from harness.measure.workers.hf.packing import chain
from harness.measure.workers.hf.texts import load_tokenizer

PASS_TOKENS = 512


class Generated(msgspec.Struct, frozen=True):
    text: str
    tokens: int
    """Without an end-of-generation token."""
    stopped: str
    """`stop`, `eog`, `length` or `context`."""


class Reader(Protocol):
    """Logits [1, vocabulary] of the last token read."""

    def start(self, tokens: list[int], shared: int) -> torch.Tensor: ...

    def next(self, token: int, position: int) -> torch.Tensor: ...


class TreeReader:
    """Reads tokens into a cache that can be cut back to a head."""

    def __init__(self, network: Network, capacity: int) -> None:
        self.network, self._cache = network, network.cache(capacity)
        self._head: list[int] = []

    def start(self, tokens: list[int], shared: int) -> torch.Tensor:
        """Logits of the last token; the first `shared` are read in passes of their own."""
        if not shared or self._head != tokens[:shared]:
            self._head = tokens[:shared]
            self._read(self._head, 0)
        return self._read(tokens[shared:], shared)

    def next(self, token: int, position: int) -> torch.Tensor:
        return self._read([token], position)

    def _read(self, tokens: list[int], prefix: int) -> torch.Tensor:
        logits = torch.empty(0)
        for at in range(0, len(tokens), PASS_TOKENS):
            row = np.array(tokens[at : at + PASS_TOKENS], np.int32)
            logits = self.network.run(chain(row, prefix + at), self._cache, [len(row) - 1])
        return logits


class PlainReader:
    """Reads each request whole, with the model's own attention and cache."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._cache: Any = None

    def start(self, tokens: list[int], shared: int) -> torch.Tensor:  # noqa: ARG002 - nothing can be shared
        self._cache = DynamicCache(config=self.network.config)
        return self.network.extend_plain(np.array(tokens, np.int32), self._cache)

    def next(self, token: int, position: int) -> torch.Tensor:  # noqa: ARG002 - the cache knows it
        return self.network.extend_plain(np.array([token], np.int32), self._cache)


def run(job: GenerateJob, events: Events) -> None:
    requests = read_requests(Path(job.requests), GenerateRequest)
    for request in requests:
        check(request, job.context)
    with Answers(Path(job.answers)) as answers:
        network, tokenizer = Network(job), load_tokenizer(Path(job.model))
        for request in requests:
            network.check_tokens(request.tokens, f"request {request.id}")
        network.opened(events)
        reader = TreeReader(network, job.context) if network.shares else PlainReader(network)
        ends = end_tokens(network, tokenizer)
        tally = Tally(len(requests), sum(1 for r in requests if r.id in answers.earlier))
        for request in requests:
            if request.id not in answers.earlier:
                result = generate(request, choices(reader, request), tokenizer, ends, job.context)
                answers.append({"id": request.id, **msgspec.to_builtins(result)})
                tally.answer(result.tokens)
        tally.write(events)


def check(request: GenerateRequest, context: int) -> None:
    """Raises BadInputError: the request does not fit the job."""
    name, size = f"request {request.id}", len(request.tokens)
    if request.shared >= size:
        raise BadInputError(f"{name}: shares {request.shared} of its {size} tokens; the last one cannot be shared")
    if size > context:
        raise BadInputError(f"{name}: has {size} tokens, the job's context only {context}")


def choices(reader: Reader, request: GenerateRequest) -> Iterator[int]:
    """The most likely token, again and again."""
    logits = reader.start(request.tokens, request.shared)
    for position in range(len(request.tokens), 2**31):
        if torch.isnan(logits).any():
            raise ModelError(f"request {request.id}: the model's logits are not numbers")
        token = int(logits[0].argmax())
        yield token
        logits = reader.next(token, position)


def generate(
    request: GenerateRequest, tokens: Iterator[int], tokenizer: Any, ends: frozenset[int], context: int
) -> Generated:
    """Text grows token by token; a stop string may begin in one token and end in another."""
    found: list[int] = []
    text = ""
    for token in tokens:
        if token in ends:
            return Generated(text, len(found), "eog")
        found.append(token)
        text = tokenizer.backend_tokenizer.decode(found, skip_special_tokens=True)
        places = [place for stop in request.stop if (place := text.find(stop)) >= 0]
        if places:
            return Generated(text[: min(places)], len(found), "stop")
        if len(found) == request.max_tokens:
            return Generated(text, len(found), "length")
        if len(request.tokens) + len(found) > context:
            return Generated(text, len(found), "context")
    raise AssertionError("choices never end")


def end_tokens(network: Network, tokenizer: Any) -> frozenset[int]:
    """End-of-generation tokens, as generation config, config and tokenizer name them."""
    named = [network.model.generation_config.eos_token_id, network.config.eos_token_id, tokenizer.eos_token_id]
    lists = [one if isinstance(one, list) else [one] for one in named]
    return frozenset(token for some in lists for token in some if token is not None)
