"""What an accuracy cell was asked, and the texts that it answered, read from the run folder."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from harness.errors import StoreError
from harness.request_lines import whole_requests
from harness.store import read_lines
from harness.values import Count

Read = TypeVar("Read", bound=msgspec.Struct)

Question = tuple[str, int | str]
"""(task, document): what an item's `task` and `id` are."""
BLANK_LINE = "\n\n"
LONGEST_OWN = 2_000
"""Characters of a prompt that is not split although no other begins like it."""


class Asked(msgspec.Struct, frozen=True):
    """One question; its whole prompt is `head` + `prompt`."""

    head: str
    """What the prompt shares with others, such as few-shot examples; may be empty."""
    prompt: str
    """The question's own part."""
    choices: tuple[str, ...]
    """Continuations in the task's order; empty where a text is to be written."""
    request: int
    """Number of its first request, under which a text that was written stands among the answers."""


class _Line(msgspec.Struct, frozen=True):
    """What of a request is read; token ids and all else are passed over."""

    id: Count
    task: str
    doc: int | str
    index: Count
    prompt: str
    target: str | None = None


class _Written(msgspec.Struct, frozen=True):
    id: Count
    text: str


class _Part(msgspec.Struct, frozen=True):
    """One request of a question."""

    index: int
    request: int
    head: str
    prompt: str
    target: str | None


def asked_of(path: Path) -> dict[Question, Asked]:
    """The questions of a requests file, in its order. Lines are read one by one: no token ids are kept.

    Raises:
        StoreError: the file is damaged.
    """
    parts: dict[Question, list[_Part]] = defaultdict(list)
    heads: dict[str, str] = {}
    for line in _converted(path, "prompt", _Line):
        head, own = _split(line.prompt)
        part = _Part(line.index, line.id, heads.setdefault(head, head), own, line.target)
        parts[line.task, line.doc].append(part)
    found = {question: _asked(sorted(of, key=lambda part: part.index)) for question, of in parts.items()}
    return dict(_shared_heads(found))


def texts_of(path: Path) -> dict[int, str]:
    """The texts of an answers file that were written, by request.

    Raises:
        StoreError: the file is damaged.
    """
    return {line.id: line.text for line in _converted(path, "text", _Written)}


def _converted(path: Path, key: str, kind: type[Read]) -> Iterator[Read]:
    """The lines that have the key."""
    try:
        for line in whole_requests(read_lines(path)):
            if key in line:
                yield msgspec.convert(line, kind)
    except (msgspec.ValidationError, OSError) as error:
        raise StoreError(f"{path}: damaged: {error}") from error


def _split(prompt: str) -> tuple[str, str]:
    """(all up to the last blank line that something follows, the rest)."""
    end = prompt.rfind(BLANK_LINE, 0, len(prompt.rstrip()))
    return ("", prompt) if end < 0 else (prompt[: end + 2], prompt[end + 2 :])


def _asked(parts: Sequence[_Part]) -> Asked:
    first = parts[0]
    targets = tuple(part.target for part in parts if part.target is not None)
    prompts = [part.head + part.prompt for part in parts]
    if len(set(prompts)) == 1:
        return Asked(first.head, first.prompt, targets, first.request)
    stem = _alike(prompts)  # WinoGrande's way: the choice stands in the prompt
    choices = tuple(prompt[len(stem) :] + (part.target or "") for prompt, part in zip(prompts, parts, strict=True))
    head = first.head if stem.startswith(first.head) else ""
    return Asked(head, stem[len(head) :], choices, first.request)


def _alike(prompts: Sequence[str]) -> str:
    """What all begin with, in whole words."""
    first, last = min(prompts), max(prompts)
    differs = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind(" ", 0, differs) + 1]


def _shared_heads(asked: dict[Question, Asked]) -> Iterator[tuple[Question, Asked]]:
    """A head that no other question of the task has is mostly the question's own first paragraph: it goes back.

    Long ones are examples that were drawn for this question alone, and stay.
    """
    counts = Counter((task, one.head) for (task, _), one in asked.items())
    shared: dict[str, list[str]] = defaultdict(list)
    for (task, head), count in sorted(counts.items(), key=lambda pair: -len(pair[0][1])):
        if count > 1:
            shared[task].append(head)
    for (task, doc), one in asked.items():
        if counts[task, one.head] == 1:
            whole = one.head + one.prompt
            head = next((h for h in shared[task] if h and whole.startswith(h)), "")
            if head or len(whole) <= LONGEST_OWN:
                one = msgspec.structs.replace(one, head=head, prompt=whole[len(head) :])
        yield (task, doc), one
