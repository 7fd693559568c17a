"""Where in the runs each published row was measured."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.findings import ArtifactSeen, Level, Report, Row, RunSeen, VariantSeen
from harness.errors import InputError, UnknownNameError
from harness.metrics import METRICS
from harness.published import ClaimFile, PublishedCondition
from harness.values import Memory, Speed, Stands, Task, Workload

_WORD = re.compile(r"[^\W_]+\+*")
DIFFERENT = "measured different artifacts for"
MORE = frozenset({"pro", "plus", "ultra", "max", "mini", "lite"})
"""Words that make another device of the one they follow."""


@dataclass(frozen=True)
class Place:
    """A published row's counterpart: one variant of one run, on one device and runtime."""

    report: Report
    run: RunSeen
    device: str
    runtime: str | None
    stands: Stands

    @property
    def variant(self) -> VariantSeen:
        return next(v for v in self.run.variants if v.name == self.stands.variant)

    @property
    def artifact(self) -> ArtifactSeen | None:
        wanted = (self.run.id, self.stands.variant)
        return next((a for a in self.report.artifacts if (a.run, a.variant) == wanted), None)

    def rows(self, metric: str) -> list[Row]:
        """Of this variant here, one a workload and baseline."""
        return [r for r in self.report.rows if r.metric == metric and self._here(r) and r.variant == self.variant.name]

    def level(self, metric: str, workload: str) -> Level | None:
        for one in self.report.levels:
            if (one.metric, one.workload, one.variant) == (metric, workload, self.variant.name) and self._here(one):
                return one
        return None

    def _here(self, one: Row | Level) -> bool:
        return one.run == self.run.id and one.device == self.device and one.runtime in (self.runtime, None)


def places(report: Report, file: ClaimFile) -> dict[str, Place]:
    """Published row → where it was measured; rows that no run stands for are absent.

    Raises:
        UnknownNameError: a suite names a row that the claims do not have.
        InputError: runs or devices that cannot be put together.
    """
    found: dict[str, Place] = {}
    twice: list[str] = []
    for run in report.runs:
        stands = run.claims.get(file.name, {})
        for name in stands:
            if name not in file.rows:
                raise UnknownNameError("published row", name, file.rows, where=f"suite {run.suite!r}")
        known = {v.name for v in run.variants}
        if not any(one.variant in known for one in stands.values()):
            continue
        device, runtime = _setting(report, run, file)
        for name, one in stands.items():
            if one.variant not in known:
                continue
            place = Place(report=report, run=run, device=device, runtime=runtime, stands=one)
            if name in found:
                twice.append(_twice(name, found[name], place))
            found[name] = place
    if twice:
        raise InputError(next((why for why in twice if DIFFERENT in why), twice[0]))
    _check_one_machine(found)
    return found


def choose_workload(
    place: Place, metric: str, conditions: Sequence[PublishedCondition], task: str | None
) -> str | None:
    """The workload whose prompt is as long as published, else the best known one of its kind; None: no value."""
    rows = place.rows(metric)
    names = list(dict.fromkeys(r.workload for r in rows if r.value is not None)) or [r.workload for r in rows]
    loads = [(name, place.run.workloads[name]) for name in names if name in place.run.workloads]
    if metric not in METRICS or METRICS[metric].kind == "accuracy":
        loads = [(name, load) for name, load in loads if isinstance(load, Task) and load.task == task]
    prompt = next((c.value for c in conditions if c.name == "prompt_tokens"), None)
    return max(loads, key=lambda pair: _fitness(pair[1], prompt), default=(None, None))[0]


def _fitness(load: Workload, prompt: object) -> tuple[bool, bool, int]:
    if isinstance(load, Memory):
        return load.prompt_tokens == prompt, load.load_mode == "none", 0
    if isinstance(load, Speed):
        return load.prompt_tokens == prompt, load.plain, load.generated_tokens
    return False, False, 0


def _setting(report: Report, run: RunSeen, file: ClaimFile) -> tuple[str, str | None]:
    """The run's one device and runtime; of several, the one that the publication names."""
    found = list(dict.fromkeys((r.device, r.runtime) for r in report.rows if r.run == run.id and r.runtime))
    if not found:
        return run.devices[0].name, None
    wanted = {c.name: str(c.value) for c in file.conditions if c.name in ("device", "runtime") and c.value}
    titles = {d.name: f"{d.name} {d.title} {d.facts.model if d.facts else ''}" for d in run.devices}
    best = [
        (device, runtime)
        for device, runtime in found
        if same_word(wanted.get("device", ""), titles[device]) and same_word(wanted.get("runtime", ""), str(runtime))
    ]
    chosen = best or found
    if len(chosen) > 1:
        said = ", ".join(f"{runtime} on {device}" for device, runtime in chosen)
        raise InputError(f"run {run.id} mixes devices or runtimes ({said}): a claim is checked against one of them")
    return chosen[0]


def same_word(published: str, here: str) -> bool:
    """Whether the words of one name stand side by side in the other; `12R`, `12 Pro` and `S24+` are not `12`, `S24`."""
    one, other = ([w for w in _WORD.findall(text.casefold()) if w] for text in (published, here))
    if len(one) > len(other):
        one, other = other, one
    if not one:
        return False
    for at in range(len(other) - len(one) + 1):
        after = other[at + len(one) : at + len(one) + 1]
        if other[at : at + len(one)] == one and not set(after) & MORE:
            return True
    return False


def _twice(row: str, first: Place, second: Place) -> str:
    """Ratios are formed within a run: of two, neither may stand in for the other."""
    a, b = first.artifact, second.artifact
    differ = a is not None and b is not None and a.sha256 != b.sha256
    what = DIFFERENT if differ else "both stand for"
    return f"runs {first.run.id} and {second.run.id} {what} the published row {row!r}: check them one at a time"


def _check_one_machine(found: dict[str, Place]) -> None:
    machines: dict[str, str] = {}
    for place in found.values():
        facts = next((d.facts for d in place.run.devices if d.name == place.device), None)
        machine = facts.host_hash if facts and facts.host_hash else place.device
        machines.setdefault(f"{place.device} {machine}", place.run.id)
    runtimes = {place.runtime: place.run.id for place in found.values() if place.runtime}
    apart = machines if len(machines) > 1 else runtimes
    if len(apart) > 1:
        raise InputError(
            f"runs {', '.join(apart.values())} are of different devices or runtimes: a ratio of their values is "
            "none of the compression; check them one at a time"
        )
