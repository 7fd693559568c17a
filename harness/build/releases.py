"""Checkpoints in the layout that Meta releases: which files they are, and a tokenizer that the libraries read.

Only JSON and the zip directory of `consolidated.00.pth` are read here; its tensors are loaded by programs alone.
"""

import re
import shutil
import zipfile
from pathlib import Path
from typing import Annotated

import msgspec

from harness.build.cache import cache_folder, only_one, sha256_file, used
from harness.build.tiktoken_files import write_tokenizer
from harness.errors import BuildError, InputError
from harness.values import digest

WEIGHTS, PARAMS = "consolidated.00.pth", "params.json"
TOKENIZER, TIKTOKEN = "tokenizer.json", "tokenizer.model"
KEPT = (WEIGHTS, PARAMS, TIKTOKEN, "tokenizer_config.json", "generation_config.json", "chat_template.jinja")
LARGEST_JSON = 1 << 20
STORED = re.compile(r"[^/]+/data/\d+")
"""Names of the parts of a .pth file that hold tensors."""
REVISION = 1


Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
"""As the program that reads the tensors has them."""


class Shape(msgspec.Struct, frozen=True):
    """What of params.json matters here."""

    dim: Count
    n_layers: Count
    n_heads: Count
    n_kv_heads: Count
    vocab_size: Count
    multiple_of: Count = 1
    ffn_dim_multiplier: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0
    hidden_dim: Count | None = None
    head_dim: Count | None = None
    quantization_args: "Quantization | None" = None
    lora_args: "Lora | None" = None

    @property
    def rotates_down(self) -> bool:
        """Whether a Hadamard matrix comes before down projections; not said, exactly without adaptors."""
        told = self.quantization_args
        return told is not None and (self.lora_args is None if told.spinquant is None else told.spinquant)

    @property
    def group(self) -> int:
        return self.quantization_args.group_size if self.quantization_args else 0


class Quantization(msgspec.Struct, frozen=True):
    group_size: Count
    spinquant: bool | None = None


class Lora(msgspec.Struct, frozen=True):
    rank: Count


def is_release(folder: Path) -> bool:
    """Whether the folder is in Meta's layout. One that also has a config.json is transformers'."""
    return (folder / WEIGHTS).is_file() and not (folder / "config.json").is_file()


def read_shape(folder: Path) -> Shape:
    """Raises BuildError: params.json is missing or damaged."""
    path = folder / PARAMS
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise BuildError(f"{path} is damaged: larger than any such file")
        return msgspec.json.decode(path.read_bytes(), type=Shape)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BuildError(f"{path} cannot be read: {error}") from error


def complete(name: str, folder: Path) -> Path:
    """The release with a tokenizer.json: itself, or a folder of links beside one made of its tokenizer.model.

    Raises:
        InputError: it has neither, or no params.json.
        BuildError: tokenizer.model is damaged or of another model.
    """
    if not (folder / PARAMS).is_file():
        raise InputError(f"model {name!r}: {folder} has {WEIGHTS} and no {PARAMS}")
    if (folder / TOKENIZER).is_file():
        return folder
    if not (folder / TIKTOKEN).is_file():
        raise InputError(f"model {name!r}: {folder} has no {TOKENIZER} and no {TIKTOKEN}")
    made = completed_place(folder)
    with only_one(f"release-{made.name}"):
        if not made.is_dir():
            _link(folder, made)
        used(made)
    return made


def completed_place(folder: Path) -> Path:
    """Where the completed folder of a release is kept, made or not."""
    beside = {file: sha256_file(folder / file) for file in KEPT[1:] if (folder / file).is_file()}
    return cache_folder("releases") / digest([str(folder.resolve()), beside, REVISION])[:16]


def tensor_bytes(folder: Path) -> int:
    """Of all tensors, as the zip directory has them.

    Raises:
        BuildError: a damaged or cut file.
    """
    path = folder / WEIGHTS
    try:
        with zipfile.ZipFile(path) as file:
            return sum(part.file_size for part in file.infolist() if STORED.fullmatch(part.filename))
    except (OSError, zipfile.BadZipFile) as error:
        raise BuildError(f"{path} is damaged or cut short: {error}") from error


def parameters(shape: Shape, stored: int) -> int:
    """How many weights a model of that shape has; `stored`: bytes of its tensors, by which a plain one shows whether
    its output layer is the embedding table."""
    head = shape.head_dim or shape.dim // shape.n_heads
    width = int(shape.ffn_dim_multiplier * int(8 * shape.dim / 3))
    inner = shape.hidden_dim or -(-width // shape.multiple_of) * shape.multiple_of
    queries, keys = shape.n_heads * head, shape.n_kv_heads * head
    attention = [(shape.dim, queries), (shape.dim, keys), (shape.dim, keys), (queries, shape.dim)]
    linears = [*attention, (shape.dim, inner), (shape.dim, inner), (inner, shape.dim)]
    rank = shape.lora_args.rank if shape.lora_args else 0
    block = sum(a * b + rank * (a + b) for a, b in linears) + 2 * shape.dim
    table = shape.vocab_size * shape.dim
    whole = shape.n_layers * block + 2 * table + shape.dim
    return whole - table if shape.quantization_args is None and 2 * whole > stored else whole


def _link(folder: Path, made: Path) -> None:
    part = made.with_name(f".{made.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        write_tokenizer(folder / TIKTOKEN, part)
        for name in KEPT:
            if (folder / name).is_file():
                (part / name).unlink(missing_ok=True)
                (part / name).symlink_to((folder / name).resolve())
        part.rename(made)
    finally:
        shutil.rmtree(part, ignore_errors=True)
