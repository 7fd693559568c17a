"""The first layers of a real model, as a GGUF file of their own: real weights, and small enough for an emulator."""

import re
from pathlib import Path

from harness.build.gguf_files import copy_fields, open_gguf
from harness.build.gguf_header import read_header

COUNT = "block_count"


def cut(source: Path, layers: int, target: Path) -> None:
    """Embedding, norms and output layer as they are, and the first `layers` blocks."""
    from gguf import GGUFWriter

    reader = open_gguf(source)
    architecture = str(read_header(source).values["general.architecture"])
    writer = GGUFWriter(str(target), architecture)
    copy_fields(reader, writer)
    writer.kv_data[-1].pop(f"{architecture}.{COUNT}")
    writer.add_block_count(layers)
    writer.add_file_type(int(read_header(source).values["general.file_type"]))
    for tensor in reader.tensors:
        block = re.match(r"blk\.(\d+)\.", tensor.name)
        if block is None or int(block[1]) < layers:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
