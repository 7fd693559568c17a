"""What bandwidth and memory allow, in words: roofline, memory by context, what fits."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from harness.analyse.limits import Footprint, Frontier, Need, Roof
from harness.metrics import metric
from harness.render.page import Cell, Group, Notes, Table
from harness.render.settings import Setting
from harness.render.tables import NOTHING
from harness.render.words import last_place, listed, metric_title, number, quantity, times

ROOF = (
    "One decoded token must read the weights once and the KV cache up to its depth. The read bandwidth "
    "divided by these bytes is the fastest decode that memory allows (the line). Beside each measured "
    "speed-up stands the one that fewer bytes alone would give: what is above it comes from the kernels, "
    "not from the compression."
)
CONTEXTS = (
    "Only the measured context is measured. The others are computed: the measured peak, with its KV cache "
    "made larger or smaller by the bytes a token takes; weights and all else stay as they were. A cache that "
    "compression leaves alone eats its saving as the context grows. In the drawing, filled points are "
    "measured and rings are computed."
)
FITS = (
    "A variant fits where 1.3 × its measured peak is available, since a system filled to its edge ends "
    "programs. Available is what the device has left for the model, not what is printed on its box."
)


def roof_table(setting: Setting, notes: Notes) -> Table:
    """A group a workload that decodes; two columns a baseline."""
    baselines = setting.run.baselines
    against = [f"{what} {b}" for b in baselines for what in ("by bytes, against", "measured, against")]
    header = ("variant", "bytes a token", "decode", "memory allows", "share", *against)
    groups: dict[str, list[tuple[Cell, ...]]] = {}
    for one in setting.roofs:
        title = metric_title("decode_tok_s", setting.run.workloads.get(one.workload))
        groups.setdefault(title, []).append(_roof_line(setting, one, notes))
    return Table(header, tuple(Group(title, tuple(rows)) for title, rows in groups.items()), numeric=1)


def context_tables(setting: Setting, notes: Notes) -> list[Table]:
    """One a memory workload: the bytes, then what is saved of them against each baseline."""
    found = []
    for workload in dict.fromkeys(f.workload for f in setting.footprints):
        here = [f for f in setting.footprints if f.workload == workload]
        contexts = sorted({f.context for f in here})
        by_variant: dict[str | None, dict[int, Footprint]] = {}
        for one in here:
            by_variant.setdefault(one.variant, {})[one.context] = one
        title = metric_title("peak_rss_bytes", setting.run.workloads.get(workload))
        groups = [Group(title, tuple(_bytes_line(setting, v, at, contexts, notes) for v, at in by_variant.items()))]
        for baseline in setting.run.baselines:
            rows = [
                _saved_line(setting, v, baseline, at, contexts, notes)
                for v, at in by_variant.items()
                if v not in setting.run.baselines
            ]
            groups += [Group(f"{title}: saved against {baseline}", tuple(rows))] if rows else []
        header = ("variant", *(f"{c:,} tokens, {_how(here, c)}" for c in contexts))
        found.append(Table(header, tuple(groups), numeric=1))
    return found


def fit_tables(setting: Setting, notes: Notes) -> tuple[list[str], list[Table]]:
    """(what the frontier judges by, [what fits by memory, what each variant needs])"""
    said: dict[str, None] = {}
    fits, needs = [], []
    for one in setting.frontiers:
        title = metric_title("peak_rss_bytes", setting.run.workloads.get(one.workload))
        title += f", context {one.context:,} tokens" if one.context else ""
        fits.append(Group(title, tuple(_fit_lines(setting, one))))
        needs.append(Group(title, tuple(_need_line(setting, one, need, notes) for need in one.needs)))
        said[_judged(one)] = None
    header = ("available memory", "fits", "on the frontier")
    needing = ("variant", "peak", "needs (1.3 ×)", "enough of the above")
    return list(said), [Table(header, tuple(fits)), Table(needing, tuple(needs), numeric=1)]


def rate(tok_s: float) -> str:
    """A computed rate, which has no interval."""
    return f"{number(tok_s, last_place(tok_s, None, None, exact=True))} tok/s"


def share_text(setting: Setting, one: Roof, *, interval: bool = False) -> str:
    """With the digits that its rounds support, as in every other table."""
    level = setting.levels.get((one.variant, one.workload, "bandwidth_share"))
    if level is None:
        return NOTHING
    return quantity("bandwidth_share", level.value, level.low, level.high, interval=interval)


def _roof_line(setting: Setting, one: Roof, notes: Notes) -> tuple[Cell, ...]:
    refs = notes.refs((one.reason,)) if one.reason else ()
    level = setting.levels.get((one.variant, one.workload, "decode_tok_s"))
    decode = quantity("decode_tok_s", level.value, level.low, level.high) if level else NOTHING
    gains = {g.baseline: g for g in one.gains}
    against = []
    for baseline in setting.run.baselines:
        gain = gains.get(baseline)
        allowed = gain.allowed if gain else None
        against.append(NOTHING if allowed is None else times(allowed, None, None, exact=True))
        measured = gain.measured if gain else None
        against.append(NOTHING if gain is None or measured is None else times(measured, gain.low, gain.high))
    return (
        Cell(setting.named(one.variant), refs),
        Cell(NOTHING if one.bytes_a_token is None else quantity("size_bytes", one.bytes_a_token)),
        Cell(decode),
        Cell(NOTHING if one.allowed_tok_s is None else rate(one.allowed_tok_s)),
        Cell(share_text(setting, one, interval=True)),
        *(Cell(text) for text in against),
    )


def _how(here: Sequence[Footprint], context: int) -> str:
    kinds = {f.computed for f in here if f.context == context}
    return "computed" if kinds == {True} else "measured" if kinds == {False} else "partly measured"


def _bytes_line(
    setting: Setting, variant: str | None, at: dict[int, Footprint], contexts: Sequence[int], notes: Notes
) -> tuple[Cell, ...]:
    found = []
    for context in contexts:
        one = at.get(context)
        if one is None or one.bytes is None:
            found.append(_missing(one.reason if one else None, notes))
        else:
            found.append(Cell(_mib(one.bytes)))
    return Cell(setting.named(variant)), *found


def _saved_line(
    setting: Setting,
    variant: str | None,
    baseline: str,
    at: dict[int, Footprint],
    contexts: Sequence[int],
    notes: Notes,
) -> tuple[Cell, ...]:
    found = []
    for context in contexts:
        one = at.get(context)
        saving = next((s for s in one.savings if s.baseline == baseline), None) if one else None
        if saving is None or saving.saved is None:
            found.append(_missing((one and one.reason) or (saving and saving.reason) or None, notes))
        else:
            found.append(Cell(f"{number(100 * saving.saved, -1)} %"))
    return Cell(setting.named(variant)), *found


def _missing(reason: str | None, notes: Notes) -> Cell:
    return Cell(NOTHING, notes.refs((reason or "there is no such cell",)))


def _judged(one: Frontier) -> str:
    if one.judged_by == "accuracy":
        return (
            "On the frontier stands, of the variants that fit, the one with the best score "
            f"({metric(one.metric).title} on {one.judged_on}), on equal scores the one that needs less; a score "
            "counts as it is, whatever its interval."
        )
    return (
        "On the frontier stands, of the variants that fit, the one with the most bits per weight, on equal bits "
        f"the one that needs less. It is not judged by accuracy: {one.said}."
    )


def _fit_lines(setting: Setting, one: Frontier) -> Iterator[tuple[Cell, ...]]:
    """Memories with the same outcome share a line."""
    for (variants, best), fits in groupby(one.fits, key=lambda fit: (fit.variants, fit.best)):
        sizes = [fit.memory_bytes >> 30 for fit in fits]
        memory = f"{sizes[0]} GiB" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} GiB"
        fitting = listed([setting.named(v) for v in variants]) or "nothing"
        yield Cell(memory), Cell(fitting), Cell(_best(setting, one, variants, best))


def _best(setting: Setting, one: Frontier, variants: Sequence[str], best: str | None) -> str:
    worth = next((n.worth for n in one.needs if n.variant == best), None)
    if best is not None and worth is not None:
        return f"{setting.named(best)}: {quantity(one.metric, worth)}"
    return f"not known: no {metric(one.metric).title.lower()}" if variants else NOTHING


def _need_line(setting: Setting, one: Frontier, need: Need, notes: Notes) -> tuple[Cell, ...]:
    if need.peak_bytes is None or need.need_bytes is None:
        return Cell(setting.named(need.variant), notes.refs((need.reason or "no peak",))), *([Cell(NOTHING)] * 3)
    enough = next((f.memory_bytes for f in one.fits if need.variant in f.variants), None)
    return (
        Cell(setting.named(need.variant)),
        Cell(_mib(need.peak_bytes)),
        Cell(_mib(need.need_bytes)),
        Cell("none" if enough is None else f"{enough >> 30} GiB"),
    )


def _mib(count: int) -> str:
    return f"{number(count / 2**20, 0)} MiB"
