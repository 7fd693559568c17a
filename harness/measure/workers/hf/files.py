"""Files of JSON lines: requests are read whole, answers and events are appended."""

import contextlib
import os
import time
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import msgspec

from harness.measure.workers.hf.errors import BadInputError, JobFailedError

PROGRESS_EVERY_NS = 500_000_000
BLOCK = 4096


class HasId(Protocol):
    @property
    def id(self) -> int: ...


R = TypeVar("R", bound=HasId)


class LineFile:
    """Appends whole lines, each by one write; a torn last line of an earlier program is cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JobFailedError(f"cannot open {path}: {error.strerror}") from error
        os.ftruncate(self._fd, self._end_of_last_line())

    def append(self, value: Any) -> None:
        line = memoryview(msgspec.json.encode(value) + b"\n")
        while line:
            try:
                line = line[os.write(self._fd, line) :]
            except OSError as error:
                raise JobFailedError(f"cannot write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end_of_last_line(self) -> int:
        end = os.fstat(self._fd).st_size
        while end > 0:
            start = max(0, end - BLOCK)
            newline = os.pread(self._fd, end - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0


class Events(LineFile):
    def write(self, event: str, **fields: Any) -> None:
        self.append({"event": event, **fields})


class Answers(LineFile):
    """An answers file, and which answers stood in it already."""

    def __init__(self, path: Path, key: Callable[[dict[str, Any]], Hashable] = lambda line: line["id"]) -> None:
        super().__init__(path)
        self.earlier = {self._key(key, line, where) for where, line in read_lines(path, dict[str, Any])}

    @staticmethod
    def _key(key: Callable[[dict[str, Any]], Hashable], line: dict[str, Any], where: str) -> Hashable:
        try:
            return key(line)
        except KeyError as error:
            raise BadInputError(f"{where}: {error} is missing") from error


class Tally:
    """Counts answers for the event `scored`, and says on standard output how far the job is."""

    def __init__(self, requests: int, skipped: int) -> None:
        self.requests, self.skipped = requests, skipped
        self.answered = self.tokens = self._next_ns = 0

    def answer(self, tokens: int) -> None:
        self.answered += 1
        self.tokens += tokens
        if (now := time.monotonic_ns()) >= self._next_ns:
            self._next_ns = now + PROGRESS_EVERY_NS
            say(f"progress {self.answered + self.skipped} {self.requests}")

    def write(self, events: Events, **more: int) -> None:
        counts = {name: getattr(self, name) for name in ("requests", "answered", "skipped", "tokens")}
        events.write("scored", **counts, **more)


def say(line: str) -> None:
    """One line for people; whoever reads them may be gone, the events file is what counts."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, line.encode() + b"\n")


def read_lines(path: Path, kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """Each line as a value, with where it stands.

    Raises:
        BadInputError: the file cannot be read, or a line is not what is asked for.
    """
    decoder = msgspec.json.Decoder(kind)
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                where = f"{path}:{number}"
                try:
                    yield where, decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise BadInputError(f"{where}: {error}") from error
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}") from error


def each_request(path: Path, kind: type[R]) -> Iterator[R]:
    """Raises BadInputError: a line is no request, or an id stands twice."""
    seen: set[int] = set()
    for where, request in read_lines(path, kind):
        if request.id in seen:
            raise BadInputError(f'{where}: "id" {request.id} stands twice in the file')
        seen.add(request.id)
        yield request


def read_requests(path: Path, kind: type[R]) -> list[R]:
    return list(each_request(path, kind))
