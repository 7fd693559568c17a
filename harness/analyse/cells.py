"""A run's records grouped by cell: which of them count, and what must be said of the others."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from harness.analyse.findings import Trouble
from harness.analyse.trials import (
    ReadBandwidth,
    conditions_key,
    conditions_of,
    noise,
    not_as_asked,
    observed,
    rejected,
)
from harness.derivations import bandwidth_share, by_kind, values_of
from harness.store import Run
from harness.values import (
    Bandwidth,
    Cell,
    Load,
    Memory,
    Plan,
    Size,
    Speed,
    Sustained,
    Task,
    Text,
    Timing,
    TrialRecord,
    Workload,
)

MOST_DISCARDED = 0.2
IN_AN_INTERPRETER = ("executorch",)
"""Runtimes whose program is Python's."""
HOLDS_NO_SPEED = "this machine does not hold its speed, and only a sustained figure counts"


@dataclass(frozen=True)
class SeenCell:
    """A cell with its trials as they count; `values` is metric → round → one process's value."""

    cell: Cell
    workload: str
    """Name of the workload, unique within the run."""
    planned: int
    counted: tuple[TrialRecord, ...]
    troubles: tuple[Trouble, ...]
    status: str
    reason: str | None
    values: dict[str, dict[int, float]]
    notes: tuple[str, ...]

    @property
    def runtime(self) -> str | None:
        return self.cell.runtime.name if self.cell.runtime else None

    @property
    def until(self) -> float | None:
        """Half width at which its questions ended; None: all were asked, or it asks none."""
        return self.cell.workload.until if isinstance(self.cell.workload, Task) else None

    @property
    def artifact_sha256(self) -> str | None:
        return next((r.artifact_sha256 for r in self.counted if r.artifact_sha256), None)


def read_cells(run: Run) -> list[SeenCell]:
    """Every cell of the plan, in its order, whether measured or not."""
    names = workload_names(run.plan)
    planned = Counter(trial.cell for trial in run.plan.trials)
    by_cell: dict[str, list[TrialRecord]] = defaultdict(list)
    for record in sorted(run.records, key=lambda r: r.round):
        by_cell[record.cell].append(record)
    bandwidth = ReadBandwidth(run.plan.cells, by_cell)
    return [
        _judged(run, cell, names[cell.workload], planned[cell.key], by_cell[cell.key], bandwidth)
        for cell in run.plan.cells
    ]


def workload_names(plan: Plan) -> dict[Workload, str]:
    """Each workload's label; where two workloads share one, their context or number tells them apart."""
    workloads = list(dict.fromkeys(cell.workload for cell in plan.cells))
    labels = Counter(w.label for w in workloads)
    names: dict[Workload, str] = {}
    for workload in workloads:
        name = workload.label
        if labels[name] > 1 and isinstance(workload, Speed | Task):
            name += f" ctx{workload.context}"
        taken = sum(n.split(" #")[0] == name for n in names.values())
        names[workload] = f"{name} #{taken + 1}" if taken else name
    return names


def expected_metrics(workload: Workload, *, phone: bool = False, runtime: str | None = None) -> tuple[str, ...]:
    """Metrics that a cell of this workload should yield, in the order of the report; `phone`: on one; `runtime`: of
    that name."""
    match workload:
        case Size():
            return ("size_bytes", "bits_per_weight")
        case Bandwidth():
            return ("read_bandwidth_bytes_s",)
        case Memory():
            over = ("peak_over_interpreter_bytes",) if runtime in IN_AN_INTERPRETER else ()
            return ("peak_rss_bytes", *over, "peak_anon_bytes", "peak_file_bytes", "kv_cache_bytes")
        case Speed():
            if workload.idle_s:
                return ("prefill_from_idle_tok_s", "ttft_from_idle_s")
            return _of_speed(workload)
        case Load():
            return ("load_cold_s",) if workload.cold else ("load_warm_s",)
        case Sustained():
            of_battery = ("throttled_after_s", "tokens_per_battery_percent")
            energy = of_battery if phone else ("energy_j_token",)
            return ("decode_burst_tok_s", "decode_sustained_tok_s", "sustained_share", *energy)
        case Text():
            return ("perplexity", "kl_divergence", "top1_agreement")
        case Task():
            return ()


def _of_speed(workload: Speed) -> tuple[str, ...]:
    """With a thread count of its own only what counts are chosen by."""
    decodes = workload.generated_tokens > 1
    if workload.threads is not None:
        return ("prefill_tok_s", *(("decode_tok_s",) if decodes else ()))
    decode = ("decode_tok_s", "itl_p50_s", "itl_p95_s", "itl_p99_s") if decodes else ()
    return ("prefill_tok_s", "ttft_s", *decode, "load_warm_s", *(("bandwidth_share",) if decodes else ()))


