"""A model's header is checked against its file before anything is believed."""

import random
import struct
import tracemalloc
from pathlib import Path

import pytest

from benchmarks.mutate import gguf_pieces, spoiled_gguf
from harness.build.gguf_files import read_facts, write_16bit
from harness.build.gguf_header import Array, read_header
from harness.errors import BenchError, BuildError
from harness.progress import Silent

PIECES = gguf_pieces()
TENSORS, FIELDS = 2, 3
"""Places of the two counts."""


def write(tmp_path: Path, pieces: list[bytes]) -> Path:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"".join(pieces))
    return path


def with_piece(at: int, piece: bytes) -> list[bytes]:
    return [*PIECES[:at], piece, *PIECES[at + 1 :]]


def after(name: str, steps: int) -> int:
    """The place so many pieces behind a name."""
    return PIECES.index(name.encode()) + steps


def test_facts_are_those_of_ggufs_own_reader(tmp_path: Path) -> None:
    from gguf import GGUFReader

    path = write(tmp_path, PIECES)
    facts, reader = read_facts(path), GGUFReader(str(path))
    assert facts.parameters == sum(int(t.n_elements) for t in reader.tensors) == 288
    assert facts.tensor_bytes == sum(int(t.n_bytes) for t in reader.tensors) == 520
    assert facts.decode_bytes == 520 - 256
    assert facts.tensor_types == {"bf16": 1, "f32": 1, "q8_0": 1}
    assert (facts.architecture, facts.context, facts.prefix_token) == ("llama", 128, 1)


def test_arrays_are_passed_over(tmp_path: Path) -> None:
    values = read_header(write(tmp_path, PIECES)).values
    assert values["tokenizer.ggml.tokens"] == Array(4) and values["tokenizer.ggml.add_bos_token"] is True


HUGE = struct.pack("<Q", 2**62)
HOSTILE = [
    ("tensor count", TENSORS, HUGE, "tensors are more"),
    ("tensor count of 2^32", TENSORS, struct.pack("<Q", 2**32), "tensors are more"),
    ("field count", FIELDS, HUGE, "fields are more"),
    ("length of a name", after("llama.context_length", -1), HUGE, "the name of a field"),
    ("length of a text", after("general.architecture", 2), HUGE, "ends behind the end"),
    ("length of an array", after("tokenizer.ggml.tokens", 3), HUGE, "elements of"),
    ("length of a number array", after("tokenizer.ggml.token_type", 3), struct.pack("<Q", 2**40), "elements of"),
    ("array of arrays", after("tokenizer.ggml.tokens", 2), struct.pack("<I", 9), "has no arrays"),
    ("length of an element", after("tokenizer.ggml.tokens", 4), HUGE, "an element of"),
    ("type of a field", after("llama.context_length", 1), struct.pack("<I", 77), "unknown type 77"),
    ("alignment", after("general.alignment", 2), struct.pack("<I", 3), "no power of two"),
    ("dimensions", after("output_norm.weight", 1), struct.pack("<I", 2**31), "dimensions"),
    ("size of a tensor", after("output_norm.weight", 2), struct.pack("<Q", 2**40), "behind the end of the file"),
    ("size that wraps around", after("token_embd.weight", 3), struct.pack("<Q", 2**63), "behind the end of the file"),
    ("empty tensor", after("output_norm.weight", 2), struct.pack("<Q", 0), "impossible shape"),
    ("type of a tensor", after("output_norm.weight", 3), struct.pack("<I", 999), "unknown type 999"),
    ("offset", after("output_norm.weight", 4), struct.pack("<Q", 2**40), "behind the end of the file"),
    ("offset between places", after("output_norm.weight", 4), struct.pack("<Q", 1), "not aligned"),
    ("overlap", after("token_embd.weight", 3), struct.pack("<Q", 8), "overlap"),
    ("name of no text", after("output_norm.weight", 0), b"\xff" * 18, "not UTF-8"),
    ("version", 1, struct.pack("<I", 9), "version 9"),
    ("context as text", after("llama.context_length", 1), struct.pack("<I", 6), "context length"),
]


@pytest.mark.parametrize(("what", "at", "piece", "said"), HOSTILE, ids=[row[0] for row in HOSTILE])
def test_a_header_that_lies_is_refused_before_anything_is_allocated(
    tmp_path: Path, what: str, at: int, piece: bytes, said: str
) -> None:
    read_facts(write(tmp_path, PIECES))  # imports are not what is measured
    path = write(tmp_path, with_piece(at, piece))
    tracemalloc.start()
    try:
        with pytest.raises(BuildError, match=said):
            read_facts(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20, what


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = b"".join(PIECES)
    for end in range(len(whole) - 24):  # the last tensor is followed by padding that nobody reads
        path = write(tmp_path, [whole[:end]])
        with pytest.raises(BuildError):
            read_facts(path)


@pytest.mark.parametrize("seed", range(60))
def test_a_spoiled_model_is_read_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    _, body = spoiled_gguf(PIECES, random.Random(seed))
    path = write(tmp_path, [body])
    try:
        read_facts(path)
        with Silent().bar("") as bar:
            write_16bit(path, tmp_path / "copy.gguf", "f16", "copy", bar)
    except BenchError as error:
        assert str(error).isprintable()
