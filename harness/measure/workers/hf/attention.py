"""Attention of one pass: every token sees the cached prefix and its ancestors.

On a CPU the prefix is read by one call without a mask for all tokens, each group of the pass by a call with its
own small mask, and the two are merged by their log-sum-exp: out = Σ outᵢ · exp(lseᵢ − lse). Query heads that
share a key head are folded into one longer query, so that no key is copied. Elsewhere one mask serves the whole pass.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import scaled_dot_product_attention

from harness.measure.workers.hf.packing import Group, Pass

NAME = "bench_tree"
NOT_SUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What an architecture may ask of attention that is not computed here."""
HIDDEN = float("-inf")

Flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


class AttentionError(Exception):
    """The architecture's attention is none that a tree of tokens can go through."""


class View(msgspec.Struct, frozen=True):
    """One group with its mask [tokens, tokens]: 0 where a token is seen, −∞ elsewhere."""

    start: int
    stop: int
    mask: torch.Tensor


class TreeAttention:
    """transformers calls it for each layer; `see` says for which pass."""

    def __init__(self, device: str, *, by_parts: bool) -> None:
        self.device, self.by_parts = device, by_parts
        self._views: tuple[View, ...] = ()
        self._dense: torch.Tensor | None = None

    def see(self, one: Pass, dtype: torch.dtype, queries_per_key: int) -> None:
        if self.by_parts:
            self._views = tuple(
                View(g.start, g.stop, group_mask(g).to(dtype).repeat(queries_per_key, 1)) for g in one.groups
            )
        else:
            self._dense = dense_mask(one, self.device)

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,  # noqa: ARG002 - transformers passes it; a model in eval mode has none
        **others: Any,
    ) -> tuple[torch.Tensor, None]:
        """query [1, heads, tokens, size], key and value [1, key heads, prefix + tokens, size] →
        [1, tokens, heads, size].

        Raises:
            AttentionError: the layer asks for what is not computed here.
        """
        asked = [name for name in NOT_SUPPORTED if others.get(name) is not None]
        if asked or attention_mask is not None or not getattr(module, "is_causal", True):
            raise AttentionError(", ".join(asked) or "a mask of its own")
        if self.by_parts:
            return self._by_parts(query, key, value, scaling), None
        times = query.shape[1] // key.shape[1]
        out = scaled_dot_product_attention(
            query,
            key.repeat_interleave(times, 1),
            value.repeat_interleave(times, 1),
            attn_mask=self._dense[None, None] if self._dense is not None else None,
            scale=scaling,
        )
        return out.transpose(1, 2), None

    def _by_parts(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        _, heads, tokens, size = query.shape
        key_heads, prefix = key.shape[1], key.shape[2] - tokens
        if value.shape[-1] != size:
            raise AttentionError(f"values of {value.shape[-1]} numbers, queries of {size}")
        folds = heads // key_heads
        by_key = query.reshape(1, key_heads, folds, tokens, size)
        out = torch.empty_like(by_key)
        lse = torch.empty(by_key.shape[:-1], dtype=torch.float32)
        for view in self._views:
            here = slice(view.start, view.stop)
            there = slice(prefix + view.start, prefix + view.stop)
            folded = by_key[:, :, :, here].reshape(1, key_heads, -1, size)
            part, part_lse = Flash(
                folded, key[:, :, there], value[:, :, there], attn_mask=view.mask[None, None], scale=scaling
            )
            out[:, :, :, here] = part.reshape(1, key_heads, folds, -1, size)
            lse[:, :, :, here] = part_lse.reshape(1, key_heads, folds, -1)
        if prefix:
            folded = by_key.reshape(1, key_heads, folds * tokens, size)
            before, before_lse = Flash(folded, key[:, :, :prefix], value[:, :, :prefix], scale=scaling)
            out = merged(out, lse, before.reshape(by_key.shape), before_lse.reshape(lse.shape))
        return out.reshape(1, heads, tokens, size).transpose(1, 2)


def merged(one: torch.Tensor, one_lse: torch.Tensor, other: torch.Tensor, other_lse: torch.Tensor) -> torch.Tensor:
    """Attention over two sets of keys from attention over each."""
    share = torch.sigmoid(one_lse - other_lse)[..., None]
    return torch.lerp(other.float(), one.float(), share).to(one.dtype)


def group_mask(group: Group) -> torch.Tensor:
    """[tokens, tokens] of a group."""
    size = group.stop - group.start
    if group.chain:
        return torch.full((size, size), HIDDEN).triu_(1)
    mask = torch.full((size, size), HIDDEN)
    for segment in group.segments:
        own = segment.stop - segment.start
        rows = slice(segment.start - group.start, segment.stop - group.start)
        for start, stop in segment.ancestors:
            mask[rows, start - group.start : stop - group.start] = 0
        mask[rows, rows] = torch.full((own, own), HIDDEN).triu_(1)
    return mask


def dense_mask(one: Pass, device: str) -> torch.Tensor:
    """[tokens, prefix + tokens] of a pass, true where a token is seen; made where it is used.

    Tokens stand in the order of a walk through the tree: those below a token follow it without a gap, so it is seen
    from itself to where its subtree ends.
    """
    ends = torch.from_numpy(subtree_ends(one)).to(device)
    places = torch.arange(one.size, device=device)
    own = (places[:, None] >= places) & (places[:, None] < ends)
    return torch.cat([own.new_ones(one.size, one.prefix), own], dim=1)


def subtree_ends(one: Pass) -> npt.NDArray[np.int64]:
    """[tokens]: one past the last token of the pass that comes after this one in some row."""
    ends = np.empty(one.size, np.int64)
    for group in one.groups:
        for segment in group.segments:
            for start, stop in (*segment.ancestors, (segment.start, segment.stop)):
                ends[start:stop] = segment.stop
    return ends
