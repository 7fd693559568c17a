"""A claim file against analysed runs: a verdict for each claim, and every published figure beside ours."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from harness.analyse.findings import Report
from harness.analyse.verdicts.bands import Word, band_of, judge, more_rounds
from harness.analyse.verdicts.conditions import binding, check_conditions
from harness.analyse.verdicts.figures import Estimate, better_of, combine, extreme, over_rounds
from harness.analyse.verdicts.places import Place, choose_workload, places
from harness.analyse.verdicts.rows import measure_row
from harness.analyse.verdicts.values import Beside, Check, ConditionCheck, Verdict
from harness.metrics import METRICS, Metric, metric
from harness.published import Claim, ClaimFile, Expression, printed, published_metric
from harness.stats import Interval, log_interval

ABSOLUTE = ("memory", "speed", "energy", "device")
"""Kinds whose absolute values one device cannot refute."""
WORST: tuple[Word, ...] = (
    "not reproduced",
    "baseline moved",
    "inconclusive",
    "not attempted",
    "reproduced",
    "exceeded",
)
"""Of rows that must each hold, the first of these words that one of them has is the claim's."""


def check(file: ClaimFile, report: Report) -> Check:
    """Judge every claim of the file by the runs of the report.

    Raises:
        InputError: runs of different devices, runtimes or artifacts.
        UnknownNameError: a suite names a published row that the file does not have.
    """
    found = places(report, file)
    return Check(
        name=file.name,
        title=file.title,
        runs=tuple(run.id for run in report.runs),
        verdicts=tuple(_Judge(file, found, name, claim).verdict() for name, claim in file.claims.items()),
        table=tuple(_table(file, found)),
    )


def broken(check: Check) -> tuple[str, ...]:
    """Claims that must hold and are not reproduced."""
    return tuple(v.claim for v in check.verdicts if v.must_hold and v.word == "not reproduced")


