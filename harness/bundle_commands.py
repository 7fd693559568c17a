"""The command that takes what was measured elsewhere: by a bundle, or by another tool."""

from pathlib import Path

import click

from harness.options import results_option


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@results_option
@click.option("--data", type=click.Path(path_type=Path), help="Folder of data sets; default: BENCH_DATA.")
@click.pass_context
def import_(ctx: click.Context, file: Path, results: Path, data: Path | None) -> None:
    """Make a run of FILE: a bundle's result, or what another tool wrote; nothing is measured."""
    from harness import pipeline
    from harness.terminal import TerminalProgress

    folder = pipeline.import_result(file, results, pipeline.data_folder(data), TerminalProgress())
    failed = pipeline.failures(folder)
    click.echo(f"{folder}: imported" + (f", {failed} trials failed" if failed else ""))
    click.echo(f"next: bench report {folder.name}")
    ctx.exit(1 if failed else 0)
