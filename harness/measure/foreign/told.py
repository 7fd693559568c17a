"""What a reader of another tool's results gives: trials with their names, conditions and values."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from harness.errors import InputError
from harness.values import Reported, Runtime, Workload

LONGEST_NAME = 64
LONGEST_WORD = 500
MOST_WORDS = 2_000


LARGEST = 1e18
"""Nothing that a tool counts or times is as large; results of arithmetic with it stay numbers."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the tool said of the device. None: it did not."""

    model: str | None = None
    os: str | None = None
    arch: str | None = None
    cpu: str | None = None
    logical_cpus: int | None = None
    memory_bytes: int | None = None


class ToldTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One program's results for one workload."""

    variant: str
    """A name that a plan may have."""
    model_file: str
    scheme: str = ""
    sixteen_bit: bool = False
    runtime: Runtime
    machine: Machine
    workload: Workload
    reported: Reported
    started: str = ""
    """UTC, ISO 8601."""
    items: tuple[dict[str, Any], ...] = ()
    """Graded questions."""
    requests: tuple[dict[str, Any], ...] = ()
    """What was asked, for the page of single questions."""
    answers: tuple[dict[str, Any], ...] = ()
    """What was answered, by request."""
    versions: dict[str, str] = {}
    label: str = ""
    """What must be said beside its scores."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file's."""

    tool: str
    trials: tuple[ToldTrial, ...]
    remarks: tuple[str, ...] = ()
    """What was read and has no metric here."""


def name_of(text: str) -> str:
    """A plan's name for what a tool calls `text`."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-._+")[:LONGEST_NAME].rstrip("-._+")
    return plain or "unnamed"


def words(told: Mapping[str, Any]) -> dict[str, str]:
    """Everything as text, by the tool's own names; texts are cut."""
    said = {str(key)[:LONGEST_WORD]: _word(value) for key, value in told.items() if value not in (None, "", [], {})}
    return dict(list(said.items())[:MOST_WORDS])


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_WORD else f"{text[:LONGEST_WORD]}…"


def number(told: Mapping[str, Any], key: str, where: str, *, least: float = 0.0) -> float:
    """A finite number of the tool's.

    Raises:
        InputError: it is missing, or none.
    """
    value = told.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < LARGEST:
        raise InputError(f"{where}: `{key}` is {_word(value)}, where a number is wanted")
    return float(value)


def whole(told: Mapping[str, Any], key: str, where: str, *, least: int = 0, most: int = 1 << 24) -> int:
    """A whole number of the tool's.

    Raises:
        InputError: it is missing, or none.
    """
    value = number(told, key, where, least=least)
    if value != int(value) or value > most:
        raise InputError(f"{where}: `{key}` is {_word(told.get(key))}, where a whole number up to {most:,} is wanted")
    return int(value)


def mapping(told: Any, what: str) -> dict[str, Any]:
    """Raises InputError: it is none."""
    if not isinstance(told, dict):
        raise InputError(f"{what} is {_word(told)}, where names with values are wanted")
    return told


def text(told: Mapping[str, Any], key: str, where: str) -> str:
    """Raises InputError: it is missing, or no text."""
    value = told.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: `{key}` is {_word(value)}, where a text is wanted")
    return value
