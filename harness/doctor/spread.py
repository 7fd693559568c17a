"""What an artifact against itself says of the machine. Pure: records come in, differences go out."""

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev

from harness.derivations import trial_values
from harness.health import Difference
from harness.stats import FEWEST_ROUNDS, ratio_interval, t_quantile
from harness.values import Speed, TrialRecord

ROUNDS_ASKED = 5
"""The default of timed measures: what `smallest_percent` is for."""
WANTED = math.log(1.02)
MOST_ROUNDS = 10_000


def differences(workload: Speed, a: Sequence[TrialRecord], b: Sequence[TrialRecord]) -> tuple[Difference, ...]:
    """Prefill, and decode where enough tokens are generated; only rounds that both sides finished count."""
    pairs = _paired(a, b)
    prompt, depth = workload.depth + workload.prompt_tokens, workload.depth
    named = {"prefill_tok_s": f"prefill@{workload.prompt_tokens}" + (f" d{depth}" if depth else "")}
    if workload.generated_tokens > 1:
        named["decode_tok_s"] = f"decode@{prompt}"
    found = []
    for metric, label in named.items():
        values = [(x[metric], y[metric]) for x, y in pairs if metric in x and metric in y]
        found.append(difference(metric, label, [x for x, _ in values], [y for _, y in values]))
    return tuple(found)


def difference(metric: str, label: str, a: Sequence[float], b: Sequence[float]) -> Difference:
    """One metric of both sides, paired by round; without an interval below 3 rounds."""
    logs = tuple(math.log(y / x) for x, y in zip(a, b, strict=True))
    interval = ratio_interval(b, a)
    bare = Difference(metric=metric, label=label, rounds=len(logs), log_ratios=logs, reason=_few(len(logs)))
    if interval is None:
        return bare
    deviation = stdev(logs)
    return Difference(
        metric=metric,
        label=label,
        rounds=len(logs),
        log_ratios=logs,
        value=median([*a, *b]),
        ratio=math.exp(fmean(logs)),
        ratio_low=interval.low,
        ratio_high=interval.high,
        excludes_1=1.0 not in interval,
        smallest_percent=100 * math.expm1(half_width(deviation, ROUNDS_ASKED)),
        rounds_for_2_percent=rounds_for(deviation, WANTED),
        reason=None if deviation else "all rounds gave the same ratio: the clock is too coarse to tell",
    )


def half_width(deviation: float, rounds: int) -> float:
    """Of the 95 % t-interval over so many log-ratios of this standard deviation."""
    return t_quantile(rounds - 1) * deviation / math.sqrt(rounds)


def rounds_for(deviation: float, wanted: float) -> int | None:
    """The fewest rounds, at least 3, whose interval reaches no further; None where it takes too many."""
    if half_width(deviation, MOST_ROUNDS) > wanted:
        return None
    low, high = FEWEST_ROUNDS - 1, MOST_ROUNDS
    while high - low > 1:  # the half width falls with every round
        middle = (low + high) // 2
        low, high = (low, middle) if half_width(deviation, middle) <= wanted else (middle, high)
    return high


def _paired(a: Sequence[TrialRecord], b: Sequence[TrialRecord]) -> list[tuple[dict[str, float], dict[str, float]]]:
    left, right = ({r.round: trial_values(r) for r in side if r.status == "ok"} for side in (a, b))
    return [(left[n], right[n]) for n in sorted(left.keys() & right.keys())]


def _few(rounds: int) -> str:
    return f"{rounds} rounds: an interval needs {FEWEST_ROUNDS}"
