"""What is asked of a night, and what came of it."""

from pathlib import Path
from typing import Literal

import msgspec

from harness.analyse.history.found import NightFound
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Change, History, Series
from harness.pipeline import Wish
from harness.values import Value

Form = Literal["json", "slack"]
"""Of a webhook's messages."""


class Reruns(Value, frozen=True):
    """How much may be measured again in one night."""

    pairs: int = 6
    """Of each cell."""
    minutes: float = 20.0
    """In all, reckoned by how long tonight's trials took. What does not fit stays a watch."""


class Alert(Value, frozen=True):
    """A series with the change that stands in it."""

    series: Series
    change: Change


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks of a night."""

    wish: Wish
    wait_s: float = 0.0
    """For a night that runs on the same device already."""
    reruns: Reruns | None = Reruns()
    """None: nothing is measured again, and the strict rule decides."""
    shared: str | None = None
    """Address of a history that hosts share, as fsspec knows it. It may hold secrets, and is kept nowhere."""
    settings: Settings = Settings()


class Night(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    folder: Path
    found: NightFound
    history: History
    """Of all runs in the folder, with what this night found."""
    series: tuple[Series, ...]
    """Of this night's suite, devices and machine."""
    alerts: tuple[Alert, ...]
    """Those of them that stand; `found.messages` tells of those that no night before has told."""


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """Where to; None: nowhere."""

    dashboard: Path | None = None
    junit: Path | None = None
    summary: Path | None = None
    webhook: str | None = None
    """Address; a secret, kept nowhere."""
    form: Form = "json"
