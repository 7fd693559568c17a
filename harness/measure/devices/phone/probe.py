"""A plain command as a job on a phone, with everything that is done around one: what became of it."""

import msgspec

from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone import job as jobs
from harness.measure.devices.phone.asking import ask
from harness.measure.devices.phone.job import JobWish, parse_cores
from harness.measure.devices.phone.link import Link
from harness.measure.devices.phone.samples import parse_samples
from harness.measure.devices.phone.settings import SettingsSeen, SettingsWish, parse_settings
from harness.measure.devices.phone.wrapper import Wrapper

POLL_S = 0.5


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """How a plain command fared."""

    cores: tuple[int, ...]
    """That it was bound to."""
    allowed: tuple[int, ...] | None
    """That it could use, as the kernel said."""
    settings: SettingsSeen
    compared: tuple[tuple[str, str, str], ...]
    """(setting, value before, value afterwards), as the phone tells them by itself."""
    samples: int
    clocks: tuple[str, ...]


def run_probe(link: Link, wrapper: Wrapper, wish: JobWish) -> Probed:
    """Run the wish to its end and read what it left; its folder is removed.

    Raises:
        DeviceError: the phone is out of reach, or taken.
    """
    folder, settings = wish.folder, wish.settings or SettingsWish()
    before = link.ask(lambda c: values_of(c, settings))
    link.ask(lambda c: jobs.clear(c, wrapper, folder))
    link.ask(lambda c: jobs.start(c, wrapper, wish))
    while (state := link.ask(lambda c: jobs.poll(c, wrapper, folder))).phase in ("gate", "running"):
        link.rest(POLL_S)
    left = {"settings": f"cat {folder}/settings.txt", "samples": f"cat {folder}/samples.jsonl"}
    said = link.ask(lambda c: ask(c, left))
    after = link.ask(lambda c: values_of(c, settings))
    link.ask(lambda c: c.shell(f"rm -rf {folder}"))
    samples = parse_samples(said["samples"].text.encode())
    return Probed(
        cores=wish.cores,
        allowed=None if state.affinity is None else tuple(sorted(parse_cores(state.affinity))),
        settings=parse_settings(said["settings"].text.encode()),
        compared=tuple((key, before[key], after.get(key, "")) for key in before),
        samples=len(samples.lines),
        clocks=samples.head.clocks if samples.head else (),
    )


def values_of(connection: Connection, wish: SettingsWish) -> dict[str, str]:
    """What the phone says of the settings that are changed for a job."""
    questions = {f"s{n}": f"settings get {one.space} {one.key}" for n, one in enumerate(wish.change)}
    said = ask(connection, questions)
    return {one.key: said[f"s{n}"].text.strip() for n, one in enumerate(wish.change)}
