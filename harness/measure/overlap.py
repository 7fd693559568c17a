"""Whether a recipe learned from what is asked: word sequences of a text that stand in a task's requests too.

13 words are the length that GPT-3's authors took for the same question (arXiv 2005.14165, appendix C).
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from harness.build.recipes import compression_of
from harness.errors import InputError
from harness.request_lines import own_texts
from harness.store import read_lines
from harness.values import Cell, Variant

WORDS = 13
_WORD = re.compile(r"\w+")


def refuse_overlap(cell: Cell, variant: Variant, requests: Path) -> None:
    """Raises InputError: the variant learned from a text that holds what is asked."""
    compression = compression_of(variant)
    if compression is None or compression.text is None:
        return
    learned = _sequences(compression.text)
    texts = list(own_texts(read_lines(requests)))
    shared = [text for text in texts if any(one in learned for one in sequences(text))]
    if shared:
        words = next(one for one in sequences(shared[0]) if one in learned)
        raise InputError(
            f"{variant.name} learned from {Path(compression.text).name}, which holds parts of {len(shared):,} of"
            f" {len(texts):,} prompts of {cell.workload.label}, such as “{' '.join(words)}”: it cannot be asked them"
        )


def sequences(text: str) -> Iterator[tuple[str, ...]]:
    """Every run of so many words, without case and punctuation."""
    words = _WORD.findall(text.lower())
    return zip(*(words[i:] for i in range(WORDS)), strict=False)


@lru_cache(maxsize=4)
def _sequences(path: str) -> frozenset[tuple[str, ...]]:
    return frozenset(sequences(Path(path).read_text(encoding="utf-8")))
