"""When a window is measured again, and when a cell is no cell of the burst any more. Pure.

Repeating until a window is valid favours whoever heats less in a window: hence a limit, and the count is shown.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

MOST_REPEATS = 3
MOST_DISCARDED = 0.20


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Windows of one cell."""

    kept: int
    discarded: int


def next_step(attempts: Sequence[bool]) -> Literal["measure", "keep", "give_up"]:
    """What to do with one window, after its attempts so far in order (True: valid)."""
    if attempts and attempts[-1]:
        return "keep"
    return "measure" if len(attempts) <= MOST_REPEATS else "give_up"


def tally(windows: Sequence[Sequence[bool]]) -> Tally:
    """Over all windows of a cell, the attempts of each."""
    kept = sum(any(attempts) for attempts in windows)
    return Tally(kept=kept, discarded=sum(len(attempts) for attempts in windows) - kept)


def thermally_limited(cell: Tally) -> bool:
    """More than a fifth of its windows were discarded: only its sustained figure counts."""
    return cell.discarded > MOST_DISCARDED * (cell.kept + cell.discarded)
