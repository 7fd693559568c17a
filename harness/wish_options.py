"""The options that say what to measure, and what is made of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.options import HalfWidth, Names, ShardOf

if TYPE_CHECKING:
    from harness.pipeline import Wish


ON_THIS_MACHINE = (
    click.option(
        "--cross-check",
        type=click.IntRange(min=0),
        default=0,
        help="Questions a task that lm-eval's own model scores again.",
    ),
    click.option(
        "--allow-task-code", is_flag=True, help="Run task files that the suite names: they can hold Python code."
    ),
    click.option("--shard", type=ShardOf(), help="Only this part of each accuracy job (`bench merge` joins them)."),
)
PARTS = (
    click.option("--data", type=click.Path(path_type=Path), help="Folder of data sets; default: BENCH_DATA."),
    click.option("--rounds", type=click.IntRange(min=1), help="Rounds of every timed measure."),
    click.option(
        "--until",
        type=HalfWidth(),
        help="Ask questions in random order until the paired difference is known so well.",
    ),
    click.option("--limit", type=click.IntRange(min=1), help="Questions a task asks in all (seeded draw)."),
    click.option("--tasks", type=Names(), default=(), help="Accuracy tasks instead of the suite's."),
    click.option("--measures", type=Names(), default=(), help="Only these kinds: size, memory, speed, …"),
    click.option("--variants", type=Names(), default=(), help="Only these, and the baselines."),
    click.option("--device", type=Names(), default=(), help="Devices by name (devices.yaml)."),
    click.option("--suite", default="quick", show_default=True, help="Name or file of a suite."),
)


def wish_options(command: Any) -> Any:
    """The options that say what to measure."""
    return part_options(_with(command, ON_THIS_MACHINE))


def part_options(command: Any) -> Any:
    """The same, without those that need the machine on which the command is given."""
    return _with(command, PARTS)


def _with(command: Any, options: tuple[Any, ...]) -> Any:
    for option in options:
        command = option(command)
    return command


def wish_of(options: dict[str, Any]) -> "Wish":
    """The wish of a command with these options; those that it does not have are as if nobody gave them."""
    from harness.pipeline import Wish, data_folder

    return Wish(
        suite=options["suite"],
        devices=options["device"],
        variants=options["variants"],
        tasks=options["tasks"],
        measures=options["measures"],
        limit=options.get("limit"),
        rounds=options.get("rounds"),
        until=options.get("until"),
        shard=options.get("shard"),
        cross_check=options.get("cross_check", 0),
        allow_task_code=options.get("allow_task_code", False),
        data=data_folder(options["data"]),
    )


def command_of(wish: "Wish") -> tuple[str, ...]:
    """The command that measures this again, without paths of this machine."""
    suite = Path(wish.suite).name if Path(wish.suite).is_absolute() else wish.suite
    words = ["bench", "run", "--suite", suite]
    if wish.devices:
        words += ["--device", ",".join(wish.devices)]
    for option in ("variants", "measures", "tasks"):
        if names := getattr(wish, option):
            words += [f"--{option}", ",".join(names)]
    for option in ("limit", "rounds", "shard"):
        if (number := getattr(wish, option)) is not None:
            words += [f"--{option}", str(number)]
    if wish.until is not None:
        words += ["--until", f"±{100 * wish.until:g}pt"]
    if wish.cross_check:
        words += ["--cross-check", str(wish.cross_check)]
    if wish.allow_task_code:
        words += ["--allow-task-code"]
    return tuple(words)
