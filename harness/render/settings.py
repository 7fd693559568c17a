"""One device and runtime of one run: what a first screen is about, and how it finds its numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import msgspec

from harness.analyse.findings import (
    Condition,
    DeviceSeen,
    Distance,
    Heat,
    Level,
    PairedItems,
    Report,
    Row,
    RunSeen,
    ThreadCounts,
    VariantSeen,
    Waterfall,
    WeakBaseline,
)
from harness.analyse.limits import Footprint, Frontier, Roof
from harness.analyse.places import InCell
from harness.metrics import metric
from harness.values import Memory, Speed, Task, Text, Workload

PERPLEXITIES = ("perplexity", "word_perplexity")


@dataclass(frozen=True)
class Setting:
    """A run's device and runtime, with everything of the report that belongs to them.

    Where a run has variants with baselines of their own, as 1B and 3B models have, each such family is a
    setting: `run` then holds only its variants and baselines.
    """

    report: Report
    run: RunSeen
    device: DeviceSeen
    runtime: str | None
    family: str = ""
    """What tells the family apart from the run's others; empty where there is only one."""

    @property
    def name(self) -> str:
        place = f"{self.run.id} · {self.device.title or self.device.name} · {self.runtime or 'no runtime'}"
        return f"{place} · {self.family}" if self.family else place

    @property
    def compressed(self) -> list[VariantSeen]:
        return [v for v in self.run.variants if not v.baseline]

    @property
    def random_weights(self) -> bool:
        return any(v.random_weights for v in self.run.variants)

    def named(self, variant: str | None) -> str:
        """A variant's name in tables of results: with what must be said of its weights."""
        return named(self.run, variant)

    def titled(self, title: str) -> str:
        """A drawing's title, which may be all that goes with it."""
        return f"{title} (weights: random)" if self.random_weights else title

    @cached_property
    def rows(self) -> list[Row]:
        return [r for r in self.report.rows if self._here(r)]

    @cached_property
    def levels(self) -> dict[tuple[str | None, str, str], Level]:
        """(variant, workload, metric) → level"""
        here = (level for level in self.report.levels if self._here(level))
        return {(level.variant, level.workload, level.metric): level for level in here}

    @cached_property
    def accuracy(self) -> list[PairedItems]:
        return [p for p in self.report.accuracy if self._here(p)]

    @cached_property
    def distances(self) -> list[Distance]:
        return [d for d in self.report.distances if self._here(d)]

    @cached_property
    def waterfalls(self) -> list[Waterfall]:
        return [w for w in self.report.waterfalls if self._here(w)]

    @cached_property
    def roofs(self) -> list[Roof]:
        return [r for r in self.report.roofs if self._here(r)]

    @cached_property
    def threads(self) -> list[ThreadCounts]:
        return [t for t in self.report.threads if self._here(t)]

    @cached_property
    def heats(self) -> list[Heat]:
        return [h for h in self.report.heats if self._here(h)]

    @cached_property
    def footprints(self) -> list[Footprint]:
        return [f for f in self.report.footprints if self._here(f)]

    @cached_property
    def frontiers(self) -> list[Frontier]:
        place = (self.run.id, self.device.name, self.runtime)
        here = [f for f in self.report.frontiers if (f.run, f.device, f.runtime) == place]
        return [f for f in here if all(n.variant in self._variants for n in f.needs)]

    @cached_property
    def weak(self) -> dict[str, WeakBaseline]:
        """Baselines that earn no headline for speed, each with its weakest decode."""
        found: dict[str, WeakBaseline] = {}
        for one in self.report.weak_baselines:
            if (one.run, one.device, one.runtime) != (self.run.id, self.device.name, self.runtime):
                continue
            if one.baseline not in self.run.baselines:
                continue
            if one.baseline not in found or (one.share or 0.0) < (found[one.baseline].share or 0.0):
                found[one.baseline] = one
        return found

    @cached_property
    def conditions(self) -> list[Condition]:
        return [
            c
            for c in self.report.conditions
            if (c.run, c.device, c.runtime) == (self.run.id, self.device.name, self.runtime)
        ]

    def condition(self, name: str) -> str | None:
        """A condition's value in words, the places beside values that do not hold everywhere."""
        for one in self.conditions:
            if one.name == name:
                return "; ".join(f"{v.value} ({v.where})" if v.where else v.value for v in one.values)
        return None

    def of(self, metric: str, workload: str, variant: str | None) -> list[Row]:
        """A variant's rows of one metric and workload, one a baseline."""
        return [r for r in self.rows if (r.metric, r.workload, r.variant) == (metric, workload, variant)]

    def size_workload(self) -> str | None:
        return next((r.workload for r in self.rows if r.metric == "size_bytes"), None)

    def memory_workload(self) -> str | None:
        """The first that does not map its file, or else the first."""
        return self._best("peak_rss_bytes", Memory, lambda w: (isinstance(w, Memory) and w.load_mode == "none",))

    def decode_workload(self) -> str | None:
        """The one that generates most tokens."""
        return self._best("decode_tok_s", Speed, lambda w: _rank(w, "generated_tokens"))

    def prefill_workload(self) -> str | None:
        """The one with the longest prompt."""
        return self._best("prefill_tok_s", Speed, lambda w: _rank(w, "prompt_tokens"))

    def task_workload(self) -> str | None:
        """The first task that is scored in shares of its items."""
        return self._task()[0]

    def text_workload(self) -> str | None:
        return self._best(None, Text, lambda _: ())

    def task_metric(self) -> str | None:
        """That task's first such metric."""
        return self._task()[1]

    def perplexities(self, variant: str) -> list[Row]:
        """A variant's perplexities of all texts and tasks, against the first baseline."""
        first = self.run.baselines[0]
        return [r for r in self.rows if (r.variant, r.baseline) == (variant, first) and r.metric in PERPLEXITIES]

    def _task(self) -> tuple[str | None, str | None]:
        for row in self.rows:
            if isinstance(self.run.workloads.get(row.workload), Task) and metric(row.metric).unit == "fraction":
                return row.workload, row.metric
        return None, None

    def _best(self, name: str | None, kind: type[Workload], score: Callable[[Workload], tuple[int, ...]]) -> str | None:
        """The workload of this kind with the highest score that has the metric; None: any metric."""
        seen = dict.fromkeys(r.workload for r in self.rows if name in (None, r.metric))
        names = [n for n in seen if isinstance(self.run.workloads.get(n), kind)]
        return max(names, key=lambda n: score(self.run.workloads[n]), default=None)

    @cached_property
    def _variants(self) -> frozenset[str | None]:
        return frozenset((None, *(v.name for v in self.run.variants)))

    def _here(self, one: Row | InCell) -> bool:
        same = one.run == self.run.id and one.device == self.device.name
        return same and one.runtime in (self.runtime, None) and one.variant in self._variants


