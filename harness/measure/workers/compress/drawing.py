"""Text drawn from a model itself: what recipes learn from where nobody names a text (arXiv 2305.17888, section 3.1)."""

import math
import os
from pathlib import Path
from typing import Any

import torch

from harness.measure.workers.compress.decoder import EMBEDDING, open_decoder
from harness.measure.workers.compress.jobs import DrawJob
from harness.measure.workers.compress.made import Report
from harness.measure.workers.compress.rotations import check_sizes
from harness.measure.workers.compress.text import open_tokenizer
from harness.measure.workers.hf.errors import JobFailedError

PIECE = 256
"""Tokens of a piece."""
ROWS = 128
"""Most pieces that are drawn together."""
SURE = 4
"""Tokens after the first that are the most likely ones, so that what is drawn at random begins a sentence."""
SPARE = 1.1
"""How much more is drawn than is asked for: the text may have fewer tokens when it is read again."""
MOST = 4
"""How many times as much is drawn where the text turns out short."""
STAGE = "drawing text"


def draw(job: DrawJob, report: Report) -> str:
    """Pieces that begin with any token, parted by an empty line.

    Raises:
        ModelError: see open_decoder, or no tokenizer.
        JobFailedError: logits that are no numbers, or too little that the tokenizer reads again.
    """
    decoder = open_decoder(Path(job.model), job.group)
    if job.turned:
        check_sizes(decoder, rotates_down=job.rotates_down)
    tokenizer, vocabulary = open_tokenizer(Path(job.model)), len(decoder.weight(EMBEDDING))
    banned = sorted({i for i in tokenizer.all_special_ids if i is not None and i < vocabulary})
    count = math.ceil(SPARE * job.tokens / PIECE)
    calls = math.ceil(count / ROWS)
    size = math.ceil(count / calls)
    generator = torch.Generator().manual_seed(job.seed)
    pieces: list[str] = []
    for call in range(MOST * calls):
        first = torch.randint(vocabulary, (size, 1), generator=generator)
        rows = _drawn(decoder.model, first, banned, generator, report, (call, max(call + 1, calls)))
        pieces += tokenizer.batch_decode(rows, skip_special_tokens=True)
        text = "\n\n".join(pieces) + "\n"
        if len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) >= job.tokens:
            return text
    raise JobFailedError(
        f"{MOST} times {job.tokens:,} tokens of the model's own are less text than that: name a `text`"
    )


@torch.no_grad()
def _drawn(
    model: Any,
    first: torch.Tensor,
    banned: list[int],
    generator: torch.Generator,
    report: Report,
    call: tuple[int, int],
) -> torch.Tensor:
    """[pieces, tokens], sampled as the model has it, without cuts or temperature."""
    rows, past, last = first, None, first
    for place in range(1, PIECE):
        found = model(last, past_key_values=past, use_cache=True)
        past, logits = found.past_key_values, found.logits[:, -1].double()
        logits[:, banned] = -math.inf
        if not bool(torch.isfinite(logits.logsumexp(-1)).all()):
            raise JobFailedError("the model's logits are no numbers: no text can be drawn from it")
        if place <= SURE:
            last = logits.argmax(-1, keepdim=True)
        else:
            last = torch.multinomial(logits.softmax(-1), 1, generator=generator)
        rows = torch.cat([rows, last], 1)
        report.step(STAGE, call[0] * PIECE + place + 1, call[1] * PIECE)
    return rows


def write_text(text: str, output: Path) -> None:
    """A file that is whole under its name, or not there.

    Raises:
        JobFailedError: it cannot be written.
    """
    part = output.with_name(output.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, output)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise JobFailedError(f"cannot write {output}: {error.strerror}") from error
