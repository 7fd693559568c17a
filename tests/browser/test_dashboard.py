"""The dashboard in a real browser, from a file: clicks, filters, addresses, keys, colours, widths, hostile names."""

import os
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import expect

from harness.analyse.history.values import Acknowledgement, Cut, Difference, History, Missing
from harness.metrics import METRICS
from harness.render.dashboard.site import write_dashboard
from harness.render.dashboard.told import metric_words
from harness.render.words import gain, points, quantity, times
from harness.stats import ratio_interval
from tests.browser.test_page import COLOURS, contrast
from tests.histories import CONFIRMED, example, nights, series, step, with_changes

pytestmark = pytest.mark.chromium
SCREENSHOTS = Path(os.environ.get("BENCH_SCREENSHOTS", "build/screenshots"))
GOLDEN = Path(__file__).parent.parent / "golden" / "dashboard.txt"
NOW = "2026-11-07T08:00:00Z"
HOSTILE = '</script><script>window.hit=1</script>"><img src=x onerror="window.hit=1">'
TOLD = example()
BY_METRIC = {(one.metric, one.variant, one.device): one.id for one in TOLD.series}
ALERT = BY_METRIC["decode_tok_s", "int4-ptq", "pixel-8"]
CUT = BY_METRIC["energy_j_token", "int4-ptq", "pixel-8"]
FAILING = BY_METRIC["decode_tok_s", "f16", "pixel-8"]
WATCH = BY_METRIC["prefill_tok_s", "int4-spinquant", "pixel-8"]
PAGES = (
    "",
    f"#/series/{ALERT}",
    f"#/series/{FAILING}",
    f"#/series/{WATCH}",
    "#/compare",
    "#/compare?by=variant&a=f16&b=int4-ptq",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dashboard(TOLD, tmp_path_factory.mktemp("dashboard"))


@pytest.fixture(scope="module")
def shared(browser: Any) -> Iterator[Any]:
    """One tab for many tests, since opening one takes longer than most of them."""
    page, said, asked = watched(browser)
    yield page, said, asked
    page.close()


@pytest.fixture
def opened(shared: Any, index: Path) -> Iterator[Any]:
    """The overview, read anew; at its end nothing was asked for from elsewhere and nothing was complained of."""
    page, said, asked = shared
    said.clear()
    asked.clear()
    page.goto("about:blank")
    page.goto(index.as_uri())
    yield page
    assert said == []
    assert [url for url in asked if not url.startswith((index.parent.as_uri(), "data:", "about:"))] == []


def watched(browser: Any, **options: Any) -> tuple[Any, list[str], list[str]]:
    page = browser.new_page(**{"viewport": {"width": 1400, "height": 900}, **options})
    said: list[str] = []
    asked: list[str] = []
    page.clock.set_fixed_time(NOW)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    return page, said, asked


def address(page: Any) -> str:
    return str(page.evaluate("location.hash"))


def to(page: Any, hash_: str) -> None:
    """Another page of the dashboard, when it is there."""
    page.evaluate("(hash) => { location.hash = hash; }", hash_ or "#/")
    ready = {"series": ".u-over", "compare": ".compared"}.get(
        hash_.strip("#/").partition("/")[0].partition("?")[0], ".card"
    )
    page.wait_for_selector(ready)


def names(page: Any) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(".card .name").all_inner_texts()]


def expect_count(page: Any, count: int) -> None:
    expect(page.locator(".many")).to_have_text(f"{count} of {len(TOLD.series)} series")


# ---------------------------------------------------------------- overview


def test_the_overview_counts_and_puts_the_worst_first(opened: Any) -> None:
    counts = opened.locator("#page > .counts .count").all_inner_texts()
    assert counts == ["2 alerts", "1 missing", "2 watches", "1 acknowledged", "1 better", "13 untouched"]
    states = [text.split("\n")[0] for text in opened.locator(".card .word").all_inner_texts()]
    assert states == ["alert", "alert", "missing", "watch", "watch", "acknowledged", "better"]
    tiles = opened.locator(".tile .name").all_inner_texts()
    assert tiles == ["pixel-8", "local", "galaxy-s24"]
    assert "8.6 % slower since 27 Oct" in opened.locator(".tile").first.inner_text()
    assert "could not be read" in opened.inner_text(".banner")


