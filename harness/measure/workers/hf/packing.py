"""Which tokens go through the network together, planned from all requests of a job at once.

The rows (token sequences, sorted, each once) form a trie. A beginning that more rows share than fit one pass
goes through first and stays in the KV cache; below it, what is left of the rows is packed side by side into
passes. In a pass a token sees the cached prefix and its own ancestors, nothing else.
"""

import itertools
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Row = npt.NDArray[np.int32]


class Limits(msgspec.Struct, frozen=True):
    pass_tokens: int
    """Most tokens of one pass."""
    shortest_stem: int
    """Rows that begin alike by at least so many tokens share them; fewer are not worth the bookkeeping."""


class Segment(msgspec.Struct, frozen=True):
    """Tokens start … stop − 1 of a pass that follow each other in one row."""

    start: int
    stop: int
    ancestors: tuple[tuple[int, int], ...]
    """Ranges of this pass that come before `start` in the row."""


class Group(msgspec.Struct, frozen=True):
    """Tokens start … stop − 1 of a pass: a tree of its own, which sees no other group."""

    start: int
    stop: int
    segments: tuple[Segment, ...]

    @property
    def chain(self) -> bool:
        return len(self.segments) == 1


class Part(msgspec.Struct, frozen=True):
    """Where a row's tokens from the pass's prefix on lie in the pass."""

    row: int
    ranges: tuple[tuple[int, int], ...]


class Pass(msgspec.Struct, frozen=True):
    prefix: int
    """Tokens in the cache that come before."""
    stays: bool
    """Its tokens stay in the cache for the passes that follow with a longer prefix."""
    tokens: tuple[Row, ...]
    positions: tuple[tuple[int, int], ...]
    """Ranges of positions, one for each array of tokens."""
    groups: tuple[Group, ...]
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        return sum(len(piece) for piece in self.tokens)


def plan(rows: Sequence[Row], limits: Limits) -> list[Pass]:
    """Passes in the order in which they must run: each finds its prefix in the cache.

    `rows` must be sorted and different from each other.
    """
    alike = [0, *(common(one, other) for one, other in itertools.pairwise(rows))]
    return list(_below(rows, alike, limits, 0, len(rows), 0))


def singly(rows: Sequence[Row]) -> list[Pass]:
    """Each row in a pass of its own, nothing shared."""
    return [_pack(rows, [0] * len(rows), [(i, i + 1)], 0, stays=False) for i in range(len(rows))]


def chain(row: Row, prefix: int) -> Pass:
    """Tokens of one row after so many that are cached; they stay."""
    size = len(row)
    return Pass(
        prefix=prefix,
        stays=True,
        tokens=(row,),
        positions=((prefix, prefix + size),),
        groups=(Group(0, size, (Segment(0, size, ()),)),),
        parts=(Part(0, ((0, size),)),),
    )


def common(one: Row, other: Row) -> int:
    """How many tokens two rows begin with alike."""
    shorter = min(len(one), len(other))
    different = np.flatnonzero(one[:shorter] != other[:shorter])
    return int(different[0]) if different.size else shorter


def _below(rows: Sequence[Row], alike: list[int], limits: Limits, first: int, end: int, prefix: int) -> Iterator[Pass]:
    """Passes of rows first … end − 1, whose first `prefix` tokens are cached."""
    pending: list[tuple[int, int]] = []
    filled = 0
    for start, stop in _runs(alike, first, end, prefix + limits.shortest_stem):
        size = _unique(rows, alike, start, stop, prefix)
        if size > limits.pass_tokens:
            stem_end = min([len(rows[start]), prefix + limits.pass_tokens, *alike[start + 1 : stop]])
            yield _stem(rows, start, stop, prefix, stem_end)
            yield from _below(rows, alike, limits, start, stop, stem_end)
            continue
        if filled + size > limits.pass_tokens:
            yield _pack(rows, alike, pending, prefix, stays=False)
            pending, filled = [], 0
        if size:
            pending.append((start, stop))
            filled += size
    if pending:
        yield _pack(rows, alike, pending, prefix, stays=False)


def _runs(alike: list[int], first: int, end: int, least: int) -> Iterator[tuple[int, int]]:
    """Neighbouring rows of which each begins like the one before by at least `least` tokens."""
    start = first
    for row in range(first + 1, end + 1):
        if row == end or alike[row] < least:
            yield start, row
            start = row


def _unique(rows: Sequence[Row], alike: list[int], start: int, stop: int, prefix: int) -> int:
    return len(rows[start]) - prefix + sum(len(rows[k]) - alike[k] for k in range(start + 1, stop))


def _stem(rows: Sequence[Row], start: int, stop: int, prefix: int, end: int) -> Pass:
    size = end - prefix
    return Pass(
        prefix=prefix,
        stays=True,
        tokens=(rows[start][prefix:end],),
        positions=((prefix, end),),
        groups=(Group(0, size, (Segment(0, size, ()),)),),
        parts=tuple(Part(row, ((0, size),)) for row in range(start, stop)),
    )


def _pack(rows: Sequence[Row], alike: list[int], runs: list[tuple[int, int]], prefix: int, *, stays: bool) -> Pass:
    tokens: list[Row] = []
    positions: list[tuple[int, int]] = []
    groups: list[Group] = []
    parts: list[Part] = []
    at = 0
    for start, stop in runs:
        segments: list[Segment] = []
        path: list[tuple[int, int]] = []
        begin = at
        for row in range(start, stop):
            shared = prefix if row == start else alike[row]
            path = _head(path, shared - prefix)
            own = len(rows[row]) - shared
            if own:
                segments.append(Segment(at, at + own, tuple(path)))
                tokens.append(rows[row][shared:])
                positions.append((shared, shared + own))
                path = [*path, (at, at + own)]
                at += own
            parts.append(Part(row, tuple(path)))
        groups.append(Group(begin, at, tuple(segments)))
    return Pass(
        prefix=prefix,
        stays=stays,
        tokens=tuple(tokens),
        positions=tuple(positions),
        groups=tuple(groups),
        parts=tuple(parts),
    )


def _head(ranges: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """The ranges' first `count` tokens."""
    head: list[tuple[int, int]] = []
    for start, stop in ranges:
        if count <= 0:
            break
        head.append((start, min(stop, start + count)))
        count -= stop - start
    return head


def needed(passes: Sequence[Pass], wanted: Sequence[bool]) -> list[bool]:
    """Which passes must run for the rows that are wanted: those that hold a part of one."""
    return [any(wanted[part.row] for part in one.parts) for one in passes]
