"""Page → one HTML file that needs nothing else: no script, no font, no request."""

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.render.page import Page
from harness.render.words import clean

TEMPLATES = Path(__file__).parent / "templates"


def html(page: Page, svg: Mapping[str, str]) -> str:
    """The page as HTML; `svg` holds an element for each picture's name.

    Every string is cleaned and escaped by the environment; only the style sheet and the plots, which
    are ours, go in as they are.
    """
    css = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    ours = {name: Markup(element) for name, element in svg.items()}  # noqa: S704 - labels escaped by scene.py
    return environment().get_template("report.html.j2").render(page=page, svg=ours, css=css)


def environment() -> Environment:
    """Templates that clean and escape every string which is not marked as ours."""
    found = Environment(
        autoescape=True,
        finalize=_finalize,
        loader=FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    found.filters["together"] = together
    return found


def together(text: str) -> Markup:
    """Escaped text whose short brackets, and whose numbers and units, are not torn apart at a line's end."""
    safe = str(escape(clean(text)))
    safe = re.sub(r"(?<=[\d×]) (?=(?:%|[GMk]i?B|tok/s|GB/s|ms|s|nats|points?|×)(?![A-Za-z]))", "\u00a0", safe)
    safe = re.sub(r"\bp (=|&lt;) (?=\d)", "p\u00a0\\1\u00a0", safe)
    return Markup(re.sub(r"\([^()]{1,24}\)", r'<span class="together">\g<0></span>', safe))  # noqa: S704 - escaped


def _finalize(value: object) -> object:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return clean(value)
