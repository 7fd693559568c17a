"""The same questions through lm-eval's plain `hf` model, to check the other scorers against."""

import math
import os
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.hf.files import Answers, Events, Tally, read_requests
from harness.measure.workers.hf.jobs import CrossCheckJob, PairRequest
from harness.measure.workers.hf.network import load
from harness.measure.workers.hf.texts import load_tokenizer

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def run(job: CrossCheckJob, events: Events) -> None:
    requests = read_requests(Path(job.requests), PairRequest)
    with Answers(Path(job.answers), lambda line: (line["id"], line["batch_size"])) as answers:
        tally = Tally(len(requests) * len(job.batch_sizes), len(answers.earlier))
        missing = {size: [r for r in requests if (r.id, size) not in answers.earlier] for size in job.batch_sizes}
        model = plain_model(job) if any(missing.values()) else None
        for size, some in missing.items():
            # the whole batch, for a smaller one might round differently
            found = scores(model, requests, size) if some else {}
            for request in some:
                logprob, greedy = found[request.id]
                answers.append({"id": request.id, "batch_size": size, "logprob": logprob, "greedy": greedy})
                tally.answer(1)
        tally.write(events)


def plain_model(job: CrossCheckJob) -> Any:
    import torch

    torch.set_num_threads(job.threads)
    return HFLM(
        pretrained=load(job),
        tokenizer=load_tokenizer(Path(job.model)),
        backend="causal",
        device=job.device,
        max_length=job.context,
        softmax_dtype=job.softmax_dtype,
    )


def scores(model: Any, requests: list[PairRequest], batch_size: int) -> dict[int, tuple[float, bool]]:
    """Raises ModelError: a log-likelihood is no number."""
    model.batch_size_per_gpu = batch_size
    answers: dict[int, tuple[float, bool]] = {}
    for some in apart(model, requests):
        asked = [
            Instance(request_type="loglikelihood", doc={}, arguments=(r.context, r.continuation), idx=0) for r in some
        ]
        found = model.loglikelihood(asked, disable_tqdm=True)
        answers.update({r.id: (float(logprob), bool(greedy)) for r, (logprob, greedy) in zip(some, found, strict=True)})
    for number, (logprob, _) in answers.items():
        if not math.isfinite(logprob):
            raise ModelError(f"request {number}: the model's logits are not numbers")
    return answers


def apart(model: Any, requests: list[PairRequest]) -> list[list[PairRequest]]:
    """Requests in as few calls as keep lm-eval from mixing two of them up.

    Its model runs requests once whose context and continuation but for the last token are alike taken together,
    and reads all of them as the first one's context ends: wrong where another's ends elsewhere.
    """
    calls: list[tuple[dict[tuple[int, ...], int], list[PairRequest]]] = []
    for request in requests:
        context, continuation = encoded(model, request)
        row = (*context, *continuation[:-1])
        fitting = (call for call in calls if call[0].get(row, len(context)) == len(context))
        lengths, members = next(fitting, ({}, []))
        if not members:
            calls.append((lengths, members))
        lengths[row] = len(context)
        members.append(request)
    return [members for _, members in calls]


def encoded(model: Any, request: PairRequest) -> tuple[list[int], list[int]]:
    """As lm-eval's `loglikelihood` does: without a context the prefix token takes its place."""
    if request.context:
        context, continuation = model._encode_pair(request.context, request.continuation)
        return context, continuation
    tokens = model.tok_encode(request.continuation, add_special_tokens=False)
    begun = tokens[:1] == [model.prefix_token_id]
    return (tokens[:1], tokens[1:]) if begun else ([model.prefix_token_id], tokens)
