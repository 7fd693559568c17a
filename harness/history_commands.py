"""The commands that read a history: series by night, what got worse, what is known of, a head against its base."""

from pathlib import Path
from typing import Any

import click

from harness.options import Names, json_option, results_option

JUDGED_BAD = 3
across_option = click.option(
    "--across-runtimes", is_flag=True, help="Another version of a runtime stands beside changes and cuts no series."
)


@click.command()
@click.argument("folders", nargs=-1)
@results_option
@click.option("--series", "words", default="", metavar="WORDS", help="Only series that hold all these words.")
@click.option("--metrics", type=Names(), default=(), help="Only these metrics.")
@click.option("--suite", "suites", type=Names(), default=(), help="Only nights of these suites.")
@across_option
@json_option
def history(
    folders: tuple[str, ...],
    results: Path,
    words: str,
    metrics: tuple[str, ...],
    suites: tuple[str, ...],
    across_runtimes: bool,
    as_json: bool,
) -> None:
    """Every series of FOLDERS of runs night after night, with its change points (default: --results)."""
    from msgspec.structs import replace

    from harness import histories

    found = histories.history_of(folders, results, _settings(across_runtimes), suites)
    series = histories.chosen(found, words, metrics)
    if as_json:
        _json(replace(found, series=series))
        return
    from rich.console import Console

    from harness.render.history import history as shown

    Console().print(shown(found, series))


@click.command()
@click.argument("folders", nargs=-1)
@results_option
@click.option("--since", metavar="WHEN", help="A day, a run, or a version of bench or of a runtime; default: ever.")
@across_option
@json_option
@click.pass_context
def regressions(
    ctx: click.Context,
    folders: tuple[str, ...],
    results: Path,
    since: str | None,
    across_runtimes: bool,
    as_json: bool,
) -> None:
    """What got worse, when, by how much and what changed with it; 3 if an alert is not acknowledged."""
    from harness import histories

    found = histories.history_of(folders, results, _settings(across_runtimes))
    those = histories.worse_since(found, since)
    if as_json:
        _json([{"series": one.id, "change": change} for one, change in those])
    else:
        from rich.console import Console

        from harness.render.history import regressions as shown

        Console().print(shown(found, those))
    gone = [one for one in found.series if any(gap.alert for gap in one.missing)]
    if gone and not as_json:
        click.echo(
            f"missing for more nights than the limit: {len(gone)} series, such as {gone[0].id} ({gone[0].title})"
        )
    alerts = any(change.tier == "alert" and change.acknowledged is None for _, change in those)
    ctx.exit(JUDGED_BAD if alerts else 0)


@click.command()
@click.argument("change")
@click.option("--reason", required=True, help="Why it may stand; kept beside the runs.")
@click.option("--by", help="Who says so; default: git's user name.")
@results_option
@across_option
def ack(change: str, reason: str, by: str | None, results: Path, across_runtimes: bool) -> None:
    """Say that a CHANGE is known of: SERIES@RUN, or the beginning of a series' id for its newest one."""
    from harness import histories

    click.echo(histories.acknowledged(results, change, reason, by, _settings(across_runtimes)))


@click.command()
@click.argument("base")
@click.argument("head")
@results_option
@json_option
@click.pass_context
def gate(ctx: click.Context, base: str, head: str, results: Path, as_json: bool) -> None:
    """Judge HEAD against BASE, each a run or a folder whose newest run counts, in Markdown; 3 if anything got worse."""
    from harness import histories

    found = histories.gated(base, head, results, _settings())
    if as_json:
        _json(found)
    else:
        from harness.render.history import gate_markdown

        click.echo(gate_markdown(found), nl=False)
    ctx.exit(0 if found.passed else JUDGED_BAD)


def _settings(across_runtimes: bool = False) -> Any:
    from harness.analyse.history.settings import Settings

    return Settings(across_runtimes=across_runtimes)


def _json(value: Any) -> None:
    from harness.store import encode

    click.echo(encode(value))


HISTORY = (history, regressions, ack, gate)
"""Added to `bench` by `harness.cli`."""
