"""What is drawn: one first chart, one small plot a metric, one plot of peaks a memory workload."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from harness.analyse.findings import Row, Waterfall
from harness.metrics import metric
from harness.render.details import PART_TITLES
from harness.render.page import Picture
from harness.render.palette import Draw, Palette
from harness.render.plots import Bar, Bubble, Stack, bars, effects, stacks, tradeoff
from harness.render.settings import Setting
from harness.render.words import metric_title, number, points, quantity, status_words, times
from harness.values import digest

NOT_DRAWN = frozenset(
    {
        "bits_per_weight",
        "itl_p50_s",
        "itl_p99_s",
        "peak_over_interpreter_bytes",
        "peak_anon_bytes",
        "peak_file_bytes",
        "kv_cache_bytes",
    }
)
"""Beside another plot that says the same better; all are in the tables."""


@dataclass(frozen=True)
class Drawing:
    """A picture and how it is drawn."""

    picture: Picture
    draw: Draw
    chart: bool = False
    """Whether it is a first screen's."""


def chart(setting: Setting) -> Drawing | None:
    """Accuracy against decode, bubbles by peak memory; None where one of the axes has no value."""
    task, name, decode = setting.task_workload(), setting.task_metric(), setting.decode_workload()
    if task is None or name is None or decode is None or setting.random_weights:
        return None
    bubbles = [b for v in setting.run.variants if (b := _bubble(setting, v.name, task, name, decode))]
    if len(bubbles) < 2:
        return None
    most = max((b.area or 0.0 for b in bubbles), default=0.0)
    bubbles = [replace(b, area=b.area / most if b.area and most else None) for b in bubbles]
    x = f"{metric_title('decode_tok_s', setting.run.workloads.get(decode))}, tok/s"
    y = f"{metric_title(name, None)} on {task}, %"

    def draw(palette: Palette, title: str) -> Figure:
        return tradeoff(bubbles, palette, title, x=x, y=y)

    seen = "; ".join(f"{b.label}: {number(b.y, -1)} % at {b.x:.3g} tok/s" for b in bubbles)
    first = setting.run.baselines[0]
    caption = (
        f"The area of a bubble is its peak memory. Vertical lines: 95 % interval of the paired difference "
        f"from {first}. Horizontal lines: 95 % interval over rounds."
    )
    title = "Accuracy against decode"
    return Drawing(Picture(slug(setting, "accuracy-against-decode"), title, caption, f"{title}. {seen}."), draw, True)


def metric_drawings(setting: Setting) -> list[Drawing]:
    """One for each metric and workload that has a value."""
    found = []
    for name, workload in dict.fromkeys((r.metric, r.workload) for r in setting.rows):
        rows = [r for r in setting.rows if (r.metric, r.workload) == (name, workload)]
        kind = metric(name).kind
        if name in NOT_DRAWN or kind == "device" or all(r.value is None for r in rows):
            continue
        if kind == "accuracy":
            one = None if setting.random_weights else _effects(setting, name, workload, rows)
        else:
            one = _bars(setting, name, workload, rows)
        if one is not None:
            found.append(one)
    return found


def memory_drawing(setting: Setting, workload: str, falls: list[Waterfall]) -> Drawing:
    """What the peaks are made of."""
    kinds = {k: t for k, t in PART_TITLES.items() if any(p.kind == k for f in falls for p in f.parts)}
    kinds["unexplained"] = "unexplained"
    lines = [_stack(fall, kinds) for fall in falls]

    def draw(palette: Palette, title: str) -> Figure:
        return stacks(lines, kinds, palette, title)

    title = setting.titled(metric_title("peak_rss_bytes", setting.run.workloads.get(workload)))
    seen = "; ".join(f"{line.label}: {line.text}" for line in lines)
    return Drawing(Picture(slug(setting, f"memory-{workload}"), title, "", f"{title}. {seen}."), draw)


