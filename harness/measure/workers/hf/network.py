"""A checkpoint that is opened for computing, and what it says of itself."""

import ctypes
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface, Cache

from harness.measure.workers.hf.attention import NAME, AttentionError, TreeAttention
from harness.measure.workers.hf.cache import PrefixCache
from harness.measure.workers.hf.errors import BadInputError, JobFailedError, ModelError
from harness.measure.workers.hf.files import Events
from harness.measure.workers.hf.jobs import Engine
from harness.measure.workers.hf.packing import Limits, Pass, Row, plan
from harness.measure.workers.hf.weights import open_model
from harness.measure.workers.released.opening import open_released
from harness.measure.workers.released.reading import is_released
from harness.measure.workers.scheme.layers import unrounded
from harness.measure.workers.scheme.layout import read_scheme
from harness.measure.workers.scheme.loading import open_compressed

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGEST_KEPT = 1 << 30, 32 << 20
PLAIN = "sdpa"
PROBE_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}
"""How far logits of the probe may be apart, in units of their standard deviation."""


class Network:
    """transformers' own forward pass, with attention over a tree of tokens where the model allows it."""

    def __init__(self, engine: Engine) -> None:
        start_ns = time.monotonic_ns()
        keep_freed_memory()
        torch.set_num_threads(engine.threads)
        torch.set_grad_enabled(False)
        self.engine = engine
        self.model = load(engine)
        self.config = self.model.config.get_text_config()
        self.vocabulary = int(self.model.get_input_embeddings().num_embeddings)
        self.dtype: torch.dtype = self.model.dtype
        self._tree = TreeAttention(engine.device, by_parts=engine.device == "cpu")
        AttentionInterface.register(NAME, self._tree)
        self.why_not = self._why_no_tree()
        self.model.set_attn_implementation(PLAIN if self.why_not else NAME)
        self.load_ns = time.monotonic_ns() - start_ns

    @property
    def place(self) -> str:
        return self.engine.device

    @property
    def shares(self) -> bool:
        return self.why_not is None

    def cache(self, capacity: int) -> PrefixCache:
        return PrefixCache(int(self.config.num_hidden_layers), capacity)

    def run(self, one: Pass, cache: PrefixCache, wanted: list[int]) -> torch.Tensor:
        """Logits [wanted, vocabulary] in float32 at these tokens of the pass."""
        cache.set_length(one.prefix)
        heads = int(self.config.num_attention_heads)
        self._tree.see(one, self.dtype, heads // int(getattr(self.config, "num_key_value_heads", None) or heads))
        positions = np.concatenate([np.arange(start, stop) for start, stop in one.positions])
        logits = self._forward(
            np.concatenate(one.tokens), wanted or [one.size - 1], position_ids=positions, past_key_values=cache
        )
        if one.stays:
            cache.set_length(one.prefix + one.size)
        return logits if wanted else logits[:0]

    def run_plain(self, tokens: Row, wanted: list[int]) -> torch.Tensor:
        """The same for one row, by the model's own attention and without a cache."""
        return self._forward(tokens, wanted, use_cache=False)

    def extend_plain(self, tokens: Row, cache: Cache) -> torch.Tensor:
        """Logits [1, vocabulary] of the last token, after those that the model's own cache holds."""
        return self._forward(tokens, [len(tokens) - 1], past_key_values=cache)

    def opened(self, events: Events) -> None:
        config, engine = self.config, self.engine
        sharing = f"no shared prefixes: {self.why_not}" if self.why_not else "shared prefixes"
        events.write(
            "opened",
            load_ns=self.load_ns,
            parameters=sum(p.numel() for p in self.model.parameters()),
            description=f"{type(self.model).__name__}, {sharing}",
            dtype=str(self.dtype).removeprefix("torch."),
            device=str(self.model.device.type),
            threads=torch.get_num_threads(),
            context=engine.context,
            context_trained=int(getattr(config, "max_position_embeddings", 0) or 0),
            vocabulary=self.vocabulary,
            layers=int(config.num_hidden_layers),
            prefix_sharing=self.shares,
            cpu_capability=torch.backends.cpu.get_cpu_capability(),
        )

    def check_tokens(self, tokens: list[int], name: str) -> None:
        """Raises BadInputError: a token that the model has not."""
        if max(tokens) >= self.vocabulary:
            raise BadInputError(f"{name}: token {max(tokens)} is none of the model's {self.vocabulary}")

    def _forward(self, tokens: Row, wanted: list[int], **more: Any) -> torch.Tensor:
        place = self.model.device
        if "position_ids" in more:
            more["position_ids"] = torch.from_numpy(more["position_ids"])[None].to(place)
        try:
            with torch.inference_mode():
                out = self.model(
                    input_ids=torch.from_numpy(tokens.astype(np.int64))[None].to(place),
                    logits_to_keep=torch.tensor(wanted, device=place),
                    **more,
                )
                return out.logits[0].float()
        except torch.OutOfMemoryError as error:
            raise JobFailedError(f"out of memory on the device: {error}") from error

    def _why_no_tree(self) -> str | None:
        """Why tokens of different rows cannot go through this model together; None where they can."""
        kinds = set(getattr(self.config, "layer_types", None) or ())
        if kinds - {"full_attention"}:
            return f"layers of {', '.join(sorted(kinds - {'full_attention'}))}"
        if not kinds and getattr(self.config, "sliding_window", None):
            return "sliding window"
        if not getattr(self.model, "_supports_attention_backend", False):
            return "attention of its own"
        with unrounded(self.model):
            return moving_rope(self.config, self.engine.context) or self._probe()

    def _probe(self) -> str | None:
        """A small tree both ways: whatever else an architecture does, it must not show here.

        Rounded activations would hide it: the last bits of a sum decide which way some go. On these very tokens the
        logits of a compressed checkpoint were 0.4 standard deviations apart by two kernels of torch, 1.5 by a tree.
        """
        rows = [np.array(row, np.int32) % self.vocabulary for row in ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 7], [1, 2, 9])]
        rows.sort(key=lambda row: row.tolist())
        passes = plan(rows, Limits(pass_tokens=4, shortest_stem=2))
        self.model.set_attn_implementation(PLAIN)
        expected = [self.run_plain(row, [len(row) - 1])[0] for row in rows]
        self.model.set_attn_implementation(NAME)
        cache = self.cache(max(one.prefix + one.size for one in passes))
        try:
            found = _last_logits(self, passes, cache, rows)
        except (AttentionError, TypeError, AttributeError) as error:
            return f"attention of its own ({error})"
        allowed = PROBE_DIFFERENCE[self.engine.dtype]
        for one, other in zip(expected, found, strict=True):
            if torch.isfinite(one).all() and (one - other).abs().max() > allowed * one.std():
                return "a tree of tokens changes its logits"
        return None


