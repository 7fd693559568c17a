"""Whether a recipe learned from what is asked: word sequences of a text that stand in a task's requests too.

13 words are the length that GPT-3's authors took for the same question (arXiv 2005.14165, appendix C).
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from harness.build.recipes import compression_of
from harness.data.sources import read_text
from harness.errors import InputError
from harness.request_lines import own_texts
from harness.store import read_lines
from harness.values import Cell, Text, Variant

WORDS = 13
SHORTEST = 5
"""Words of a text that is compared whole."""
_WORD = re.compile(r"\w+")


def refuse_overlap(cell: Cell, variant: Variant, text: Path | None, requests: Path) -> None:
    """`text`: what the variant learned from.

    Raises:
        InputError: it holds what is asked.
    """
    if text is None:
        return
    load = cell.workload
    texts = [read_text(load.text)] if isinstance(load, Text) else list(own_texts(read_lines(requests)))
    if shared := shared_words(text, texts):
        compression = compression_of(variant)
        own = compression is not None and compression.drawn_tokens > 0
        source = "a text that its 16-bit model wrote" if own else text.name
        advice = " (another `seed`, or a `text` of yours, is another text)" if own else ""
        raise InputError(
            f"{variant.name} learned from {source}, which holds parts of {len(shared):,} of"
            f" {len(texts):,} texts of {load.label}, such as “{shared[0]}”: it cannot be asked them{advice}"
        )


def shared_words(learned: Path, texts: Iterable[str]) -> list[str]:
    """Of each of the texts that stands in part in the file that was learned, the first words that do."""
    known = _learned(str(learned))
    return [words for one in texts if (words := known.part_of(one)) is not None]


class Learned:
    """A text by its word sequences."""

    def __init__(self, text: str) -> None:
        self._sequences = frozenset(sequences(text))
        self._words = f" {' '.join(words_of(text))} "

    def part_of(self, text: str) -> str | None:
        """Words of `text` that were learned in this order; of a short text all, or none."""
        words = words_of(text)
        if SHORTEST <= len(words) < WORDS and f" {' '.join(words)} " in self._words:
            return " ".join(words)
        return next((" ".join(one) for one in sequences(text) if one in self._sequences), None)


def sequences(text: str) -> Iterator[tuple[str, ...]]:
    """Every run of so many words, without case and punctuation."""
    words = words_of(text)
    return zip(*(words[i:] for i in range(WORDS)), strict=False)


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.lower())


@lru_cache(maxsize=4)
def _learned(path: str) -> Learned:
    return Learned(Path(path).read_text(encoding="utf-8"))
