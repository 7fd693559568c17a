"""The files of a compressed checkpoint: integers and scales in safetensors, the scheme in config.json.

A matrix `NAME` is `NAME.weight_int4` (uint8, two columns a byte) or `NAME.weight_int8`, with `NAME.weight_scale`
(float32, [rows, groups]); its adaptor is `NAME.lora_a` and `NAME.lora_b` (bfloat16). Norms are `NAME.weight`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from harness.measure.workers.hf.errors import JobFailedError, ModelError
from harness.measure.workers.scheme.numerics import INT4, INT8, Bounds, dequantized, packed, unpacked

METHOD = "bench"
"""`quant_method` of its config.json."""
FILE = "compressed.safetensors"
"""No name that transformers looks for: it would skip what it does not know and draw the weights at random."""
ADAPTOR_DTYPE = torch.bfloat16


class Scheme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What config.json says under `quantization_config`."""

    quant_method: str = METHOD
    version: Literal[1] = 1
    group: int = 32
    """Weights of a block linear that share a scale."""
    rotates_down: bool = False
    """R4: the input of every down projection is multiplied with a Hadamard matrix first."""
    lora_rank: int = 0
    lora_scale: float = 0.0


class Matrix(msgspec.Struct, frozen=True):
    """A matrix as integers [rows, columns] in int8, and scales [rows, groups] in float32."""

    integers: torch.Tensor
    scales: torch.Tensor
    bounds: Bounds

    @property
    def weight(self) -> torch.Tensor:
        return dequantized(self.integers, self.scales)


def read_scheme(folder: Path) -> Scheme | None:
    """The scheme of a checkpoint; None for one of another kind.

    Raises:
        ModelError: config.json cannot be read, or says of our scheme what is not known here.
    """
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
        found = config.get("quantization_config")
        if not isinstance(found, dict) or found.get("quant_method") != METHOD:
            return None
        return msgspec.convert(found, Scheme)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"{folder / 'config.json'}: {error}") from error


def write(
    folder: Path,
    matrices: Iterable[tuple[str, Matrix]],
    vectors: dict[str, torch.Tensor],
    adaptors: dict[str, tuple[torch.Tensor, torch.Tensor]],
) -> None:
    """Write the weights.

    Raises:
        JobFailedError: no space, or the folder cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {f"{name}.weight": vector.float() for name, vector in vectors.items()}
    for name, matrix in matrices:
        kind = "weight_int4" if matrix.bounds == INT4 else "weight_int8"
        tensors[f"{name}.{kind}"] = packed(matrix.integers) if matrix.bounds == INT4 else matrix.integers
        tensors[f"{name}.weight_scale"] = matrix.scales.float()
    for name, (a, b) in adaptors.items():
        tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"] = a.to(ADAPTOR_DTYPE), b.to(ADAPTOR_DTYPE)
    try:
        save_file({name: t.contiguous() for name, t in sorted(tensors.items())}, folder / FILE, {"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise JobFailedError(f"cannot write {folder / FILE}: {error}") from error


class Weights:
    """The tensors of a compressed checkpoint, read one at a time."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError: no safetensors file, or a damaged one."""
        self.path = path
        try:
            self._file = safe_open(path, "pt")
        except (OSError, SafetensorError) as error:
            raise ModelError(f"cannot load {path}: {error}") from error
        self.names = set(self._file.keys())
        self.read: set[str] = set()

    def tensor(self, name: str) -> torch.Tensor:
        """Raises ModelError: it is not there."""
        if name not in self.names:
            raise ModelError(f"cannot load {self.path}: it lacks {name}")
        self.read.add(name)
        found: torch.Tensor = self._file.get_tensor(name)
        return found

    def matrix(self, name: str, rows: int, columns: int) -> Matrix:
        """Raises ModelError: it is not there, or not of that shape."""
        if f"{name}.weight_int4" in self.names:
            integers, bounds = unpacked(self.tensor(f"{name}.weight_int4")), INT4
        else:
            integers, bounds = self.tensor(f"{name}.weight_int8"), INT8
        scales = self.tensor(f"{name}.weight_scale")
        fits = scales.ndim == 2 and len(scales) == rows and scales.shape[1] and columns % scales.shape[1] == 0
        if tuple(integers.shape) != (rows, columns) or not fits:
            raise ModelError(
                f"cannot load {self.path}: {name} is {list(integers.shape)} with scales {list(scales.shape)}, "
                f"the model needs {[rows, columns]}"
            )
        return Matrix(integers, scales.float(), bounds)
