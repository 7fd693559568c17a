"""The commands, thin: parse, call the pipeline, print. Exit codes:

0 fine · 1 a cell failed · 2 bad input · 3 judged bad · 130 interrupted
"""

import errno
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from harness import __version__
from harness.building_commands import build
from harness.bundle_commands import import_
from harness.card_commands import card
from harness.comparing_commands import compare
from harness.device_commands import devices
from harness.errors import BenchError
from harness.history_commands import HISTORY
from harness.nightly_commands import NIGHTLY
from harness.options import json_option, results_option
from harness.reading_commands import READING
from harness.wish_options import command_of, wish_of, wish_options

FAILED_CELL, BAD_INPUT, JUDGED_BAD, INTERRUPTED = 1, 2, 3, 130
# What the machine refuses, whatever bench does: no room, no right to write or read.
MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
REPORT_FORMATS = ("html", "md", "json", "pdf")
MAIN_FILES = ("index.html", "report.md", "report.json", "report.pdf")
REPORTS = Path("reports")
WISHES = (
    "suite", "device", "variants", "measures", "tasks", "limit", "rounds", "until", "shard", "cross_check",
    "allow_task_code",
)  # fmt: skip


class Commands(click.Group):
    """Turns errors for people into one line on standard error and an exit code; bugs keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BenchError as error:
            click.echo(f"bench: {error}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno not in MACHINE_ERRORS:
                raise
            click.echo(f"bench: {error.strerror}: {error.filename or 'while writing'}", err=True)
            ctx.exit(BAD_INPUT)
        except (KeyboardInterrupt, click.Abort):
            click.echo("bench: interrupted", err=True)
            ctx.exit(INTERRUPTED)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from harness.errors import UnknownNameError

        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise UnknownNameError("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bench")
def main() -> None:
    """Measure what compressed small language models save and cost, against their 16-bit baselines."""


@main.command()
@wish_options
@results_option
@click.option("--resume", metavar="RUN", help="Go on with a run (a folder, its name, or `latest`).")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.pass_context
def run(ctx: click.Context, /, results: Path, resume: str | None, dry_run: bool, **wish: Any) -> None:
    """Measure a suite: plan, build what is missing, run, grade."""
    from harness import pipeline
    from harness.terminal import TerminalProgress

    if dry_run and resume is not None:
        raise click.UsageError("--dry-run shows a new run's plan; --resume goes on with an old one")
    asked = wish_of(wish)
    if dry_run:
        _print_plan(pipeline.plan(asked, command_of(asked)))
        return
    progress = TerminalProgress()
    if resume is not None:
        _refuse_options(ctx)
        folder = pipeline.resume(resume, results, asked.data, progress)
    else:
        folder = pipeline.run(asked, command_of(asked), results, progress)
    failed = pipeline.failures(folder)
    click.echo(f"{folder}: done" + (f", {failed} trials failed" if failed else ""))
    click.echo(f"next: bench report {folder.name}")
    ctx.exit(FAILED_CELL if failed else 0)


@main.command()
@wish_options
@json_option
def plan(as_json: bool, **wish: Any) -> None:
    """Show what a run would do: every cell, what is impossible and why, the trials."""
    from harness import pipeline

    asked = wish_of(wish)
    planned = pipeline.plan(asked, command_of(asked))
    if as_json:
        from harness.store import encode

        click.echo(encode(planned))
    else:
        _print_plan(planned)


@main.command()
@click.argument("runs", nargs=-1)
@results_option
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report; default: reports/RUN.")
@click.option("--format", "formats", type=click.Choice(REPORT_FORMATS), multiple=True, help="Default: all but pdf.")
@json_option
def report(runs: tuple[str, ...], results: Path, out: Path | None, formats: tuple[str, ...], as_json: bool) -> None:
    """Make report.md, index.html, plots and report.json from runs (default: latest)."""
    from harness import pipeline
    from harness.store import encode, resolve_run

    names = runs or ("latest",)
    target = out or REPORTS / resolve_run(names[-1], results).name
    files = pipeline.report(names, results, target, formats)
    if as_json:
        click.echo(encode([str(f) for f in files]))
        return
    for name in MAIN_FILES:
        if (path := target / name) in files:
            click.echo(path)


@main.command()
@click.argument("run", default="latest")
@results_option
@click.option("--data", type=click.Path(path_type=Path), help="Folder of data sets; default: BENCH_DATA.")
def regrade(run: str, results: Path, data: Path | None) -> None:
    """Grade a run's answers again with lm-eval's metrics; nothing is measured."""
    from harness import pipeline
    from harness.terminal import TerminalProgress

    click.echo(pipeline.regrade(run, results, pipeline.data_folder(data), TerminalProgress()))


@main.command()
@click.argument("runs", nargs=-1, required=True)
@results_option
def merge(runs: tuple[str, ...], results: Path) -> None:
    """Join the runs of all shards (`bench run --shard K/N`) into one new run."""
    from harness import pipeline

    folder = pipeline.merge(runs, results)
    click.echo(f"{folder}: merged {len(runs)} shards")
    click.echo(f"next: bench report {folder.name}")


@main.group(cls=Commands)
def claims() -> None:
    """What others published about their compressed models: recompute it, and judge it by runs."""


@claims.command(name="audit")
@click.argument("file")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for index.html, audit.md and audit.json.")
@click.option("--draft", type=click.Path(path_type=Path, dir_okay=False), help="Keep the claim file read from a card.")
@json_option
def audit_claims(file: str, out: Path | None, draft: Path | None, as_json: bool) -> None:
    """Recompute every figure of a claim FILE from what is printed; no run is needed.

    FILE: a name or a path, a model card (README.md), or a model of the Hugging Face hub.
    """
    from harness import pipeline

    found = pipeline.audit(file, draft)
    written = pipeline.write_audit(found, out) if out is not None else []
    if as_json:
        from harness.store import encode

        click.echo(encode(found))
        return
    from rich.console import Console

    from harness.render.audit_terminal import audit_table

    Console().print(audit_table(found))
    for path in written:
        click.echo(path)


@claims.command(name="check")
@click.argument("file")
@click.argument("runs", nargs=-1)
@results_option
@json_option
@click.pass_context
def claims_check(ctx: click.Context, file: str, runs: tuple[str, ...], results: Path, as_json: bool) -> None:
    """Judge the claims of FILE by runs (default: latest); 3 if one that must hold is not reproduced."""
    from harness import pipeline
    from harness.analyse.verdicts.check import broken

    checked = pipeline.check_claims(file, runs or ("latest",), results)
    if as_json:
        from harness.store import encode

        click.echo(encode(checked))
    else:
        from rich.console import Console

        from harness.render.terminal import verdicts

        Console().print(verdicts(checked))
    ctx.exit(JUDGED_BAD if broken(checked) else 0)


@main.command()
@click.option("--device", default="local", show_default=True, help="Device by name (devices.yaml).")
@click.option("--quick", is_flag=True, help="Leave out the A/A test, which takes a minute.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, device: str, quick: bool, as_json: bool) -> None:
    """Say what is installed, whether this machine is quiet, and the smallest difference it can show now."""
    from harness import pipeline
    from harness.terminal import TerminalProgress

    found = pipeline.doctor(device, TerminalProgress(), quick=quick)
    if as_json:
        from harness.store import encode

        click.echo(encode(found))
    else:
        from rich.console import Console

        from harness.render.doctor import examination

        Console().print(examination(found))
    ctx.exit(BAD_INPUT if found.impossible else 0)


KINDS = ("suites", "claims", "variants", "tasks", "metrics", "recipes", "runtimes", "devices", "runs")


@main.command(name="list")
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
@click.option("--suite", default="quick", show_default=True, help="Whose variants to list.")
@results_option
@json_option
def list_names(kinds: tuple[str, ...], suite: str, results: Path, as_json: bool) -> None:
    """List suites, claim files, variants, tasks, metrics, recipes, runtimes, devices and runs."""
    from harness.listing import listing

    tables = listing(kinds or KINDS, suite, results)
    if as_json:
        from harness.store import encode

        click.echo(encode(tables))
        return
    for kind, rows in tables.items():
        click.echo(f"{kind}:")
        width = max((len(name) for name in rows), default=0)
        for name, what in rows.items():
            click.echo(f"  {name:<{width}}  {what}".rstrip())


for command in (build, card, compare, devices, import_, *HISTORY, *NIGHTLY, *READING):
    main.add_command(command)


def _refuse_options(ctx: click.Context) -> None:
    """A resumed run does what its plan says; silently ignoring other wishes would mislead."""
    from click.core import ParameterSource

    from harness.errors import InputError

    given = [name for name in WISHES if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        options = ", --".join(name.replace("_", "-") for name in given)
        raise InputError(f"--resume goes on with the run's own plan: leave out --{options}")


def _print_plan(planned: Any) -> None:
    from harness.listing import plan_lines

    for line in plan_lines(planned):
        click.echo(line)
    click.echo(f"again: {shlex.join(planned.command)}")


if __name__ == "__main__":
    sys.exit(main())