def moving_rope(config: Any, context: int) -> str | None:
    """Which RoPE takes its frequencies from the furthest position of a pass, so that rows of one pass move each other.

    Up to the length that the model was first trained for, it takes the same ones always.
    """
    found = getattr(config, "rope_parameters", None) or {}
    for one in (found, *(part for part in found.values() if isinstance(part, dict))):
        kind = str(one.get("rope_type", ""))
        if kind != "longrope" and "dynamic" not in kind:
            continue
        lengths = [one.get("original_max_position_embeddings"), getattr(config, "max_position_embeddings", None)]
        original = min((length for length in lengths if length), default=0)
        if context > original:
            return f"RoPE of type {kind} beyond {original} tokens"
    return None


def keep_freed_memory() -> None:
    """Has glibc hand freed activations out again instead of returning them to the kernel after each layer.

    Fresh pages for each layer's activations cost a tenth of the time (measured with 512 tokens a pass).
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _last_logits(network: Network, passes: list[Pass], cache: PrefixCache, rows: list[Row]) -> list[torch.Tensor]:
    found: dict[int, torch.Tensor] = {}
    for one in passes:
        last = {p.row: p.ranges[-1][1] - 1 for p in one.parts if p.ranges}
        logits = network.run(one, cache, list(last.values()))
        found.update(zip(last, logits, strict=True))
    return [found[row] for row in range(len(rows))]


def load(engine: Engine) -> Any:
    """Raises ModelError: the folder holds no whole checkpoint that transformers can load from safetensors."""
    folder = Path(engine.model)
    release = is_released(folder)
    if not release and not (folder / "config.json").is_file():
        raise ModelError(f"cannot open {folder}: no config.json")
    if engine.device == "cuda" and not torch.cuda.is_available():
        raise JobFailedError("no CUDA device is seen, or torch is built without CUDA; known devices: cpu")
    dtype = getattr(torch, engine.dtype)
    scheme = None if release else read_scheme(folder)
    if release:
        model = open_released(folder, dtype, PLAIN)
    elif scheme is not None:
        model = open_compressed(folder, scheme, dtype, PLAIN)
    else:
        model = open_model(folder, folder, dtype=dtype, use_safetensors=True, attn_implementation=PLAIN)
    model.requires_grad_(False)
    try:
        return model.to(torch.device(engine.device))
    except (torch.OutOfMemoryError, torch.AcceleratorError) as error:
        raise ModelError(f"cannot load {folder}: {error}") from error
