"""Tokens that begin a text and end one, as a checkpoint's files name them."""

import json
from pathlib import Path
from typing import Any

from harness.measure.workers.hf.texts import load_tokenizer

NAMING = ("generation_config.json", "config.json")


def special_tokens(folder: Path) -> tuple[int | None, list[int]]:
    """(what begins a text or None, all that end one).

    Raises:
        ModelError: no tokenizer.
    """
    tokenizer = load_tokenizer(folder)
    return tokenizer.bos_token_id, ends_of(folder, tokenizer)


def ends_of(folder: Path, tokenizer: Any) -> list[int]:
    """All tokens that end a text."""
    told = [_read(folder / name) for name in NAMING]
    named = [*(one.get("eos_token_id") for one in told), tokenizer.eos_token_id]
    lists = [one if isinstance(one, list) else [one] for one in named]
    return sorted({int(token) for some in lists for token in some if token is not None})


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
