"""How often a nightly alert is wrong, and how soon it comes: `python benchmarks/nightly_alerts.py`.

Histories of a speed around 100 tok/s over 60 nights, with noise from night to night of four kinds, each with the same
standard deviation: normal, autoregressive (0.4), Student's t with 3 degrees of freedom, and normal with 3 % of the
nights 5 to 10 deviations off. Judged are the nights from the 21st on, each with what was known until then. A watch is
what `harness.analyse.history.watch.tonight` says; it is followed at once by a rerun of 6 interleaved pairs, each window
with 1.5 % noise of its own, and is an alert if `harness.analyse.history.confirming.confirmed` says so. A drop begins at
the 41st night and lasts; it is found on the first night with an alert.

Wanted: without a change at most 0.5 alerts and 100 watches in 1,000 series-nights, in each kind of noise; at 3 % noise
a drop of 5 % alerted within 5 nights in 80 %, one of 10 % within 3 nights in 95 %.

Beside it the rule without a rerun, and the step detectors of asv and apache-otava on the same series: each in an
environment of its own below the cache folder, made at the first run. Theirs are alarms without a rerun: a change
point for the worse that no night before had reported within 5 nights of it. Their numbers come from fewer series.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from harness.analyse.history.confirming import confirmed
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import Point, Series
from harness.analyse.history.watch import changes, tonight
from harness.build.cache import cache_folder

NIGHTS, WARM, DROP_AT = 60, 20, 40
PAIRS, WINDOW_NOISE = 6, 0.015
NEAR = 5
"""Nights around a change that was reported within which another report is the same."""
KINDS = ("normal", "AR 0.4", "t3", "outliers")
NOISE = (0.03, 0.06)
DROPS = ((0.05, 5), (0.10, 3))
"""(share, nights within which it should be found)"""
OTHERS = {"asv": "asv==0.6.5", "otava": "apache-otava==0.8.0"}


class Row(NamedTuple):
    """One detector under one kind of noise; shares and counts in 1,000 series-nights."""

    watches: float | None
    alarms: float
    found: tuple[float, ...]


def noise(kind: str, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Of all nights, relative, with that standard deviation (of the normal part where there are outliers)."""
    if kind == "AR 0.4":
        steps = rng.normal(0, deviation * math.sqrt(1 - 0.4**2), NIGHTS + 50)
        for night in range(1, len(steps)):
            steps[night] += 0.4 * steps[night - 1]
        return steps[50:]
    if kind == "t3":
        return rng.standard_t(3, NIGHTS) * deviation / math.sqrt(3)
    plain = rng.normal(0, deviation, NIGHTS)
    if kind == "outliers":
        odd = rng.random(NIGHTS) < 0.03
        plain[odd] += rng.choice([-1, 1], odd.sum()) * rng.uniform(5, 10, odd.sum()) * deviation
    return plain


def histories(kind: str, deviation: float, count: int, seed: int, drop: float) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, round(1000 * deviation), KINDS.index(kind), round(1000 * drop)])
    found = []
    for _ in range(count):
        values = 100 * (1 + noise(kind, deviation, rng))
        values[DROP_AT:] *= 1 - drop
        found.append(np.maximum(values, 1.0))
    return found


def series_of(values: np.ndarray) -> Series:
    points = tuple(Point(night=n, value=float(v), reason=None) for n, v in enumerate(values))
    return Series(
        id="0" * 16, suite="nightly", device="local", host="", runtime="llama.cpp", variant="int4",
        workload="speed p64+g64", metric="decode_tok_s", title="Decode", unit="tok/s", better="higher", kind="speed",
        points=points, conditions=({},),
    )  # fmt: skip


def until(series: Series, night: int) -> Series:
    """As it was known on that night."""
    return replace(series, points=series.points[: night + 1])


def rerun_confirms(ratio: float, rng: np.random.Generator, settings: Settings) -> bool:
    new, good = rng.normal(0, WINDOW_NOISE, PAIRS), rng.normal(0, WINDOW_NOISE, PAIRS)
    return confirmed([ratio * math.exp(d) for d in new - good], "higher", settings)[2]


class Judge:
    """One history, night by night: (watch, alert) of tonight."""

    def __init__(self, series: Series, ratio: float, settings: Settings, rng: np.random.Generator) -> None:
        self.series, self.ratio, self.settings, self.rng = series, ratio, settings, rng

    def night(self, night: int) -> tuple[bool, bool]:
        watch = tonight(until(self.series, night), self.settings) is not None
        return watch, watch and rerun_confirms(self.ratio, self.rng, self.settings)


