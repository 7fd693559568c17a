"""The commands of nights: `nightly` measures one and tells what got worse, `bisect` says between what."""

from pathlib import Path
from typing import Any

import click

from harness.options import Names, json_option, results_option

DASHBOARD = Path("reports/nightly")
FORMS = ("json", "slack")


@click.command()
@click.option("--suite", default="nightly", show_default=True, help="Name or file of a suite.")
@click.option("--device", type=Names(), default=(), help="Devices by name (devices.yaml).")
@click.option("--variants", type=Names(), default=(), help="Only these, and the baselines.")
@click.option("--measures", type=Names(), default=(), help="Only these kinds: size, memory, speed, …")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of data sets; default: BENCH_DATA.")
@click.option("--allow-task-code", is_flag=True, help="Run task files that the suite names: they can hold Python code.")
@results_option
@click.option("--history", "shared", metavar="URL", help="A history that hosts share: s3://…, file://… (fsspec).")
@click.option("--wait", type=click.FloatRange(min=0), metavar="MINUTES", help="For a night that runs there already.")
@click.option("--no-wait", is_flag=True, help="Give up at once where a night runs already (as without --wait).")
@click.option("--pairs", type=click.IntRange(4, 1000), default=6, show_default=True, help="Of each cell, in a rerun.")
@click.option(
    "--rerun-minutes", type=click.FloatRange(min=0), default=20.0, show_default=True, help="All reruns of a night."
)
@click.option("--no-confirm", is_flag=True, help="Measure nothing again: the strict rule decides.")
@click.option(
    "--across-runtimes", is_flag=True, help="Another build of the runtime is a change like others, and cuts no series."
)
@click.option(
    "--dashboard", type=click.Path(path_type=Path), default=DASHBOARD, show_default=True, help="Folder of the site."
)
@click.option("--no-dashboard", is_flag=True, help="Write no site.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="File for JUnit XML.")
@click.option(
    "--summary", type=click.Path(path_type=Path, dir_okay=False), help="Markdown; default: GITHUB_STEP_SUMMARY."
)
@click.option("--webhook", metavar="NAME|URL", help="Tell new alerts there; NAME: of an environment variable.")
@click.option("--webhook-form", type=click.Choice(FORMS), default="json", show_default=True, help="Of its messages.")
@json_option
@click.pass_context
def nightly(ctx: click.Context, /, results: Path, as_json: bool, **given: Any) -> None:
    """Measure a suite, look for changes, measure again what seems worse, tell it; 3 on an alert."""
    from harness.nightly.night import exit_code
    from harness.nightly.night import nightly as one_night
    from harness.nightly.publishing import summary_of_the_job
    from harness.nightly.summary import verdict
    from harness.nightly.values import Outputs
    from harness.nightly.webhook import address_of
    from harness.progress import Silent
    from harness.store import encode
    from harness.terminal import TerminalProgress

    asked = _asked(given)
    outputs = Outputs(
        dashboard=None if given["no_dashboard"] else given["dashboard"],
        junit=given["junit"],
        summary=given["summary"] or summary_of_the_job(),
        webhook=address_of(given["webhook"]) if given["webhook"] else None,
        form=given["webhook_form"],
    )
    progress = Silent() if as_json else TerminalProgress()
    night = one_night(asked, outputs, _command(given), results, progress)
    if as_json:
        click.echo(encode(night.found))
    else:
        click.echo(f"{night.folder}: {verdict(night.found)}")
        for line in _told(night):
            click.echo(line)
    ctx.exit(exit_code(night.found))


@click.command()
@click.argument("good", required=False)
@click.argument("bad", required=False)
@click.option("--series", metavar="ID", help="Id of a series, or its beginning; default: the worst one.")
@click.option("--runners", type=Names(), default=(), help="Runners of the store by their sha256, from good to bad.")
@click.option("--between", type=Names(), default=(), help="What --build makes, from good to bad: commits, archives, …")
@click.option("--build", metavar="COMMAND", help="Writes a runner to BENCH_PROGRAM for the name in BENCH_CANDIDATE.")
@click.option("--pairs", type=click.IntRange(4, 1000), default=6, show_default=True, help="Of each candidate.")
@results_option
@json_option
@click.pass_context
def bisect(
    ctx: click.Context,
    good: str | None,
    bad: str | None,
    series: str | None,
    runners: tuple[str, ...],
    between: tuple[str, ...],
    build: str | None,
    pairs: int,
    results: Path,
    as_json: bool,
) -> None:
    """Narrow a change down between a GOOD and a BAD run, or two runners, by interleaved reruns of what is between."""
    from harness.nightly.bisecting import Sought
    from harness.nightly.bisecting import bisect as narrow
    from harness.progress import Silent
    from harness.store import encode
    from harness.terminal import TerminalProgress

    if bool(between) != (build is not None):
        raise click.UsageError("--between names what --build builds: give both")
    if bool(runners) + bool(between) + bool(good or bad) > 1:
        raise click.UsageError("runs, --runners and --between exclude each other")
    sought = Sought(series=series, good=good, bad=bad, runners=runners, between=between, build=build or "", pairs=pairs)
    quiet = Silent() if as_json else TerminalProgress()
    found = narrow(sought, results, quiet, (lambda _: None) if as_json else click.echo)
    if as_json:
        click.echo(encode(found))
    elif found.found is None:
        click.echo("the two ends cannot be told apart: nothing to narrow down")
    else:
        good_end, bad_end = found.candidates[found.found.good], found.candidates[found.found.bad]
        left = [found.candidates[number] for number in found.found.left]
        more = f" (not told: {', '.join(left)})" if left else ""
        sure = f"that a step was told wrongly has a chance of at most {found.doubt:.1%}"
        click.echo(f"it changed between {good_end} and {bad_end}{more}; {sure}")
    ctx.exit(0 if found.found is not None else 1)


def _asked(given: dict[str, Any]) -> Any:
    from harness.analyse.history.settings import Settings
    from harness.nightly.values import Asked, Reruns
    from harness.pipeline import Wish, data_folder

    if given["no_wait"] and given["wait"]:
        raise click.UsageError("--wait and --no-wait exclude each other")
    wish = Wish(
        suite=given["suite"],
        devices=given["device"],
        variants=given["variants"],
        measures=given["measures"],
        allow_task_code=given["allow_task_code"],
        data=data_folder(given["data"]),
    )
    reruns = None if given["no_confirm"] else Reruns(pairs=given["pairs"], minutes=given["rerun_minutes"])
    return Asked(
        wish=wish,
        wait_s=60 * (given["wait"] or 0.0),
        reruns=reruns,
        shared=given["shared"],
        settings=Settings(across_runtimes=given["across_runtimes"]),
    )


def _command(given: dict[str, Any]) -> tuple[str, ...]:
    """What measures the night again, without paths of this machine."""
    from harness.wish_options import command_of

    return command_of(_asked(given).wish)


def _told(night: Any) -> list[str]:
    """What to look at, for a terminal or a log."""
    from harness.nightly.telling import causes

    lines = [line for message in causes(night.alerts, night.history) for line in (message.title, message.text)]
    lines += [f"failed: {cell.what} on {cell.device}: {cell.reason}" for cell in night.found.failures]
    return [*lines, *(f"trouble: {line}" for line in night.found.troubles)]


NIGHTLY = (bisect, nightly)
"""Added to `bench` by `harness.cli`."""
