"""Settings of a phone that disturb a measurement: which are changed, which only written down, what came of it.

The wrapper changes them for one job and puts them back, by itself. A value `null` on the phone means that the
setting is not there; it is put back by deleting it.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from harness.values import SettingSeen

Space = Literal["system", "secure", "global"]
Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,100}$(?!\n)")]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting by its name on the phone, and what it should be while a job runs."""

    space: Space
    key: Word
    value: Word


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that is only written down."""

    space: Space
    key: Word


STEADY = (
    Setting(space="global", key="stay_on_while_plugged_in", value="15"),  # a sum: mains 1, USB 2, wireless 4, dock 8
    Setting(space="global", key="low_power", value="0"),
    Setting(space="system", key="screen_off_timeout", value="2147483647"),  # off the cable: a sleeping phone stops
    Setting(space="system", key="screen_brightness_mode", value="0"),
    Setting(space="system", key="screen_brightness", value="10"),
)
AWAKE = tuple(one for one in STEADY if one.key != "low_power")
"""For hours of answers, of which no time is taken: only that the phone does not fall asleep, and its screen is dim."""
NOT_TOLD = "the phone did not tell it"
RECORDED = (Recorded(space="global", key="airplane_mode_on"),)


class SettingsWish(msgspec.Struct, frozen=True, kw_only=True):
    """What is changed for a job."""

    change: tuple[Setting, ...] = STEADY
    record: tuple[Recorded, ...] = RECORDED
    fixed_performance: bool = False
    """Android's mode of lower clocks that can be held; from Android 11, not on every phone."""


class SettingsSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the wrapper did to the settings for one job."""

    settings: tuple[SettingSeen, ...]
    fixed_performance: Literal["on", "refused"] | None
    saved: bool = True
    """False: what the phone had could not be saved, so nothing was changed."""
    restored: Literal["yes", "none", "failed"] | None
    """None: nobody has restored them yet. `none`: somebody had before."""


def conf_lines(wish: SettingsWish) -> list[str]:
    """A wish in the words of wrapper.conf."""
    lines = [f"setting {one.space} {one.key} {one.value}" for one in wish.change]
    lines += [f"record {one.space} {one.key}" for one in wish.record]
    return [*lines, "fixed_performance 1"] if wish.fixed_performance else lines


def doubts(seen: SettingsSeen) -> tuple[str, ...]:
    """What a record says of a phone whose settings are not as they should be for a measurement."""
    found = [] if seen.saved else ["the phone's settings could not be saved: none was changed"]
    if seen.fixed_performance == "refused":
        found.append("the phone has no mode of fixed performance")
    found += [
        f"setting {one.space}/{one.key}: {one.missing}" for one in seen.settings if one.missing not in (None, NOT_TOLD)
    ]
    return tuple(found)


def parse_settings(text: bytes) -> SettingsSeen:
    """The job's settings.txt; a torn last line and lines of other kinds are left out."""
    seen: dict[tuple[str, str], SettingSeen] = {}
    fixed: Literal["on", "refused"] | None = None
    restored: Literal["yes", "none", "failed"] | None = None
    saved = True
    for line in text.decode(errors="replace").split("\n")[:-1]:
        kind, *words = line.split(" ", 3)
        match kind, words:
            case "fixed", ["on" | "refused" as mode]:
                fixed = mode
            case "failed", ["save"]:
                saved = False
            case "restored", ["yes" | "none" | "failed" as how]:
                restored = how
            case _, [space, key, *rest]:
                before = seen.get((space, key), SettingSeen(space=space, key=key, before=None, during=None))
                after = _with(before, kind, rest[0] if rest else "")
                if after is not None:
                    seen[space, key] = after
    return SettingsSeen(settings=tuple(seen.values()), fixed_performance=fixed, saved=saved, restored=restored)


def _with(one: SettingSeen, kind: str, value: str) -> SettingSeen | None:
    match kind:
        case "before":
            return msgspec.structs.replace(one, before=value)
        case "after":
            return msgspec.structs.replace(one, during=value)
        case "seen":
            return msgspec.structs.replace(one, before=value, during=value)
        case "wished":
            return msgspec.structs.replace(one, missing=f"the phone made {one.during} of {value}")
        case "unknown":
            return msgspec.structs.replace(one, missing=NOT_TOLD)
        case "refused":
            return msgspec.structs.replace(one, during=one.before, missing="the phone refused the change")
    return None
