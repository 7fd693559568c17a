"""Texts as tokens, each distinct piece of them encoded once.

A prompt of few-shot examples is mostly lines that other prompts hold as well, and its lines are mostly words that
other lines hold. A tokenizer that first splits its text by a pattern, as all byte-level BPE ones do, never joins a
letter or digit with the line break after it, nor what is no blank with a single blank and a letter after it; what it
does behind such a place follows from there on alone. So the text may be cut there, and its tokens are those of the
pieces one after the other. Tokenizers that do otherwise (SentencePiece marks the start of each text) are found by
whole texts encoded beside, and get every text whole.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

LINE = re.compile(r"(?<=[A-Za-z0-9])(?=\n)")
WORD = re.compile(r"(?<=\S)(?= [A-Za-z])")
CHECKED = 24
"""Of the texts that are cut at lines, and of those that are cut at words only, so many are encoded whole as well: the
longest, and others spread over all."""
LONGEST = 4

Encode = Callable[[Sequence[str], Sequence[bool]], list[list[int]]]
"""Texts, and of each whether it gets the special tokens that begin a text."""
Parts = tuple[str, ...]
"""A text as what it is put together from; what many texts begin with comes first, and is looked at once."""
Tokens = list[int]


class Encoded:
    """Tokens of the texts that were named when it was made."""

    def __init__(self, first: dict[str, Tokens], later: dict[str, Tokens], whole: dict[str, Tokens]) -> None:
        self._first, self._later, self._whole = first, later, whole
        self.tokens = lru_cache(maxsize=64)(self._tokens)

    def __getitem__(self, parts: Parts) -> Tokens:
        """A list that must not be changed."""
        return self.tokens(parts)

    def _tokens(self, parts: Parts) -> Tokens:
        if self._whole:
            return self._whole["".join(parts)]
        begin, *rest = cut(parts)
        tokens = list(self._first[begin])
        for piece in rest:
            tokens += self._later[piece]
        return tokens


def encode_all(texts: Iterable[Parts], encode: Encode, special: bool) -> Encoded:
    """Encode texts with a tokenizer.

    `special`: whether a text's beginning gets the tokenizer's special tokens.
    """
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return Encoded({}, {}, {})
    first, later = _pieces(distinct)
    lines = [parts for parts in distinct if len(cut(parts)) > 1]
    checked = {parts: "".join(parts) for parts in dict.fromkeys([*_checked(lines), *_checked(distinct)])}
    begins = dict.fromkeys(WORD.split(piece)[0] for piece in first)
    words = dict.fromkeys(word for piece in first for word in WORD.split(piece)[1:])
    words |= dict.fromkeys(word for piece in later for word in WORD.split(piece))
    begun = list(dict.fromkeys([*begins, *checked.values()]))
    # All in one call: a program that encodes takes longer to start than to work.
    tokens = encode([*begun, *words], [special] * len(begun) + [False] * len(words))
    of_begins = dict(zip(begun, tokens, strict=False))
    of_words = dict(zip(words, tokens[len(begun) :], strict=True))
    joined = Encoded(
        {piece: _of_piece(piece, of_begins, of_words) for piece in first},
        {piece: _of_piece(piece, of_words, of_words) for piece in later},
        {},
    )
    if all(joined[parts] == of_begins[whole] for parts, whole in checked.items()):
        return joined
    plain = list(dict.fromkeys("".join(one) for one in distinct))
    return Encoded({}, {}, dict(zip(plain, encode(plain, [special] * len(plain)), strict=True)))


def cut(parts: Parts) -> list[str]:
    """The pieces of the whole text; a place between two parts is cut where one within a text would be."""
    pieces: list[str] = [""]
    for number, part in enumerate(parts):
        pieces += _lines(part) if number == 0 else LINE.split(pieces.pop() + part)
    return pieces[1:]


@lru_cache(maxsize=64)
def _lines(text: str) -> list[str]:
    return LINE.split(text)


def _pieces(texts: list[Parts]) -> tuple[list[str], list[str]]:
    """(those that a text begins with, all others)."""
    first: dict[str, None] = {}
    later: dict[str, None] = {}
    for text in texts:
        begin, *rest = cut(text)
        first[begin] = None
        later.update(dict.fromkeys(rest))
    return list(first), list(later)


def _of_piece(piece: str, begins: dict[str, Tokens], words: dict[str, Tokens]) -> Tokens:
    begin, *rest = WORD.split(piece)
    tokens = list(begins[begin])
    for word in rest:
        tokens += words[word]
    return tokens


def _checked(texts: list[Parts]) -> list[Parts]:
    if len(texts) <= CHECKED:
        return texts
    spread = texts[:: -(-len(texts) // (CHECKED - LONGEST))]
    return [*sorted(texts, key=lambda parts: sum(map(len, parts)))[-LONGEST:], *spread]
