"""One published row beside what was measured for it."""

from harness.analyse.findings import Level, Row
from harness.analyse.verdicts.bands import Band, Word, judge
from harness.analyse.verdicts.figures import of_interval, of_ratio, published_figure
from harness.analyse.verdicts.places import Place
from harness.analyse.verdicts.values import Beside
from harness.metrics import Metric, metric
from harness.published import ClaimFile, Expression, printed, published_metric, scale_of
from harness.stats import Interval


def measure_row(
    file: ClaimFile,
    name: str,
    found: dict[str, Place],
    workload: str | None,
    metric_name: str,
    expressed: Expression,
    unit: str | None,
    tolerance: float,
) -> Beside | str:
    """The row's measured figure, or in words why there is none."""
    published = file.rows[name]
    place = found.get(name)
    if place is None:
        return f"no run stands for {name}"
    if workload is None:
        return f"{place.variant.name} has no value of {metric_name}"
    baseline = found.get(published.baseline) if published.baseline else None
    if expressed != "value" and baseline is None:
        return f"no run stands for the baseline {published.baseline} of {name}"
    rows = [r for r in place.rows(metric_name) if r.workload == workload]
    row = next((r for r in rows if baseline is None or r.baseline == baseline.variant.name), None)
    if row is None:
        return f"{place.variant.name} was not compared with {baseline.variant.name if baseline else 'a baseline'}"
    if row.value is None:
        return f"{place.variant.name}: {row.reason or row.status}"
    return _beside(file, name, place, baseline, row, expressed, unit, tolerance)


def _beside(
    file: ClaimFile,
    name: str,
    place: Place,
    baseline: Place | None,
    row: Row,
    expressed: Expression,
    unit: str | None,
    tolerance: float,
) -> Beside | str:
    one = metric(row.metric)
    figure, interval = _figure(row, place.level(row.metric, row.workload), expressed, unit, one)
    if figure is None:
        why = next((n for n in row.notes if n.startswith("no ratio")), "no ratio: the values allow none")
        return f"{place.variant.name}: {why}"
    word, reason = _word(file, name, row.metric, expressed, figure, interval, tolerance, one)
    published = file.rows[name]
    base = file.rows[published.baseline] if published.baseline else None
    return Beside(
        row=name,
        variant=place.variant.name,
        baseline=baseline.variant.name if baseline else None,
        run=place.run.id,
        metric=row.metric,
        workload=row.workload,
        unit=row.unit,
        value=row.value,
        baseline_value=row.baseline_value if baseline else None,
        published=_published(file, published.values.get(row.metric), row.metric),
        published_baseline=_published(file, base.values.get(row.metric) if base else None, row.metric),
        printed=_printed(file, published.values.get(row.metric), row.metric),
        printed_baseline=_printed(file, base.values.get(row.metric) if base else None, row.metric),
        ratio=row.ratio,
        ratio_interval=_interval(row.ratio_low, row.ratio_high),
        figure=figure,
        figure_interval=interval,
        word=word,
        reason=reason,
        rounds=_rounds(place, baseline, row, expressed),
    )


def _figure(
    row: Row, level: Level | None, expressed: Expression, unit: str | None, one: Metric
) -> tuple[float | None, Interval | None]:
    if expressed == "points":
        low, high = row.diff_low, row.diff_high
        between = None if low is None or high is None else Interval(low=100 * low, high=100 * high)
        return (None if row.diff is None else 100 * row.diff), between
    if expressed == "value":
        scale = scale_of(one, unit or one.unit) or 1.0
        if row.value is None:
            return None, None
        alone = _interval(level.low if level else None, level.high if level else None)
        return row.value / scale, alone and Interval(low=alone.low / scale, high=alone.high / scale)
    if row.ratio is None or row.ratio <= 0:
        return None, None
    return of_ratio(row.ratio, expressed, one), of_interval(_interval(row.ratio_low, row.ratio_high), expressed, one)


def _word(
    file: ClaimFile,
    name: str,
    metric_name: str,
    expressed: Expression,
    figure: float,
    interval: Interval | None,
    tolerance: float,
    one: Metric,
) -> tuple[Word, str]:
    """Of the row alone, where the publication prints what it should be."""
    published = file.rows[name]
    base = file.rows[published.baseline] if published.baseline else None
    if expressed in ("points", "value"):
        return "not attempted", "the row alone has no printed figure in these terms"
    wanted = published_figure(
        published.values.get(metric_name),
        base.values.get(metric_name) if base else None,
        published.changes.get(metric_name),
        expressed,
        one,
    )
    if wanted is None:
        return "not attempted", "the publication prints no figure for this row"
    if interval is None:
        return "inconclusive", "no interval: too few rounds"
    band = Band(low=min(wanted.low, wanted.value - tolerance), high=max(wanted.high, wanted.value + tolerance))
    return judge(band, interval, "higher"), f"printed {wanted.value:.4g}, measured {figure:.4g}"


def _rounds(
    place: Place, baseline: Place | None, row: Row, expressed: Expression
) -> tuple[tuple[int, float, float], ...]:
    own = place.level(row.metric, row.workload)
    other = baseline.level(row.metric, row.workload) if baseline else None
    if own is None or other is None or expressed not in ("reduction", "times"):
        return ()
    values = {r.round: r.value for r in own.rounds}
    bases = {r.round: r.value for r in other.rounds}
    return tuple(
        (r, values[r], bases[r]) for r in sorted(values.keys() & bases.keys()) if bases[r] > 0 and values[r] > 0
    )


def _published(file: ClaimFile, text: str | None, metric_name: str) -> float | None:
    one, column = published_metric(metric_name), file.columns.get(metric_name)
    if text is None or one is None or column is None:
        return None
    return printed(text, scale_of(one, column.unit) or 1.0).value


def _printed(file: ClaimFile, text: str | None, metric_name: str) -> str | None:
    column = file.columns.get(metric_name)
    return None if text is None or column is None else f"{text} {column.unit}"


def _interval(low: float | None, high: float | None) -> Interval | None:
    return None if low is None or high is None else Interval(low=low, high=high)
