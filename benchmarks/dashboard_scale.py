"""How fast the dashboard is at 200 series × 1,825 nights: `python benchmarks/dashboard_scale.py`.

Times of writing it, and in headless Chromium from opening a file to the first paint of its content: of the overview
with all 200 sparklines in the document, of a series' page with its chart, both in a fresh page, and of a series that is
opened from the overview by a click. Printed are medians and the longest.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402

from harness.analyse.history.values import History  # noqa: E402
from harness.render.dashboard.site import write_dashboard  # noqa: E402
from tests.histories import large  # noqa: E402

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SERIES, NIGHTS = 200, 1825
WRITES, TURNS = 3, 9
PAINTED = """async selector => {
  while (!document.querySelector(selector)) {
    if (performance.now() > 10000) throw new Error(`${selector}: not there`);
    await new Promise(requestAnimationFrame);
  }
  return await new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0)));
}"""
"""Milliseconds from navigation to the frame in which the selector's element is painted."""
CLICKED = """async selector => {
  const begun = performance.now();
  document.querySelector('.card').click();
  while (!document.querySelector(selector)) await new Promise(requestAnimationFrame);
  return await new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun), 0)));
}"""
OVERVIEW, CHART = f".cards li:nth-child({SERIES})", ".u-over"


def main() -> None:
    history = large(SERIES, NIGHTS)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out = Path(folder)
        said("written", [written(history, out) for _ in range(WRITES)], "s")
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        print(f"{SERIES} series × {NIGHTS:,} nights: {size / 1e6:.1f} MB in {len(list(out.rglob('*'))):,} files")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        index = (out / "index.html").as_uri()
        said("overview painted", [opened(browser, index, OVERVIEW) for _ in range(TURNS)], "ms")
        said("overview with all nights", [opened(browser, f"{index}#/?span=all", OVERVIEW) for _ in range(TURNS)], "ms")
        pages = [f"{index}#/series/{one.id}" for one in history.series[:TURNS]]
        said("series page, from nothing", [opened(browser, page, CHART) for page in pages], "ms")
        said("series page, all nights", [opened(browser, f"{page}?from=2020-01-01", CHART) for page in pages], "ms")
        said("series page, from the overview", [clicked(browser, index) for _ in range(TURNS)], "ms")
        browser.close()


def said(what: str, values: list[float], unit: str) -> None:
    digits = 2 if unit == "s" else 0
    print(
        f"{what}: median {median(values):.{digits}f} {unit}, longest {max(values):.{digits}f} {unit} of {len(values)}"
    )


def written(history: History, out: Path) -> float:
    begun = time.perf_counter()
    write_dashboard(history, out)
    return time.perf_counter() - begun


def opened(browser: Any, address: str, selector: str) -> float:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(address, wait_until="commit")
    found = float(page.evaluate(PAINTED, selector))
    page.close()
    return found


def clicked(browser: Any, address: str) -> float:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(address)
    page.evaluate(PAINTED, OVERVIEW)
    found = float(page.evaluate(CLICKED, CHART))
    page.close()
    return found


if __name__ == "__main__":
    main()
