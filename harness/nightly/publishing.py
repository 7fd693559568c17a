"""What a night leaves for people and machines: dashboard, feed, webhook, JUnit XML, a job's summary."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from harness.analyse.history.found import FOLDER, NightFound, readable_found
from harness.errors import StoreError
from harness.nightly.feed import FILE, feed
from harness.nightly.junit import junit
from harness.nightly.summary import summary
from harness.nightly.telling import causes
from harness.nightly.values import Night, Outputs
from harness.nightly.webhook import send
from harness.progress import Progress
from harness.store import encode, find_runs, write_durably


def publish(night: Night, outputs: Outputs, results: Path, progress: Progress) -> Night:
    """Tell what the night found; returns the night with what could not be told.

    Raises:
        StoreError: a file cannot be written.
    """
    troubles = () if outputs.webhook is None else send(outputs.webhook, night.found.messages, outputs.form)
    for line in troubles:
        progress.say(line)
    if not troubles and not night.found.delivered:
        night = msgspec.structs.replace(night, found=msgspec.structs.replace(night.found, delivered=True))
        write_found(night.found, results)
    night = with_troubles(night, troubles, results)
    if outputs.dashboard is not None:
        _write_site(night, outputs.dashboard, results)
    if outputs.junit is not None:
        _write(outputs.junit, junit(night.found, night.series, night.alerts))
    if outputs.summary is not None:
        standing = causes(night.alerts, night.history)
        _append(outputs.summary, summary(night.found, standing, night.series).encode())
    return night


def with_troubles(night: Night, troubles: Sequence[str], results: Path) -> Night:
    """The night with what did not work after it had been written."""
    if not troubles:
        return night
    found = msgspec.structs.replace(night.found, troubles=(*night.found.troubles, *troubles))
    write_found(found, results)
    return msgspec.structs.replace(night, found=found)


def write_found(found: NightFound, results: Path) -> None:
    """Write it durably beside the runs: from then on the night has ended."""
    path = results / FOLDER / f"{found.run}.json"
    write_durably(path, msgspec.json.format(encode(found), indent=1) + b"\n")


def summary_of_the_job() -> Path | None:
    """Where GitHub wants a job's summary; None elsewhere."""
    given = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(given) if given else None


def _write_site(night: Night, out: Path, results: Path) -> None:
    """The dashboard, with a link to the folder of each run that is on this machine, and the feed beside it."""
    from harness.render.dashboard.site import write_dashboard

    away = Path(os.path.relpath(results, out))
    links = {run.name: quote(f"{(away / run.name).as_posix()}/") for run in find_runs(results)}
    write_dashboard(night.history, out, links=links, feed=FILE, troubles=night.found.troubles)
    found, _ = readable_found(results)
    _write(out / FILE, feed(found, "bench: what got worse"))


def _write(path: Path, body: bytes) -> None:
    try:
        write_durably(path, body)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def _append(path: Path, body: bytes) -> None:
    """Other steps of a job write into the same summary."""
    try:
        with open(path, "ab") as file:
            file.write(body)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