class StrictJudge(Judge):
    """Without a rerun: a lasting step that alerts by itself, once."""

    def __init__(self, series: Series, ratio: float, settings: Settings, rng: np.random.Generator) -> None:
        super().__init__(series, ratio, replace(settings, strict=True), rng)
        self.known: list[int] = []

    def night(self, night: int) -> tuple[bool, bool]:
        found = changes(until(self.series, night), self.settings)
        fresh = [c.at for c in found if c.tier == "alert" and all(abs(c.at - at) > NEAR for at in self.known)]
        self.known += fresh
        return bool(found), bool(fresh)


def ours(judge: type[Judge], kind: str, deviation: float, count: int, seed: int) -> Row:
    rng, settings = np.random.default_rng([seed, 7]), Settings()
    watches = alerts = 0
    for values in histories(kind, deviation, count, seed, 0.0):
        one = judge(series_of(values), 1.0, settings, rng)
        for night in range(WARM, NIGHTS):
            watch, alert = one.night(night)
            watches, alerts = watches + watch, alerts + alert
    nights = count * (NIGHTS - WARM) / 1000
    found = []
    for drop, within in DROPS if deviation == NOISE[0] else ():
        hits = 0
        for values in histories(kind, deviation, count, seed, drop):
            one = judge(series_of(values), 1 - drop, settings, rng)
            hits += any(one.night(night)[1] for night in range(DROP_AT, DROP_AT + within))
        found.append(hits / count)
    return Row(watches / nights if judge is Judge else None, alerts / nights, tuple(found))


def others(python: Path, which: str, kind: str, deviation: float, count: int, seed: int) -> Row:
    """The same series, night by night, by a detector in its own environment."""
    program = Path(__file__).with_name("nightly_others.py")

    def alarms(drop: float, first: int, last: int) -> list[list[int]]:
        body = [values.tolist() for values in histories(kind, deviation, count, seed, drop)]
        asked = json.dumps({"series": body, "first": first, "last": last})
        done = subprocess.run(
            [python, program, which], input=asked, capture_output=True, text=True, check=True, timeout=600
        )
        return json.loads(done.stdout)

    plain = alarms(0.0, WARM, NIGHTS)
    found = []
    for drop, within in DROPS if deviation == NOISE[0] else ():
        nights = alarms(drop, DROP_AT, DROP_AT + within)
        found.append(sum(any(night >= DROP_AT for night in one) for one in nights) / count)
    return Row(None, 1000 * sum(map(len, plain)) / (count * (NIGHTS - WARM)), tuple(found))


def environment(which: str) -> Path:
    """The Python of an environment with nothing but that package."""
    folder = cache_folder("benchmarks", which)
    python = folder / "bin" / "python"
    if not (folder / ".made").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", OTHERS[which]], check=True)
        (folder / ".made").touch()
    return python


def line(name: str, kind: str, deviation: float, row: Row) -> str:
    watches = "–" if row.watches is None else f"{row.watches:.0f}"
    drops = " | ".join(f"{share:.0%}" for share in row.found) or "– | –"
    return f"| {name} | {deviation:.0%} {kind} | {watches} | {row.alarms:.2f} | {drops} |"


def table(arguments: argparse.Namespace) -> Iterator[str]:
    heads = " | ".join(f"{drop:.0%} drop within {within} nights" for drop, within in DROPS)
    yield f"| detector | noise | watches per 1,000 | alerts per 1,000 | {heads} |"
    yield "| --- " * 6 + "|"
    makers: dict[str, Callable[[str, float], Row]] = {
        "bench": lambda k, d: ours(Judge, k, d, arguments.series, arguments.seed),
        "bench, no rerun": lambda k, d: ours(StrictJudge, k, d, arguments.few, arguments.seed),
    }
    if not arguments.alone:
        for which in OTHERS:
            python = environment(which)
            makers[OTHERS[which].replace("==", " ")] = lambda k, d, p=python, w=which: others(
                p, w, k, d, arguments.few, arguments.seed
            )
    for name, maker in makers.items():
        for deviation in NOISE:
            for kind in KINDS:
                yield line(name, kind, deviation, maker(kind, deviation))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=600, help="histories of each kind, for bench")
    parser.add_argument("--few", type=int, default=40, help="the first so many of them, for the others")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--alone", action="store_true", help="without asv and otava")
    arguments = parser.parse_args()
    begun = time.monotonic()
    print(
        f"{NIGHTS} nights, {NIGHTS - WARM} of them judged; {arguments.series:,} series of each kind for bench, "
        f"{arguments.few} for the others; reruns of {PAIRS} pairs with {WINDOW_NOISE:.1%} noise a window, "
        f"one-sided bound of {Settings().confirm_level:.1%}; budget 100 watches per 1,000; seed {arguments.seed}"
    )
    for text in table(arguments):
        print(text, flush=True)
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
