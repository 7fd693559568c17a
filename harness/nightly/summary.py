"""A night as a Markdown page for a job's summary: what is worse first, then what failed, then what was seen. Pure."""

from collections.abc import Iterator, Sequence

from harness.analyse.history.found import Confirmed, Message, NightFound
from harness.analyse.history.values import Series
from harness.nightly.telling import name_of
from harness.render.markdown import code, escape


def summary(found: NightFound, standing: Sequence[Message], series: Sequence[Series]) -> str:
    """The page; every string in it is escaped.

    Args:
        standing: of all alerts that stand, also those that nights before have told.
    """
    return "\n".join(_lines(found, standing, {one.id: one for one in series})) + "\n"


def _lines(found: NightFound, standing: Sequence[Message], series: dict[str, Series]) -> Iterator[str]:
    yield f"# {escape(f'Night of {found.suite}: {verdict(found)}')}"
    yield ""
    yield escape(f"Run {found.run} on {', '.join(found.devices)}, ended {found.ended}.")
    for cause in standing:
        yield from ("", f"## {escape(cause.title)}", "")
        yield f"Since {escape(cause.since)}, run {code(cause.run)}."
        if cause.differences:
            yield f"Changed with it: {'; '.join(map(escape, cause.differences))}."
        yield ""
        yield from (f"- {escape(line)}" for line in cause.lines)
    if found.missing:
        yield from ("", "## Missing for too long", "")
        yield from (f"- {escape(_name(one, series))}" for one in found.missing)
    if found.failures:
        yield from ("", "## Cells that failed", "", "| cell | device | status | reason |", "| --- | --- | --- | --- |")
        for cell in found.failures:
            yield f"| {' | '.join(map(escape, (cell.what, cell.device, cell.status, cell.reason)))} |"
    if found.confirmations:
        yield from ("", "## Measured again", "", "| series | outcome |", "| --- | --- |")
        yield from (f"| {escape(_name(one.series, series))} | {escape(_outcome(one))} |" for one in found.confirmations)
    if found.troubles:
        yield from ("", "## Of the night itself", "")
        yield from (f"- {escape(line)}" for line in found.troubles)


def verdict(found: NightFound) -> str:
    """In a few words."""
    parts = (
        (len(found.alerts), "alert"),
        (len(found.missing), "series missing"),
        (len(found.failures), "failed cell"),
        (len(found.watches), "watch"),
    )
    said = [f"{count} {_plural(word, count)}" for count, word in parts if count]
    return ", ".join(said) or "nothing got worse"


def _plural(word: str, count: int) -> str:
    if count == 1 or word.startswith("series"):
        return word
    return f"{word}es" if word.endswith("ch") else f"{word}s"


def _name(series: str, known: dict[str, Series]) -> str:
    return name_of(known[series]) if series in known else series


def _outcome(one: Confirmed) -> str:
    told = one.confirmation
    if told is None:
        return f"not confirmed: {one.reason or 'no reason was recorded'}"
    word = "confirmed" if told.confirmed else "not confirmed"
    return f"{word}: {told.ratio:.4g}× in {told.pairs} pairs (bound {told.bound:.4g}×), {told.run}"
