"""How long a large report takes: `python benchmarks/large_report.py`.

A synthetic run of 100 cells with 20,000 graded items goes through the real store; then `bench report`
is timed as a whole process, and its page in headless Chromium.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from harness.store import read_lines, read_run  # noqa: E402
from harness.values import Bandwidth, Memory, Size, Speed, Task, Text  # noqa: E402
from tests.builders import TRUTHS, build_run  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
ROUNDS = 5
ITEMS = 1112
MEASURES = (
    Size(),
    Bandwidth(rounds=5, repetitions=5),
    Memory(load_mode="none", rounds=3),
    Memory(load_mode="mmap", rounds=3),
    *(Speed(prompt_tokens=n, generated_tokens=64, rounds=5) for n in (64, 128, 256, 512, 900)),
    Task(task="knowledge_200"),
    Task(task="arc_easy"),
    Text(text="text_5000", reference="f16"),
)
TARGETS = {"bench report": "3 s", "index.html": "5 MB", "first contentful paint": "1 s"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "results")
        out = Path(folder) / "out"
        seconds = sorted(report_seconds(run, out) for _ in range(ROUNDS))
        paints = sorted(first_paints(out / "index.html"))
        size = (out / "index.html").stat().st_size
        show("bench report", f"{median(seconds):.2f} s (min {seconds[0]:.2f}, max {seconds[-1]:.2f})")
        show("index.html", f"{size / 1e6:.2f} MB")
        show("first contentful paint", f"{median(paints):.2f} s (min {paints[0]:.2f}, max {paints[-1]:.2f})")


def show(what: str, value: str) -> None:
    print(f"{what}: {value}; target {TARGETS[what]}")


def make_run(results: Path) -> Path:
    """Two baselines and seven compressed variants over eleven workloads, and the device's bandwidth."""
    truths = {name: TRUTHS[name] for name in ("bf16", "f16")}
    for i in range(7):
        like = TRUTHS["int8" if i % 2 else "int4-ptq"]
        truths[f"variant-{i}"] = replace(like, scheme=f"{like.scheme}, form {i}", decode_tok_s=200 + 20 * i)
    run = build_run(results, truths=truths, measures=MEASURES, items=ITEMS)
    cells = len(read_run(run).plan.cells)
    items = sum(line["kind"] == "item" for path in (run / "items").iterdir() for line in read_lines(path))
    print(f"{cells} cells, {items:,} graded items")
    return run


def report_seconds(run: Path, out: Path) -> float:
    command = [sys.executable, "-m", "harness.cli", "report", str(run), "--out", str(out)]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - begun


def first_paints(page: Path) -> list[float]:
    """Seconds from the start of navigation, a new browser each."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        for _ in range(ROUNDS):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            opened = browser.new_page(viewport={"width": 1400, "height": 900})
            opened.goto(page.as_uri(), wait_until="load")
            found.append(painted(opened))
            browser.close()
    return found


def painted(page: object) -> float:
    script = "performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)[0] ?? null"
    for _ in range(100):
        value = page.evaluate(script)  # type: ignore[attr-defined]
        if value is not None:
            return float(value) / 1000
        time.sleep(0.05)
    raise SystemExit("the page was never painted")


if __name__ == "__main__":
    main()
