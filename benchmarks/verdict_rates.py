"""How often a verdict is right: synthetic runs whose truth is known, judged as real ones are.

`python benchmarks/verdict_rates.py` prints the share of each verdict for a claim of 2.5 × ± 5 % where the
truth is the claim, 5, 10 and 15 % worse, with 3 % noise a process and 5 rounds, and the coverage of the 95 %
intervals with noise between and within processes.
"""

import argparse
import math
import random
from collections import Counter
from statistics import median

from harness.analyse.verdicts.bands import Band, judge
from harness.stats import ratio_interval

CLAIMED, TOLERANCE, ROUNDS, NOISE = 2.5, 0.05, 5, 0.03
BAND = Band(low=CLAIMED * (1 - TOLERANCE), high=CLAIMED * (1 + TOLERANCE))


def process(draw: random.Random, truth: float, between: float, within: float = 0.0, repetitions: int = 3) -> float:
    """One process's value: the median of its repetitions, which share what the process's start brought."""
    start = truth * math.exp(draw.gauss(0.0, between))
    return median(start * math.exp(draw.gauss(0.0, within)) for _ in range(repetitions))


def verdicts(runs: int, worse: float, seed: int, rounds: int = ROUNDS) -> Counter[str]:
    """Words of so many runs whose speed-up is the claimed one less `worse`."""
    draw, said = random.Random(seed), Counter[str]()
    for _ in range(runs):
        values = [process(draw, CLAIMED * (1 - worse), NOISE) for _ in range(rounds)]
        baselines = [process(draw, 1.0, NOISE) for _ in range(rounds)]
        interval = ratio_interval(values, baselines)
        said["no interval" if interval is None else judge(BAND, interval, "higher")] += 1
    return said


def coverage(runs: int, between: float, within: float, seed: int, rounds: int = ROUNDS) -> float:
    """Share of 95 % intervals that hold the true ratio."""
    draw, held = random.Random(seed), 0
    for _ in range(runs):
        values = [process(draw, CLAIMED, between, within) for _ in range(rounds)]
        baselines = [process(draw, 1.0, between, within) for _ in range(rounds)]
        interval = ratio_interval(values, baselines)
        held += interval is not None and CLAIMED in interval
    return held / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    arguments = parser.parse_args()
    print(f"claim {CLAIMED} × ± {TOLERANCE:.0%}, {NOISE:.0%} noise a process, {arguments.runs:,} runs a line")
    for rounds in (5, 10):
        for worse in (0.0, 0.05, 0.10, 0.15):
            said = verdicts(arguments.runs, worse, 1, rounds)
            shares = ", ".join(f"{word} {count / arguments.runs:.1%}" for word, count in said.most_common())
            print(f"{rounds} rounds, truth {worse:.0%} worse: {shares}")
    for between, within in ((0.03, 0.0), (0.0, 0.03), (0.03, 0.03), (0.01, 0.10)):
        share = coverage(arguments.runs, between, within, 2)
        print(f"coverage, {between:.0%} between and {within:.0%} within processes: {share:.1%}")


if __name__ == "__main__":
    main()
