"""The project's own texts and questions."""

from pathlib import Path

from harness.errors import UnknownNameError

FOLDER = Path(__file__).parent

TEXTS: dict[str, str] = {"text_5000": "text_5000.txt"}
"""Texts that may be evaluated; no recipe learns from them."""

PROMPT_TEXT = "text_5000"
"""Speed and memory use the head of this text as their prompt: real text, not random ids."""


def read_text(name: str) -> str:
    """A text by name.

    Raises:
        UnknownNameError: no such text.
    """
    if name not in TEXTS:
        raise UnknownNameError("text", name, TEXTS)
    return (FOLDER / TEXTS[name]).read_text(encoding="utf-8")
