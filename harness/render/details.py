"""What stands below the first screen: memory, conditions, troubles, definitions."""

from collections import defaultdict
from collections.abc import Iterator

from harness.analyse.findings import Report, Waterfall
from harness.metrics import metric
from harness.render.page import Cell, Section, Table, Term, cells, grouped, table
from harness.render.settings import Setting
from harness.render.words import listed, metric_title, number, status_words

EXPLAINED = 0.95
PART_TITLES = {
    "runtime": "before loading",
    "vocabulary": "vocabulary",
    "model": "weights",
    "lora": "adaptors",
    "kv": "KV cache",
    "compute": "compute buffers",
    "output": "output buffer",
}


def memory_table(setting: Setting) -> tuple[list[str], Table]:
    """What the peaks are made of, a group a workload: (warnings, table)."""
    kinds = [k for k in PART_TITLES if any(p.kind == k for f in setting.waterfalls for p in f.parts)]
    groups: dict[str, list[tuple[Cell, ...]]] = defaultdict(list)
    for fall in setting.waterfalls:
        sums = [sum(p.bytes for p in fall.parts if p.kind == k) for k in kinds]
        sizes = (*sums, fall.unexplained_bytes, fall.peak_bytes)
        explained = f"{number(100 * fall.explained, 0)} %"
        title = metric_title("peak_rss_bytes", setting.run.workloads.get(fall.workload))
        groups[title].append(cells(setting.named(fall.variant), *map(_mib, sizes), explained))
    header = ("variant", *(PART_TITLES[k] for k in kinds), "unexplained", "peak", "explained")
    return list(_unexplained(setting)), grouped(header, groups, 1)


def conditions_table(setting: Setting) -> Table:
    """Every condition as it was, with its several values where it has some."""
    rows = []
    for one in setting.conditions:
        values = "; ".join(f"{v.value} ({v.where})" if v.where else v.value for v in one.values)
        rows.append(cells(one.name, values))
    return table(("condition", "as it was"), rows)


def artifacts_table(setting: Setting) -> Table:
    """The files that were measured; hashes shortened, whole in `full`."""
    rows = []
    for one in setting.report.artifacts:
        if one.run != setting.run.id:
            continue
        types = ", ".join(f"{count} × {name}" for name, count in sorted(one.tensor_types.items()))
        variant = next((v for v in setting.run.variants if v.name == one.variant), None)
        rows.append(
            (
                Cell(one.variant),
                Cell(variant.scheme if variant else ""),
                Cell(types),
                Cell(f"{one.bytes:,}"),
                Cell(f"{one.parameters:,}" if one.parameters else "not known"),
                Cell(one.sha256[:12], full=one.sha256),
            )
        )
    return table(("variant", "scheme", "tensors", "bytes", "parameters", "sha256"), rows)


def troubles_table(setting: Setting) -> Table:
    """Every trial that failed, was set aside, or is doubtful; rounds with one trouble share a line."""
    rounds: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for one in setting.report.troubles:
        if (one.run, one.device) != (setting.run.id, setting.device.name):
            continue
        if one.runtime in (setting.runtime, None):
            key = (one.variant or "the device", one.workload, status_words(one.status), one.what)
            rounds[key].append((one.round or 0) + 1)
    rows = [
        cells(variant, workload, ", ".join(map(str, sorted(numbers))), status, what)
        for (variant, workload, status, what), numbers in rounds.items()
    ]
    return table(("variant", "measure", "rounds", "status", "what"), rows)


def glossary(report: Report) -> tuple[Term, ...]:
    """Definitions of all metrics that the report holds."""
    names = dict.fromkeys(row.metric for row in report.rows)
    found = []
    for name in names:
        one = metric(name)
        facts = ", ".join(part for part in (name, one.unit, f"{one.better} is better") if part)
        found.append(Term(one.title, facts, one.definition))
    return tuple(found)


def differing_section(report: Report) -> Section:
    """In what several runs are not alike; said before their numbers stand side by side."""
    rows = [cells(one.name, *(value for _, value in one.values)) for one in report.differing]
    said = (
        "These runs differ in the conditions below. Their numbers stand side by side and are never merged: "
        "each ratio is formed within one run."
        if rows
        else "These runs are alike in every recorded condition. Each ratio is still formed within one run."
    )
    tables = (table(("condition", *(run.id for run in report.runs)), rows),) if rows else ()
    title = "What differs between the runs"
    return Section("runs-differ", title, (said,), tables, link=title)


def weak_sentences(setting: Setting) -> list[str]:
    """One for every baseline that is no fair opponent for speed."""
    return [
        f"{one.baseline} {one.said} ({one.workload}): ratios of speed against it say more about its kernels than about "
        "the compression, so they are no headline."
        if one.share is None
        else f"{one.baseline} decodes at {number(100 * one.share, 0)} % of the read bandwidth of this device "
        f"({one.workload}), less than half: ratios of speed against it say more about its kernels than about "
        "the compression, so they are no headline."
        for one in setting.weak.values()
    ]


def _unexplained(setting: Setting) -> Iterator[str]:
    """A sentence for each workload whose peaks are not understood well enough."""
    by_workload: dict[str, list[Waterfall]] = defaultdict(list)
    for fall in setting.waterfalls:
        by_workload[metric_title("peak_rss_bytes", setting.run.workloads.get(fall.workload))].append(fall)
    for title, falls in by_workload.items():
        for missing in dict.fromkeys(f.missing for f in falls if f.missing):
            yield f"{title}: {missing}."
        poor = [f for f in falls if f.explained < EXPLAINED]
        if poor:
            shares = listed([f"{number(100 * f.explained, 0)} % ({f.variant})" for f in poor])
            beside = [f.beside_weights_bytes for f in poor if f.beside_weights_bytes]
            there = ""
            if beside:
                low, high = _mib(min(beside)), _mib(max(beside))
                amount = low if low == high else f"{low} to {high}"
                there = f" {amount} of the rest were there right after loading: vocabulary, metadata, code."
            yield f"{title}: only {shares} of the peak is explained, less than 95 %.{there}"
        over = [str(f.variant) for f in falls if f.explained > 2 - EXPLAINED]
        if over:
            yield f"{title}, {listed(over)}: the parts are more than the peak, as with pages never read."


def _mib(count: int) -> str:
    return f"{number(count / 2**20, -1)} MiB"
