"""The block of a card that bench writes, and its place in a card that somebody else wrote."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.analyse.findings import Report
from harness.errors import InputError
from harness.render.card.tables import card_sections
from harness.render.first_screen import lead
from harness.render.markdown import code, escape, section_lines
from harness.render.page import Notes
from harness.render.sections import banners
from harness.render.settings import Setting, settings

BEGIN, END = "<!-- bench card begin -->", "<!-- bench card end -->"
DIFFER = "These runs differ in their conditions: compare within a run only."
STAND_IN = "Numbers of a stand-in, not of the released model"


@dataclass(frozen=True)
class Origin:
    """The files that a run's numbers follow from."""

    run: str
    sha256: str
    """Of plan, records and graded items."""


def stand_ins(report: Report) -> list[str]:
    """What says that the weights are not those of the model that a card is about."""
    random = [f"{v.name}: random weights" for run in report.runs for v in run.variants if v.random_weights]
    labels = [f"{v.model}: {v.label}" for run in report.runs for v in run.variants if "stand-in" in v.label.lower()]
    return list(dict.fromkeys((*random, *labels)))


def block(report: Report, origins: Sequence[Origin]) -> str:
    """Markdown between two marks, which begin and end it; ends with a newline."""
    lines: list[str] = []
    if marks := stand_ins(report):
        lines += [f"> **{STAND_IN}** ({escape('; '.join(marks))}).", ""]
    differ = [DIFFER] if report.differing else []
    for said in (*banners(report, see=""), *differ):
        lines += [f"> {escape(said)}", ""]
    found, notes = list(settings(report)), Notes()
    for setting in found:
        if len(found) > 1:
            lines += [f"# {escape(setting.name)}", ""]
        lines += _setting(setting, notes)
    if notes.all:
        lines += ["## Notes", "", *(f"{number}. {escape(note)}" for number, note in enumerate(notes.all, 1)), ""]
    lines += _origins(report, origins)
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).replace("<!--", "<! --")  # a code span may hold a mark
    return f"{BEGIN}\n\n{body}\n{END}\n"


def _setting(setting: Setting, notes: Notes) -> Iterator[str]:
    yield from (escape(lead(setting)), "")
    if conditions := [f"{c.name}: {setting.condition(c.name)}" for c in setting.conditions]:
        yield from (f"Conditions: {escape('; '.join(conditions))}.", "")
    for section in card_sections(setting, notes):
        yield from section_lines(section)


def _origins(report: Report, origins: Sequence[Origin]) -> Iterator[str]:
    for run, origin in zip(report.runs, origins, strict=True):
        made = f"Run {escape(run.id)} of suite {escape(run.suite)}, bench {escape(run.bench_version)}"
        yield from (f"{made}, sha256 of plan, records and items {code(origin.sha256)}.", "")


def updated(card: bytes, text: str) -> bytes:
    """The card with this block in the place of its own one, or at its end; every other byte as it was.

    Raises:
        InputError: one mark without the other, in the wrong order, or more than one block.
    """
    newline = b"\r\n" if b"\r\n" in card else b"\n"
    body = text.encode().replace(b"\n", newline)
    found = place(card)
    if found is not None:
        return card[: found.start()] + body.removesuffix(newline) + card[found.end() :]
    gap = b"" if not card else newline if card.endswith(newline) else newline * 2
    return card + gap + body


def place(card: bytes) -> re.Match[bytes] | None:
    """Where the card's block lies, marks included; None: it has none.

    Raises:
        InputError: see `updated`.
    """
    begin, end = re.escape(BEGIN.encode()), re.escape(END.encode())
    begins, ends = len(re.findall(begin, card)), len(re.findall(end, card))
    if not begins and not ends:
        return None
    found = re.search(begin + b".*?" + end, card, re.DOTALL)
    if begins != 1 or ends != 1 or found is None:
        raise InputError(
            f"the card has {begins} of {BEGIN} and {ends} of {END}: one of each, in this order, are wanted"
        )
    return found
