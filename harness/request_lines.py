"""The requests of an accuracy cell as lines of a file: what many of them begin with stands there once.

A line `{"part": k, "text": …, "tokens": […]}` comes before the requests that begin with it. In a request,
`prompt` is `{"part": k, "text": own}`, and `context` or `tokens` is `{"part": k, "first": n, "tokens": own}`:
the part's first n tokens, then its own. A request with `same` has prompt and context of the one before it.
Runs of old have texts and lists in these places, which are read as they stand.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import read_lines

SAME = ("prompt", "context", "shared", "truncated")
"""Fields that a request with `same` takes from the one before it."""


class Heads:
    """Turns whole requests into lines; knows which parts were written."""

    def __init__(self) -> None:
        self._parts: dict[str, int] = {}
        self._tokens: dict[int, list[int]] = {}
        self._last: dict[str, Any] = {}

    def lines(self, request: dict[str, Any], head: str, head_tokens: list[int]) -> Iterator[dict[str, Any]]:
        """The request's line, after that of its head where that is new. Requests with one prompt stand together."""
        last, self._last = self._last, request
        if "context" in request and all(request.get(key) == last.get(key) for key in SAME):
            yield {**{key: value for key, value in request.items() if key not in SAME}, "same": True}
            return
        if not head or request.get("truncated"):
            yield request
            return
        if head not in self._parts:
            self._parts[head] = len(self._parts)
            self._tokens[self._parts[head]] = head_tokens
            yield {"part": self._parts[head], "text": head, "tokens": head_tokens}
        part = self._parts[head]
        short: dict[str, Any] = {**request, "prompt": {"part": part, "text": request["prompt"][len(head) :]}}
        for key in ("context", "tokens"):
            if key in request:
                first = alike(request[key], self._tokens[part])
                short[key] = {"part": part, "first": first, "tokens": request[key][first:]}
        yield short


def alike(one: list[int], other: list[int]) -> int:
    """With how many equal tokens both begin."""
    least, most = 0, min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    while least + 1 < most:  # equal up to `least`, not up to `most`
        middle = (least + most) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle
    return least


def own_texts(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The texts of a file's lines, heads that requests share once; of an answer with its question before it."""
    prompt = ""
    for line in lines:
        if "part" in line:
            yield line["text"]
        if "id" not in line:
            continue
        found = prompt if line.get("same") else line.get("prompt", "")
        prompt = found["text"] if isinstance(found, dict) else found
        text = f"{prompt} {line.get('target') or ''}".strip()
        if text:
            yield text


def whole_requests(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The requests among a file's lines, each with its whole prompt and tokens.

    Raises:
        StoreError: a line names a part that was not there before it.
    """
    texts: dict[int, str] = {}
    tokens: dict[int, list[int]] = {}
    before: dict[str, Any] = {}
    for line in lines:
        if "part" in line:
            texts[line["part"]], tokens[line["part"]] = line["text"], line["tokens"]
        if "id" not in line:
            continue
        request = dict(line)
        if request.pop("same", False):
            request |= {key: before[key] for key in SAME if key in before}
        else:
            _fill(request, texts, tokens)
        before = request
        yield request


def _fill(request: dict[str, Any], texts: dict[int, str], tokens: dict[int, list[int]]) -> None:
    try:
        if isinstance(prompt := request.get("prompt"), dict):
            request["prompt"] = texts[prompt["part"]] + prompt["text"]
        for key in ("context", "tokens"):
            if isinstance(own := request.get(key), dict):
                request[key] = tokens[own["part"]][: own["first"]] + own["tokens"]
    except (KeyError, TypeError) as error:
        raise StoreError(f"request {request['id']} begins with a part that is not there: {error}") from error


def read_requests(path: Path) -> Iterator[dict[str, Any]]:
    """The whole requests of a run's file.

    Raises:
        StoreError: the file is damaged.
    """
    return whole_requests(read_lines(path))
