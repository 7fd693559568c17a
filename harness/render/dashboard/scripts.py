"""Data as small scripts: a page that lies on a disk may load scripts from beside it, but fetch nothing."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from harness.render.words import HARMFUL, clean
from harness.values import digest

DIGITS = 7
"""Significant digits of values that are no whole numbers: more than any clock is good for."""
_ESCAPES = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ESCAPED = re.compile("[<\u2028\u2029]")


def script(key: str, data: Any) -> bytes:
    """One call that hands `data` over under `key`; a string in it cannot end the script or its element."""
    body = msgspec.json.encode([key, data]).decode()
    body = _ESCAPED.sub(lambda found: _ESCAPES[found.group()], body)
    return f"bench.put(...{body});\n".encode()


def version(body: bytes) -> str:
    """What a page asks for after `?`, so that no reader's cache answers with another night's file."""
    return hashlib.sha256(body).hexdigest()[:8]


def series_key(identity: str) -> str:
    """A series' id where it is one, else a hash of it: part of a file's name."""
    return identity if re.fullmatch(r"[0-9a-f]{16}", identity) else digest(identity)[:16]


def night_key(run: str) -> str:
    """The same for a run's name."""
    return digest(run)[:16]


def nights_key(runs: Iterable[str]) -> str:
    """Of a list of nights: files that number nights belong to a page that numbers them in the same way."""
    return digest(list(runs))[:8]


@lru_cache(maxsize=1 << 16)
def line(text: str) -> str:
    """A string from a run as one harmless line."""
    return clean(text)


def kept(text: str) -> str:
    """A command as it is, spaces and all, less what is invisible and does harm."""
    return HARMFUL.sub("�", text)


def shortened(values: Sequence[float]) -> list[float]:
    """Without digits that nothing was measured to; whole numbers stay exact."""
    import numpy as np

    exact = np.asarray(values, dtype=float)
    size = np.floor(np.log10(np.abs(exact), out=np.zeros_like(exact), where=exact != 0))
    # Of whole numbers alone the size may be beyond DIGITS, and those stay; so the scale is a whole power of ten.
    scale = 10.0 ** np.clip(DIGITS - 1 - size, 0, 22)
    return list(np.where(exact == np.floor(exact), exact, np.round(exact * scale) / scale).tolist())


class Table:
    """Things by number, each once; -1 stands for none."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def __call__(self, value: Any) -> int:
        return -1 if value is None else self._numbers.setdefault(value, len(self._numbers))

    @property
    def values(self) -> list[Any]:
        return list(self._numbers)