class _Judge:
    """One claim on its way to a verdict."""

    def __init__(self, file: ClaimFile, found: dict[str, Place], name: str, claim: Claim) -> None:
        self.file, self.found, self.name, self.claim = file, found, name, claim
        self.band = band_of(claim)
        self.published = binding(file, claim.metric, self.metric.kind)
        self.task = next((t.task for t in file.tasks if t.name == claim.task), None)

    @property
    def metric(self) -> Metric:
        return published_metric(self.claim.metric) or metric(self.claim.metric)

    def verdict(self) -> Verdict:
        if self.claim.metric not in METRICS and self.claim.task is None:
            return self._said("not attempted", f"bench does not measure {self.metric.title.lower()}")
        if self.claim.task is not None and self.task is None:
            return self._said("not attempted", f"no task here is {self.claim.task!r}")
        judges_weights = self.metric.kind in ("accuracy", "distance")
        if judges_weights and any(place.variant.random_weights for place in self._places()):
            return self._said("not attempted", "the weights are random: no score means anything")
        measured = [self._row(name) for name in self.claim.rows]
        rows = tuple(one for one in measured if isinstance(one, Beside))
        missing = [one for one in measured if isinstance(one, str)]
        checks = self._checks(rows)
        decisive = next((c for c in checks if c.agrees is False), None)
        if decisive is not None:
            rows = tuple(_not_comparable(row, decisive) for row in rows)
        if missing:
            return self._said("not attempted", self._lack(missing), rows, checks, decisive)
        estimate = self._estimate(rows)
        if decisive is not None:
            return self._said("not comparable", _difference(decisive), rows, checks, decisive, estimate)
        return self._judged(rows, checks, estimate)

    def _judged(self, rows: tuple[Beside, ...], checks: tuple[ConditionCheck, ...], found: Estimate) -> Verdict:
        if self.claim.aggregation == "each":
            return self._each(rows, checks, found)
        if found.interval is None:
            why = f"no interval: {found.rounds} rounds, at least 3 are needed" if rows[0].rounds else "no interval"
            return self._said("inconclusive", why, rows, checks, None, found)
        better = better_of(self.claim.expressed, self.metric)
        word = judge(self.band, found.interval, better)
        reason, more = _REASONS[word], None
        if word in ("reproduced", "exceeded") and (weak := self._weak(rows)):
            word, reason = "inconclusive", weak
        elif word == "not reproduced" and self._moved(rows):
            word = "baseline moved"
            reason = "the variant's own value holds; the baseline is better than published, so the ratio does not"
        elif word == "not reproduced" and self.claim.expressed == "value" and self.metric.kind in ABSOLUTE:
            word, reason = "inconclusive", "one device cannot refute an absolute: devices of one model differ"
        elif word == "inconclusive":
            more = more_rounds(self.band, found.interval, found.rounds)
            reason = _REASONS[word] + self._more(more, found.rounds)
        return self._said(word, reason, rows, checks, None, found, more)

    def _each(self, rows: tuple[Beside, ...], checks: tuple[ConditionCheck, ...], found: Estimate) -> Verdict:
        """Every row must hold by itself; the worst word is the claim's."""
        better: Literal["lower", "higher"] = better_of(self.claim.expressed, self.metric)
        words: list[Word] = [
            judge(self.band, row.figure_interval, better) if row.figure_interval else "inconclusive" for row in rows
        ]
        word = next(w for w in WORST if w in words)
        of = ", ".join(row.row for row, one in zip(rows, words, strict=True) if one == word)
        return self._said(word, f"each row must hold; {word}: {of}", rows, checks, None, found)

    def _more(self, more: int | None, rounds: int) -> str:
        if more:
            return f"; about {more} more rounds would decide"
        return "; no number of rounds below 1,000 would decide" if rounds else ""

    def _lack(self, missing: Sequence[str]) -> str:
        """What stands in the way, rows that nobody measured in one go."""
        absent = [name for name in self.claim.rows if name not in self.found]
        said = [f"no run stands for {', '.join(absent)}"] if absent else []
        said += [why for why in dict.fromkeys(missing) if not why.startswith("no run stands for")]
        lead = f"needs all {len(self.claim.rows)} rows; " if len(self.claim.rows) > 1 else ""
        return lead + "; ".join(said or dict.fromkeys(missing))

    def _places(self) -> list[Place]:
        return [self.found[name] for name in self.claim.rows if name in self.found]

    def _row(self, name: str) -> Beside | str:
        place = self.found.get(name)
        workload = choose_workload(place, self.claim.metric, self.published, self.task) if place else None
        claim = self.claim
        return measure_row(
            self.file, name, self.found, workload, claim.metric, claim.expressed, claim.unit, claim.tolerance
        )

    def _checks(self, rows: Sequence[Beside]) -> tuple[ConditionCheck, ...]:
        """Of all rows together; the first that disagrees stands for its condition."""
        by_name: dict[str, ConditionCheck] = {}
        for row in rows:
            model = self.file.models.get(self.file.rows[row.row].model or "")
            for one in check_conditions(self.found[row.row], row.workload, self.published, model):
                known = by_name.get(one.name)
                if known is None or (known.agrees is not False and one.agrees is False):
                    by_name[one.name] = one
        return tuple(by_name.values())

    def _estimate(self, rows: Sequence[Beside]) -> Estimate:
        claim = self.claim
        if len(rows) == 1 or claim.expressed in ("points", "value"):
            first = rows[0]
            figures = [r.figure for r in rows if r.figure is not None]
            alone = first.figure_interval if len(rows) == 1 else None
            level = self.found[first.row].level(claim.metric, first.workload)
            rounds = len(first.rounds) or (len(level.rounds) if level else 0)
            return Estimate(value=sum(figures) / len(figures), interval=alone, rounds=rounds)
        pairs = [(r.value, r.baseline_value) for r in rows if r.value is not None and r.baseline_value]
        value = combine(pairs, claim.aggregation, claim.expressed, self.metric)
        if self.metric.kind == "exact":
            return Estimate(value=value, interval=Interval(low=value, high=value), rounds=0)
        if claim.aggregation in ("lowest", "highest"):
            known = [r.figure_interval for r in rows if r.figure_interval is not None]
            whole = extreme(known, claim.aggregation) if len(known) == len(rows) else None
            return Estimate(value=value, interval=whole, rounds=min(len(r.rounds) for r in rows))
        interval, rounds = self._over_rounds(rows)
        return Estimate(value=value, interval=interval, rounds=rounds)

    def _over_rounds(self, rows: Sequence[Beside]) -> tuple[Interval | None, int]:
        """Per run the claim's figure in each round; runs are independent of one another."""
        claim, groups, weights = self.claim, [], []
        for run in dict.fromkeys(r.run for r in rows):
            here = [{number: (v, b) for number, v, b in r.rounds} for r in rows if r.run == run]
            shared = sorted(set(here[0]).intersection(*here[1:]))
            figures = [[pairs[r] for pairs in here] for r in shared]
            groups.append([combine(one, claim.aggregation, claim.expressed, self.metric) for one in figures])
            weights.append(len(here))
        fewest = min(len(g) for g in groups)
        if len(groups) > 1 and claim.aggregation not in (None, "mean", "each"):
            return None, fewest
        return over_rounds(groups, weights), fewest

    def _weak(self, rows: Sequence[Beside]) -> str | None:
        """A speed-up over a baseline that reads memory at half the speed it could is no achievement."""
        if self.metric.kind != "speed" or self.claim.expressed != "times":
            return None
        for row in rows:
            for weak in self.found[row.row].report.weak_baselines:
                if (weak.run, weak.baseline) == (row.run, row.baseline):
                    return f"{weak.baseline} {weak.said}: no headline over such a baseline"
        return None

    def _moved(self, rows: Sequence[Beside]) -> bool:
        """Whether every row that fails does so only because its baseline got better."""
        if self.claim.expressed not in ("reduction", "times"):
            return False
        relative = max(self.claim.tolerance / abs(printed(self.claim.figure).value or 1.0), 0.01)
        failing = [r for r in rows if r.word == "not reproduced"]
        return bool(failing) and all(self._row_moved(row, relative) for row in failing)

    def _row_moved(self, row: Beside, relative: float) -> bool:
        own, base = row.published, row.published_baseline
        if None in (own, base, row.value, row.baseline_value):
            return False
        assert own and base and row.value and row.baseline_value
        seen = log_interval([value for _, value, _ in row.rounds]) or Interval(low=row.value, high=row.value)
        sign = 1 if self.metric.better == "higher" else -1
        nearest = seen.high if sign > 0 else seen.low  # its better end: better than published holds as well
        holds = sign * math.log(nearest / own) >= -math.log1p(relative)
        shift = math.log(row.baseline_value / base)
        better = shift if self.metric.better == "higher" else -shift
        return holds and better > math.log1p(relative)

    def _said(
        self,
        word: Word,
        reason: str,
        rows: tuple[Beside, ...] = (),
        checks: tuple[ConditionCheck, ...] = (),
        decisive: ConditionCheck | None = None,
        found: Estimate | None = None,
        more: int | None = None,
    ) -> Verdict:
        claim, source = self.claim, self.file.sources[self.claim.source]
        interval = found.interval if found else None
        return Verdict(
            claim=self.name,
            statement=claim.statement,
            printed=claim.printed,
            source=source.title,
            url=source.url,
            metric=claim.metric,
            expressed=claim.expressed,
            unit=_UNITS.get(claim.expressed) or claim.unit or "",
            aggregation=claim.aggregation,
            word=word,
            reason=reason,
            expected=printed(claim.figure).value,
            band_low=None if math.isinf(self.band.low) else self.band.low,
            band_high=None if math.isinf(self.band.high) else self.band.high,
            value=found.value if found else None,
            low=interval.low if interval else None,
            high=interval.high if interval else None,
            rounds=found.rounds if found else 0,
            more_rounds=more,
            must_hold=claim.must_hold,
            decisive=decisive,
            checks=checks,
            rows=rows,
            command=_command(self.file, claim.rows, rows, self.found, self.metric),
        )


