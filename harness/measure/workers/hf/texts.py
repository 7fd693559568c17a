"""Texts to tokens, by the checkpoint's own tokenizer; all texts of one kind in one call."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.hf.files import Answers, Events, Tally, read_requests
from harness.measure.workers.hf.jobs import TokenizeJob, TokenizeRequest


def load_tokenizer(folder: Path) -> Any:
    """Raises ModelError: the folder holds no tokenizer of the tokenizers library."""
    if not folder.is_dir():
        raise ModelError(f"cannot open {folder}: not a folder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"cannot load the tokenizer of {folder}: {error}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer of {folder} is none of the tokenizers library")
    return tokenizer


def run(job: TokenizeJob, events: Events) -> None:
    requests = read_requests(Path(job.requests), TokenizeRequest)
    with Answers(Path(job.answers)) as answers:
        missing = [r for r in requests if r.id not in answers.earlier]
        tally = Tally(len(requests), len(requests) - len(missing))
        tokens = encode(load_tokenizer(Path(job.model)), missing) if missing else {}
        for request in missing:
            answers.append({"id": request.id, "tokens": tokens[request.id]})
            tally.answer(len(tokens[request.id]))
        tally.write(events)


def encode(tokenizer: Any, requests: list[TokenizeRequest]) -> dict[int, list[int]]:
    """Tokens of each text. Without `parse_special` a special token's name is text like any other."""
    backend, found = tokenizer.backend_tokenizer, {}
    for add_special in (True, False):
        for parse_special in (True, False):
            some = [r for r in requests if (r.add_special, r.parse_special) == (add_special, parse_special)]
            backend.encode_special_tokens = not parse_special
            codes = backend.encode_batch_fast([r.text for r in some], add_special_tokens=add_special)
            found.update({r.id: code.ids for r, code in zip(some, codes, strict=True)})
    return found
