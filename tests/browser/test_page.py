"""The page in a real browser: no request, no overflow, light and dark, contrast, paper."""

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.analyse.audit import audit
from harness.analyse.compare import analyse
from harness.analyse.findings import Report
from harness.analyse.verdicts.check import check
from harness.claim_files import load_claims
from harness.render.audit_page import write_audit
from harness.render.report import write_report
from harness.values import Cell, Stands, TrialRecord
from tests.builders import build_and_read, only

pytestmark = pytest.mark.chromium
NAMES = ("plain", "two", "claims", "audit")
SCREENSHOTS = Path(os.environ.get("BENCH_SCREENSHOTS", "build/screenshots"))
"""Kept after the tests, for people to look at."""
LONG = "a-reason-without-any-place-to-break-" * 6

COLOURS = """() => {
  const scratch = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (css) => {
    scratch.clearRect(0, 0, 1, 1); scratch.fillStyle = css; scratch.fillRect(0, 0, 1, 1);
    return Array.from(scratch.getImageData(0, 0, 1, 1).data);
  };
  const behind = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const found = rgb(getComputedStyle(n).backgroundColor);
      if (found[3] > 0) return found;
    }
    return [255, 255, 255, 255];
  };
  const seen = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim()) continue;
    const style = getComputedStyle(node);
    const front = rgb(node.closest('svg') ? style.fill : style.color);
    seen[[front, behind(node)].join('|')] = [front, behind(node), walker.currentNode.data.trim().slice(0, 40)];
  }
  return Object.values(seen);
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A plain report, and one of two runs with long reasons."""
    folder = tmp_path_factory.mktemp("pages")

    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        if only(cell, variant="int8", measure="speed"):
            return msgspec.structs.replace(record, status="failed", reason=LONG, observations=())
        return msgspec.structs.replace(record, noise=(LONG,))

    plain = build_and_read(folder)
    other = build_and_read(folder, name="20260715T101500Z-quick-example-00bb", threads=8, change=change)
    write_report(analyse([plain]), folder / "plain")
    write_report(analyse([plain, other]), folder / "two")
    write_report(beside_claims(folder), folder / "claims")
    write_audit(audit(load_claims("llama32-quantized")), folder / "audit")
    return {name: folder / name / "index.html" for name in NAMES}


def beside_claims(folder: Path) -> Report:
    """A run whose suite stands beside Meta's card, although it is of another model."""
    of = {"bf16": "bf16", "spinquant": "int4-ptq", "qlora": "int8"}
    rows = {f"{model}-{name}": variant for model in ("1b", "3b") for name, variant in of.items()}
    stands = {"llama32-quantized": {row: Stands(variant=variant) for row, variant in rows.items()}}
    report = analyse([build_and_read(folder, name="20260716T101500Z-quick-example-00cc", claims=stands)])
    checked = check(load_claims("llama32-quantized"), report)
    return msgspec.structs.replace(report, claims=(checked,))


def opened(browser: Any, path: Path, *, width: int = 1400, scheme: str = "light") -> Any:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("name", NAMES)
def test_the_page_asks_for_nothing_and_complains_of_nothing(browser: Any, pages: dict[str, Path], name: str) -> None:
    page = browser.new_page()
    requests: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(pages[name].as_uri(), wait_until="networkidle")
    assert requests == [pages[name].as_uri()]
    assert said == []
    page.close()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [320, 400, 768, 1400])
def test_nothing_is_wider_than_the_screen(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    page = opened(browser, pages[name], width=width)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = page.evaluate(
        """(width) => [...document.querySelectorAll('main *, footer *')]
          .filter((n) => !n.closest('.scroll, svg') && n.getBoundingClientRect().right > width + 0.5)
          .map((n) => n.tagName + '.' + n.className + ': ' + n.textContent.slice(0, 40))""",
        width,
    )
    assert beyond == []
    page.close()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 1400), ("light", 400)])
