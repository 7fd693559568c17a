"""The command that makes programs before a run needs them."""

import click

from harness.options import json_option

KINDS = ("native", "phone", "all")


@click.command()
@click.option("--runners", type=click.Choice(KINDS), required=True, help="Build runners: this machine's, phones', all.")
@json_option
def build(runners: str, as_json: bool) -> None:
    """Build the runners of llama.cpp for this machine or for phones, and print where they are."""
    from harness.building import build_runners
    from harness.progress import Silent
    from harness.terminal import TerminalProgress

    made = build_runners(runners, Silent() if as_json else TerminalProgress())
    if as_json:
        from harness.store import encode

        click.echo(encode(made))
        return
    width = max(len(program.target) for program in made)
    for program in made:
        click.echo(f"{program.target:<{width}}  {program.bytes:>10,} bytes  sha256 {program.sha256}  {program.path}")