def test_what_is_missing_is_seen_with_its_reason(opened: Any) -> None:
    card = opened.locator(".card.missing").inner_text()
    assert "no value" in card and "6 nights without a value: out of memory: killed after 812 MiB" in card
    assert "no value yet" in opened.locator(".card", has_text="planned").inner_text()
    label = opened.locator(".strip").nth(1).get_attribute("aria-label")
    assert label == "The last 30 days: 26 without a run, 0 with failed cells"
    assert opened.locator(".strip").nth(1).locator(".no-run").count() == 26


def test_counts_filter_and_the_address_keeps_it(opened: Any) -> None:
    opened.click(".count.watch")
    expect_count(opened, 2)
    assert address(opened) == "#/?state=watch"
    assert opened.get_attribute(".count.watch", "aria-pressed") == "true"
    opened.reload()
    expect_count(opened, 2)
    opened.click(".count.watch")
    expect_count(opened, 20)
    opened.go_back()
    expect_count(opened, 2)
    opened.go_back()
    expect_count(opened, 20)
    opened.go_forward()
    expect_count(opened, 2)


def test_selects_search_and_switch_work_together(opened: Any) -> None:
    opened.select_option("#f-device", "galaxy-s24")
    expect_count(opened, 9)
    opened.select_option("#f-metric", label="Decode")
    expect_count(opened, 4)
    opened.fill("#f-q", "QLORA 512")
    expect_count(opened, 1)
    assert names(opened) == ["Decode@512 int4-qlora"]
    assert "device=galaxy-s24" in address(opened) and "q=QLORA+512" in address(opened)
    opened.reload()
    expect_count(opened, 1)
    assert opened.input_value("#f-device") == "galaxy-s24" and opened.input_value("#f-q") == "QLORA 512"
    opened.click(".clear")
    expect_count(opened, 20)
    opened.check("#f-worse")
    expect_count(opened, 6)
    opened.fill("#f-q", "nothing has this")
    expect_count(opened, 0)
    assert opened.inner_text(".none") == "No series fits these filters."


def test_a_tile_chooses_its_device_and_suite(opened: Any) -> None:
    opened.click(".tile:has-text('local')")
    expect_count(opened, 3)
    assert address(opened) == "#/?device=local&suite=accuracy"
    assert opened.locator(".tile").count() == 3, "the others stay to be chosen"
    opened.click(".tile:has-text('local')")
    expect_count(opened, 20)


def test_all_nights_come_when_asked_for(opened: Any) -> None:
    before = opened.locator(".card .drawn").first.get_attribute("d")
    opened.click("text=all nights")
    expect(opened.locator(".card .drawn").first).not_to_have_attribute("d", before)
    assert address(opened) == "#/?span=all"
    assert opened.locator(".card .drawn").count() == 19, "one has no point"


def test_a_filter_from_an_old_link_is_shown(opened: Any) -> None:
    to(opened, "#/?q=decode")
    opened.evaluate("location.hash = '#/?device=sold'")
    expect_count(opened, 0)
    assert opened.locator("#f-device option:checked").inner_text() == "sold (not here)"


# ---------------------------------------------------------------- keyboard


def test_everything_works_with_a_keyboard(opened: Any) -> None:
    opened.keyboard.press("j")
    opened.keyboard.press("j")
    opened.keyboard.press("k")
    assert opened.evaluate("document.activeElement.matches('.cards li:first-child .card')")
    assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    opened.keyboard.press("j")
    opened.keyboard.press("Enter")
    opened.wait_for_selector(".u-over")
    assert opened.inner_text("h2.title") == "Size, int4-ptq"
    opened.keyboard.press("k")
    expect(opened.locator("h2.title")).to_have_text("Decode@512, int4-ptq")
    opened.wait_for_selector(".u-over")
    opened.keyboard.press("Escape")
    opened.wait_for_selector(".card")
    assert opened.evaluate("document.activeElement.textContent").startswith("Decode@512")
    opened.keyboard.press("/")
    assert opened.evaluate("document.activeElement.id") == "f-q"
    opened.keyboard.type("energy w")
    expect_count(opened, 0)
    opened.keyboard.press("Escape")
    expect_count(opened, 20)
    opened.keyboard.press("w")
    expect_count(opened, 6)
    opened.keyboard.press("?")
    assert opened.evaluate("document.getElementById('help').open")
    opened.keyboard.press("Escape")
    assert not opened.evaluate("document.getElementById('help').open")
    opened.focus(".count.alert")
    opened.keyboard.press("Enter")
    expect_count(opened, 2)
    opened.keyboard.press("Enter")
    expect_count(opened, 6)
    opened.keyboard.press("c")
    opened.wait_for_selector(".compared")
    opened.focus(".count.noise")
    opened.keyboard.press("Enter")
    expect(opened.locator(".count.noise")).to_be_focused()
    expect(opened.locator(".count.noise")).to_have_attribute("aria-pressed", "true")
    opened.keyboard.press("o")
    expect_count(opened, 6)


