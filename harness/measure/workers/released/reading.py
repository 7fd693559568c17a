"""consolidated.00.pth: every key and shape held against params.json, then handed out by transformers' names."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import torch

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.released.names import EMBEDDING, OUTPUT, halved, is_norm, is_turned, modules
from harness.measure.workers.released.params import FILE as PARAMS
from harness.measure.workers.released.params import read_params
from harness.measure.workers.scheme.layout import Matrix
from harness.measure.workers.scheme.numerics import INT4, INT8

FILE, SECOND = "consolidated.00.pth", "consolidated.01.pth"
UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)
"""What torch raises for files that are no such checkpoint, or hold more than tensors."""
FLOATS = (torch.bfloat16, torch.float16, torch.float32)
IGNORED = ("rope.freqs",)
"""Keys that follow from params.json."""
LORA = {"lora_a": "adaptor.A.weight", "lora_b": "adaptor.B.weight"}
Shape = tuple[int, ...]


def is_released(folder: Path) -> bool:
    """Whether the folder is in Meta's layout. One that also has a config.json is transformers'."""
    return (folder / FILE).is_file() and not (folder / "config.json").is_file()


class Released:
    """The tensors of a release; `names`, `read`, `tensor` and `matrix` are as of `scheme.layout.Weights`."""

    def __init__(self, folder: Path) -> None:
        """Raises ModelError: files that cannot be read, or that contradict each other."""
        self.path = folder / FILE
        self.params = read_params(folder)
        self.scheme = self.params.scheme
        if (folder / SECOND).is_file():
            raise ModelError(f"{folder} is split over several files; one {FILE} is known here")
        self._tensors = load(self.path)
        self._metas = {hf: meta for meta, hf in modules(self.params.n_layers).items()}
        self.tied = self.scheme is None and f"{OUTPUT}.weight" not in self._tensors
        self._check()
        self.names, self.read = set(self._names()), set[str]()

    def matrix(self, name: str, rows: int, columns: int) -> Matrix:
        """Integers and scales of a compressed one.

        Raises:
            ModelError: integers beyond their bits.
        """
        meta = self._metas[name]
        assert (rows, columns) == self._shape(meta)
        bounds = INT8 if meta in (EMBEDDING, OUTPUT) else INT4
        integers = self._rows(meta, f"{meta}.weight")
        least, most = int(integers.min()), int(integers.max())
        if least < bounds[0] or most > bounds[1]:
            raise ModelError(f"{self.path}: {meta}.weight has integers from {least} to {most}, not within {bounds}")
        scales = self._rows(meta, f"{meta}.scales").reshape(rows, -1)
        if not bool(torch.isfinite(scales).all()):
            raise ModelError(f"{self.path}: {meta}.scales has values that are no numbers")
        self.read.add(f"{name}.weight")
        return Matrix(integers, scales, bounds)

    def check(self) -> None:
        """Looks at all integers and scales, for whoever takes the file as it is.

        Raises:
            ModelError: they are out of the scheme's range, or no numbers; or floats that are not BF16, which an export
                would round.
        """
        if self.scheme is not None:
            for name, meta in self._metas.items():
                if not is_norm(meta):
                    self.matrix(name, *self._shape(meta))
        elif others := {str(one.dtype) for one in self._tensors.values()} - {str(torch.bfloat16)}:
            raise ModelError(f"{self.path} holds {', '.join(sorted(others))}: only releases in BF16 are exported")

    def tensor(self, name: str) -> torch.Tensor:
        """A norm, a plain weight, or one half of an adaptor (`NAME.lora_a`, `NAME.lora_b`)."""
        module, _, kind = name.rpartition(".")
        meta = self._metas[module]
        self.read.add(name)
        if kind == "weight" and self.tied and meta == OUTPUT:
            return self._tensors[f"{EMBEDDING}.weight"]
        if kind == "lora_a":
            return self._tensors[f"{meta}.{LORA[kind]}"]
        return self._rows(meta, f"{meta}.{LORA.get(kind, kind)}")

    def begins_with_a_float(self) -> bool:
        """Whether the file's first tensor is one, by which ExecuTorch takes the type of the whole."""
        return next(iter(self._tensors.values())).dtype in FLOATS

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors by Meta's names, norms first, the output layer by itself."""
        found = {**self._tensors}
        if self.tied:
            found[f"{OUTPUT}.weight"] = found[f"{EMBEDDING}.weight"]
        return dict(sorted(found.items(), key=lambda pair: pair[0] != "norm.weight"))

    def shape_of(self, name: str) -> tuple[int, int]:
        """Rows and columns of a matrix, by transformers' name."""
        return self._shape(self._metas[name])

    def _rows(self, meta: str, key: str) -> torch.Tensor:
        """In transformers' order."""
        found, params = self._tensors[key], self.params
        if not is_turned(meta):
            return found
        return halved(found, params.n_heads if meta.endswith("wq") else params.n_kv_heads)

    def _names(self) -> Iterator[str]:
        for hf, meta in self._metas.items():
            yield f"{hf}.weight"
            if self.scheme is not None and self.scheme.lora_rank and _has_adaptor(meta):
                yield from (f"{hf}.{half}" for half in LORA)

    def _shape(self, meta: str) -> tuple[int, int]:
        """Rows and columns of a matrix."""
        params = self.params
        heads, keys = params.n_heads * params.head, params.n_kv_heads * params.head
        part = meta.rpartition(".")[2]
        if part in (EMBEDDING, OUTPUT):
            return params.vocab_size, params.dim
        shapes = {"wq": (heads, params.dim), "wk": (keys, params.dim), "wv": (keys, params.dim)}
        shapes |= {"wo": (params.dim, heads), "w2": (params.dim, params.inner)}
        return shapes.get(part, (params.inner, params.dim))

    def _wanted(self) -> Iterator[tuple[str, tuple[torch.dtype, ...], tuple[Shape, ...]]]:
        """Key, types that it may have, shapes that it may have."""
        for meta in self._metas.values():
            if is_norm(meta):
                yield f"{meta}.weight", FLOATS, ((self.params.dim,),)
                continue
            rows, columns = self._shape(meta)
            if self.scheme is None:
                if not (self.tied and meta == OUTPUT):
                    yield f"{meta}.weight", FLOATS, ((rows, columns),)
                continue
            by_row = meta in (EMBEDDING, OUTPUT)
            scales: tuple[Shape, ...] = ((rows,), (rows, 1)) if by_row else ((rows, columns // self.scheme.group),)
            yield f"{meta}.weight", (torch.int8,), ((rows, columns),)
            yield f"{meta}.scales", (torch.float32,), scales
            if (rank := self.scheme.lora_rank) and _has_adaptor(meta):
                yield f"{meta}.{LORA['lora_a']}", (torch.bfloat16,), ((rank, columns),)
                yield f"{meta}.{LORA['lora_b']}", (torch.bfloat16,), ((rows, rank),)

    def _check(self) -> None:
        """Raises ModelError: a key too many or too few, or one of another type or shape than params.json has it."""
        left = set(self._tensors) - set(IGNORED)
        for key, dtypes, shapes in self._wanted():
            found = self._tensors.get(key)
            if found is None:
                raise ModelError(f"{self.path} lacks {key}, which {PARAMS} asks for")
            if found.dtype not in dtypes or tuple(found.shape) not in shapes:
                kinds = " or ".join(str(kind).removeprefix("torch.") for kind in dtypes)
                raise ModelError(
                    f"{self.path}: {key} is {_described(found)}, {PARAMS} asks for {kinds} {list(shapes[0])}"
                )
            left.discard(key)
        for key in sorted(left):
            # Weights are symmetric: zero points may stand there, and are 0.
            if key.endswith(".zeros") and not bool(self._tensors[key].any()):
                continue
            raise ModelError(f"{self.path}: {PARAMS} has no place for {key} ({_described(self._tensors[key])})")


def load(path: Path) -> dict[str, torch.Tensor]:
    """The tensors by their keys, mapped and not read; nothing of the file runs.

    Raises:
        ModelError: no such checkpoint, a damaged one, or one that holds more than tensors.
    """
    try:
        found = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except UNREADABLE as error:
        lines = str(error).strip().splitlines()
        raise ModelError(f"cannot load {path}: {lines[0] if lines else type(error).__name__}") from error
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in found.items()
    ):
        raise ModelError(f"cannot load {path}: it holds other things than tensors by their names")
    return found


def _has_adaptor(meta: str) -> bool:
    return meta not in (EMBEDDING, OUTPUT) and not is_norm(meta)


def _described(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
