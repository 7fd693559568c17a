"""Which build of the runner a phone gets: what its CPU can run, and of that what is quickest there. Pure."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from harness.build.runners.targets import PHONE, TARGETS
from harness.errors import UnknownNameError
from harness.stats import FEWEST_ROUNDS, ratio_interval
from harness.values import Value


class Duel(Value, frozen=True):
    """One build against a simpler one, round by round on the same phone."""

    target: str
    against: str
    ratio: float
    """Seconds of `target` over seconds of `against`, geometric mean over rounds: below 1 is quicker."""
    ratio_low: float
    ratio_high: float
    rounds: int
    won: bool
    """Whether it is quicker beyond the noise: the whole 95 % interval lies below 1."""


class Choice(Value, frozen=True):
    """The build that was chosen, and why."""

    target: str
    duels: tuple[Duel, ...]
    """In the order in which they were judged; empty where there was nothing to choose from."""


def candidates(cpu_features: frozenset[str]) -> tuple[str, ...]:
    """The targets that a CPU with these features can run, best guess first; the last one is the plain build.

    `cpu_features` are names as in /proc/cpuinfo that all its cores share. A 64-bit Arm CPU is taken for granted.
    """
    return tuple(name for name in reversed(PHONE) if TARGETS[name].needs <= cpu_features)


def seconds_of(prefill_s: float, decode_s: float) -> float:
    """One number for a round, in which a gain of so many percent counts alike in prefill and in decode."""
    return math.sqrt(prefill_s * decode_s)


def quickest(measured: Mapping[str, Sequence[float]]) -> Choice:
    """The quickest build; one that is quicker within the noise only does not replace a simpler one.

    `measured`: target → seconds of the same work in each round, rounds interleaved, so that the n-th of all targets
    stand beside each other in time. Noise is the 95 % interval of the geometric mean of per-round ratios.

    Raises:
        UnknownNameError: no such target.
        ValueError: nothing was measured, rounds are unequal or fewer than 3, or a time is not above 0.
    """
    _check(measured)
    order = [name for name in TARGETS if name in measured]
    best, duels = order[0], []
    for name in order[1:]:
        duel = _duel(name, measured[name], best, measured[best])
        duels.append(duel)
        best = name if duel.won else best
    return Choice(target=best, duels=tuple(duels))


def _duel(name: str, seconds: Sequence[float], against: str, others: Sequence[float]) -> Duel:
    interval = ratio_interval(seconds, others)
    assert interval is not None  # at least 3 rounds, all above 0
    return Duel(
        target=name,
        against=against,
        ratio=math.exp(fmean(math.log(s / o) for s, o in zip(seconds, others, strict=True))),
        ratio_low=interval.low,
        ratio_high=interval.high,
        rounds=len(seconds),
        won=interval.high < 1,
    )


def _check(measured: Mapping[str, Sequence[float]]) -> None:
    for name in measured:
        if name not in TARGETS:
            raise UnknownNameError("target of a runner", name, TARGETS)
    lengths = {len(seconds) for seconds in measured.values()}
    if len(lengths) != 1:
        raise ValueError(f"every build needs as many rounds as the others, not {sorted(lengths)}")
    if len(measured) > 1 and min(lengths) < FEWEST_ROUNDS:
        raise ValueError(f"{min(lengths)} rounds tell nothing of the noise: {FEWEST_ROUNDS} are needed")
    if any(not (0 < s < math.inf) for seconds in measured.values() for s in seconds):
        raise ValueError("a time that is not above 0 is none")
