"""Typed columns of frames: nullable figures, names as categories, texts."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

NAMES = ("run", "cell", "variant", "baseline", "runtime", "device", "workload", "metric", "unit", "status")
"""Columns with few distinct values: categories."""
FIGURES = ("value", "baseline_value", "ratio", "ratio_low", "ratio_high", "diff", "diff_low", "diff_high")


def frame_of(columns: dict[str, list[Any]]) -> "DataFrame":
    """A frame whose columns have the type that goes with their names."""
    import pandas as pd

    return pd.DataFrame({name: _typed(name, values) for name, values in columns.items()})


def _typed(name: str, values: list[Any]) -> Any:
    import pandas as pd

    if name in FIGURES:
        return _figures(values)
    if name in ("n", "round"):
        return pd.array(values, dtype="Int64")
    if name in NAMES:
        return _category(values)
    if name == "started":
        return pd.to_datetime(values, utc=True, format="ISO8601", errors="coerce")
    return pd.array(values, dtype="string")


def _figures(values: list[float | None]) -> Any:
    """By way of a plain array, which is far quicker; the store holds no NaN that could be taken for a null."""
    import numpy as np
    import pandas as pd

    plain = np.array(values, dtype=float)
    return pd.arrays.FloatingArray(plain, np.isnan(plain))


def _category(values: list[str | None]) -> Any:
    """Categories in the order of their first appearance, which is that of the plan."""
    import pandas as pd

    known = {name: code for code, name in enumerate(n for n in dict.fromkeys(values) if n is not None)}
    codes = [-1 if name is None else known[name] for name in values]
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(known), dtype=object))
