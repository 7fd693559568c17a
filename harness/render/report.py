"""Report → files: report.md, index.html, report.json, plots, and a page of questions a paired comparison."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from harness.analyse.drill import DrillDown
from harness.analyse.findings import Report
from harness.render.files import write_files
from harness.render.html import html
from harness.render.items_page import items_name, items_page
from harness.render.markdown import markdown
from harness.render.palette import plots, png
from harness.render.pdf import find_browser, pdf
from harness.render.sections import compose
from harness.store import encode

FORMATS = ("html", "md", "json")


def write_report(
    report: Report, folder: Path, drills: Iterable[DrillDown] = (), formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write the report's files into `folder`, replacing those of the same name; returns their paths.

    Args:
        drills: comparisons that get a page of their own; each is written before the next is asked for.
        formats: which ones; `pdf` is printed from the page.

    Raises:
        StoreError: the folder cannot be written.
        SetupError: PDF without Chromium.
    """
    browser = find_browser() if "pdf" in formats else ""  # before anything is written
    of_items = [path for one in drills for path in _write_items(one, folder)] if "html" in formats else []
    page, drawings = compose(report, frozenset(path.name for path in of_items))
    if tuple(formats) == ("json",):
        drawings = []
    drawn = {d.picture.name: plots(d.draw, d.picture.name, d.picture.title) for d in drawings}
    inline = {name: element for name, (element, _) in drawn.items()}
    whole = html(page, inline) if {"html", "pdf"} & set(formats) else ""
    bodies: dict[str, bytes] = {}
    if "md" in formats:
        bodies["report.md"] = markdown(page).encode()
        bodies |= {f"plots/{name}.svg": file.encode() for name, (_, file) in drawn.items()}
        for one in (d for d in drawings if d.chart):  # for places that show no SVG
            bodies[f"plots/{one.picture.name}.png"] = png(one.draw, one.picture.name, one.picture.title)
    if "html" in formats:
        bodies["index.html"] = whole.encode()
    if "pdf" in formats:
        bodies["report.pdf"] = pdf(whole, browser)
    if "json" in formats:
        bodies["report.json"] = report_json(report)
    return [*write_files(bodies, folder, "the report"), *of_items]


def _write_items(found: DrillDown, folder: Path) -> list[Path]:
    return write_files({items_name(found.pair): items_page(found).encode()}, folder, "the report")


def report_json(report: Report) -> bytes:
    """The report as JSON, columns of `rows` in their settled order; NaN cannot occur."""
    return msgspec.json.format(encode(report), indent=1) + b"\n"
