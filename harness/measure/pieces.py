"""Texts as tokens, each distinct piece of them encoded once.

A prompt of few-shot examples is mostly lines that other prompts hold as well. A tokenizer that first splits its
text by a pattern, as all byte-level BPE ones do, never joins a letter or digit with the line break after it, and
what it does behind that place follows from there on alone. So the text may be cut there, and its tokens are those
of the pieces one after the other. Tokenizers that do otherwise (SentencePiece marks the start of each text) are
found by whole texts encoded beside, and get every text whole.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

CUT = re.compile(r"(?<=[A-Za-z0-9])(?=\n)")
CHECKED = 48
"""Texts that are encoded whole as well, the longest and others spread over all."""

Encode = Callable[[Sequence[str], bool], list[list[int]]]
"""Texts, and whether each gets the special tokens that begin a text."""


class Encoded:
    """Tokens of the texts that were named when it was made."""

    def __init__(self, first: dict[str, list[int]], later: dict[str, list[int]], whole: dict[str, list[int]]) -> None:
        self._first, self._later, self._whole = first, later, whole
        self.tokens = lru_cache(maxsize=64)(self._tokens)

    def __getitem__(self, text: str) -> list[int]:
        """A list that must not be changed."""
        return self.tokens(text)

    def _tokens(self, text: str) -> list[int]:
        if text in self._whole:
            return self._whole[text]
        begin, *rest = CUT.split(text)
        tokens = list(self._first[begin])
        for piece in rest:
            tokens += self._later[piece]
        return tokens


def encode_all(texts: Iterable[str], encode: Encode, special: bool) -> Encoded:
    """Encode texts with a tokenizer.

    `special`: whether a text's beginning gets the tokenizer's special tokens.
    """
    distinct = sorted(set(texts))
    if not distinct:
        return Encoded({}, {}, {})
    first, later = _pieces(distinct)
    checked = _checked([text for text in distinct if CUT.search(text)])
    begun = encode([*first, *checked], special)
    first_tokens = dict(zip(first, begun, strict=False))
    later_tokens = dict(zip(later, encode(later, False), strict=True)) if later else {}
    joined = Encoded(first_tokens, later_tokens, {})
    if all(joined[text] == whole for text, whole in zip(checked, begun[len(first) :], strict=True)):
        return joined
    return Encoded({}, {}, dict(zip(distinct, encode(distinct, special), strict=True)))


def _pieces(texts: list[str]) -> tuple[list[str], list[str]]:
    first: dict[str, None] = {}
    later: dict[str, None] = {}
    for text in texts:
        begin, *rest = CUT.split(text)
        first[begin] = None
        later.update(dict.fromkeys(rest))
    return list(first), list(later)


def _checked(texts: list[str]) -> list[str]:
    if len(texts) <= CHECKED:
        return texts
    spread = texts[:: -(-len(texts) // (CHECKED - 4))]
    return list(dict.fromkeys([*sorted(texts, key=len)[-4:], *spread]))
