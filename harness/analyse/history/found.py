"""What a night found: one small file beside the runs, written by `bench nightly`, joined to changes on reading."""

from pathlib import Path

import msgspec

from harness.analyse.history.values import Confirmation
from harness.errors import StoreError
from harness.store import DAMAGE
from harness.values import Value

FOUND_SCHEMA = 1
FOLDER = "nights"
"""In the folder of runs; it holds no run."""


class Confirmed(Value, frozen=True):
    """A change that was to be measured again, with what came of it."""

    series: str
    """Id of the series."""
    since: str
    """Run of the first night after the step, as it was seen then."""
    new_run: str
    good_run: str
    """Whose artifacts and runners were set side by side: tonight's, and those of the last night before the step."""
    confirmation: Confirmation | None = None
    reason: str | None = None
    """Why there is no confirmation."""


class Told(Value, frozen=True):
    """A change as it stood at the end of the night."""

    series: str
    since: str
    """Run of the first night after the step."""
    good_run: str | None
    """The last night before it; None: there is none."""
    ratio: float | None
    rule: str
    """Why it is a watch or an alert, in words."""


class NotMeasured(Value, frozen=True):
    """A cell of the night that failed."""

    cell: str
    """Key of the cell."""
    what: str
    """Variant, measure and workload in words."""
    device: str
    status: str
    reason: str


class Message(Value, frozen=True):
    """What is told of alerts that have one cause; a night tells of each once."""

    id: str
    title: str
    since: str
    """Start of the first night after the step, UTC, ISO 8601."""
    run: str
    """That night's run."""
    differences: tuple[str, ...]
    """What changed with it, such as `runner: 1a2b → 3c4d`."""
    lines: tuple[str, ...]
    """A line a series: how much, and how sure."""

    @property
    def text(self) -> str:
        """All of it, line by line."""
        changed = (f"changed with it: {'; '.join(self.differences)}",) if self.differences else ()
        return "\n".join((f"since {self.since} ({self.run})", *changed, *self.lines))


class NightFound(Value, frozen=True, kw_only=True):
    """All that a night found, beside its records."""

    schema: int = FOUND_SCHEMA
    run: str
    suite: str
    devices: tuple[str, ...]
    ended: str
    """UTC, ISO 8601."""
    watches: tuple[Told, ...] = ()
    alerts: tuple[Told, ...] = ()
    confirmations: tuple[Confirmed, ...] = ()
    failures: tuple[NotMeasured, ...] = ()
    missing: tuple[str, ...] = ()
    """Series (ids) that are missing for more nights than the limit allows."""
    messages: tuple[Message, ...] = ()
    """Of alerts that no night before has told."""
    troubles: tuple[str, ...] = ()
    """What of the night itself did not work, such as a webhook out of reach; one line each."""
    delivered: bool = True
    """Whether the webhook that was asked for took all messages; those of other nights are sent again."""


def read_found(results: Path) -> tuple[NightFound, ...]:
    """What all nights of a folder of runs found, oldest first by the names of their runs.

    Raises:
        StoreError: a file is damaged, or written by a newer bench.
    """
    return tuple(map(_read, _files(results)))


def readable_found(results: Path) -> tuple[tuple[NightFound, ...], tuple[str, ...]]:
    """As `read_found`, and in words what cannot be read: one damaged file hides no other."""
    found: list[NightFound] = []
    wrong: list[str] = []
    for path in _files(results):
        try:
            found.append(_read(path))
        except StoreError as error:
            wrong.append(str(error))
    return tuple(found), tuple(wrong)


def _files(results: Path) -> list[Path]:
    return sorted((results / FOLDER).glob("[!.]*.json"))


def _read(path: Path) -> NightFound:
    try:
        body = path.read_bytes()
        if (version := msgspec.json.decode(body, type=_Versioned).schema) > FOUND_SCHEMA:
            raise StoreError(f"{path}: written by a newer bench (schema {version}, this one reads {FOUND_SCHEMA})")
        return msgspec.json.decode(body, type=NightFound)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except DAMAGE as error:
        raise StoreError(f"{path}: damaged: {error}") from error


class _Versioned(msgspec.Struct):
    schema: int
