"""Typed columns of frames: nullable figures, names as categories, texts."""

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pandas import DataFrame

NAMES = ("run", "cell", "variant", "baseline", "runtime", "device", "workload", "metric", "unit", "status")
"""Columns with few distinct values: categories."""
FIGURES = ("value", "baseline_value", "ratio", "ratio_low", "ratio_high", "diff", "diff_low", "diff_high")


class Coded(msgspec.Struct, frozen=True):
    """A column as its distinct values and which of them stands in each row: small to send, quick to join."""

    values: list[Any]
    codes: "array[int]"


def coded(column: Sequence[Any]) -> Coded:
    """In the order of first appearance."""
    known = {value: code for code, value in enumerate(dict.fromkeys(column))}
    return Coded(list(known), array("i", map(known.__getitem__, column)))


def joined(name: str, parts: Sequence[Coded], counts: Any = None) -> Any:
    """The parts one below the other, in the type that goes with the column's name.

    Args:
        counts: how often each row of all parts is repeated, as an array; None: once.
    """
    import numpy as np
    import pandas as pd

    known = {value: code for code, value in enumerate(dict.fromkeys(value for part in parts for value in part.values))}
    codes = np.concatenate(
        [
            np.array([known[value] for value in part.values], dtype=np.int32)[np.frombuffer(part.codes, dtype=np.int32)]
            for part in parts
        ]
    )
    codes = codes if counts is None else np.repeat(codes, counts)
    if name in NAMES:
        names = [value for value in known if value is not None]
        places = {value: place for place, value in enumerate(names)}
        to_place = np.array([places.get(value, -1) for value in known], dtype=np.int32)
        return pd.Categorical.from_codes(to_place[codes], categories=pd.Index(names, dtype=object))
    return _typed(name, list(known)).take(codes)


def figures(plain: Any) -> Any:
    """A nullable column of an array of floats, where NaN is what was not seen: the store holds none."""
    import numpy as np
    import pandas as pd

    return pd.arrays.FloatingArray(plain, np.isnan(plain))


def frame_of(columns: dict[str, list[Any]]) -> "DataFrame":
    """A frame whose columns have the type that goes with their names."""
    import pandas as pd

    return pd.DataFrame({name: _typed(name, values) for name, values in columns.items()})


def _typed(name: str, values: list[Any]) -> Any:
    import pandas as pd

    if name in FIGURES:
        import numpy as np

        return figures(np.array(values, dtype=float))
    if name in ("n", "round"):
        return pd.array(values, dtype="Int64")
    if name in NAMES:
        return _category(values)
    if name == "started":
        return pd.to_datetime(values, utc=True, format="ISO8601", errors="coerce")
    return pd.array(values, dtype="string")


def _category(values: list[str | None]) -> Any:
    """Categories in the order of their first appearance, which is that of the plan."""
    import pandas as pd

    known = {name: code for code, name in enumerate(n for n in dict.fromkeys(values) if n is not None)}
    codes = [-1 if name is None else known[name] for name in values]
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(known), dtype=object))
