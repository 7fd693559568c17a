"""Options that several commands share."""

from pathlib import Path
from typing import Any

import click

RESULTS = Path("results")


class Names(click.ParamType[tuple[str, ...]]):
    """Comma-separated names."""

    name = "NAME,…"

    def convert(self, value: Any, _param: Any, _ctx: Any) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(part.strip() for part in str(value).split(",") if part.strip()))


results_option = click.option(
    "--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Folder of runs."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