def test_screenshots_are_kept(browser: Any, pages: dict[str, Path], name: str, scheme: str, width: int) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page = opened(browser, pages[name], width=width, scheme=scheme)
    picture = SCREENSHOTS / f"{name}-{scheme}-{width}.png"
    picture.unlink(missing_ok=True)
    page.screenshot(path=picture, full_page=True)
    page.close()
    assert picture.stat().st_size > 50_000


def test_claims_stand_on_the_first_screen(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["claims"])
    cards = page.locator(".screen .card").all_inner_texts()
    page.close()
    size = next(text for text in cards if text.startswith("Size"))
    assert "56%" in size and "not comparable" in size and "parameters" in size


def test_the_dark_scheme_is_dark(browser: Any, pages: dict[str, Path]) -> None:
    backgrounds = {}
    for scheme in ("light", "dark"):
        page = opened(browser, pages["plain"], scheme=scheme)
        backgrounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        label = page.evaluate("getComputedStyle(document.querySelector('.plot svg text')).fill")
        ink = page.evaluate("getComputedStyle(document.body).color")
        assert label == ink
        page.close()
    assert sum(map(int, re.findall(r"\d+", backgrounds["light"])[:3])) > 700
    assert sum(map(int, re.findall(r"\d+", backgrounds["dark"])[:3])) < 120


@pytest.mark.parametrize("name", ["two", "claims", "audit"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(browser: Any, pages: dict[str, Path], scheme: str, name: str) -> None:
    page = opened(browser, pages[name], scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    pairs = page.evaluate(COLOURS)
    page.close()
    assert len(pairs) >= 3
    for front, behind, text in pairs:
        assert contrast(front, behind) >= 4.5, (text, front, behind)


def headings(page: Any) -> list[int]:
    return [
        int(tag[1])
        for tag in page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map((n) => n.tagName)")
    ]


def skipped(levels: list[int]) -> list[tuple[int, int]]:
    return [(a, b) for a, b in zip([0, *levels], levels, strict=False) if b > a + 1]


@pytest.mark.parametrize("name", NAMES)
def test_headings_are_in_order(browser: Any, pages: dict[str, Path], name: str) -> None:
    page = opened(browser, pages[name])
    levels = headings(page)
    page.close()
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert skipped(levels) == []


def test_a_skipped_heading_would_be_seen() -> None:
    assert skipped([1, 3, 2, 3]) == [(1, 3)]
    assert skipped([1, 2, 3, 2, 2]) == []
    assert skipped([2, 3]) == [(0, 2)]


def test_commands_and_raw_data_unfold(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["plain"])
    for name, least in (("commands", 20), ("raw", 100)):
        table = page.locator(f"#{name} table")
        assert not table.is_visible()
        page.locator(f"#{name} summary").first.click()
        assert table.is_visible()
        assert table.locator("tbody tr").count() > least
    page.close()


def contrast(front: list[float], behind: list[float]) -> float:
    """WCAG's contrast ratio of two opaque colours."""

    def luminance(colour: list[float]) -> float:
        parts = [c / 255 for c in colour[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(front), luminance(behind)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_wcags() -> None:
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast([118, 118, 118], [255, 255, 255]) == pytest.approx(4.54, abs=0.01)


def test_the_first_screen_holds_the_cards_and_the_cost(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["plain"])
    assert page.locator(".cards .card").count() == 4
    for selector in (".lead", ".cards", ".cost .headline"):
        box = page.locator(selector).first.bounding_box()
        assert box["y"] + box["height"] < 900, selector
    page.close()


def test_it_can_be_used_with_a_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["plain"], width=400)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "A"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    reachable = page.evaluate("[...document.querySelectorAll('.scroll')].every((n) => n.tabIndex === 0)")
    assert reachable
    page.close()


def test_it_prints(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["plain"], scheme="dark")
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 14
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 less its margins, at 96 dpi
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    page.close()
