"""Report → files: report.md, index.html, report.json and plots."""

from pathlib import Path

import msgspec

from harness.analyse.findings import Report
from harness.render.files import write_files
from harness.render.html import html
from harness.render.markdown import markdown
from harness.render.palette import plots, png
from harness.render.sections import compose
from harness.store import encode


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write all files into `folder`, replacing those of the same name; returns their paths.

    Raises:
        StoreError: the folder cannot be written.
    """
    page, drawings = compose(report)
    drawn = {d.picture.name: plots(d.draw, d.picture.name, d.picture.title) for d in drawings}
    inline = {name: element for name, (element, _) in drawn.items()}
    bodies = {
        "report.md": markdown(page).encode(),
        "index.html": html(page, inline).encode(),
        "report.json": report_json(report),
    }
    bodies |= {f"plots/{name}.svg": file.encode() for name, (_, file) in drawn.items()}
    for one in (d for d in drawings if d.chart):  # for places that show no SVG
        bodies[f"plots/{one.picture.name}.png"] = png(one.draw, one.picture.name, one.picture.title)
    return write_files(bodies, folder, "the report")


def report_json(report: Report) -> bytes:
    """The report as JSON, columns of `rows` in their settled order; NaN cannot occur."""
    return msgspec.json.format(encode(report), indent=1) + b"\n"
