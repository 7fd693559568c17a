"""How long the detection of a large history takes: `python benchmarks/nightly_scale.py`.

200 series of 1,825 nights (five years), of which every third is exact and the others have 3 % noise, a step of 5 % a
year and a cut each half year. Wanted: detection in 30 s. Reading the runs of a history is another matter; `--nights`
and `--series` make other sizes.
"""

import argparse
import time

import numpy as np

from harness.analyse.history.cuts import find_cuts
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Point, Series
from harness.analyse.history.watch import changes


def series(number: int, nights: int) -> Series:
    rng = np.random.default_rng([2026, number])
    exact = number % 3 == 0
    level = 100 * 0.95 ** (np.arange(nights) // 365)
    values = level if exact else level * (1 + rng.normal(0, 0.03, nights))
    points = tuple(
        Point(night=n, value=float(v), reason=None, conditions=0 if exact else n // 180) for n, v in enumerate(values)
    )
    conditions = tuple({"operating system": f"release {n}"} for n in range(nights // 180 + 1))
    kind, name = ("exact", "size_bytes") if exact else ("speed", "decode_tok_s")
    return Series(
        id=f"{number:016x}", suite="nightly", device="local", host="", runtime="llama.cpp", variant=f"v{number}",
        workload="speed p64+g64", metric=name, title=name, unit="", better="higher", kind=kind, points=points,
        conditions=conditions, cuts=find_cuts(points, conditions, kind),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--nights", type=int, default=1825)
    arguments = parser.parse_args()
    made = [series(number, arguments.nights) for number in range(arguments.series)]
    begun = time.monotonic()
    found = [changes(one, Settings()) for one in made]
    took = time.monotonic() - begun
    print(
        f"{arguments.series} series × {arguments.nights:,} nights: {took:.1f} s, {sum(map(len, found)):,} changes, "
        f"{sum(len(one.cuts) for one in made):,} cuts"
    )


if __name__ == "__main__":
    main()
