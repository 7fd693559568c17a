"""What all values are made of: bounded numbers, names, and the frozen base."""

import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

SCHEMA_VERSION = 1

LARGEST = 1 << 53
"""Every reader of JSON holds whole numbers exactly up to here: 104 days of nanoseconds, 9 PB."""

# `$` alone also matches before a line break at the end.
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$(?!\n)")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Whole = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Rounds = Annotated[int, Meta(ge=1, le=1000)]
Repetitions = Annotated[int, Meta(ge=1, le=100_000)]
Tokens = Annotated[int, Meta(ge=1, le=1 << 24)]
Dimension = Annotated[int, Meta(ge=1, le=1 << 24)]
Pin = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._!+-]*$(?!\n)")]
"""One requirement and nothing else: pip takes options, such as another registry, from the same line or the next."""
CellKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)")]
"""Part of file names: nothing that leads out of a run's folder can be one."""


RunFile = Annotated[str, Meta(pattern=r"^(requests|answers|items|traces)/[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
"""A file in one of three folders of a run, never elsewhere."""


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=False, gc=False):
    """Base of all values: immutable, strict, by keyword.

    A value never holds itself, so the collector of cycles need not look at it; with many records that is seconds.
    """


def canonical(value: Any) -> bytes:
    """The bytes that are hashed: JSON with sorted keys."""
    return msgspec.json.encode(value, order="sorted")


def digest(value: Any) -> str:
    """sha256 (hex) of a value's canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()
