"""The commands that read: rows of runs, schemas of files, and what the cache holds."""

import sys
from pathlib import Path

import click

from harness.options import Names, results_option

FORMATS = ("csv", "json", "parquet", "prometheus")
ENDINGS = {"prom": "prometheus"}
SCHEMAS = ("suite", "devices", "claims", "record", "plan", "report", "night")


@click.command()
@click.argument("runs", nargs=-1)
@results_option
@click.option("--trials", is_flag=True, help="One row a trial and metric value, instead of one a comparison.")
@click.option("--metrics", type=Names(), default=(), help="Only these metrics.")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Default: by the name of --out, else csv.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File; default: standard output.")
def rows(
    runs: tuple[str, ...], results: Path, trials: bool, metrics: tuple[str, ...], format_: str | None, out: Path | None
) -> None:
    """Rows of any runs as CSV, JSON, Parquet or Prometheus' text (default: latest run)."""
    from harness import pipeline
    from harness.errors import InputError
    from harness.store import write_durably

    ending = out.suffix.removeprefix(".").lower() if out else ""
    ending = ENDINGS.get(ending, ending)
    chosen = format_ or (ending if ending in FORMATS else "csv")
    if chosen == "prometheus" and trials:
        raise click.UsageError("Prometheus takes one value a place: without --trials")
    if chosen == "parquet" and out is None:
        raise InputError("Parquet is no text for a terminal: name a file with --out FILE")
    body = pipeline.rows(runs or ("latest",), results, chosen, trials=trials, metrics=metrics)
    if out is None:
        sys.stdout.buffer.write(body)
    else:
        write_durably(out, body)
        click.echo(out)


@click.command()
@click.argument("kind", type=click.Choice(SCHEMAS))
def schema(kind: str) -> None:
    """Print the JSON Schema of a KIND of file, for editors and checks."""
    import msgspec

    from harness.pipeline import known_names
    from harness.schema import schema_of

    click.echo(msgspec.json.format(msgspec.json.encode(schema_of(kind, known_names())), indent=2))


@click.command()
@click.option("--keep-days", type=click.IntRange(min=0), default=30, show_default=True, help="What was used since.")
@click.option(
    "--pin", metavar="NAME", help="Keep an artifact (its key or sha256) or all that a suite needs; no removal."
)
@click.option("--unpin", metavar="NAME", help="Take a pin away; no removal.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
def gc(keep_days: int, pin: str | None, unpin: str | None, dry_run: bool) -> None:
    """Remove from the cache what no suite here needs, no pin holds, and nobody used for days."""
    from harness import housekeeping

    if pin is not None and unpin is not None:
        raise click.UsageError("--pin and --unpin exclude each other")
    if pin is not None:
        click.echo(housekeeping.pin(pin))
    elif unpin is not None:
        click.echo(housekeeping.unpin(unpin))
    else:
        for line in housekeeping.collect(keep_days, dry_run=dry_run):
            click.echo(line)


READING = (rows, schema, gc)
"""Added to `bench` by `harness.cli`."""
