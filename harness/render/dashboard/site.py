"""History → a folder that opens from a disk and from any web server, and asks nobody else for anything."""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from harness import __version__
from harness.analyse.history.values import History
from harness.errors import InputError, StoreError
from harness.render.dashboard.overview import overview_data, sparks_data
from harness.render.dashboard.scripts import line, nights_key, script, series_key, version
from harness.render.dashboard.series_data import columns_of, night_scripts, series_data
from harness.render.files import write_files

UPLOT = "uPlot-1.6.32"
PARTS = (
    "core",
    "words",
    "route",
    "judge",
    "filters",
    "overview",
    "chart",
    "night",
    "series",
    "compare",
    "keys",
    "start",
)
"""The page's own script, part by part, in the order in which they need each other."""
WHAT = "the dashboard"
_OWN = re.compile(r"(series|night)-[0-9a-f]{16}\.js")
_LINK = re.compile(r"(https?://[^\s\"'<>\\]+|(?![/\\])[^\s\"'<>\\:]+)")
"""An address of a web server, or a path beside the page: nothing that runs."""


def write_dashboard(
    history: History,
    out: Path,
    *,
    title: str = "Nightly",
    links: Mapping[str, str] | None = None,
    feed: str | None = None,
    troubles: Sequence[str] = (),
) -> Path:
    """Write the site into `out` and return its first page; files of series and nights that are no more are removed.

    What the first page names is written before it; a page that was open meanwhile asks to be loaded again.

    Args:
        title: of every page, such as a team's name.
        links: run → where its folder or report is, as a path from `out` or an http address.
        feed: where an Atom feed is, told in the same way.
        troubles: what went wrong in the newest night beside measuring; shown above everything else.

    Raises:
        InputError: a link that is neither.
        StoreError: the folder cannot be written.
    """
    known = dict(links or {})
    for run, link in [*known.items(), *([("the feed", feed)] if feed is not None else [])]:
        if not _LINK.fullmatch(link):
            raise InputError(f"the link of {run} is neither a path beside the page nor an http address: {line(link)}")
    versions = _write_data(history, out)
    first = script("overview", overview_data(history, versions, known, troubles))
    own = "\n".join(_asset(f"{part}.js") for part in PARTS).encode()
    style = _asset("dashboard.css").encode()
    vendored = {f"assets/{path.name}": path.read_bytes() for path in _vendored()}
    page = _page(title, feed, {"style": version(style), "own": version(own), "overview": version(first)})
    bodies = {"assets/dashboard.js": own, "assets/dashboard.css": style, "data/overview.js": first, "index.html": page}
    *_, index = write_files({**vendored, **bodies}, out, WHAT)
    _remove_old(out / "data", versions)
    return index


def _write_data(history: History, out: Path) -> dict[str, str]:
    """All but the overview; returns the version of each file by its key."""
    versions: dict[str, str] = {}
    numbered = nights_key(night.run for night in history.nights)
    columns = [columns_of(series) for series in history.series]
    for series, of in zip(history.series, columns, strict=True):
        key = series_key(series.id)
        body = script(f"series/{key}", series_data(series, of, numbered))
        versions[key] = version(body)
        write_files({f"data/series-{key}.js": body}, out, WHAT)
    nights = night_scripts(history, columns)
    write_files({f"data/night-{key}.js": body for key, body in nights.items()}, out, WHAT)
    sparks = script("sparks", sparks_data(history))
    write_files({"data/sparks.js": sparks}, out, WHAT)
    return {**versions, "sparks": version(sparks), **{key: version(body) for key, body in nights.items()}}


def _page(title: str, feed: str | None, versions: Mapping[str, str]) -> bytes:
    from harness.render.html import environment

    template = environment().from_string(_asset("index.html.j2"))
    return template.render(title=title, feed=feed, uplot=UPLOT, version=__version__, **versions).encode()


def _remove_old(folder: Path, versions: Mapping[str, str]) -> None:
    try:
        for path in folder.iterdir():
            if _OWN.fullmatch(path.name) and path.stem.partition("-")[2] not in versions:
                path.unlink()
    except OSError as error:
        raise StoreError(f"cannot write {WHAT} into {folder}: {error.strerror}") from error


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _vendored() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "vendor").iterdir())
