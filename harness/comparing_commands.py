"""The command that compares: variants with their baselines, or any two sides."""

from pathlib import Path
from typing import Any

import click

from harness.options import Names, json_option, results_option


@click.command()
@click.argument("runs", nargs=-1)
@results_option
@click.option("--metrics", type=Names(), default=(), help="Only these metrics.")
@click.option("--variant", type=Names(), default=(), help="Two variants, A,B: A over B. One: only that one.")
@click.option("--device", type=Names(), default=(), help="Two devices, A,B: A over B. One: only that one.")
@click.option("--against", metavar="RUN", help="Another run that the run is set against.")
@click.option("--different-artifacts", is_flag=True, help="Compare different artifacts of one name all the same.")
@json_option
def compare(
    runs: tuple[str, ...],
    results: Path,
    metrics: tuple[str, ...],
    variant: tuple[str, ...],
    device: tuple[str, ...],
    against: str | None,
    different_artifacts: bool,
    as_json: bool,
) -> None:
    """Print every variant against both baselines (default: latest run), or any two sides."""
    if variant or device or against:
        wish = {"variants": variant, "devices": device, "different_artifacts": different_artifacts}
        _compare_sides(runs or ("latest",), against, results, metrics, wish, as_json)
        return
    if different_artifacts:
        raise click.UsageError("--different-artifacts needs --against, --variant or --device")
    _compare_runs(runs or ("latest",), results, metrics, as_json)


def _compare_runs(runs: tuple[str, ...], results: Path, metrics: tuple[str, ...], as_json: bool) -> None:
    from harness import pipeline
    from harness.metrics import check_names

    analysed = pipeline.analyse(runs, results)
    check_names(metrics, {row.metric for row in analysed.rows})
    if as_json:
        from harness.store import encode

        click.echo(encode([row for row in analysed.rows if not metrics or row.metric in metrics]))
        return
    from rich.console import Console

    from harness.render.terminal import comparison

    Console().print(comparison(analysed, metrics or None))


def _compare_sides(
    runs: tuple[str, ...],
    against: str | None,
    results: Path,
    metrics: tuple[str, ...],
    wish: dict[str, Any],
    as_json: bool,
) -> None:
    from harness import pipeline

    if len(runs) > 1:
        raise click.UsageError("two sides are of one RUN, or of one RUN and --against another")
    found = pipeline.side_by_side(runs[0], against, results, metrics=metrics, **wish)
    if as_json:
        from harness.store import encode

        click.echo(encode(found))
        return
    from rich.console import Console

    from harness.render.sides_terminal import side_by_side

    Console().print(side_by_side(found, metrics))
