"""Options that several commands share."""

import re
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


class HalfWidth(click.ParamType[float]):
    """`±1pt`: half the width of an interval, in points of accuracy; a share once it is read."""

    name = "±Xpt"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(?:±|\+-|\+/-)?\s*(\d{1,3}(?:\.\d{1,6})?)\s*pt", str(value).strip())
        share = float(found.group(1)) / 100 if found else 0.0
        if not 0 < share < 1:
            self.fail(f"{value!r} is no half width such as ±1pt or ±0.5pt", param, ctx)
        return share


class ShardOf(click.ParamType[Any]):
    """`2/4`: the second of four parts."""

    name = "K/N"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        from harness.values import Shard

        if isinstance(value, Shard):
            return value
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value).strip())
        if not found or not 1 <= int(found.group(1)) <= int(found.group(2)):
            self.fail(f"{value!r} is no part such as 1/4, 2/4 … 4/4", param, ctx)
        return Shard(number=int(found.group(1)), of=int(found.group(2)))


results_option = click.option(
    "--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Folder of runs."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
