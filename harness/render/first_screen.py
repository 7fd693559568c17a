"""The first screen: one sentence, cards, what it cost, one chart, one command."""

import shlex
from dataclasses import replace

from harness.analyse.conditions import CONTEXT
from harness.analyse.findings import Distance, PairedItems, Row, VariantSeen
from harness.metrics import metric
from harness.render.accuracy import widest_points
from harness.render.page import Card, Entry, Notes, Picture, Screen
from harness.render.settings import Setting
from harness.render.verdicts import claim_entries
from harness.render.words import (
    date,
    gain,
    listed,
    metric_title,
    number,
    p_value,
    quantity,
    status_words,
)
from harness.stats import bounds


def screen(setting: Setting, notes: Notes, *, heading: str, chart: Picture | None) -> Screen:
    """Everything that is said before the details."""
    workloads = (
        ("size_bytes", setting.size_workload()),
        ("peak_rss_bytes", setting.memory_workload()),
        ("decode_tok_s", setting.decode_workload()),
        ("prefill_tok_s", setting.prefill_workload()),
    )
    cards = tuple(_with_claims(setting, _card(setting, name, w, notes), name) for name, w in workloads if w is not None)
    return Screen(
        heading=heading,
        lead=lead(setting),
        cards=cards,
        cost=_cost(setting, notes),
        chart=chart,
        chart_missing=None if chart else why_no_chart(setting),
        command=shlex.join(setting.run.command),
    )


def _with_claims(setting: Setting, card: Card, name: str) -> Card:
    """The claims about the card's metric under what was measured."""
    return replace(card, entries=(*card.entries, *claim_entries(setting.report, setting, name)))


def lead(setting: Setting) -> str:
    """One sentence: which weights, on what, by what, when."""
    models = dict.fromkeys((v.model, v.label) for v in setting.run.variants)
    what = listed([f"{model} ({label})" if label else model for model, label in models])
    where = [what, f"on {_device(setting)}"]
    if setting.runtime:
        version = setting.condition("llama.cpp version")
        where.append(f"by {setting.runtime}{f' {version}' if version else ''}")
    if threads := setting.condition("decode threads"):
        where.append(f"with {threads} threads")
    if context := _context(setting):
        where.append(context)
    if setting.run.started:
        where.append(date(setting.run.started))
    return f"{', '.join(where)}."


def why_no_chart(setting: Setting) -> str:
    """Why accuracy cannot be drawn against decode."""
    if setting.random_weights:
        return "No chart of accuracy: the weights are random."
    axes = (
        ("accuracy", setting.task_workload(), setting.task_metric()),
        ("decode", setting.decode_workload(), "decode_tok_s"),
    )
    lacks = []
    for axis, workload, name in axes:
        known = [v for v in setting.run.variants if (v.name, workload, name) in setting.levels]
        if len(known) < 2:
            lacks.append(axis)
    what = f"{listed(lacks)} of at least two variants" if lacks else "two variants with both"
    return f"No chart of accuracy against decode: it needs {what}."


def _context(setting: Setting) -> str | None:
    """`context 1,024 tokens for speed and 2,048 for memory`"""
    values = next((c.values for c in setting.conditions if c.name == CONTEXT), ())
    if len(values) == 1:
        return f"context {values[0].value} tokens"
    parts = [f"{v.value}{'' if i else ' tokens'} for {v.where.replace(', ', ' and ')}" for i, v in enumerate(values)]
    return f"context {listed(parts)}" if parts else None


