"""Report → files: report.md, index.html, report.json and plots."""

from pathlib import Path

import msgspec

from harness.analyse.findings import Report
from harness.errors import StoreError
from harness.render.html import html
from harness.render.markdown import markdown
from harness.render.palette import LIGHT, VARIABLES
from harness.render.raster import png
from harness.render.scene import inline_svg, svg_file
from harness.render.sections import compose
from harness.store import encode, write_durably


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write all files into `folder`, replacing those of the same name; returns their paths.

    Raises:
        StoreError: the folder cannot be written.
    """
    page, drawings = compose(report)
    inline = {d.picture.name: inline_svg(d.draw(VARIABLES, None)) for d in drawings}
    bodies = {
        "report.md": markdown(page).encode(),
        "index.html": html(page, inline).encode(),
        "report.json": report_json(report),
    }
    for one in drawings:
        name, title = one.picture.name, one.picture.title
        scene = one.draw(LIGHT, title)
        bodies[f"plots/{name}.svg"] = svg_file(scene, title).encode()
        bodies[f"plots/{name}.png"] = png(scene)
    try:
        for name, body in bodies.items():
            write_durably(folder / name, body)
    except OSError as error:
        raise StoreError(f"cannot write the report into {folder}: {error.strerror}") from error
    return [folder / name for name in bodies]


def report_json(report: Report) -> bytes:
    """The report as JSON, columns of `rows` in their settled order; NaN cannot occur."""
    return msgspec.json.format(encode(report), indent=1) + b"\n"
