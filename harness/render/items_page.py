"""A paired comparison question by question → one HTML file that searches and filters itself."""

import base64
import hashlib
import re
from collections.abc import Hashable
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from markupsafe import Markup

from harness.analyse.drill import DrillDown, Drilled, Given
from harness.analyse.findings import PairedItems
from harness.render.html import TEMPLATES, environment
from harness.render.words import HARMFUL, metric_title, p_value, points
from harness.stats import bounds
from harness.values import digest

LOGPROB_DIGITS = 3
Kept = TypeVar("Kept", bound=Hashable)


def items_name(pair: PairedItems) -> str:
    """The file of a comparison's questions, beside the report's index.html."""
    place = (pair.run, pair.device, pair.runtime, pair.workload, pair.variant, pair.baseline)
    words = re.sub(r"[^a-z0-9]+", "-", f"{pair.workload} {pair.variant} {pair.baseline}".lower()).strip("-")
    return f"items-{words[:80]}-{digest(place)[:8]}.html"


def items_page(found: DrillDown) -> str:
    """The whole page: data as one block of JSON that is no script, and our script, allowed by its hash."""
    script = _own("items.js")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        environment()
        .get_template("items.html.j2")
        .render(
            title=f"{found.pair.variant} against {found.pair.baseline}: {found.pair.workload}",
            facts=_facts(found.pair),
            near_chance=found.pair.near_chance,
            baseline=found.pair.baseline,
            allowed=allowed,
            css=Markup(_own("report.css") + _own("items.css")),  # noqa: S704 - our own files
            script=Markup(script),  # noqa: S704 - our own file
            data=Markup(embedded(items_data(found))),  # noqa: S704 - no `<` is left in it
        )
    )


def embedded(data: Any) -> str:
    """JSON that no parser of HTML takes for the end of its element or for a comment."""
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")


def items_data(found: DrillDown) -> dict[str, Any]:
    """What the script reads: tasks, heads of prompts and lists of choices once, an array an item."""
    tasks, heads, choices = _Table[str](), _Table[str](), _Table[tuple[str, ...]]()
    items = [
        [
            tasks(one.task),
            _known(one.id),
            heads(one.asked.head) if one.asked.head else -1,
            readable(one.asked.prompt),
            choices(one.asked.choices) if one.asked.choices else -1,
            _target(one),
            *_side(one.baseline),
            *_side(one.variant),
        ]
        for one in found.items
    ]
    about = {"baseline": readable(found.pair.baseline), "variant": readable(str(found.pair.variant))}
    shared = {"tasks": list(map(readable, tasks.values)), "heads": list(map(readable, heads.values))}
    return {**about, **shared, "choices": [list(map(readable, one)) for one in choices.values], "items": items}


@lru_cache(maxsize=1 << 16)
def readable(text: str) -> str:
    """Text of a data set as it is, line by line, less what is invisible and does harm."""
    return HARMFUL.sub("�", text.replace("\r\n", "\n"))


class _Table(Generic[Kept]):
    """Values by number, each once."""

    def __init__(self) -> None:
        self._numbers: dict[Kept, int] = {}

    def __call__(self, value: Kept) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    @property
    def values(self) -> list[Kept]:
        return list(self._numbers)


def _known(value: int | str | None) -> int | str | None:
    return readable(value) if isinstance(value, str) else value


def _target(one: Drilled) -> int | str | None:
    """The right answer, also where only a text that was right tells it."""
    if one.target is not None:
        return _known(one.target)
    told = (side.answer for side in (one.baseline, one.variant) if side.right and isinstance(side.answer, str))
    return next(map(_known, told), None)


@lru_cache(maxsize=1 << 16)
def _side(given: Given) -> tuple[Any, ...]:
    logprobs = [round(value, LOGPROB_DIGITS) for value in given.logprobs] or None
    return int(given.right), _known(given.answer), logprobs, _known(given.text)


def _facts(pair: PairedItems) -> list[str]:
    """What the report says of the comparison, in short."""
    facts = [
        f"{pair.items:,} questions",
        f"{metric_title(pair.metric, None).lower()} {points(pair.diff, *bounds(pair.interval))}",
    ]
    if pair.right_to_wrong is not None and pair.mcnemar_p is not None:
        flips = f"{pair.right_to_wrong:,} right → wrong, {pair.wrong_to_right:,} wrong → right"
        facts.append(f"{flips} (McNemar {p_value(pair.mcnemar_p)})")
    if pair.answers_changed is not None:
        facts.append(f"{pair.answers_changed:,} answers changed")
    return facts


def _own(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
