"""Synthetic histories, seeded: steps, cuts, missing nights, outliers, watches and alerts, confirmed or known."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import msgspec

from harness.analyse.history.values import (
    Acknowledgement,
    Change,
    Confirmation,
    Cut,
    Difference,
    History,
    Missing,
    Night,
    Point,
    Series,
)
from harness.metrics import metric
from harness.values import digest

START = datetime(2026, 7, 1, 1, 30, tzinfo=UTC)
HOSTS = ("1f0c9a77e2b4", "8d31c5f0a96e")
ROUNDS = 5
LOAD = "load 1.4 above the free cores"
KERNEL = (
    {"os": "Android 16", "firmware": "AP4A.250105.002", "kernel": "6.1.99", "runtime": "llama.cpp b6700"},
    {"os": "Android 16", "firmware": "AP4A.250905.003", "kernel": "6.1.124", "runtime": "llama.cpp b6700"},
)
NUMBERS = {
    "decode_tok_s": 21.4, "prefill_tok_s": 148.0, "ttft_s": 0.412, "peak_rss_bytes": 1.31e9,
    "size_bytes": 1_071_584_256, "acc": 0.463, "kl_divergence": 0.0214, "energy_j_token": 0.61, "itl_p95_s": 0.0512,
}  # fmt: skip
TITLES = {"decode_tok_s": "Decode@512", "prefill_tok_s": "Prefill@512"}


def nights(count: int, suite: str = "nightly", host: str = HOSTS[0], skip: frozenset[int] = frozenset()) -> list[Night]:
    """One a day, some minutes later or earlier, but for those to skip."""
    jitter = random.Random(f"{suite} {host}")
    found = []
    for number in range(count):
        at = START + timedelta(days=number, minutes=jitter.randint(0, 40))
        if number not in skip:
            run = f"{at:%Y%m%dT%H%M%SZ}-{suite}-{host[:4]}-{digest(f'{number} {host}')[:4]}"
            found.append(Night(run=run, started=at.isoformat().replace("+00:00", "Z"), suite=suite, host=host))
    return found


def series(
    times: Mapping[int, int],
    name: str = "decode_tok_s",
    *,
    noise: float = 0.012,
    steps: Mapping[int, float] | None = None,
    lost: Mapping[int, str] | None = None,
    noisy: frozenset[int] = frozenset(),
    **changed: Any,
) -> Series:
    """Points of a metric: `times` is day → index of its night; `steps` is day → factor of all values from then on.

    `lost` is day → why there is no value; `noisy` are days with an outlier and a mark.
    """
    one = metric(name)
    place = {"suite": "nightly", "device": "pixel-8", "host": HOSTS[0], "runtime": "llama.cpp", "variant": "int4-ptq",
             "workload": "512 + 128 tokens", **{k: v for k, v in changed.items() if k in PLACE}}  # fmt: skip
    source = random.Random(f"{name} {sorted(place.items())}")
    factor, points = 1.0, []
    for day, night in times.items():
        factor *= (steps or {}).get(day, 1.0)
        points.append(
            _point(one.kind, night, day, NUMBERS[name] * factor, noise, source, (lost or {}).get(day), day in noisy)
        )
    values: dict[str, Any] = {
        **place, "id": digest([name, place])[:16], "metric": name, "title": TITLES.get(name, one.title),
        "unit": one.unit, "better": one.better, "kind": one.kind, "points": tuple(points), "conditions": KERNEL,
        "command": ("bench", "run", "--suite", place["suite"], "--device", place["device"], "--variants", "f16,int4"),
        **changed,
    }  # fmt: skip
    return Series(**values)


PLACE = ("suite", "device", "host", "runtime", "variant", "workload")


def _point(
    kind: str, night: int, day: int, level: float, noise: float, source: random.Random, lost: str | None, noisy: bool
) -> Point:
    sha = digest(f"artifact {day // 40}")
    if lost is not None:
        return Point(night=night, value=None, reason=lost, artifact_sha256=sha)
    if kind == "exact":
        return Point(night=night, value=float(round(level)), reason=None, artifact_sha256=sha)
    if kind in ("accuracy", "distance"):
        return Point(night=night, value=round(level, 4), reason=None, artifact_sha256=sha)
    center = level * source.gauss(1, noise) * (0.86 if noisy else 1.0)
    rounds = tuple(center * source.gauss(1, 0.006) for _ in range(ROUNDS))
    marks = (LOAD,) if noisy else ()
    return Point(night=night, value=median(rounds), reason=None, rounds=rounds, marks=marks, artifact_sha256=sha)


def step(of: Series, at: int, **changed: Any) -> Change:
    """The change at a point, from the medians beside it."""
    values = [[p.value for p in side if p.value is not None] for side in (of.points[:at], of.points[at:])]
    before, after = median(values[0][-20:]), median(values[1][:20])
    ratio = after / before
    exact = of.kind in ("exact", "accuracy")
    worse = (after > before) == (of.better == "lower")
    fields: dict[str, Any] = {
        "at": at, "earliest": at, "latest": at, "before": before, "after": after, "ratio": ratio,
        "ratio_low": ratio if exact else ratio * 0.985, "ratio_high": ratio if exact else ratio * 1.015,
        "worse": worse, "tier": "watch", "rule": "at least 2 nights and 2 %: penalty 13.6, gain 48.1",
        "nights": len(values[1]), **changed,
    }  # fmt: skip
    return Change(**fields)


BETWEEN = (
    Difference(what="llama.cpp", before="b6700", after="b6712"),
    Difference(what="artifact", before="3f1a9c02", after="b77d0e15"),
)
CONFIRMED = Confirmation(run="20261103T031500Z-confirm-1f0c-77aa", pairs=6, ratio=0.921, bound=0.938, confirmed=True)
REFUTED = Confirmation(run="20261104T031500Z-confirm-1f0c-12cd", pairs=6, ratio=0.998, bound=1.006, confirmed=False)
KNOWN = Acknowledgement(by="ada", reason="the larger KV cache is wanted since context 4096", at="2026-10-02T09:12:00Z")


def example(count: int = 130) -> History:
    """Every state that a series can be in, on two devices and a host, over so many days; five of them without a run."""
    skip = frozenset({40, 41, 77, 90, 91})
    ours = nights(count, skip=skip)
    others = nights(count, "accuracy", HOSTS[1], frozenset(day for day in range(count) if day % 7))
    merged = sorted([*ours, *others], key=lambda night: night.started)
    first = {day_of(night): merged.index(night) for night in ours}
    second = {day_of(night): merged.index(night) for night in others}
    return History(
        made=f"{(START + timedelta(days=count - 1)):%Y-%m-%d}T06:00:00Z",
        nights=tuple(merged),
        series=tuple(ordered([*_told(first, count), *_plain(first), *_weekly(second)])),
        unreadable=("20260812T013500Z-nightly-1f0c-0bad: records.jsonl:17: not a record",),
    )


def day_of(night: Night) -> int:
    return (datetime.fromisoformat(night.started) - START).days


def with_changes(of: Series, *changes: Change, **fields: Any) -> Series:
    return msgspec.structs.replace(of, changes=tuple(changes), **fields)


def gaps(of: Series) -> tuple[Missing, ...]:
    """The two nights without a run that all of the example lack."""
    days = [p.night for p in of.points]
    return tuple(Missing(first=at, nights=2, what="no run", alert=False) for at in (40, 87) if at < len(days))


def _told(times: Mapping[int, int], count: int) -> list[Series]:
    """Series of which something is to be told."""
    alert = series(times, steps={count - 12: 0.92}, noisy=frozenset({30, 99}))
    at = len(alert.points) - 12
    found = step(alert, at, earliest=at - 1, latest=at + 1, tier="alert", between=BETWEEN, confirmation=CONFIRMED)
    watch = series(times, "prefill_tok_s", steps={count - 5: 0.965}, variant="int4-spinquant")
    known = series(times, "peak_rss_bytes", steps={60: 1.11}, noise=0.002)
    acknowledged = step(known, 57, tier="alert", acknowledged=KNOWN, confirmation=CONFIRMED)
    better = series(times, "ttft_s", steps={70: 1.09, count - 9: 0.86}, variant="int4-spinquant")
    undone = series(times, "itl_p95_s", steps={20: 1.12, 60: 1 / 1.12})
    failing = dict.fromkeys(range(count - 6, count), "out of memory: killed after 812 MiB")
    lost = series(times, variant="f16", lost={**failing, 66: "timed out after 900 s"})
    end = len(lost.points) - 6
    gone = Missing(first=end, nights=6, what=failing[count - 1], alert=True)
    cut = series(times, "energy_j_token", steps={80: 1.07}, noise=0.02)
    cut = msgspec.structs.replace(
        cut,
        points=tuple(msgspec.structs.replace(p, conditions=int(i >= 77)) for i, p in enumerate(cut.points)),
        cuts=(Cut(at=77, differences=firmware(), before=0.61, after=0.655),),
    )
    size = series(times, "size_bytes", steps={count - 3: 1.004})
    return [
        with_changes(alert, found, missing=gaps(alert)),
        with_changes(watch, step(watch, len(watch.points) - 5, between=BETWEEN[:1], confirmation=REFUTED)),
        with_changes(known, acknowledged),
        with_changes(better, step(better, 67), step(better, len(better.points) - 9)),
        with_changes(undone, step(undone, 20, tier="alert"), step(undone, 57)),
        msgspec.structs.replace(lost, missing=(*gaps(lost), gone)),
        cut,
        with_changes(size, step(size, len(size.points) - 3, tier="alert", rule="exact values compare exactly")),
    ]


def firmware() -> tuple[Difference, ...]:
    names = ("firmware", "kernel")
    return (
        *(Difference(what=n, before=KERNEL[0][n], after=KERNEL[1][n]) for n in names),
        Difference(what="cooler", before=None, after="fan"),
    )


def _plain(times: Mapping[int, int]) -> list[Series]:
    """Series that nothing happened to, among them short and empty ones."""
    few = dict(list(times.items())[-3:])
    return [
        *(
            series(times, name, device="galaxy-s24", variant=v)
            for name in ("decode_tok_s", "prefill_tok_s", "ttft_s")
            for v in ("f16", "int4-ptq")
        ),
        series(times, "size_bytes", device="galaxy-s24"),
        series(few, "decode_tok_s", device="galaxy-s24", variant="int4-qlora"),
        series({}, "decode_tok_s", device="galaxy-s24", variant="planned"),
    ]


def _weekly(times: Mapping[int, int]) -> list[Series]:
    """Accuracy, of which one night lost points."""
    place = {
        "suite": "accuracy",
        "host": HOSTS[1],
        "device": "local",
        "runtime": "hf",
        "workload": "mmlu, 14,042 items",
    }
    last = max(times)
    worse = series(times, "acc", steps={last: 0.974}, **place)
    return [
        with_changes(
            worse, step(worse, len(worse.points) - 1, rule="paired by item: 312 right → wrong, 143 wrong → right")
        ),
        series(times, "acc", variant="f16", **place),
        series(times, "kl_divergence", variant="int4-spinquant", **place),
    ]


def ordered(found: list[Series]) -> list[Series]:
    """Those with alerts first, then those with changes."""
    return sorted(found, key=lambda one: -max((c.tier == "alert") + 1 for c in one.changes) if one.changes else 0)


def large(count: int = 200, days: int = 1825, seed: int = 1) -> History:
    """The size of which figures are promised: every tenth series has a step, every twentieth a cut."""
    source = random.Random(seed)
    made = nights(days)
    times = {day: day for day in range(days)}
    names = ("decode_tok_s", "prefill_tok_s", "ttft_s", "peak_rss_bytes", "itl_p95_s")
    found = []
    for number in range(count):
        place = {"device": f"phone-{number // 40}", "variant": f"int4-recipe-{number // 5 % 8}"}
        steps = (
            {day: 1 - source.choice((0.06, -0.05)) for day in source.sample(range(50, days - 10), 3)}
            if number % 10 == 0
            else {}
        )
        one = series(times, names[number % 5], steps=steps, noise=0.03, **place)
        changes = tuple(step(one, day) for day in sorted(steps))
        cuts = (Cut(at=days // 2, differences=firmware()),) if number % 20 == 5 else ()
        found.append(msgspec.structs.replace(one, changes=changes, cuts=cuts))
    return History(
        made=f"{(START + timedelta(days=days - 1)):%Y-%m-%d}T06:00:00Z",
        nights=tuple(made),
        series=tuple(ordered(found)),
    )
