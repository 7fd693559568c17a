"""Text for calibration as rows of tokens."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from harness.measure.workers.hf.errors import BadInputError, ModelError


def token_rows(text: Path, model: Path, count: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """[count, size] token ids: pieces of the text drawn without overlap, in a drawn order.

    Raises:
        BadInputError: no text, not UTF-8, or too short for so many pieces.
        ModelError: no tokenizer.
    """
    tokens = _tokens(text, model)
    pieces = len(tokens) // size
    if pieces < count:
        raise BadInputError(
            f"{text} has {len(tokens):,} tokens: not enough for {count} samples of {size} ({count * size:,})"
        )
    chosen = torch.randperm(pieces, generator=generator)[:count]
    return tokens[: pieces * size].view(pieces, size)[chosen]


def _tokens(text: Path, model: Path) -> torch.Tensor:
    try:
        words = text.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"cannot read {text}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{text} is not UTF-8 text: byte {error.start + 1}") from error
    return torch.tensor(open_tokenizer(model)(words, add_special_tokens=False, verbose=False)["input_ids"])


def open_tokenizer(model: Path) -> Any:
    """Raises ModelError: there is none."""
    try:
        return AutoTokenizer.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"cannot load the tokenizer of {model}: {error}") from error