def _rank(workload: Workload, tokens: str) -> tuple[int, ...]:
    """First what is plain, then by the number of tokens."""
    if not isinstance(workload, Speed):
        return ()
    return (workload.plain, getattr(workload, tokens))


def named(run: RunSeen, variant: str | None) -> str:
    """The variant's name, or that it is the device's own; random weights are said."""
    random = any(v.random_weights for v in run.variants if v.name == variant)
    return f"{variant or 'the device'}{' (weights: random)' if random else ''}"


def settings(report: Report) -> Iterator[Setting]:
    """Every device, runtime and family of every run, in the order of the report."""
    for whole in report.runs:
        for family, run in _families(whole):
            yield from _settings_of(report, run, family)


def _families(run: RunSeen) -> list[tuple[str, RunSeen]]:
    """The run once a family, with what tells it apart; as it is where there is only one."""
    if len(run.families) < 2:
        return [("", run)]
    found = []
    for names in run.families:
        variants = tuple(v for v in run.variants if v.name in names)
        baselines = tuple(b for b in run.baselines if b in names)
        title = ", ".join(dict.fromkeys(v.model for v in variants if v.baseline))
        found.append((title, msgspec.structs.replace(run, variants=variants, baselines=baselines)))
    return found


def _settings_of(report: Report, run: RunSeen, family: str) -> Iterator[Setting]:
    variants = {None, *(v.name for v in run.variants)}
    rows = [r for r in report.rows if r.run == run.id and r.variant in variants]
    for device in run.devices:
        runtimes: dict[str | None, None] = dict.fromkeys(
            r.runtime for r in rows if r.device == device.name and r.runtime
        )
        for runtime in runtimes or (None,):
            yield Setting(report=report, run=run, device=device, runtime=runtime, family=family)
