"""A `.pte` file that is loaded: tokens in, logits out, one KV cache from load to end."""

import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch
from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401 - registers operators
from executorch.extension.pybindings.portable_lib import _threadpool_get_thread_count, _unsafe_reset_threadpool
from executorch.kernels import quantized  # noqa: F401 - registers operators
from executorch.runtime import Runtime, Verification

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.hf.files import Events
from harness.measure.workers.memory_lines import status_bytes
from harness.measure.workers.pte.jobs import Engine

METHOD = "forward"
MAGIC, MAGIC_AT = b"ET", 4
"""What a file of ExecuTorch has behind its first four bytes; two digits of the format's version follow."""
FORMAT = b"ET12"
MANIFEST = "manifest.json"
LONGEST_CALL = 512
"""Tokens of one call where all of its logits come back: more would take gigabytes at a large vocabulary."""
WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2}
BYTE_TABLE = "embedding_byte"
KV_TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
REFUSED = (RuntimeError, ValueError, OSError)
"""What ExecuTorch raises for a program that it cannot load or run."""


class Told(msgspec.Struct, frozen=True):
    """What the exporter's manifest says beside the program; defaults where there is none."""

    delegates: dict[str, int] = {}
    planned_bytes: tuple[int, ...] = ()
    kv_bytes: int | None = None
    parameters: int | None = None
    shape: dict[str, int] = {}
    numbers: dict[str, str] = {}
    operators: dict[str, int] = {}

    @property
    def table_bytes(self) -> int:
        """Of the embedding table, which no delegate has."""
        rows, columns = self.shape.get("vocabulary", 0), self.shape.get("embedding", 0)
        if any(BYTE_TABLE in name for name in self.operators):
            return rows * (columns + 4)
        return rows * columns * WIDTHS.get(self.numbers.get("dtype", ""), 4)


class Loaded:
    """The program's method, and what loading it took."""

    def __init__(self, engine: Engine) -> None:
        """Raises ModelError: no such file, another version's, a cut one, one with operators that are not here, or one
        that was exported for fewer tokens."""
        self.path = Path(engine.model)
        check_file(self.path)
        torch.set_grad_enabled(False)
        torch.set_num_threads(engine.threads)
        _unsafe_reset_threadpool(engine.threads)
        self.engine = engine
        self.before_bytes = status_bytes().get("VmRSS")
        start_ns = time.monotonic_ns()
        try:
            source = self.path if engine.load_mode == "mmap" else self.path.read_bytes()
            self._program = Runtime.get().load_program(source, verification=Verification.Minimal)
            self._names = set(self._program.method_names)
            if METHOD not in self._names:
                raise ModelError(f"{self.path} has no method {METHOD}: it is no language model exported here")
            self._method: Any = self._program.load_method(METHOD)
        except REFUSED as error:
            raise ModelError(f"cannot load {self.path}: {_said(error)}") from error
        self.load_ns = time.monotonic_ns() - start_ns
        self.after_bytes = status_bytes().get("VmRSS")
        self.context = self._number("get_max_context_len")
        self.vocabulary = self._number("get_vocab_size")
        self.layers = self._number("get_n_layers")
        self.told = _told(self.path.with_name(MANIFEST))
        self.longest_call = min(self.context - 1, self._number("get_max_seq_len") - 1)
        if engine.context > self.context:
            raise ModelError(
                f"{self.path} is exported for {self.context} tokens, {engine.context} are asked for: export it with "
                "`export_context`"
            )
        self.full = self._returns_all()

    def call(self, tokens: list[int], position: int) -> torch.Tensor:
        """Logits [1 or as many as tokens, vocabulary] of tokens that stand from `position` on.

        Raises:
            ModelError: the program failed.
        """
        try:
            (found,) = self._method.execute((torch.tensor([tokens]), torch.tensor([position])))
        except REFUSED as error:
            raise ModelError(f"{self.path} failed at token {position}: {_said(error)}") from error
        return found.reshape(-1, self.vocabulary)

    def read(self, tokens: list[int], position: int) -> torch.Tensor:
        """Logits [1, vocabulary] of the last token, in as few calls as can be."""
        size = min(self.longest_call, LONGEST_CALL) if self.full else self.longest_call
        found = torch.empty(0)
        for at in range(0, len(tokens), size):
            found = self.call(tokens[at : at + size], position + at)
        return found[-1:]

    def events(self, events: Events) -> None:
        engine, told = self.engine, self.told
        calls = ", ".join(f"{name} {count} times" for name, count in told.delegates.items())
        kept = [{"kind": "kv", "name": "planned", "bytes": told.kv_bytes}] if told.kv_bytes else []
        rest = sum(told.planned_bytes) - (told.kv_bytes or 0)
        kept += [{"kind": "compute", "name": "planned", "bytes": rest}] if told.planned_bytes and rest > 0 else []
        size = self.path.stat().st_size
        if told.delegates and engine.load_mode == "none":  # the file's bytes stay beside what was packed of them
            kept.append({"kind": "model", "name": "packed", "bytes": max(0, size - told.table_bytes)})
        events.write(
            "loaded",
            load_ns=self.load_ns,
            model_bytes=size,
            parameters=told.parameters or 0,
            description=f"ExecuTorch {version('executorch')}, {calls or 'no delegate: portable kernels'}",
            layers=self.layers,
            embedding=told.shape.get("embedding", 0),
            heads=told.shape.get("heads", 0),
            kv_heads=told.shape.get("kv_heads", 0),
            vocabulary=self.vocabulary,
            context_trained=told.shape.get("context_trained", 0),
            context=self.context,
            batch=self.longest_call,
            ubatch=self.longest_call,
            threads=_threadpool_get_thread_count(),
            threads_batch=_threadpool_get_thread_count(),
            load_mode=engine.load_mode,
            repack=bool(told.delegates),
            kv_type=KV_TYPES.get(told.numbers.get("dtype", ""), "unknown"),
            flash_attn="on",
            kv_bytes=told.kv_bytes,
            cpu_features=[platform.machine(), *sorted(told.delegates)],
            buffers=[{"kind": "model", "name": "file", "bytes": size}, *kept],
        )

    def _number(self, name: str) -> int:
        """What a method without inputs returns."""
        if name not in self._names:
            raise ModelError(f"{self.path} does not say {name}: it is no language model exported here")
        try:
            return int(self._program.load_method(name).execute(())[0])
        except REFUSED as error:
            raise ModelError(f"cannot load {self.path}: {_said(error)}") from error

    def _returns_all(self) -> bool:
        """Whether logits of all tokens of a call come back."""
        return len(self.call([0, 0], 0)) == 2


def check_file(path: Path) -> None:
    """Raises ModelError: no file, or none of the format that this ExecuTorch reads."""
    try:
        with open(path, "rb") as file:
            head = file.read(MAGIC_AT + 4)
    except OSError as error:
        raise ModelError(f"cannot open {path}: {error.strerror}") from error
    found = head[MAGIC_AT:]
    if found[:2] != MAGIC:
        raise ModelError(f"{path} is no .pte file")
    if found != FORMAT:
        raise ModelError(
            f"{path} is of format {found.decode('ascii', 'replace')}, ExecuTorch {version('executorch')} reads "
            f"{FORMAT.decode()}: export it again"
        )


def _said(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _told(path: Path) -> Told:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Told)
    except (OSError, msgspec.MsgspecError):
        return Told()
