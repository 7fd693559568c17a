"""The roofline and the savings by context as drawings."""

from matplotlib.figure import Figure

from harness.metrics import metric
from harness.render.drawings import Drawing, slug
from harness.render.limit_plots import Course, Spot, lines, roofline
from harness.render.limits import rate, share_text
from harness.render.page import Picture
from harness.render.palette import Palette
from harness.render.plots import short
from harness.render.settings import Setting
from harness.render.words import listed, metric_title, number, quantity

MOST_LABELLED = 6
"""Variants from which on their shares stand in the table alone."""


def roof_drawing(setting: Setting) -> Drawing | None:
    """Of the first screen's decode; None where nothing can be placed under a roof."""
    workload = setting.decode_workload()
    known = [
        (r, r.bytes_a_token, r.tok_s, r.allowed_tok_s, r.bandwidth_bytes_s)
        for r in setting.roofs
        if r.workload == workload
    ]
    spots, bandwidth = [], None
    for one, size, tok_s, allowed, read in known:
        if size and tok_s and allowed and read:
            share = f" {share_text(setting, one)}" if len(known) <= MOST_LABELLED else ""
            label = short(one.variant or "") + share
            spots.append(Spot(label, size / 1e6, tok_s, allowed, one.variant not in setting.run.baselines))
            bandwidth = read
    if not spots or bandwidth is None:
        return None
    roof = f"read bandwidth, {quantity('read_bandwidth_bytes_s', bandwidth)}"
    decode = metric_title("decode_tok_s", setting.run.workloads.get(workload or ""))

    def draw(palette: Palette, title: str) -> Figure:
        return roofline(spots, palette, title, x="MB read a token", y=f"{decode}, tok/s", roof=roof)

    title = setting.titled("Roofline of decode")
    caption = "Both axes are logarithmic. The dashed line is what decode leaves of the read bandwidth."
    seen = "; ".join(
        f"{one.variant}: {quantity('size_bytes', size)} a token, {rate(tok_s)}, "
        f"{share_text(setting, one)} of the bandwidth"
        for one, size, tok_s, _, _ in known
        if size and tok_s
    )
    return Drawing(Picture(slug(setting, "roofline"), title, caption, f"{title}, {roof}. {seen}."), draw)


def saving_drawing(setting: Setting) -> Drawing | None:
    """Against the first baseline, by the first screen's memory; None without two points."""
    workload, baseline = setting.memory_workload(), next(iter(setting.run.baselines), None)
    points: dict[str, list[tuple[float, float | None, bool]]] = {}
    for one in setting.footprints:
        saving = next((s for s in one.savings if s.baseline == baseline), None)
        if one.workload == workload and saving is not None and saving.saved is not None:
            points.setdefault(one.variant or "", []).append((float(one.context), 100 * saving.saved, one.computed))
    runs = [Course(variant, tuple(found)) for variant, found in points.items()]
    if len({p[0] for run in runs for p in run.points}) < 2:
        return None

    def draw(palette: Palette, title: str) -> Figure:
        return lines(runs, palette, title, x="context, tokens", y=f"memory saved against {baseline}, %")

    title = setting.titled("Memory saved by context")
    memory = metric_title("peak_rss_bytes", setting.run.workloads.get(workload or ""))
    caption = f"{metric('peak_rss_bytes').title} against {baseline}; filled: measured, rings: computed."
    seen = "; ".join(
        f"{run.label}: {listed([f'{number(v, 0)} % at {at:,.0f}' for at, v, _ in run.points if v is not None])}"
        for run in runs
    )
    return Drawing(Picture(slug(setting, "memory-by-context"), title, caption, f"{title}, {memory}. {seen}."), draw)
