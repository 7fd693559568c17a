"""How fluid the page of single questions is: `python benchmarks/items_page.py`.

A page of 20,000 questions in headless Chromium: from opening to the first paint; from words in the search (with the
pause in which more letters are waited for), a filter or another order to the painted list; and the frames while the
list is scrolled from end to end. Printed are medians and the longest; a frame of 16.7 ms is what a screen of 60 Hz
shows without a gap.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402

from harness.analyse.drill import DrillDown  # noqa: E402
from harness.render.items_page import items_page  # noqa: E402
from tests.browser.test_items_page import COUNT, drilled, paired, written  # noqa: E402

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
TURNS = 5
KINDS = {
    "choices": (drilled, ("what is 17000 ×", "subject_56 19", "question 1", "")),
    "generated texts": (written, ("problem 17000?", "problem 1", "problem 19", "")),
}
"""How an item is made, and searches of which each leaves another number of questions."""
PAINTED = "() => new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0)))"
SEARCHED = """async text => {
  const field = document.querySelector('#search'), count = document.querySelector('#count');
  const before = count.textContent, begun = performance.now();
  field.value = text;
  field.dispatchEvent(new Event('input', {bubbles: true}));
  while (count.textContent === before) {
    if (performance.now() - begun > 10000) throw new Error(`${text}: still ${before}`);
    await new Promise(requestAnimationFrame);
  }
  return await (PAINTED)() - begun;
}""".replace("PAINTED", PAINTED)
CHOSEN = """async ([selector, value]) => {
  const found = document.querySelector(selector), begun = performance.now();
  if (value === null) found.click();
  else { found.value = value; found.dispatchEvent(new Event('change', {bubbles: true})); }
  return await (PAINTED)() - begun;
}""".replace("PAINTED", PAINTED)
SCROLLED = """async () => {
  const list = document.querySelector('#list'), steps = 120, found = [];
  let last = await new Promise(requestAnimationFrame);
  for (let step = 0; step <= steps; step++) {
    list.scrollTop = list.scrollHeight * step / steps;
    const now = await new Promise(requestAnimationFrame);
    found.push(now - last);
    last = now;
  }
  return found;
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name, (make, searches) in KINDS.items():
            path = Path(folder, f"{make.__name__}.html")
            path.write_text(items_page(DrillDown(paired(), tuple(map(make, range(COUNT))))), encoding="utf-8")
            print(f"\n{COUNT:,} questions with {name}, {path.stat().st_size / 1e6:.1f} MB")
            for what, values in measured(browser, path.as_uri(), searches).items():
                print(f"{what}: median {median(values):.0f} ms, longest {max(values):.0f} ms")
        browser.close()


def measured(browser: Any, address: str, searches: tuple[str, ...]) -> dict[str, list[float]]:
    """Milliseconds."""
    found: dict[str, list[float]] = {"first paint": [], "search": [], "filter": [], "order": [], "scrolled frame": []}
    for _ in range(TURNS):
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address)
        page.wait_for_selector("#row-0")
        found["first paint"].append(
            page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        )
        found["search"] += [page.evaluate(SEARCHED, text) for text in searches]
        found["filter"] += [page.evaluate(CHOSEN, [f"#filter-{name}", None]) for name in ("lost", "other", "all")]
        found["order"] += [page.evaluate(CHOSEN, ["#sort", order]) for order in ("asked", "moved", "changed")]
        found["scrolled frame"] += page.evaluate(SCROLLED)
        page.close()
    return found


if __name__ == "__main__":
    main()