def _device(setting: Setting) -> str:
    facts, name = setting.device.facts, setting.device.title or setting.device.name
    if facts is None:
        return f"{name} (no facts were recorded)"
    memory = f"{facts.memory_bytes / 2**30:.1f} GiB memory" if facts.memory_bytes else "memory unknown"
    kind = "a phone" if setting.device.kind == "phone" else "not a phone"
    kind = f"a virtual machine, {kind}" if facts.virtual else kind
    kind = "as another tool told of it" if facts.usable_cores is None else kind
    known = facts.model and "unknown" not in facts.model.lower() and facts.cpu not in facts.model
    what = f"{facts.model}, {facts.cpu}" if known else facts.cpu
    count = facts.usable_cores
    cores = "cores unknown" if count is None else f"{count} {'core' if count == 1 else 'cores'}"
    return f"{name} ({what}, {cores}, {memory}, {facts.os}, {facts.arch}, {kind})"


def _card(setting: Setting, name: str, workload: str, notes: Notes) -> Card:
    title = metric_title(name, setting.run.workloads.get(workload))
    entries = tuple(_entry(setting, name, workload, v, notes) for v in setting.compressed)
    return Card(title=title.split(",")[0], subtitle=_subtitle(name, title), entries=entries)


def _subtitle(name: str, title: str) -> str:
    match name:
        case "size_bytes":
            return "bytes of the files"
        case "peak_rss_bytes":
            return f"weights {title.split(', ', 1)[1]}" if ", " in title else ""
        case "decode_tok_s":
            return f"tokens a second, {title.split('@')[1]} tokens deep"
        case _:
            return f"tokens a second, prompt of {title.split('@')[1]} tokens"


def _entry(setting: Setting, name: str, workload: str, variant: VariantSeen, notes: Notes) -> Entry:
    rows = setting.of(name, workload, variant.name)
    if not rows or rows[0].value is None:
        return _no_value(variant.name, rows)
    value = rows[0].value
    refs = notes.refs(tuple(note for row in rows for note in row.notes))
    own = _quantity(setting, rows[0], variant.name, value)
    speed = metric(name).kind == "speed"
    own_weak = setting.weak.get(variant.name)
    portable = own_weak is not None and own_weak.portable is True
    strong = [r for r in rows if r.ratio is not None and not (speed and (portable or r.baseline in setting.weak))]
    if not strong:
        lines = tuple(_beside(setting, row, speed) for row in rows)
        return Entry(variant.name, own, None, "", lines, refs)
    first = strong[0]
    assert first.ratio is not None
    said = gain(name, first.ratio, first.ratio_low, first.ratio_high)
    base = _quantity(setting, first, first.baseline, first.baseline_value)
    others = tuple(_beside(setting, row, speed) for row in rows if row is not first)
    lines = (f"{own}; {first.baseline} {base}", *others)
    return Entry(variant.name, said.phrase, said.span, f"{said.towards} {first.baseline}", lines, refs)


def _beside(setting: Setting, row: Row, speed: bool) -> str:
    """A baseline that is not in the headline: its ratio, and why it has no headline if that is so."""
    if row.ratio is None:
        return f"against {row.baseline}: no ratio"
    base = _quantity(setting, row, row.baseline, row.baseline_value)
    said = gain(row.metric, row.ratio, row.ratio_low, row.ratio_high).against(str(row.baseline))
    if speed and (weak := setting.weak.get(str(row.baseline))):
        return f"{said} ({base}), no headline: {row.baseline} {weak.said}"
    return f"{said} ({base})"


def _quantity(setting: Setting, row: Row, variant: str | None, value: float | None) -> str:
    if value is None:
        return "no value"
    level = setting.levels.get((variant, row.workload, row.metric))
    return quantity(row.metric, value, level.low if level else None, level.high if level else None)


def _no_value(variant: str, rows: list[Row]) -> Entry:
    if not rows:
        return Entry(variant, "not planned", None, "", (), plain=True)
    word = status_words(rows[0].status)
    reason = (rows[0].reason or "").removeprefix(word).strip(" ()")
    return Entry(variant, word, None, "", (reason,), plain=True)


