"""Report → files: report.md, index.html, report.json and plots."""

from pathlib import Path

import msgspec

from harness.analyse.findings import Report
from harness.render.files import write_files
from harness.render.html import html
from harness.render.markdown import markdown
from harness.render.palette import inline_svg, plot_files
from harness.render.sections import compose
from harness.store import encode


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write all files into `folder`, replacing those of the same name; returns their paths.

    Raises:
        StoreError: the folder cannot be written.
    """
    page, drawings = compose(report)
    inline = {d.picture.name: inline_svg(d.draw, d.picture.name) for d in drawings}
    bodies = {
        "report.md": markdown(page).encode(),
        "index.html": html(page, inline).encode(),
        "report.json": report_json(report),
    }
    for one in drawings:
        name, title = one.picture.name, one.picture.title
        bodies[f"plots/{name}.svg"], bodies[f"plots/{name}.png"] = plot_files(one.draw, name, title)
    return write_files(bodies, folder, "the report")


def report_json(report: Report) -> bytes:
    """The report as JSON, columns of `rows` in their settled order; NaN cannot occur."""
    return msgspec.json.format(encode(report), indent=1) + b"\n"
