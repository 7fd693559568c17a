"""The command that writes the numbers of a model card, and holds a card against its runs."""

from pathlib import Path

import click

from harness.options import json_option, results_option

DIFFERS = 3
CARD = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("runs", nargs=-1)
@results_option
@click.option("--update", metavar="FILE", type=CARD, help="Put the numbers into this card, in the place of its block.")
@click.option(
    "--verify", metavar="FILE", type=CARD, help="Say which numbers of this card's block the runs do not give."
)
@click.option(
    "--metadata",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the scores as `.eval_results/` and `model-index` there, a folder for each variant.",
)
@click.option("--stand-in", is_flag=True, help="Numbers of a stand-in or of random weights too, marked as such.")
@json_option
@click.pass_context
def card(
    ctx: click.Context,
    /,
    runs: tuple[str, ...],
    results: Path,
    update: Path | None,
    verify: Path | None,
    metadata: Path | None,
    stand_in: bool,
    as_json: bool,
) -> None:
    """Print the numbers of any runs as a block for a model card (default: latest run)."""
    from harness import cards

    if verify is not None and (update is not None or stand_in):
        raise click.UsageError("--verify only looks: without --update and --stand-in")
    if as_json and verify is None:
        raise click.UsageError("--json goes with --verify")
    if metadata is not None and (verify is not None or update is not None or stand_in):
        raise click.UsageError("--metadata writes files of its own: without --update, --verify and --stand-in")
    names = runs or ("latest",)
    if metadata is not None:
        files = cards.metadata_of(names, results)
        cards.write_metadata(metadata, files)
        for name in files:
            click.echo(metadata / name)
        return
    if verify is not None:
        ctx.exit(_verify(verify, names, results, as_json))
    text = cards.block_of(names, results, stand_in=stand_in)
    if update is not None:
        changed = cards.update(update, text)
        click.echo(f"{update}: {'updated' if changed else 'as it was'}")
    else:
        click.echo(text, nl=False)


def _verify(card: Path, names: tuple[str, ...], results: Path, as_json: bool) -> int:
    from harness import cards

    found = cards.differences(card, names, results)
    if as_json:
        from harness.store import encode

        click.echo(encode(found))
    else:
        for one in found:
            click.echo(f"{one.where}: the card says {_said(one.card)}, the run {_said(one.run)}")
        click.echo(
            f"{card}: "
            + (
                f"{len(found)} difference{'s' if len(found) > 1 else ''}"
                if found
                else "every number follows from the run"
            )
        )
    return DIFFERS if found else 0


def _said(text: str | None) -> str:
    return "nothing" if text is None else repr(text)
