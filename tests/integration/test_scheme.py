"""The scheme's numbers, against torchao's own."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchao.quantization import (
    Int8DynamicActivationIntxWeightConfig,
    IntxWeightOnlyConfig,
    PerAxis,
    PerGroup,
    quantize_,
)
from torchao.quantization.qat import QATConfig

from harness.measure.workers.hf.errors import ModelError
from harness.measure.workers.scheme.hadamard import NoHadamardError, hadamard, random_hadamard, rotate_last, split
from harness.measure.workers.scheme.layers import QuantizedEmbedding, QuantizedLinear, unrounded
from harness.measure.workers.scheme.layout import Matrix, Weights, write
from harness.measure.workers.scheme.numerics import (
    INT4,
    INT8,
    dequantized,
    fake_quantized_tokens,
    fake_quantized_weight,
    packed,
    quantized,
    scales_of,
    unpacked,
)

pytestmark = pytest.mark.torch


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("dtype", "bounds", "group"), [("int4", INT4, 32), ("int8", INT8, 96)])
def test_a_layer_computes_what_torchao_computes(dtype: str, bounds: tuple[int, int], group: int) -> None:
    weight, x = drawn(48, 96), drawn(5, 96, seed=1) * 3
    layer = torch.nn.Linear(96, 48, bias=False)
    layer.weight.data = weight.clone()
    holder = torch.nn.Sequential(layer)
    granularity = PerGroup(group) if dtype == "int4" else PerAxis(0)
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=getattr(torch, dtype), weight_granularity=granularity)
    fake = torch.nn.Sequential(torch.nn.Linear(96, 48, bias=False))
    fake[0].weight.data = weight.clone()
    quantize_(holder, config)
    quantize_(fake, QATConfig(config, step="prepare"))
    ours = QuantizedLinear(fake_quantized_weight(weight, group, bounds))
    with torch.no_grad():
        assert torch.equal(ours(x), holder(x))
        assert torch.equal(ours(x), fake(x))


def test_an_embedding_is_rounded_as_torchao_rounds_it() -> None:
    weight, ids = drawn(50, 96), torch.arange(50)
    layer = torch.nn.Embedding(50, 96)
    layer.weight.data = weight.clone()
    holder = torch.nn.Sequential(layer)
    config = IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))
    quantize_(holder, config, filter_fn=lambda module, _: isinstance(module, torch.nn.Embedding))
    assert type(holder[0].weight) is not torch.nn.Parameter, "it was rounded"
    ours = QuantizedEmbedding(fake_quantized_weight(weight, 96, INT8))
    with torch.no_grad():
        assert torch.equal(ours(ids), holder(ids))


def test_activations_can_be_left_as_they_are_for_a_while() -> None:
    layer, x = QuantizedLinear(fake_quantized_weight(drawn(48, 96), 32, INT4)), drawn(5, 96, seed=1)
    rounded = layer(x)
    with pytest.raises(KeyError), unrounded(torch.nn.Sequential(layer)):
        assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight))
        raise KeyError
    assert torch.equal(layer(x), rounded) and not torch.equal(rounded, torch.nn.functional.linear(x, layer.weight))


def test_gradients_pass_rounding_unchanged() -> None:
    x = drawn(3, 32).requires_grad_()
    fake_quantized_tokens(x).sum().backward()
    assert x.grad is not None and torch.allclose(x.grad, torch.ones_like(x))
    w = drawn(2, 32).requires_grad_()
    fake_quantized_weight(w, 32, INT4).sum().backward()
    # All but the largest of each row, which is cut half a step above the largest integer.
    assert w.grad is not None and bool(((w.grad - 1).abs() < 1e-6).sum() >= 62)


def test_a_token_of_zeros_stays_zeros() -> None:
    assert torch.equal(fake_quantized_tokens(torch.zeros(2, 32)), torch.zeros(2, 32))
    assert torch.equal(fake_quantized_weight(torch.zeros(2, 32), 32, INT4), torch.zeros(2, 32))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 2**31))
def test_packed_integers_come_back(rows: int, pairs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    integers = torch.randint(-8, 8, (rows, 2 * pairs), generator=generator, dtype=torch.int8)
    assert torch.equal(unpacked(packed(integers)), integers)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-20, 1e20))
def test_rounding_what_was_rounded_changes_no_integer(seed: int, size: float) -> None:
    weight = drawn(4, 64, seed=seed) * size
    scales = scales_of(weight, 32, INT4)
    integers = quantized(weight, scales, INT4)
    assert torch.equal(quantized(dequantized(integers, scales), scales, INT4), integers)
    assert bool((integers.abs() <= 8).all())


@pytest.mark.parametrize("size", [1, 2, 12, 20, 28, 36, 64, 128, 96, 576, 960, 1536, 2560, 3072, 5632, 8192, 14336])
def test_known_sizes_have_hadamard_matrices(size: int) -> None:
    core, power = split(size)
    assert core * power == size
    x = drawn(2, size)
    assert torch.allclose(rotate_last(x).norm(dim=-1), x.norm(dim=-1), rtol=1e-5)
    if size <= 3072:
        matrix = hadamard(size)
        assert bool((matrix.abs() == 1).all())
        assert torch.equal(matrix @ matrix.T, size * torch.eye(size))
        assert torch.allclose(rotate_last(x), x @ matrix / size**0.5, atol=1e-5)


@pytest.mark.parametrize("size", [3, 6, 18, 7 * 64 + 1, 2 * 9])
def test_a_size_without_a_known_matrix_is_refused(size: int) -> None:
    with pytest.raises(NoHadamardError, match=f"order {size}"):
        hadamard(size)


def test_a_random_hadamard_matrix_is_orthogonal_and_follows_from_its_seed() -> None:
    one = random_hadamard(36, torch.Generator().manual_seed(3))
    assert torch.allclose(one @ one.T, torch.eye(36, dtype=torch.float64), atol=1e-12)
    assert torch.equal(one, random_hadamard(36, torch.Generator().manual_seed(3)))
    assert not torch.equal(one, random_hadamard(36, torch.Generator().manual_seed(4)))


def test_a_matrix_is_read_as_it_was_written(tmp_path: Path) -> None:
    weight = drawn(8, 64)
    scales = scales_of(weight, 32, INT4)
    matrix = Matrix(quantized(weight, scales, INT4).to(torch.int8), scales, INT4)
    write(tmp_path, [("a", matrix)], {"n": torch.ones(8)}, {})
    weights = Weights(tmp_path / "compressed.safetensors")
    found = weights.matrix("a", 8, 64)
    assert torch.equal(found.integers, matrix.integers) and torch.equal(found.scales, scales)
    assert torch.equal(found.weight, fake_quantized_weight(weight, 32, INT4))
    with pytest.raises(ModelError, match="lacks b"):
        weights.matrix("b", 8, 64)
    with pytest.raises(ModelError, match=r"the model needs \[8, 32\]"):
        weights.matrix("a", 8, 32)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "compressed.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot load"):
        Weights(tmp_path / "compressed.safetensors")
