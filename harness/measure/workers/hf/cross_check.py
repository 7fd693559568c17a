"""The same questions through lm-eval's plain `hf` model, to check the other scorers against."""

import os
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness.measure.workers.hf.errors import ModelUnusable
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
        softmax_dtype="float32",
    )


def scores(model: Any, requests: list[PairRequest], batch_size: int) -> dict[int, tuple[float, bool]]:
    """Raises ModelUnusable: a log-likelihood is no number."""
    model.batch_size_per_gpu = batch_size
    asked = [
        Instance(request_type="loglikelihood", doc={}, arguments=(r.context, r.continuation), idx=0) for r in requests
    ]
    found = model.loglikelihood(asked, disable_tqdm=True)
    for request, (logprob, _) in zip(requests, found, strict=True):
        if logprob != logprob:
            raise ModelUnusable(f"request {request.id}: the model's logits are not numbers")
    return {r.id: (float(logprob), bool(greedy)) for r, (logprob, greedy) in zip(requests, found, strict=True)}
