"""The header of a GGUF file, read with bounds: every count and length is checked against the file first.

A model file may come from anywhere. gguf's own reader believes what the header says and makes an object for
each element, so it only ever gets files that passed here.
"""

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from harness.errors import BuildError, InputError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_FIELDS = 1 << 16
MOST_TENSORS = 1 << 16
MOST_ELEMENTS = 1 << 22
"""Of all arrays together; the largest vocabularies need about 1.5 million."""
LONGEST_NAME = 1 << 16
DIMENSIONS = 4
SMALLEST_FIELD, SMALLEST_TENSOR = 13, 24
"""Bytes that a field or a tensor takes at least: more of them than fit the file are a lie."""
ALIGNMENT = "general.alignment"
TOKENS = "tokenizer.ggml.tokens"
STRING, ARRAY, UINT32, BOOL = 8, 9, 4, 7
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Tensor(msgspec.Struct, frozen=True):
    name: str
    type: str
    """In lower case, such as `q8_0`."""
    elements: int
    bytes: int


class Array(msgspec.Struct, frozen=True):
    """An array; its elements were passed over but for the texts that were asked for."""

    count: int
    texts: tuple[str, ...] = ()


class Header(msgspec.Struct, frozen=True):
    """What the header says, as far as it was asked for."""

    values: dict[str, Any]
    """Numbers, texts and arrays by name."""
    tensors: tuple[Tensor, ...]


class ChatTemplate(msgspec.Struct, frozen=True):
    """What a conversation is rendered with."""

    text: str | None
    """None: the file has none."""
    bos: str
    """The text of the token that begins a text; empty: the file names none."""
    eos: str


def read_chat_template(path: Path) -> ChatTemplate:
    """The template for conversations, and the special tokens that it may name.

    Raises:
        InputError: the file cannot be read.
        BuildError: not a GGUF file, or one that contradicts itself.
    """
    values = read_header(path, keep=TOKENS).values
    tokens = values.get(TOKENS)
    texts = tokens.texts if isinstance(tokens, Array) else ()

    def text_of(name: str) -> str:
        number = values.get(f"tokenizer.ggml.{name}_token_id")
        return texts[number] if isinstance(number, int) and 0 <= number < len(texts) else ""

    template = values.get("tokenizer.chat_template")
    return ChatTemplate(template if isinstance(template, str) else None, text_of("bos"), text_of("eos"))


def read_header(path: Path, *, keep: str | None = None) -> Header:
    """Read and check the header; nothing is allocated for what the file does not hold.

    `keep`: an array of texts to be returned whole.

    Raises:
        InputError: the file cannot be read.
        BuildError: not a GGUF file, or one that contradicts itself.
    """
    try:
        with open(path, "rb") as file:
            if file.read(4) != MAGIC:
                raise BuildError(f"{path} is no GGUF file")
            return _Scan(file, keep).header()
    except OSError as error:
        raise InputError(f"cannot read the model {path}: {error.strerror}") from error
    except _DamageError as error:
        raise BuildError(f"{path} is damaged or cut short: {error}") from None


class _DamageError(Exception):
    pass


