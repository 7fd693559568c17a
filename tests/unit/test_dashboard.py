"""History → files of the dashboard: what they hold, what no string in them can do, and which of them stay."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analyse.history.values import Cut, History, Missing, Series
from harness.errors import InputError, StoreError
from harness.render.dashboard import site
from harness.render.dashboard.scripts import night_key, script, series_key, shortened
from harness.render.dashboard.site import write_dashboard
from harness.render.dashboard.sparks import HEIGHT, WIDTH, Window, spark
from harness.render.dashboard.states import seconds, spread, standing, state
from harness.render.dashboard.told import change_data
from tests.histories import CONFIRMED, KNOWN, example, nights, series, step, with_changes

TIMES = {day: day for day in range(40)}
VENDORED = {
    "uPlot-1.6.32.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot-1.6.32-LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""As the npm registry has them: dist/uPlot.iife.min.js, dist/uPlot.min.css and LICENSE of uplot-1.6.32.tgz."""
HOSTILE = '</script><!--<script>alert(1)</script>"><img src=x onerror=alert(1)>\u2028\u2029\u202e\x1b[31m'


def history(*of: Series, count: int = 40) -> History:
    return History(made="2026-08-09T06:00:00Z", nights=tuple(nights(count)), series=of)


def read(path: Path) -> Any:
    """What a file of data hands over."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("bench.put(...[") and text.endswith("]);\n")
    return json.loads(text[len("bench.put(...") : -len(");\n")])[1]


def written(told: History, out: Path) -> Any:
    write_dashboard(told, out)
    return read(out / "data" / "overview.js")


# ---------------------------------------------------------------- scripts


@given(st.text())
def test_no_string_ends_a_script(text: str) -> None:
    body = script("key", {"text": text + "</script>\u2028"}).decode()
    assert not re.search("[<\u2028\u2029]", body)
    assert body.count("\n") == 1
    assert json.loads(body[len("bench.put(...") : -len(");\n")]) == ["key", {"text": text + "</script>\u2028"}]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-12, max_value=1e15)))
def test_shortened_values_are_the_values(values: list[float]) -> None:
    found = shortened([*values, *(-value for value in values)])
    for value, short in zip([*values, *(-value for value in values)], found, strict=True):
        assert short == pytest.approx(value, rel=6e-7)
        if abs(value) < 1e7:
            assert len(repr(abs(short)).replace(".", "").split("e")[0].strip("0")) <= 7 or short == value
        assert short == value or value != math.floor(value)


def test_shortened_keeps_zero_and_whole_numbers() -> None:
    assert shortened([0.0, 1_071_584_256.0, 2.0**53, 21.400000001, 1 / 3]) == [0, 1_071_584_256, 2**53, 21.4, 0.3333333]


def test_names_of_files_are_hashes() -> None:
    assert series_key("0123456789abcdef") == "0123456789abcdef"
    for name in ("../../etc/passwd", "0123456789ABCDEF", "", "0123456789abcdef\n"):
        assert re.fullmatch(r"[0-9a-f]{16}", series_key(name))
        assert re.fullmatch(r"[0-9a-f]{16}", night_key(name))


def test_vendored_files_are_those_of_the_registry() -> None:
    folder = Path(site.__file__).parent / "vendor"
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found == VENDORED


# ---------------------------------------------------------------- states


def test_each_state_has_its_reason() -> None:
    one = series(TIMES, steps={30: 0.9})
    worse, alert = step(one, 30), step(one, 30, tier="alert")
    gone = Missing(first=34, nights=6, what="failed", alert=True)
    cut = Cut(at=35, differences=())
    assert state(one) == "untouched"
    assert state(with_changes(one, worse)) == "watch"
    assert state(with_changes(one, alert)) == "alert"
    assert state(with_changes(one, msgspec.structs.replace(alert, acknowledged=KNOWN))) == "acknowledged"
    assert state(with_changes(one, worse, missing=(gone,))) == "missing"
    assert state(with_changes(one, alert, missing=(gone,))) == "alert"
    assert state(with_changes(one, missing=(msgspec.structs.replace(gone, nights=5),))) == "untouched"
    assert state(with_changes(one, alert, cuts=(cut,))) == "untouched"


def test_what_came_back_does_not_stand() -> None:
    one = series(TIMES, steps={10: 0.9, 30: 1 / 0.9}, noise=0.001)
    changes = (step(one, 10, tier="alert", after=19.26), step(one, 30, before=19.26))
    told = with_changes(one, *changes)
    assert standing(told) == (changes[1],)
    assert state(told) == "better"
    again = series(TIMES, steps={10: 0.9, 30: 0.9}, noise=0.001)
    twice = with_changes(again, step(again, 10, tier="alert", after=19.26), step(again, 30, before=19.26))
    assert len(standing(twice)) == 2
    assert state(twice) == "alert"


def test_an_old_change_for_the_better_is_no_news() -> None:
    times = {day: day for day in range(80)}
    one = series(times, steps={70: 1.1})
    assert state(with_changes(one, step(one, 70))) == "better"
    old = series(times, steps={10: 1.1})
    assert state(with_changes(old, step(old, 10))) == "untouched"


def test_the_spread_is_that_of_the_nights_and_steps_do_not_widen_it() -> None:
    times = {day: day for day in range(2000)}
    plain = series(times, noise=0.03)
    assert spread(plain) == pytest.approx(0.03, rel=0.08)
    stepped = series(times, noise=0.03, steps={1000: 0.5})
    assert spread(with_changes(stepped, step(stepped, 1000))) == pytest.approx(0.03, rel=0.08)
    assert spread(series({day: day for day in range(5)})) is None


# ---------------------------------------------------------------- what is told


def test_a_change_says_what_the_report_would() -> None:
    one = series(TIMES, steps={30: 0.9}, noise=0.0)
    change = step(one, 30, before=20.0, after=18.0, ratio=0.9, ratio_low=0.88, ratio_high=0.92, confirmation=CONFIRMED)
    found = change_data(one, change, 0.01)
    assert (found["size"], found["span"]) == ("10 % slower", "8–12")
    assert (found["before"], found["after"]) == ("20.0 tok/s", "18.0 tok/s")
    assert found["confirmation"] == {
        "run": CONFIRMED.run, "pairs": 6, "ratio": "0.921×", "bound": "0.938×", "confirmed": True,
    }  # fmt: skip
    points = series(TIMES, "acc")
    assert change_data(points, step(points, 30, before=0.46, after=0.448), None)["size"] == "−1.2 points"
    zero = change_data(one, step(one, 30, before=0.0, ratio=None, ratio_low=None, ratio_high=None), None)
    assert zero["size"].startswith("from 0.0 tok/s to ")


def test_sparklines_stay_in_their_box_and_break_where_nothing_is() -> None:
    missing = Missing(first=20, nights=3, what="no run", alert=False)
    one = series(TIMES, steps={30: 0.5}, lost={10: "failed"})
    told = with_changes(one, step(one, 30), missing=(missing,), cuts=(Cut(at=5, differences=()),))
    times = [seconds(night.started) for night in nights(40)]
    found = spark(told, times, Window(times[0], times[-1]))
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", found["line"] + " " + found["levels"])]
    assert min(numbers) >= 0 and max(numbers) <= max(WIDTH, HEIGHT)
    assert found["line"].count("M") == 3  # at the start, after the cut and after the nights without a run
    assert found["changes"] == [[Window(times[0], times[-1]).x(times[30]), "ww"]]
    assert len(found["gaps"]) == 1 and len(found["cuts"]) == 1


def test_long_sparklines_have_few_points_and_the_range_of_all() -> None:
    times = {day: day for day in range(1000)}
    at = [seconds(night.started) for night in nights(1000)]
    found = spark(series(times), at, Window(at[0], at[-1]))
    assert found["line"].count("L") <= 121
    assert found["band"].startswith("M") and found["band"].endswith("Z")


# ---------------------------------------------------------------- files


def test_all_files_are_there_and_named_with_their_versions(tmp_path: Path) -> None:
    told = example()
    overview = written(told, tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    for name, version in re.findall(r'"((?:assets|data)/[\w.-]+)\?([0-9a-f]{8})"', page):
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest().startswith(version)
    for row in overview["series"]:
        body = (tmp_path / "data" / f"series-{row['id']}.js").read_bytes()
        assert hashlib.sha256(body).hexdigest().startswith(row["version"])
    for key, version in zip(overview["nights"]["key"], overview["nights"]["version"], strict=True):
        body = (tmp_path / "data" / f"night-{key}.js").read_bytes()
        assert hashlib.sha256(body).hexdigest().startswith(version)
    assert {path.name for path in (tmp_path / "assets").iterdir()} >= set(VENDORED)


def test_the_page_allows_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = write_dashboard(example(), tmp_path, title="</title><script>alert(1)</script>").read_text(encoding="utf-8")
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in page
    assert "<script>" not in page and "&lt;script&gt;alert(1)" in page
    assert not re.search(r"https?://|style=| on\w+=", page)


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_dashboard(example(), tmp_path / name)
    one, other = ({path.relative_to(tmp_path / n): path.read_bytes() for path in sorted((tmp_path / n).rglob("*.*"))}
                  for n in ("one", "other"))  # fmt: skip
    assert one == other


def test_old_files_go_and_files_of_others_stay(tmp_path: Path) -> None:
    one, other = series(TIMES), series(TIMES, "ttft_s")
    write_dashboard(history(one, other), tmp_path)
    for name in ("data/notes.js", "data/series-0.js", "report.html", "data/series-0123456789abcdef.js.bak"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    write_dashboard(history(one), tmp_path)
    assert (tmp_path / "data" / f"series-{one.id}.js").exists()
    assert not (tmp_path / "data" / f"series-{other.id}.js").exists()
    assert {p.name for p in tmp_path.rglob("*") if p.is_file() and p.read_text(encoding="utf-8") == "mine"} == {
        "notes.js", "series-0.js", "report.html", "series-0123456789abcdef.js.bak",
    }  # fmt: skip


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "//else.example/x", "data:text/html,x", "/etc/passwd", "\\\\x", ""]
)
def test_a_link_that_could_run_or_leave_is_refused(tmp_path: Path, link: str) -> None:
    told = history(series(TIMES))
    with pytest.raises(InputError, match="neither a path beside the page"):
        write_dashboard(told, tmp_path, links={told.nights[0].run: link})
    assert not (tmp_path / "index.html").exists()


def test_links_of_runs_are_kept(tmp_path: Path) -> None:
    told = history(series(TIMES))
    links = {told.nights[3].run: "../reports/x/index.html", told.nights[4].run: "https://ci.example/7"}
    write_dashboard(told, tmp_path, links=links)
    found = read(tmp_path / "data" / "overview.js")["nights"]["link"]
    assert found[3:6] == ["../reports/x/index.html", "https://ci.example/7", ""]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot write the dashboard into"):
        write_dashboard(history(series(TIMES)), tmp_path / "out")


def test_hostile_strings_are_harmless_in_every_file(tmp_path: Path) -> None:
    lost = dict.fromkeys(range(5), HOSTILE)
    one = series(TIMES, lost=lost, device=HOSTILE, variant=HOSTILE, workload=HOSTILE, command=("bench", HOSTILE))
    told = history(with_changes(one, step(one, 30, rule=HOSTILE)))
    night = msgspec.structs.replace(told.nights[0], run=HOSTILE)
    write_dashboard(msgspec.structs.replace(told, nights=(night, *told.nights[1:]), unreadable=(HOSTILE,)), tmp_path)
    for path in (tmp_path / "data").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search("[<\u2028\u2029\u202e\x1b]", text), path
        read(path)


def test_no_number_is_ever_made_up(tmp_path: Path) -> None:
    one = series(TIMES, lost={39: "out of memory"})
    broken = [msgspec.structs.replace(one.points[20], value=math.nan, rounds=(math.inf, 20.0))]
    points = (*one.points[:20], *broken, *one.points[21:])
    told = history(msgspec.structs.replace(one, points=points))
    overview = written(told, tmp_path)
    found = read(tmp_path / "data" / f"series-{one.id}.js")
    assert found["value"][20] is None and found["rounds"][20] == [20.0]
    assert found["reasons"][found["reason"][20]] == "not a number"
    assert found["value"][39] is None and found["reasons"][found["reason"][39]] == "out of memory"
    assert overview["series"][0]["latest"]["value"] is None
    assert overview["series"][0]["latest"]["reason"] == "out of memory"
    last = read(tmp_path / "data" / f"night-{overview['nights']['key'][39]}.js")
    assert last[one.id] == [None, [], "out of memory", []]


@pytest.mark.parametrize("told", [History(made="2026-08-09T06:00:00Z", nights=(), series=()), history(series({}))])
def test_a_history_of_nothing_is_a_page_too(tmp_path: Path, told: History) -> None:
    overview = written(told, tmp_path)
    assert len(overview["series"]) == len(told.series)


def test_devices_of_one_name_on_two_hosts_are_told_apart(tmp_path: Path) -> None:
    hosts = ("aaaaaaaaaaaa", "bbbbbbbbbbbb")
    overview = written(history(*(series(TIMES, device="local", host=host) for host in hosts)), tmp_path)
    assert {row["place"] for row in overview["series"]} == {"local @aaaaaa", "local @bbbbbb"}
    assert len(overview["tiles"]) == 2


def test_strips_tell_nights_without_a_run_from_failed_ones(tmp_path: Path) -> None:
    times = {day: at for at, day in enumerate(day for day in range(40) if day != 35)}
    one = series(times, lost={38: "failed"})
    made = nights(40, skip=frozenset({35}))
    overview = written(History(made="2026-08-09T06:00:00Z", nights=tuple(made), series=(one,)), tmp_path)
    strip = overview["tiles"][0]["strip"]
    assert len(strip) == 30
    assert strip[-5] is None
    assert strip[-2] == [0, 1, 0, 0]
    assert strip[-1] == [1, 0, 0, 0]


def test_colours_are_those_of_the_report() -> None:
    folder = Path(site.__file__).parent
    own = (folder / "assets" / "dashboard.css").read_text(encoding="utf-8")
    report = (folder.parent / "templates" / "report.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", report, re.DOTALL)[:2]
    )
    ours = {name: (a, b) for name, a, b in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", own)}
    shared = ours.keys() & light.keys()
    assert shared >= {"paper", "ink", "muted", "rule", "wash", "accent", "base", "warn"}
    assert {name: ours[name] for name in shared} == {name: (light[name], dark[name]) for name in shared}


def test_the_script_makes_no_markup_of_strings_and_asks_nobody() -> None:
    ways = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|fetch\(|XMLHttpRequest|WebSocket"
    )
    for path in (Path(site.__file__).parent / "assets").glob("*.js"):
        assert not re.search(ways, path.read_text(encoding="utf-8")), path.name


def test_nights_that_are_missing_up_to_now_are_seen(tmp_path: Path) -> None:
    one = series(TIMES)
    gone = with_changes(one, missing=(Missing(first=40, nights=9, what="no run", alert=True),))
    told = History(made="2026-08-18T06:00:00Z", nights=tuple(nights(40)), series=(gone,))
    overview = written(told, tmp_path)
    assert overview["tiles"][0]["strip"][-10:] == [[1, 0, 0, 0], *[None] * 9]
    assert overview["series"][0]["spark"]["gaps"] == [[pytest.approx(213.6, abs=1), WIDTH - 3, True]]
    assert overview["series"][0]["spark"]["end"][0] < 220
    assert overview["series"][0]["state"] == "missing"
    assert overview["series"][0]["gap"]["words"] == "9 nights: no run"