def _bubble(setting: Setting, variant: str, task: str, name: str, decode: str) -> Bubble | None:
    y = setting.levels.get((variant, task, name))
    x = setting.levels.get((variant, decode, "decode_tok_s"))
    if x is None or y is None:
        return None
    memory = setting.levels.get((variant, setting.memory_workload() or "", "peak_rss_bytes"))
    pair = next((p for p in setting.accuracy if (p.variant, p.workload, p.metric) == (variant, task, name)), None)
    interval = pair.interval if pair else None
    return Bubble(
        label=variant,
        x=x.value,
        x_low=x.low,
        x_high=x.high,
        y=100 * y.value,
        y_low=100 * (y.value - pair.diff + interval.low) if pair and interval else None,
        y_high=100 * (y.value - pair.diff + interval.high) if pair and interval else None,
        area=memory.value if memory else None,
        compressed=variant not in setting.run.baselines,
    )


def _bars(setting: Setting, name: str, workload: str, rows: list[Row]) -> Drawing:
    by_variant = {row.variant: row for row in rows}
    lines = [_bar(setting, row) for row in by_variant.values()]

    def draw(palette: Palette, title: str) -> Figure:
        return bars(lines, palette, title)

    return _drawing(setting, name, workload, lines, draw, "")


def _bar(setting: Setting, row: Row) -> Bar:
    label, compressed = row.variant or "the device", row.variant not in setting.run.baselines
    if row.value is None:
        return Bar(label, 0.0, None, None, status_words(row.status), compressed)
    level = setting.levels[row.variant, row.workload, row.metric]
    text = quantity(row.metric, level.value, level.low, level.high)
    rounds = tuple(r.value for r in level.rounds)
    return Bar(label, level.value, level.low, level.high, text, compressed, rounds)


def _effects(setting: Setting, name: str, workload: str, rows: list[Row]) -> Drawing | None:
    first = setting.run.baselines[0]
    lines = [line for row in rows if row.baseline == first and (line := _effect(row))]
    if not lines:
        return None
    by_items = any(r.diff is not None for r in rows)
    axis = f"{'points against' if by_items else 'times that of'} {first}"

    def draw(palette: Palette, title: str) -> Figure:
        return effects(lines, palette, title, null=0.0 if by_items else 1.0, axis=axis)

    return _drawing(setting, name, workload, lines, draw, "difference" if by_items else "ratio")


def _effect(row: Row) -> Bar | None:
    label = row.variant or "the device"
    if row.diff is not None:
        low, high = (None if e is None else 100 * e for e in (row.diff_low, row.diff_high))
        return Bar(label, 100 * row.diff, low, high, points(row.diff, row.diff_low, row.diff_high), True)
    if row.ratio is not None:
        text = times(row.ratio, row.ratio_low, row.ratio_high)
        return Bar(label, row.ratio, row.ratio_low, row.ratio_high, text, True)
    return None


def _drawing(setting: Setting, name: str, workload: str, lines: Iterable[Bar], draw: Draw, of: str) -> Drawing:
    title = setting.titled(metric_title(name, setting.run.workloads.get(workload)) + (f": {of}" if of else ""))
    better = f"{metric(name).better} is better"
    seen = "; ".join(f"{line.label}: {line.text}" for line in lines)
    file = slug(setting, f"{name}-{workload}" if workload else name)
    return Drawing(Picture(file, title, better, f"{title}, {better}. {seen}."), draw)


def _stack(fall: Waterfall, kinds: dict[str, str]) -> Stack:
    sums = {k: float(sum(p.bytes for p in fall.parts if p.kind == k)) for k in kinds}
    sums["unexplained"] = float(max(0, fall.unexplained_bytes))
    peak = quantity("peak_rss_bytes", fall.peak_bytes)
    text = f"{number(fall.peak_bytes / 2**20, 0)} MiB" if fall.peak_bytes else peak
    return Stack(fall.variant or "", tuple((k, v) for k, v in sums.items() if v), text)


def slug(setting: Setting, text: str) -> str:
    """A file name that is safe anywhere, and another one for another text.

    Settings of one report get a number in front; what loses more than the usual signs gets a hash.
    """
    settings = dict.fromkeys((s.run, s.device, s.runtime) for s in setting.report.rows if s.runtime)
    key = (setting.run.id, setting.device.name, setting.runtime)
    place = list(settings).index(key) + 1 if key in settings else 1
    prefix = f"{place}-" if len(settings) > 1 else ""
    text = f"{setting.family}-{text}" if setting.family else text
    name = re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:80]
    usual = len(text) <= 80 and re.fullmatch(r"[A-Za-z0-9_ +-]+", text)
    return prefix + (name if usual else f"{name}-{digest(text)[:6]}")
