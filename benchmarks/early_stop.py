"""How often an interval of a cell that was stopped early leaves the truth out: `python benchmarks/early_stop.py`.

Synthetic rounds of one metric of a variant and its baseline are asked by `harness/measure/enough.py`: log-ratios
from a normal distribution, up to 30 rounds, stopped at ± 2 %. Wanted: at most 5 % of the intervals leave the true
ratio out, as without stopping.
"""

import argparse
import math
import random
from statistics import fmean

from harness.measure import enough
from harness.stats import ratio_interval

MOST, UNTIL = 30, 0.02
FEWEST = (3, 4, 5, 6, 8, 10)


def one_run(draw: random.Random, deviation: float, fewest: int) -> tuple[int, bool]:
    """(rounds until the end, whether the interval then holds the true ratio 1)"""
    values: list[float] = []
    for number in range(1, MOST + 1):
        values.append(math.exp(draw.gauss(0, deviation)))
        if enough.narrow(values, [1.0] * number, UNTIL, fewest):
            break
    last = ratio_interval(values, [1.0] * len(values))
    assert last is not None
    return len(values), 1.0 in last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    arguments = parser.parse_args()
    print(f"{arguments.runs} runs each, at most {MOST} rounds, the rule begins at round {enough.FEWEST}")
    for deviation in (0.01, 0.02, 0.03, 0.05):
        for fewest in FEWEST:
            draw = random.Random(f"{deviation} {fewest}")
            runs = [one_run(draw, deviation, fewest) for _ in range(arguments.runs)]
            missed = 1 - fmean(held for _, held in runs)
            rounds = fmean(number for number, _ in runs)
            print(
                f"rounds vary by {deviation:.0%}, first asked after {fewest}: {rounds:.1f} rounds, {missed:.1%} missed"
            )


if __name__ == "__main__":
    main()