def test_arrows_choose_nights_and_plus_zooms(opened: Any) -> None:
    to(opened, f"#/series/{ALERT}")
    newest = opened.inner_text(".detail h2")
    opened.keyboard.press("ArrowLeft")
    assert opened.inner_text(".detail h2") != newest
    assert "night=2026" in address(opened)
    opened.reload()
    opened.wait_for_selector(".u-over")
    assert opened.inner_text(".detail h2").startswith("6 November 2026")
    opened.keyboard.press("+")
    assert "from=2026" in address(opened)
    opened.keyboard.press("0")
    assert "from=2026-07-01" in address(opened) and "to=" not in address(opened)
    opened.keyboard.press("ArrowRight")
    assert opened.inner_text(".detail h2") == newest


# ---------------------------------------------------------------- a series


def test_a_series_tells_what_changed_since_when_and_how_sure(opened: Any) -> None:
    opened.click(".card.alert >> nth=0")
    opened.wait_for_selector(".u-over")
    assert "8.6 % slower (7.2–10.0) since 27 October 2026, 12 nights" in opened.inner_text(".lead")
    told = " ".join(opened.inner_text(".happened").split())
    assert "21.5 tok/s → 19.6 tok/s" in told
    assert "It may lie anywhere from 26 October 2026 to 28 October 2026." in told
    assert "Confirmed by a rerun of 6 pairs side by side: 0.921× of the last good artifact, bound 0.938×." in told
    assert CONFIRMED.run in told and "b6700 → b6712" in told
    assert "2 nights: no run" in told
    opened.click(".ack summary")
    change = series_of(ALERT).points[series_of(ALERT).changes[0].at]
    assert f"bench ack {ALERT}@{TOLD.nights[change.night].run} --reason" in opened.inner_text(".ack")
    opened.click(".happened .plain >> nth=0")
    assert opened.inner_text(".detail h2").startswith("27 October 2026")


