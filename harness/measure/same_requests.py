"""Whether two files hold the same requests: of two tokenizers, of two shards, of a run and its resumption."""

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

from harness.errors import StoreError
from harness.request_lines import read_requests

TOKENS = ("task", "doc", "index", "context", "continuation", "tokens")
"""What a tokenizer decides."""
CONTENT = (*TOKENS, "kind", "doc_hash", "target", "stop", "max_tokens", "positions", "rows")
"""What an answer and its grade depend on."""


def token_differences(ours: Path, theirs: Path) -> tuple[int, int]:
    """Of two files of the same requests by two tokenizers: (requests whose token ids differ, requests)."""
    return _differences(ours, theirs, TOKENS)


def request_differences(ours: Path, theirs: Path) -> tuple[int, int]:
    """Of two files of requests: (requests that differ in anything that an answer or its grade depends on, requests).

    Raises:
        StoreError: a file is missing or damaged.
    """
    return _differences(ours, theirs, CONTENT)


def _differences(ours: Path, theirs: Path, keys: tuple[str, ...]) -> tuple[int, int]:
    differ = of = 0
    for one, other in zip_longest(_parts(ours, keys), _parts(theirs, keys)):
        of += 1
        differ += one != other
    return differ, of


def _parts(path: Path, keys: tuple[str, ...]) -> Iterable[tuple[object, ...]]:
    if not path.is_file():
        raise StoreError(f"{path} is missing: whether its requests are the same cannot be told")
    return (tuple(line.get(key) for key in keys) for line in read_requests(path))
