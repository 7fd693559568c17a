"""The command that makes things before a run needs them: runners, and bundles for phones elsewhere."""

from pathlib import Path
from typing import Any

import click

from harness.options import json_option
from harness.wish_options import command_of, part_options, wish_of

KINDS = ("native", "phone", "all")


@click.command()
@part_options
@click.option("--bundle", type=click.Path(path_type=Path, dir_okay=False), help="Write an archive for a phone here.")
@click.option("--runners", type=click.Choice(KINDS), help="Build runners: this machine's, phones', all.")
@json_option
@click.pass_context
def build(ctx: click.Context, /, runners: str | None, bundle: Path | None, as_json: bool, **wish: Any) -> None:
    """Make the artifacts of a suite's variants, or --runners, or one --bundle that measures a phone elsewhere."""
    if runners is not None and bundle is not None:
        raise click.UsageError("--runners and --bundle are two things to build: say one of them")
    if runners is None and bundle is None:
        _artifacts(as_json, wish)
        return
    if bundle is not None:
        _bundle(bundle, as_json, wish)
        return
    _refuse_wishes(ctx, wish)
    _runners(str(runners), as_json)


def _artifacts(as_json: bool, wish: dict[str, Any]) -> None:
    from harness import pipeline
    from harness.progress import Silent
    from harness.terminal import TerminalProgress

    asked = wish_of(wish)
    made = pipeline.build(asked, command_of(asked), Silent() if as_json else TerminalProgress())
    if as_json:
        from harness.store import encode

        click.echo(encode(made))
        return
    width = max(len(one.variant) for one in made)
    for one in made:
        if one.reason is not None:
            click.echo(f"{one.variant:<{width}}  not made: {one.reason}")
            continue
        click.echo(f"{one.variant:<{width}}  {one.bytes or 0:>13,} bytes  sha256 {one.sha256}  {one.path}")


def _runners(kind: str, as_json: bool) -> None:
    from harness.building import build_runners
    from harness.progress import Silent
    from harness.terminal import TerminalProgress

    made = build_runners(kind, Silent() if as_json else TerminalProgress())
    if as_json:
        from harness.store import encode

        click.echo(encode(made))
        return
    width = max(len(program.target) for program in made)
    for program in made:
        click.echo(f"{program.target:<{width}}  {program.bytes:>10,} bytes  sha256 {program.sha256}  {program.path}")


def _bundle(target: Path, as_json: bool, wish: dict[str, Any]) -> None:
    from harness import pipeline
    from harness.listing import in_hours
    from harness.measure.bundle.scripts import ARCHIVE, PUSHED_TO, RESULT
    from harness.progress import Silent
    from harness.terminal import TerminalProgress

    asked = wish_of(wish)
    made = pipeline.bundle(asked, command_of(asked), target, Silent() if as_json else TerminalProgress())
    if as_json:
        from harness.store import encode

        click.echo(encode(made))
        return
    room_mb = 2 * made.bytes / 1e6
    took = in_hours(made.expected_s)
    click.echo(f"{target}: {made.bytes:,} bytes; the phone needs {room_mb:,.0f} MB of free storage")
    click.echo(f"{made.jobs} jobs, about {took} on the phone, more where it does not cool")
    click.echo(f"copy it:  adb push {target} {PUSHED_TO}/{ARCHIVE}")
    click.echo(f"at the end:  adb pull {PUSHED_TO}/{RESULT} && bench import {RESULT}")
    click.echo("the one line that measures:")
    click.echo(made.run_line)


def _refuse_wishes(ctx: click.Context, wish: dict[str, Any]) -> None:
    from click.core import ParameterSource

    given = [name for name in wish if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        raise click.UsageError(f"--runners builds for every suite: leave out --{', --'.join(given)}")
