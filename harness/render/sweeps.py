"""Speed by thread count and by depth, as tables."""

from collections import defaultdict

from harness.analyse.findings import Row, ThreadCounts
from harness.render.page import Cell, Group, Notes, Table
from harness.render.settings import Setting
from harness.render.tables import NOTHING, no_value, value_cell
from harness.render.words import metric_title, quantity, times
from harness.values import Speed

THREADS = (
    "More threads are not always faster, and not by the same factor for each variant. So every variant stands here "
    "with the count that all share and with its own best. A best count is chosen by the very values it is shown "
    "with, which flatters it a little; its ratio compares it with the baseline at the baseline's best."
)
DEPTHS = (
    "Each token that lies in the KV cache already must be read for every further one. The deeper a conversation, "
    "the smaller the share of the weights in that, and so of what compression saves."
)
SWEPT = ("prefill_tok_s", "decode_tok_s")


def threads_table(setting: Setting) -> Table:
    """A group a workload and metric, a row a variant."""
    baselines = setting.run.baselines
    groups: dict[str, list[tuple[Cell, ...]]] = defaultdict(list)
    for one in setting.threads:
        title = f"{metric_title(one.metric, None)}, {one.workload}"
        groups[title].append(_threads_line(setting, one))
    header = ("variant", "by threads", "common", "best", *(f"best against {b}'s best" for b in baselines))
    return Table(header, tuple(Group(title, tuple(rows)) for title, rows in groups.items()), numeric=1)


def _threads_line(setting: Setting, one: ThreadCounts) -> tuple[Cell, ...]:
    gains = {gain.baseline: gain for gain in one.gains}
    against = [
        Cell(times(gain.ratio, gain.low, gain.high)) if (gain := gains.get(b)) and gain.ratio else Cell(NOTHING)
        for b in setting.run.baselines
    ]
    common = "not measured" if one.common_value is None else quantity(one.metric, one.common_value)
    return (
        Cell(setting.named(one.variant)),
        Cell(", ".join(f"{threads}: {quantity(one.metric, value)}" for threads, value in one.counts)),
        Cell(common if one.common is None else f"{common} at {one.common}"),
        Cell(f"{quantity(one.metric, one.best_value)} at {one.best}"),
        *against,
    )


def depth_tables(setting: Setting, notes: Notes) -> list[Table]:
    """One a metric that was measured at more than one depth: a column a depth, first the values, then the ratios."""
    found = []
    for name in SWEPT:
        by_depth = _workloads_by_depth(setting, name)
        if len(by_depth) < 2:
            continue
        groups = [Group("", tuple(_depth_line(setting, name, by_depth, v.name, notes) for v in setting.run.variants))]
        for baseline in setting.run.baselines:
            rows = tuple(
                _ratio_line(setting, name, by_depth, v.name, baseline)
                for v in setting.run.variants
                if baseline in v.baselines
            )
            groups += [Group(f"against {baseline}", rows)] if rows else []
        title = metric_title(name, None)
        header = (title, *(f"{depth:,} tokens deep" for depth in by_depth))
        found.append(Table(header, tuple(groups), numeric=1))
    return found


def _workloads_by_depth(setting: Setting, name: str) -> dict[int, str]:
    """Depth where the metric begins → workload, for the prompt that most depths were measured with."""
    by_prompt: dict[tuple[int, int], dict[int, str]] = defaultdict(dict)
    for workload in dict.fromkeys(r.workload for r in setting.rows if r.metric == name):
        load = setting.run.workloads.get(workload)
        if isinstance(load, Speed) and load.threads is None and not load.idle_s:
            deep = load.depth + (load.prompt_tokens if name == "decode_tok_s" else 0)
            by_prompt[load.prompt_tokens, load.generated_tokens].setdefault(deep, workload)
    best = max(by_prompt.values(), key=len, default={})
    return dict(sorted(best.items()))


def _depth_line(setting: Setting, name: str, by_depth: dict[int, str], variant: str, notes: Notes) -> tuple[Cell, ...]:
    cells = []
    for workload in by_depth.values():
        rows = setting.of(name, workload, variant)
        refs = notes.refs(tuple(dict.fromkeys(note for row in rows for note in row.notes)))
        cells.append(value_cell(setting, rows[0], refs) if rows else Cell(NOTHING))
    return (Cell(setting.named(variant)), *cells)


def _ratio_line(setting: Setting, name: str, by_depth: dict[int, str], variant: str, baseline: str) -> tuple[Cell, ...]:
    rows: list[Row | None] = [
        next((r for r in setting.of(name, workload, variant) if r.baseline == baseline), None)
        for workload in by_depth.values()
    ]
    return (Cell(setting.named(variant)), *(_ratio(row) for row in rows))


def _ratio(row: Row | None) -> Cell:
    if row is None:
        return Cell(NOTHING)
    if row.ratio is None:
        return Cell(no_value(row) if row.value is None else NOTHING)
    return Cell(times(row.ratio, row.ratio_low, row.ratio_high))