class _Scan:
    """A place in the file that only moves forward, and never behind the end.

    The file is read and not mapped: one that somebody cuts meanwhile would end this process by SIGBUS.
    """

    def __init__(self, file: BinaryIO, keep: str | None) -> None:
        self.keep = keep
        self.file, self.size = file, os.fstat(file.fileno()).st_size
        self.at, self.elements = len(MAGIC), 0

    def header(self) -> Header:
        (version,) = self.unpack("I")
        if version not in VERSIONS:
            raise _DamageError(f"version {version} is none of {VERSIONS}")
        tensors, fields = self.unpack("QQ")
        self.refuse_more("tensors", tensors, SMALLEST_TENSOR, MOST_TENSORS)
        self.refuse_more("fields", fields, SMALLEST_FIELD, MOST_FIELDS)
        values: dict[str, Any] = {}
        for _ in range(fields):
            name = self.text("the name of a field", LONGEST_NAME)
            if name in values:
                raise _DamageError(f"the field {name!r} is there twice")
            values[name] = self.value(name)
        wishes = [self.tensor() for _ in range(tensors)]
        return Header(values, _placed(wishes, self.at, self.size, _alignment(values)))

    def unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{form}", self.read(struct.calcsize(f"<{form}"), "the header"))

    def read(self, count: int, what: str) -> bytes:
        self.refuse_behind_end(count, what)
        body = self.file.read(count)
        if len(body) < count:
            raise _DamageError("it was cut while it was read")
        self.at += count
        return body

    def refuse_behind_end(self, count: int, what: str) -> None:
        if count > self.size - self.at:
            raise _DamageError(f"{what} ends behind the end of the file")

    def refuse_more(self, what: str, count: int, smallest: int, most: int) -> None:
        if count > most or count * smallest > self.size - self.at:
            raise _DamageError(f"{count} {what} are more than it can hold")

    def text(self, what: str, longest: int | None = None) -> str:
        (length,) = self.unpack("Q")
        if longest is not None and length > longest:
            raise _DamageError(f"{what} has {length} bytes")
        try:
            return self.read(length, what).decode()
        except UnicodeDecodeError:
            raise _DamageError(f"{what} is not UTF-8") from None

    def value(self, name: str) -> Any:
        (kind,) = self.unpack("I")
        if kind == STRING:
            return self.text(name)
        if kind == ARRAY:
            return self.array(name)
        return self.scalar(name, kind)

    def scalar(self, name: str, kind: int) -> Any:
        if kind not in SCALARS:
            raise _DamageError(f"{name} has the unknown type {kind}")
        if name == ALIGNMENT and kind != UINT32:
            raise _DamageError(f"{name} has the wrong type")
        return self.unpack(SCALARS[kind])[0]

    def array(self, name: str) -> Array:
        kind, count = self.unpack("IQ")
        if kind != STRING and kind not in SCALARS:
            raise _DamageError(f"{name} is an array of the type {kind}, which has no arrays")
        size = 8 if kind == STRING else struct.calcsize(f"<{SCALARS[kind]}")
        self.refuse_more(f"elements of {name}", count, size, MOST_ELEMENTS - self.elements)
        self.elements += count
        if kind == STRING:
            texts = (self.text(f"an element of {name}") for _ in range(count))
            return Array(count, tuple(text for text in texts if name == self.keep))
        self.read(count * size, name)
        return Array(count)

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.text("the name of a tensor", LONGEST_NAME)
        (dimensions,) = self.unpack("I")
        if not 1 <= dimensions <= DIMENSIONS:
            raise _DamageError(f"tensor {name!r} has {dimensions} dimensions")
        shape = self.unpack("Q" * dimensions)
        kind, offset = self.unpack("IQ")
        return name, shape, kind, offset


def _alignment(values: dict[str, Any]) -> int:
    alignment = values.get(ALIGNMENT, 32)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise _DamageError(f"{ALIGNMENT} is {alignment}, which is no power of two")
    return alignment


def _placed(
    wishes: list[tuple[str, tuple[int, ...], int, int]], end: int, size: int, alignment: int
) -> tuple[Tensor, ...]:
    """The tensors, each inside of the file and all of them together no larger than it."""
    start = -(-end // alignment) * alignment
    tensors: list[Tensor] = []
    names: set[str] = set()
    for name, shape, kind, offset in wishes:
        if name in names:
            raise _DamageError(f"tensor {name!r} is there twice")
        names.add(name)
        tensor = _tensor(name, shape, kind)
        if offset % alignment:
            raise _DamageError(f"tensor {name!r} is not aligned")
        if start + offset + tensor.bytes > size:
            raise _DamageError("its tensors end behind the end of the file")
        tensors.append(tensor)
    if not tensors:
        raise _DamageError("it has no tensors")
    if sum(t.bytes for t in tensors) > size - start:
        raise _DamageError("its tensors overlap")
    return tuple(tensors)


def _tensor(name: str, shape: tuple[int, ...], kind: int) -> Tensor:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        known = GGMLQuantizationType(kind)
        block, block_bytes = GGML_QUANT_SIZES[known]
    except (ValueError, KeyError):
        raise _DamageError(f"tensor {name!r} has the unknown type {kind}") from None
    elements = 1
    for length in shape:
        elements *= length
    if elements == 0 or shape[0] % block:
        raise _DamageError(f"tensor {name!r} has the impossible shape {shape}")
    return Tensor(name, known.name.lower(), elements, elements // block * block_bytes)