def test_a_night_shows_rounds_run_artifact_and_what_measures_it_again(browser: Any, index: Path) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{index.as_uri()}#/series/{ALERT}")
    page.wait_for_selector(".u-over")
    facts = page.inner_text(".detail")
    assert TOLD.nights[-1].run in facts
    assert "bench run --suite nightly --device pixel-8 --variants f16,int4" in facts
    assert f"bench report {TOLD.nights[-1].run}" in facts
    assert facts.count("19.6") >= 3, "value and rounds"
    page.click(".detail [aria-label='Copy the command'] >> nth=0")
    expect(page.locator("#said")).to_have_text("the command copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("bench run --suite nightly")
    page.click(".environment summary")
    assert "AP4A.250105.002" in page.inner_text(".environment")
    context.close()


def test_a_cut_says_what_differs_and_judges_nothing(opened: Any) -> None:
    to(opened, f"#/series/{CUT}")
    told = " ".join(opened.inner_text(".happened").split())
    assert "cut" in told and "AP4A.250105.002 → AP4A.250905.003" in told and "not there → fan" in told
    assert "not comparable" in told
    assert opened.inner_text(".lead .word") == "untouched"


def test_files_are_told_to_the_last_byte(opened: Any) -> None:
    one = series_of(BY_METRIC["size_bytes", "int4-ptq", "pixel-8"])
    to(opened, f"#/series/{one.id}")
    assert f"1.08 GB {one.points[-1].value:,.0f} bytes" in " ".join(opened.inner_text(".detail").split())
    assert "Nights differ" not in opened.inner_text(".lead"), "exact values have no spread"


def test_failed_nights_are_no_zeros(opened: Any) -> None:
    to(opened, f"#/series/{FAILING}")
    assert "6 nights without a value: out of memory: killed after 812 MiB." in opened.inner_text(".lead")
    cells = opened.locator(".nights tbody tr").nth(0).inner_text()
    assert "no value: out of memory" in cells
    low = opened.evaluate(
        "(id) => bench.load(`series/${id}`).then((d) => Math.min(...d.value.filter((v) => v !== null)))", FAILING
    )
    assert low > 15
    assert "missing, too many" in opened.inner_text(".happened")


def test_doubtful_nights_are_marked(opened: Any) -> None:
    to(opened, f"#/series/{ALERT}?night={TOLD.nights[next(p for p in series_of(ALERT).points if p.marks).night].run}")
    assert "load 1.4 above the free cores" in opened.inner_text(".detail")
    assert "doubtful: load 1.4 above the free cores" in opened.inner_text(".readout")


def series_of(identity: str) -> Any:
    return next(one for one in TOLD.series if one.id == identity)


def test_dragging_zooms_and_back_undoes_it(opened: Any) -> None:
    to(opened, f"#/series/{ALERT}")
    box = opened.locator(".u-over").bounding_box()
    drag(opened, box, 0.5, 0.75)
    expect(opened).to_have_url(re.compile("from="))
    kept = address(opened)
    assert "from=2026-09-0" in kept and "to=2026-10-0" in kept
    assert opened.get_attribute(".spans button:has-text('all')", "aria-pressed") == "false"
    drag(opened, box, 0.2, 0.6)
    expect(opened).not_to_have_url(re.compile(re.escape(kept)))
    opened.go_back()
    expect(opened).to_have_url(re.compile(re.escape(kept)))
    opened.reload()
    opened.wait_for_selector(".u-over")
    box = opened.locator(".u-over").bounding_box()
    opened.mouse.dblclick(box["x"] + 100, box["y"] + 60)
    expect(opened).not_to_have_url(re.compile("to="))
    opened.click("text=30 days")
    assert "from=2026-10-08" in address(opened)


def drag(page: Any, box: dict[str, float], start: float, end: float) -> None:
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=4)
    page.mouse.up()


def test_a_click_in_the_chart_chooses_the_night(opened: Any) -> None:
    to(opened, f"#/series/{ALERT}")
    box = opened.locator(".u-over").bounding_box()
    opened.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + 60)
    expect(opened).to_have_url(re.compile("night="))
    assert "August 2026" in opened.inner_text(".detail h2")


def test_older_nights_come_when_asked_for(opened: Any) -> None:
    to(opened, f"#/series/{ALERT}")
    assert opened.locator(".nights tbody tr").count() == 30
    opened.click(".more")
    assert opened.locator(".nights tbody tr").count() == 60


def test_a_series_that_is_gone_is_said(opened: Any) -> None:
    opened.evaluate("location.hash = '#/series/0000000000000000'")
    opened.wait_for_selector("main .banner")
    assert "no such series" in opened.inner_text("main .banner")


def test_a_file_that_is_missing_is_said(browser: Any, tmp_path: Path) -> None:
    page = browser.new_page()
    place = write_dashboard(TOLD, tmp_path)
    (tmp_path / "data" / f"series-{ALERT}.js").unlink()
    page.goto(f"{place.as_uri()}#/series/{ALERT}")
    page.wait_for_selector("main .banner")
    assert "cannot be read" in page.inner_text("main .banner")
    page.close()


