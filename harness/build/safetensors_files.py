"""Which files hold a checkpoint's weights (as transformers looks for them), and what their headers say."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.errors import BuildError
from harness.values import Value

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
COMPRESSED = "compressed.safetensors"
"""The weights of a checkpoint that bench-compress made; see docs/variants.md."""
METHOD = "bench"
"""`quant_method` of such a checkpoint's config.json."""
LARGEST_JSON = 64 << 20
T = TypeVar("T")
DAMAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError)


class Tensor(Value, frozen=True, forbid_unknown_fields=False):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count


class Index(Value, frozen=True, forbid_unknown_fields=False):
    weight_map: dict[str, str]
    """Tensor → file."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The compressed weights, or `model.safetensors`, or else what `model.safetensors.index.json` names; other weights
    in the folder are none.

    Raises:
        BuildError: neither is there, a named file is missing, or the checkpoint names weights elsewhere.
    """
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if (elsewhere := config.get("transformers_weights")) is not None:
        raise BuildError(
            f"{folder}/config.json names weights of its own ({elsewhere!r}); known are {SINGLE} and {INDEX}"
        )
    scheme = config.get("quantization_config")
    if isinstance(scheme, dict) and scheme.get("quant_method") == METHOD:
        if not (folder / COMPRESSED).is_file():
            raise BuildError(f"{folder} has no {COMPRESSED}, which its config.json asks for")
        return (folder / COMPRESSED,)
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    if not (folder / INDEX).is_file():
        raise BuildError(f"{folder} has no {SINGLE} and no {INDEX}")
    names = sorted(set(_decode(folder / INDEX, Index).weight_map.values()))
    for name in names:
        if "/" in name or "\0" in name or not name.endswith(".safetensors"):
            raise BuildError(f"{folder / INDEX} names {name!r}, which is no *.safetensors file beside it")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise BuildError(f"{folder} lacks {', '.join(missing)}, which {INDEX} names")
    if not names:
        raise BuildError(f"{folder / INDEX} names no file")
    return tuple(folder / name for name in names)


def read_header(path: Path) -> tuple[dict[str, Tensor], int]:
    """Tensors by name, and where their bytes begin (behind 8 bytes of the header's length, and the header).

    Raises:
        BuildError: a damaged file.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LARGEST_JSON):
            raise BuildError(f"{path} is damaged: its header is longer than the file")
        header = file.read(length)
    try:
        parts = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        tensors = {k: msgspec.json.decode(raw, type=Tensor) for k, raw in parts.items() if k != "__metadata__"}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BuildError(f"{path} is damaged: {error}") from error
    if any(not 0 <= t.data_offsets[0] <= t.data_offsets[1] <= size - 8 - length for t in tensors.values()):
        raise BuildError(f"{path} is damaged or cut short: a tensor lies outside of the file")
    return tensors, 8 + length


def read_json(path: Path) -> dict[str, Any]:
    """An object of a checkpoint's JSON files.

    Raises:
        BuildError: a damaged or far too large file.
    """
    return _decode(path, dict[str, Any])


def _decode(path: Path, kind: type[T]) -> T:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise BuildError(f"{path} is damaged: larger than any such file of a checkpoint")
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except DAMAGE as error:
        raise BuildError(f"{path} cannot be read: {error}") from error