def _judged(
    run: Run,
    cell: Cell,
    name: str,
    planned: int,
    records: list[TrialRecord],
    bandwidth: ReadBandwidth,
) -> SeenCell:
    troubles: list[Trouble] = []

    def trouble(record: TrialRecord, status: str, what: str) -> None:
        troubles.append(
            Trouble(
                run=run.id,
                variant=cell.variant,
                runtime=cell.runtime.name if cell.runtime else None,
                device=cell.device,
                workload=f"{cell.measure} {name}".strip(),
                round=record.round,
                status=status,
                what=what,
            )
        )

    counted = []
    spared = [record for record in records if record.status == "not_needed"]
    for record in (r for r in records if r.status != "not_needed"):
        impossible = rejected(cell.workload, record) if record.status == "ok" else None
        if record.status != "ok" or impossible:
            trouble(
                record,
                "invalid" if impossible else record.status,
                impossible or record.reason or "no reason was recorded",
            )
        else:
            counted.append(record)
    counted, others = _alike(cell, counted)
    for record in others:
        what = _what_differs(counted[0], record)
        trouble(record, "set_aside", f"other conditions than most rounds: {what}")
    for record in counted:
        for what in noise(record):
            trouble(record, "noisy", what)
        if record.discards:
            of = len(record.discards) + len(observed([record], Timing))
            trouble(
                record, "discarded", f"{len(record.discards)} of {of} timed windows: the machine was slower meanwhile"
            )
    planned -= len(spared)
    spoiled = [record for record in records if record.status == "invalid" and record.discards]
    status, reason = _status(cell, planned, counted, troubles)
    return SeenCell(
        cell=cell,
        workload=name,
        planned=planned,
        counted=tuple(counted),
        troubles=tuple(troubles),
        status=status,
        reason=reason,
        values=_values(cell, counted, bandwidth),
        notes=(*_notes(cell, planned, counted, troubles, spoiled), *_spared(spared)) if counted else (),
    )


def _alike(cell: Cell, records: list[TrialRecord]) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """The largest group of records under one set of conditions and one artifact, and the others."""
    groups: dict[tuple[object, ...], list[TrialRecord]] = defaultdict(list)
    for record in records:
        groups[conditions_key(record, timed=not isinstance(cell.workload, Task | Text))].append(record)
    if len(groups) < 2:
        return records, []
    largest = max(groups.values(), key=len)
    kept = {record.trial for record in largest}
    return largest, [record for record in records if record.trial not in kept]


def _what_differs(one: TrialRecord, other: TrialRecord) -> str:
    a = {**conditions_of(one), "artifact": one.artifact_sha256}
    b = {**conditions_of(other), "artifact": other.artifact_sha256}
    return ", ".join(sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name)))


def _status(cell: Cell, planned: int, counted: list[TrialRecord], troubles: list[Trouble]) -> tuple[str, str | None]:
    if counted:
        return "ok", None
    if troubles:
        return troubles[-1].status, troubles[-1].what
    if cell.unsupported is not None:
        return "unsupported", cell.unsupported
    return "not_measured", f"not measured yet (0 of {planned} trials)"


def _notes(
    cell: Cell, planned: int, counted: list[TrialRecord], troubles: list[Trouble], spoiled: list[TrialRecord]
) -> list[str]:
    notes = not_as_asked(cell, counted[0])
    if isinstance(cell.workload, Load) and cell.workload.load_mode == "mmap":
        notes.append("the weights are mapped: the first pass reads them, not the load")
    if (limited := _limited(counted, spoiled)) is not None:
        notes.append(limited)
    if len(counted) < planned:
        notes.append(f"{len(counted)} of {planned} rounds count")
    by_status: dict[str, list[Trouble]] = defaultdict(list)
    for one in troubles:
        by_status[one.status].append(one)
    for status, those in by_status.items():
        rounds = sorted({(one.round or 0) + 1 for one in those})
        what = list(dict.fromkeys(one.what for one in those))
        more = f" and {len(what) - 2} more" if len(what) > 2 else ""
        listed = ("round " if len(rounds) == 1 else "rounds ") + ", ".join(map(str, rounds))
        notes.append(f"{status.replace('_', ' ')} in {listed} of {planned}: {'; '.join(what[:2])}{more}")
    return notes


def _spared(records: list[TrialRecord]) -> tuple[str, ...]:
    """Why rounds were left out; the last ones, for one reason."""
    return tuple(dict.fromkeys(record.reason for record in records if record.reason))


def _limited(counted: list[TrialRecord], spoiled: list[TrialRecord]) -> str | None:
    """Repeating windows until they are good favours whoever heats less: beyond a fifth it must be said first.

    `spoiled` trials were repeated as often as may be, and their last windows are none either.
    """
    gone = sum(len(record.discards) for record in (*counted, *spoiled)) + len(observed(spoiled, Timing))
    share = gone / (gone + len(observed(counted, Timing)) or 1)
    if share <= MOST_DISCARDED:
        return None
    return f"{share:.0%} of the timed windows were discarded: {HOLDS_NO_SPEED}"


def _values(cell: Cell, counted: list[TrialRecord], bandwidth: ReadBandwidth) -> dict[str, dict[int, float]]:
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for record in counted:
        seen = by_kind(record.observations)
        for name, value in values_of(seen).items():
            values[name][record.round] = value
        own_threads = isinstance(cell.workload, Speed) and cell.workload.threads is not None
        read = None if own_threads else bandwidth.of(cell, record.round)
        share = bandwidth_share(seen, read) if read else None
        if share is not None:
            values["bandwidth_share"][record.round] = share
    return dict(values)
