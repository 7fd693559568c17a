"""What the overview shows and every page needs: nights, metrics, a row a series, tiles of devices × suites."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from harness.analyse.history.values import History, Series
from harness.render.dashboard.scripts import Table, line, night_key, nights_key, series_key
from harness.render.dashboard.sparks import Window, spark
from harness.render.dashboard.states import STATES, day, headline, open_gap, seconds, spread, standing, state
from harness.render.dashboard.told import gap_data, metric_words, size

RECENT_DAYS = 90
STRIP_DAYS = 30
DAY_S = 86400


def overview_data(
    history: History, versions: Mapping[str, str], links: Mapping[str, str], troubles: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything but points; `versions` are those of the other files of data, `links` of runs."""
    times = [seconds(night.started) for night in history.nights]
    end = _end(history, times)
    window = Window(end - RECENT_DAYS * DAY_S, end)
    places = _places(history)
    rows = [_row(one, places, times, window, versions) for one in _sorted(history.series)]
    return {
        "made": line(history.made),
        "madeAt": seconds(history.made),
        "newest": max(times, default=end),
        "end": end,
        "nights": _nights(history, times, versions, links),
        "metrics": {line(name): metric_words(name) for name in dict.fromkeys(one.metric for one in history.series)},
        "series": rows,
        "tiles": _tiles(history, places, times, day(end)),
        "recentDays": RECENT_DAYS,
        "sparksVersion": versions["sparks"],
        "states": STATES,
        "troubles": [line(one) for one in troubles],
        "unreadable": [line(one) for one in history.unreadable],
    }


def sparks_data(history: History) -> dict[str, Any]:
    """Series → its sparkline of all nights."""
    times = [seconds(night.started) for night in history.nights]
    end = _end(history, times)
    window = Window(min(times, default=end), end)
    return {series_key(one.id): spark(one, _times(one, times), window) for one in history.series}


def _end(history: History, times: Sequence[int]) -> int:
    """Pictures end when the history was made, not at its newest night: what is missing since is seen."""
    return max([*times, seconds(history.made)])


def _times(series: Series, times: Sequence[int]) -> list[int]:
    return [times[point.night] for point in series.points]


def _sorted(series: Sequence[Series]) -> list[Series]:
    """The worst state first, within a state as the history has them."""
    return sorted(series, key=lambda one: STATES.index(state(one)))


def _places(history: History) -> dict[tuple[str, str], str]:
    """Device as people read it: with its host where other hosts have a device of that name."""
    hosts = defaultdict(set)
    for one in history.series:
        hosts[one.device].add(one.host)
    return {
        (one.device, one.host): line(one.device if len(hosts[one.device]) == 1 else f"{one.device} @{one.host[:6]}")
        for one in history.series
    }


def _nights(
    history: History, times: Sequence[int], versions: Mapping[str, str], links: Mapping[str, str]
) -> dict[str, Any]:
    keys = [night_key(night.run) for night in history.nights]
    suites, hosts = Table(), Table()
    return {
        "run": [line(night.run) for night in history.nights],
        "at": list(times),
        "suite": [suites(line(night.suite)) for night in history.nights],
        "host": [hosts(line(night.host)) for night in history.nights],
        "key": keys,
        "numbered": nights_key(night.run for night in history.nights),
        "version": [versions[key] for key in keys],
        "link": [links.get(night.run, "") for night in history.nights],
        "suites": suites.values,
        "hosts": hosts.values,
    }


def _row(
    series: Series,
    places: dict[tuple[str, str], str],
    times: Sequence[int],
    window: Window,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    key = series_key(series.id)
    gap = open_gap(series)
    count = len(series.points)
    return {
        "id": key,
        "version": versions[key],
        "suite": line(series.suite),
        "place": places[series.device, series.host],
        "device": line(series.device),
        "host": line(series.host),
        "runtime": series.runtime and line(series.runtime),
        "variant": series.variant and line(series.variant),
        "workload": line(series.workload),
        "metric": line(series.metric),
        "title": line(series.title),
        "state": state(series),
        "spread": spread(series),
        "news": _news(series),
        "gap": None if gap is None else gap_data(series, gap),
        "latest": _latest(series),
        "steps": [[series.points[one.at].night, one.worse, one.tier] for one in series.changes if one.at < count],
        "cuts": [series.points[cut.at].night for cut in series.cuts if cut.at < count],
        "spark": spark(series, _times(series, times), window),
    }


def _latest(series: Series) -> dict[str, Any] | None:
    """The newest point: its night, value or reason, and marks."""
    if not series.points:
        return None
    point = series.points[-1]
    marks = [line(mark) for mark in point.marks]
    reason = None if point.value is not None else line(point.reason or "not told")
    return {"night": point.night, "value": point.value, "reason": reason, "marks": marks}


def _news(series: Series) -> dict[str, Any] | None:
    """The change to tell first, and how many others stand."""
    change = headline(series)
    if change is None or change.at >= len(series.points):
        return None
    words, span = size(series, change)
    return {
        "size": words,
        "span": span,
        "worse": change.worse,
        "tier": change.tier,
        "night": series.points[change.at].night,
        "nights": change.nights,
        "known": change.acknowledged is not None,
        "others": len(standing(series)) - 1,
    }


def _tiles(
    history: History, places: dict[tuple[str, str], str], times: Sequence[int], end: str
) -> list[dict[str, Any]]:
    """Of each device and suite what every one of the last nights gave, oldest first."""
    groups: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for one in history.series:
        groups[places[one.device, one.host], line(one.suite)].append(one)
    days = [(date.fromisoformat(end) - timedelta(days=back)).isoformat() for back in reversed(range(STRIP_DAYS))]
    return [
        {"place": place, "suite": suite, "strip": _strip(series, times, days), "first": days[0]}
        for (place, suite), series in groups.items()
    ]


def _strip(series: Sequence[Series], times: Sequence[int], days: Sequence[str]) -> list[Any]:
    """A night: `[values, failures, alerts, watches that began]`; None where no run was."""
    found: dict[str, list[int]] = {}
    for one in series:
        worse = {change.at: change.tier for change in one.changes if change.worse}
        first = len(one.points)
        while first and day(times[one.points[first - 1].night]) >= days[0]:
            first -= 1
        for at in range(first, len(one.points)):
            counts = found.setdefault(day(times[one.points[at].night]), [0, 0, 0, 0])
            counts[one.points[at].value is None] += 1
            if at in worse:
                counts[2 if worse[at] == "alert" else 3] += 1
    return [found.get(one) for one in days]