_UNITS = {"reduction": "%", "times": "×", "points": "points"}
_REASONS: dict[Word, str] = {
    "reproduced": "the whole interval lies inside of the claim's band",
    "exceeded": "the whole interval lies on the better side of the claim's band",
    "not reproduced": "the whole interval lies on the worse side of the claim's band",
    "inconclusive": "the interval reaches over an edge of the claim's band",
}


def _not_comparable(row: Beside, decisive: ConditionCheck) -> Beside:
    return msgspec.structs.replace(row, word="not comparable", reason=_difference(decisive))


def _difference(one: ConditionCheck) -> str:
    """The decisive condition in words."""
    documented = ", as the publisher's recipe says," if one.status == "documented" else ""
    if one.name == "scheme":
        return f"the scheme differs: {one.here}"
    return f"{one.name}: published with {one.published}{documented}, here {one.here}"


def _command(
    file: ClaimFile, wanted: Sequence[str], rows: Sequence[Beside], found: dict[str, Place], one: Metric
) -> tuple[str, ...]:
    """Measures what the claim needs again, in the first run's suite: rows that are missing here as well."""
    if not rows:
        return ()
    run = found[rows[0].row].run
    kinds = {"exact": "size", "memory": "memory", "speed": "speed", "accuracy": "task", "distance": "text"}
    kind = "memory" if one.name == "kv_cache_bytes" else kinds.get(one.kind, "speed")
    words = list(run.command)
    for option in ("--variants", "--measures"):
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    stands = run.claims.get(file.name, {})
    named = [stands[name].variant for name in wanted if name in stands]
    variants = ",".join(dict.fromkeys([*named, *(r.variant for r in rows if r.run == run.id)]))
    return (*words, "--variants", variants, "--measures", kind)


def _table(file: ClaimFile, found: dict[str, Place]) -> list[Beside]:
    """Every row with a baseline in every column that bench measures, as far as it was measured."""
    told: list[Beside] = []
    for name, published in file.rows.items():
        if published.baseline is None:
            continue
        for column in (c for c in file.columns if c in METRICS and c in published.values):
            place = found.get(name)
            conditions = binding(file, column, METRICS[column].kind)
            workload = choose_workload(place, column, conditions, None) if place else None
            expressed: Expression = "times" if METRICS[column].better == "higher" else "reduction"
            one = measure_row(file, name, found, workload, column, expressed, None, 0.0)
            if isinstance(one, str) or place is None:
                continue
            checks = check_conditions(place, one.workload, conditions, file.models.get(published.model or ""))
            decisive = next((c for c in checks if c.agrees is False), None)
            told.append(one if decisive is None else _not_comparable(one, decisive))
    return told