def _cost(setting: Setting, notes: Notes) -> Card:
    """What compression cost in accuracy, by the first task and the first text."""
    if setting.random_weights:
        why = ("the weights are random: no score means anything",)
        said = Entry("all variants", "no accuracy", None, "", why, plain=True)
        return Card("Cost in accuracy", "", (said,))
    workload, name = setting.task_workload(), setting.task_metric()
    subtitle = f"{metric_title(name, None)} on {workload}" if workload and name else "no task was measured"
    entries = tuple(_cost_entry(setting, workload, name, v, notes) for v in setting.compressed)
    return Card("Cost in accuracy", subtitle, entries)


def _cost_entry(setting: Setting, workload: str | None, name: str | None, variant: VariantSeen, notes: Notes) -> Entry:
    distance = (*_perplexity_lines(setting, variant.name), *_distance_lines(setting, variant.name))
    if workload is None or name is None:
        return Entry(variant.name, "no task", None, "", distance, plain=True)
    rows = setting.of(name, workload, variant.name)
    refs = notes.refs(tuple(n for row in rows for n in row.notes))
    pairs = [p for p in setting.accuracy if (p.variant, p.workload, p.metric) == (variant.name, workload, name)]
    if not pairs:
        none = _no_value(variant.name, rows)
        return Entry(variant.name, none.headline, None, "", (*none.lines, *distance), refs, plain=True)
    first = pairs[0]
    headline, _, interval = widest_points(first).partition(" (")
    others = tuple(f"{widest_points(p)} against {p.baseline}" for p in pairs[1:])
    lines = (*_pair_lines(first), *others, *distance)
    return Entry(variant.name, headline, interval.rstrip(")") or None, f"against {first.baseline}", lines, refs)


def _pair_lines(pair: PairedItems) -> tuple[str, ...]:
    own, base = number(100 * pair.value, -1), number(100 * pair.baseline_value, -1)
    what = "questions right" if pair.right_to_wrong is not None else "questions, mean score"
    lines = [f"{own} % of {pair.items:,} {what}; {pair.baseline} {base} %"]
    if pair.right_to_wrong is not None and pair.mcnemar_p is not None:
        answers = "answer" if pair.right_to_wrong == 1 else "answers"
        flips = f"{pair.right_to_wrong} {answers} turned wrong, {pair.wrong_to_right} turned right"
        changed = "" if pair.answers_changed is None else f"; {pair.answers_changed} answers changed in all"
        lines.append(f"{flips} (McNemar {p_value(pair.mcnemar_p)}){changed}")
    lines.append(
        {
            "excluded": "a loss of one point or more is excluded",
            "not excluded": "a loss of one point is not excluded",
            "certain": "the loss is more than one point",
            "unknown": "too few questions to exclude anything",
        }[pair.one_point]
    )
    if pair.near_chance:
        lines.append(f"{pair.baseline} is close to guessing here: look at the KL divergence instead")
    return tuple(lines)


def _perplexity_lines(setting: Setting, variant: str) -> tuple[str, ...]:
    said = []
    for row in setting.perplexities(variant):
        if row.ratio is not None and row.value is not None:
            change = gain(row.metric, row.ratio, row.ratio_low, row.ratio_high).against(str(row.baseline))
            said.append(f"{metric_title(row.metric, None)} {quantity(row.metric, row.value)}, {change}")
    return tuple(said)


def _distance_lines(setting: Setting, variant: str) -> tuple[str, ...]:
    workload = setting.text_workload()
    found = {
        d.metric: d for d in setting.distances if (d.variant, d.workload) == (variant, workload) and not d.is_reference
    }
    kl, top1 = found.get("kl_divergence"), found.get("top1_agreement")
    if kl is None:
        return ()
    agree = f"; same most likely token at {_distance(top1)}" if top1 else ""
    return (f"KL divergence {_distance(kl)} from {kl.reference}{agree}",)


def _distance(one: Distance) -> str:
    return quantity(one.metric, one.value, *bounds(one.interval))
