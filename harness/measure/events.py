"""The events file of a program, whatever runtime it belongs to; see docs/runner-protocol.md."""

from typing import Any

import msgspec

from harness.measure.jobs import Parsed
from harness.values import (
    BandwidthSeen,
    EnergySeen,
    Hello,
    Loaded,
    LoadSeen,
    MemorySeen,
    Observation,
    Opened,
    Stretch,
    Timing,
)


def parse_events(events: bytes) -> Parsed:
    """Read an events file; a torn last line is left out.

    Raises:
        ValueError: a line that is no event of the protocol: the program printed garbage.
    """
    observations: list[Observation] = []
    warmups: list[Observation] = []
    discards: list[Observation] = []
    error: str | None = None
    done = False
    for line in events.split(b"\n")[:-1]:
        kind = _decoded(line, _Event).event
        if kind in _SEEN:
            seen = _decoded(line, _SEEN[kind])
            warm = isinstance(seen, Timing | BandwidthSeen) and seen.warmup
            discarded = isinstance(seen, Timing) and seen.discarded
            (warmups if warm else discards if discarded else observations).append(seen)
        elif kind == "error":
            error = _decoded(line, _Error).message
        elif kind == "done":
            done = True
        elif kind not in ("scored", "quantized"):
            raise ValueError(f"unknown event {kind!r}")
    return Parsed(
        observations=tuple(observations),
        warmups=tuple(warmups),
        discards=tuple(discards),
        error=error,
        done=done,
    )


def _decoded(line: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


class _Event(msgspec.Struct):
    event: str


class _Error(msgspec.Struct):
    message: str


_SEEN: dict[str, Any] = {
    "hello": Hello,
    "loaded": Loaded,
    "opened": Opened,
    "timing": Timing,
    "load": LoadSeen,
    "stretch": Stretch,
    "energy": EnergySeen,
    "memory": MemorySeen,
    "bandwidth": BandwidthSeen,
}