def test_a_page_that_was_open_for_a_night_says_so(browser: Any, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(write_dashboard(example(130), tmp_path).as_uri())
    page.wait_for_selector(".card")
    write_dashboard(example(131), tmp_path)
    to(page, "")
    page.evaluate("(hash) => { location.hash = hash; }", f"#/series/{ALERT}")
    page.wait_for_selector("main .banner")
    assert "written anew since this page was opened" in page.inner_text("main .banner")
    page.click("text=Load the page again")
    page.wait_for_selector(".u-over")
    assert page.inner_text(".detail h2").startswith("8 November 2026")
    page.close()


# ---------------------------------------------------------------- comparisons


def rows(page: Any) -> list[list[str]]:
    page.wait_for_selector(".compared")
    return [
        [" ".join(cell.split()) for cell in row.locator("td").all_inner_texts()]
        for row in page.locator(".compared tbody tr").all()
    ]


def test_two_nights_show_what_is_worse_first_and_hide_nothing(opened: Any) -> None:
    to(opened, "#/compare?a=2026-10-20&b=2026-10-30")
    found = rows(opened)
    assert len(found) == len(TOLD.series)
    judged = [row[4] for row in found]
    assert judged[0].startswith("worse") and found[0][0].startswith("Decode@512, int4-ptq")
    assert "% slower" in found[0][3] and "between: alert since 27 Oct" in judged[0]
    assert sum(text.startswith("within noise") for text in judged) >= 8, "what is within noise is shown"
    counts = opened.locator(".result .count").all_inner_texts()
    assert counts[0] == f"{sum(text.startswith('worse') for text in judged)} worse"
    opened.click(".count.noise")
    expect(opened).to_have_url(re.compile("show=noise"))
    assert all(row[4].startswith("within noise") for row in rows(opened))


def test_nights_beside_a_cut_are_not_compared(opened: Any) -> None:
    to(opened, "#/compare?a=2026-09-10&b=2026-10-05&metric=energy_j_token")
    (row,) = rows(opened)
    assert row[4] == "not comparable a cut lies between"


def test_variants_of_one_run_are_compared_by_rounds(opened: Any) -> None:
    to(opened, "#/compare?by=variant&a=f16&b=int4-ptq&device=galaxy-s24")
    found = {row[0]: row for row in rows(opened)}
    decode = next(row for name, row in found.items() if name.startswith("Decode"))
    assert "(" in decode[3] and decode[4] in ("better", "worse", "within noise")
    size = next(row for name, row in found.items() if name.startswith("Size"))
    assert size[1] == "not measured for f16" and size[4] == "missing on one side"
    before = decode[1], decode[2]
    opened.click("[aria-label='Swap A and B']")
    expect(opened).to_have_url(re.compile("a=int4-ptq"))
    found = {row[0]: row for row in rows(opened)}
    after = next(row for name, row in found.items() if name.startswith("Decode"))
    assert (after[2], after[1]) == before


def test_devices_are_compared_by_what_their_nights_leave(opened: Any) -> None:
    to(opened, "#/compare")
    opened.click(".sides >> text=Devices")
    opened.wait_for_selector("#side-night")
    opened.select_option("#side-a", "galaxy-s24")
    opened.select_option("#side-b", "pixel-8")
    expect(opened).to_have_url(re.compile("b=pixel-8"))
    decode = next(row for row in rows(opened) if row[0].startswith("Decode@512, int4-ptq"))
    assert decode[4] == "worse" and "% slower" in decode[3]
    opened.reload()
    assert opened.input_value("#side-a") == "galaxy-s24" and len(rows(opened)) > 5


def test_the_interval_of_a_ratio_is_students(opened: Any) -> None:
    a, b = [20.0, 21.0, 22.0, 20.5, 21.5], [18.0, 19.5, 20.0, 18.0, 19.9]
    expected = ratio_interval(b, a)
    assert expected is not None
    low, high = opened.evaluate("([a, b]) => bench.judge.paired(a, b)", [a, b])
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-3)
    assert opened.evaluate("bench.judge.paired([1, 2], [1, 2])") is None


# ---------------------------------------------------------------- words


def test_numbers_are_said_as_in_the_report(opened: Any) -> None:
    values = [0.0, 3e-5, 0.00123, 0.0125, 0.25, 0.5, 0.97, 1.0, 1.005, 2.5, 9.995, 48.31, 125.0, 999.5, 1e4, 123456.0]
    values += [1e9, 1_071_584_256.0, float(2**30), 2.0**31]
    asked, expected = [], []
    for name in METRICS:
        words = metric_words(name)
        for value in values:
            for half in (None, 0.004 * value, 0.07 * value):
                low, high = (None, None) if half is None else (value - half, value + half)
                asked.append(["quantity", words, value, low, high])
                expected.append(quantity(name, value, low, high))
        for ratio in (0.3, 0.5, 0.912, 0.99, 0.9996, 1.0004, 1.02, 1.5, 3.14):
            for width in (None, 0.001, 0.03, 0.2):
                low, high = (None, None) if width is None else (ratio * (1 - width), ratio * (1 + width))
                said = gain(name, ratio, low, high)
                asked.append(["gain", words, ratio, low, high])
                expected.append([said.phrase, said.span])
    for ratio in (0.281, 0.95, 1.0, 1.04, 12.5):
        asked += [["times", ratio, None, None], ["times", ratio, ratio * 0.98, ratio * 1.02], ["points", ratio - 1]]
        expected += [times(ratio, None, None), times(ratio, ratio * 0.98, ratio * 1.02), points(ratio - 1, None, None)]
    found = opened.evaluate("(all) => all.map(([name, ...rest]) => bench.words[name](...rest))", asked)
    wrong = [(a, f, e) for a, f, e in zip(asked, found, expected, strict=True) if f != e]
    assert wrong == []


