"""A model's blocks one after another: each part is rounded by what it reads of the parts before it, rounded already."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from harness.measure.workers.compress.decoder import Decoder
from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.scheme.hadamard import rotate_last
from harness.measure.workers.scheme.numerics import fake_quantized_tokens


class _SeenError(Exception):
    """Ends a pass once the wanted input was seen."""


@torch.no_grad()
def round_blocks(
    decoder: Decoder,
    rows: torch.Tensor,
    replace: Callable[[list[str], torch.Tensor], None],
    done: Callable[[int, int], None],
    *,
    rotates_down: bool = False,
) -> None:
    """`replace` is told of linears that read the same, and the second moments [columns, columns] of what they read;
    it puts rounded ones in their place before the next part is looked at.

    rows [samples, tokens]. `done` is told how many layers of how many.

    Raises:
        ModelError: activations that are no numbers.
    """
    hidden, how = _first_inputs(decoder, rows)

    def settle(place: str, parts: tuple[str, ...], inputs: Iterable[torch.Tensor], rotates: bool = False) -> None:
        moments = _moments(inputs, rotates=rotates)
        if not bool(torch.isfinite(moments).all()):
            raise ModelError(f"{place}.{parts[0]} reads activations that are no numbers")
        replace([f"{place}.{part}" for part in parts], moments)

    for layer in range(decoder.layers):
        place = f"model.layers.{layer}"
        block = decoder.model.get_submodule(place)

        # Of a block, only gate and up run twice.
        settle(f"{place}.self_attn", ("q_proj", "k_proj", "v_proj"), (block.input_layernorm(one) for one in hidden))
        mixed = [_attended(block, one, how) for one in hidden]
        settle(f"{place}.self_attn", ("o_proj",), mixed)
        hidden = [one + block.self_attn.o_proj(x) for one, x in zip(hidden, mixed, strict=True)]
        del mixed
        settle(f"{place}.mlp", ("gate_proj", "up_proj"), (block.post_attention_layernorm(one) for one in hidden))
        settle(f"{place}.mlp", ("down_proj",), (_gated(block, one) for one in hidden), rotates_down)
        hidden = [one + block.mlp.down_proj(_gated(block, one)) for one in hidden]
        done(layer + 1, decoder.layers)


def _moments(inputs: Iterable[torch.Tensor], *, rotates: bool) -> torch.Tensor:
    """[columns, columns] in float64: the mean of xᵀx of what a linear reads, as its integers will meet it.

    In float32 the rounding errors of a few outliers would be as large as all that is left beside them.
    """
    total, count = torch.zeros((), dtype=torch.float64), 0
    for one in inputs:
        x = one.flatten(0, -2)
        x = fake_quantized_tokens(rotate_last(x) if rotates else x).double()
        total, count = total + x.T @ x, count + len(x)
    return total / count


def _attended(block: Any, hidden: torch.Tensor, how: dict[str, Any]) -> torch.Tensor:
    """What the output projection of a block's attention reads."""
    seen: list[torch.Tensor] = []

    def look(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])
        raise _SeenError

    hook = block.self_attn.o_proj.register_forward_pre_hook(look)
    try:
        block.self_attn(hidden_states=block.input_layernorm(hidden), **how)
    except _SeenError:
        return seen[0]
    finally:
        hook.remove()
    raise AssertionError("attention ended without its output projection")


def _gated(block: Any, hidden: torch.Tensor) -> torch.Tensor:
    """What a block's down projection reads."""
    mlp, x = block.mlp, block.post_attention_layernorm(hidden)
    found: torch.Tensor = mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x)
    return found


def _first_inputs(decoder: Decoder, rows: torch.Tensor) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """What the first block reads of each row, and how transformers calls a block."""
    seen: list[torch.Tensor] = []
    how: dict[str, Any] = {}

    def look(_: nn.Module, inputs: tuple[torch.Tensor, ...], named: dict[str, Any]) -> None:
        seen.append(inputs[0])
        how.update(named)
        raise _SeenError

    hook = decoder.model.get_submodule("model.layers.0").register_forward_pre_hook(look, with_kwargs=True)
    try:
        for row in rows:
            try:
                decoder.model(row[None], use_cache=False)
            except _SeenError:
                continue
    finally:
        hook.remove()
    return seen, how