def test_the_words_are_those_that_were_read(opened: Any) -> None:
    """`BENCH_REGENERATE=1` writes the golden file anew."""
    texts = []
    for hash_ in PAGES:
        to(opened, hash_)
        texts.append(f"== {hash_}\n{opened.inner_text('#page').partition('All nights')[0]}")
    text = "\n".join(texts) + "\n"
    if os.environ.get("BENCH_REGENERATE"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


# ---------------------------------------------------------------- safety


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every string that a run can hold is an attack."""
    times = {day: day for day in range(40)}
    made = [
        msgspec.structs.replace(night, run=f"{HOSTILE}{at}", suite=HOSTILE, host=HOSTILE)
        for at, night in enumerate(nights(40))
    ]
    place = {
        "suite": HOSTILE,
        "host": HOSTILE,
        "device": HOSTILE,
        "runtime": HOSTILE,
        "variant": HOSTILE,
        "workload": HOSTILE,
    }
    one = series(
        times,
        **place,
        lost={39: HOSTILE},
        title=HOSTILE,
        command=("bench", HOSTILE),
        conditions=({HOSTILE: HOSTILE},) * 2,
    )
    marked = tuple(msgspec.structs.replace(p, marks=(HOSTILE,), artifact_sha256=HOSTILE) for p in one.points)
    difference = (Difference(what=HOSTILE, before=HOSTILE, after=None),)
    known = Acknowledgement(by=HOSTILE, reason=HOSTILE, at=HOSTILE)
    confirmed = msgspec.structs.replace(CONFIRMED, run=HOSTILE)
    change = step(one, 30, rule=HOSTILE, between=difference, confirmation=confirmed, acknowledged=known)
    told = with_changes(
        one, change, points=marked, metric=HOSTILE, cuts=(Cut(at=20, differences=difference),),
        missing=(Missing(first=39, nights=1, what=HOSTILE, alert=True),),
    )  # fmt: skip
    other = msgspec.structs.replace(told, id="0" * 16, variant="plain")
    history = History(made="2026-08-09T06:00:00Z", nights=tuple(made), series=(told, other), unreadable=(HOSTILE,))
    return write_dashboard(history, tmp_path_factory.mktemp("hostile"), title=HOSTILE)


@pytest.mark.parametrize(
    "where", ["", "#/series/{}", "#/compare", "#/compare?by=variant", "#/?q=<img src=x onerror=hit>"]
)
def test_hostile_names_are_only_text(browser: Any, hostile: Path, where: str) -> None:
    page, said, asked = watched(browser)
    page.goto(hostile.as_uri())
    identity = page.evaluate("bench.all.series[0].id")
    to(page, where.format(identity)) if "q=" not in where else page.evaluate(
        "(hash) => { location.hash = hash; }", where
    )
    if "series" in where:
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0
    assert page.locator("script").count() <= 6
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400
    assert where.startswith("#/?q") or "<img src=x onerror=" in page.inner_text("#page")
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith((hostile.parent.as_uri(), "data:"))] == []


@pytest.mark.parametrize(
    "hash_", ["#/?device=%E0%A4%A", "#/series/%3Cscript%3E", "#//", "#/compare?by=x&a=__proto__", "#page"]
)
def test_odd_addresses_break_nothing(browser: Any, index: Path, hash_: str) -> None:
    page, said, _ = watched(browser)
    page.goto(index.as_uri() + hash_)
    page.wait_for_selector("#page > *:not(.sub)")
    page.close()
    assert said == []


# ---------------------------------------------------------------- servers, colours, widths


def test_a_web_server_serves_the_same(browser: Any, index: Path) -> None:
    handler = partial(Quiet, directory=str(index.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}/"
    page, said, asked = watched(browser)
    page.goto(place)
    page.click(".card.alert >> nth=0")
    page.wait_for_selector(".u-over")
    to(page, "#/compare")
    page.close()
    server.shutdown()
    server.server_close()
    assert said == []
    assert all(url.startswith((place, "data:")) for url in asked)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast_and_pictures_are_kept(browser: Any, index: Path, scheme: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page, _, _ = watched(browser, color_scheme=scheme)
    page.goto(index.as_uri())
    for number, hash_ in enumerate(PAGES):
        to(page, hash_)
        page.evaluate("document.querySelectorAll('svg title').forEach((n) => n.remove())")
        pairs = page.evaluate(COLOURS)
        page.screenshot(path=SCREENSHOTS / f"dashboard-{number}-{scheme}.png", full_page=True)
        assert len(pairs) >= 5
        for front, behind, text in pairs:
            assert contrast(front, behind) >= 4.5, (hash_, text, front, behind)
    page.close()


def test_the_theme_is_chosen_and_remembered(browser: Any, index: Path) -> None:
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(f"{index.as_uri()}#/series/{ALERT}")
    page.wait_for_selector(".u-over")
    light = background(page), pixel(page)
    page.keyboard.press("t")
    assert page.inner_text("#theme") == "Theme: light" and background(page) == light[0]
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: dark"
    assert sum(background(page)) < 120 < 600 < sum(light[0])
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert pixel(page) != light[1]
    page.reload()
    page.wait_for_selector(".u-over")
    assert page.inner_text("#theme") == "Theme: dark" and sum(background(page)) < 120
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: system" and background(page) == light[0]
    context.close()


def background(page: Any) -> list[int]:
    return [int(part) for part in page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")[:3]]


def pixel(page: Any) -> str:
    return str(page.evaluate("document.querySelector('.uplot canvas').toDataURL()"))


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_the_screen(browser: Any, index: Path, width: int) -> None:
    page, _, _ = watched(browser, viewport={"width": width, "height": 844})
    page.goto(index.as_uri())
    for number, hash_ in enumerate(PAGES):
        to(page, hash_)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, hash_
        beyond = page.evaluate(
            """(width) => [...document.querySelectorAll('body *')]
              .filter((n) => !n.closest('.scroll, svg, .skip, .card, .plot'))
              .filter((n) => n.getBoundingClientRect().right > width + 0.5)
              .map((n) => n.tagName + '.' + n.className + ': ' + n.textContent.slice(0, 40))""",
            width,
        )
        assert beyond == [], hash_
        if width == 390:
            page.screenshot(path=SCREENSHOTS / f"dashboard-{number}-{width}.png", full_page=True)
    page.close()


def test_headings_landmarks_and_names_are_there(opened: Any) -> None:
    for hash_ in PAGES:
        to(opened, hash_)
        levels = opened.evaluate(
            "[...document.querySelectorAll('h1,h2,h3')].filter((n) => n.offsetParent).map((n) => n.tagName)"
        )
        assert levels[0] == "H1" and levels.count("H1") == 1
        assert opened.locator("main").count() == 1
        nameless = opened.evaluate(
            """[...document.querySelectorAll('button, select, input, a, nav, [role=group], [role=region], [role=img]')]
              .filter((n) => !(n.getAttribute('aria-label') || n.textContent.trim() || (n.labels && n.labels.length)))
              .map((n) => n.outerHTML.slice(0, 80))"""
        )
        assert nameless == []


def test_an_old_page_says_so(browser: Any, index: Path) -> None:
    page = browser.new_page()
    page.clock.set_fixed_time("2026-11-12T08:00:00Z")
    page.goto(index.as_uri())
    page.wait_for_selector(".card")
    assert "made 5 days ago" in page.inner_text(".banner >> nth=0")
    page.close()


def test_a_history_without_a_night_is_a_page(browser: Any, tmp_path: Path) -> None:
    page, said, _ = watched(browser)
    page.goto(write_dashboard(History(made=NOW, nights=(), series=()), tmp_path).as_uri())
    page.wait_for_selector(".banner")
    assert "There is no night yet." in page.inner_text("#page")
    page.evaluate("location.hash = '#/compare'")
    page.wait_for_selector(".result .none")
    page.close()
    assert said == []
