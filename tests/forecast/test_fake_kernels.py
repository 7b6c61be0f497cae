"""What a stand-in keeps is what its kernel's own code says that it saves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers.models.qwen2.modeling_qwen2 import Qwen2Config, Qwen2DecoderLayer, Qwen2RMSNorm

from tunesmith.batching.batch import Segments
from tunesmith.forecast import fake_kernels
from tunesmith.forecast.memory_tracker import MemoryTracker
from tunesmith.model.families.qwen2 import Qwen2
from tunesmith.precision.formats import precision_of

TOKENS, WIDTH = 40, 16
ARCHITECTURE = object.__new__(Qwen2)


def kept(step: Callable[[], Tensor], besides: list[Tensor]) -> int:
    """Bytes of the storages kept for the backward pass, those of weights not counted."""
    storages = {}

    def keep(one: Tensor) -> Tensor:
        storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        return one

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        out = step()
    out.sum().backward()
    known = {one.untyped_storage().data_ptr() for one in besides}
    return sum(size for pointer, size in storages.items() if pointer not in known)


def test_a_norm_keeps_its_input_and_a_number_a_row() -> None:
    norm = Qwen2RMSNorm(WIDTH)
    fake_kernels.replace_layers(norm, ARCHITECTURE)
    hidden = torch.randn(1, TOKENS, WIDTH, dtype=torch.bfloat16, requires_grad=True)
    assert kept(lambda: norm(hidden), list(norm.parameters())) == hidden.nbytes + 4 * TOKENS
    assert norm(hidden).dtype == torch.bfloat16


def test_a_gated_mlp_keeps_its_input_gate_up_and_their_product() -> None:
    config = Qwen2Config(
        hidden_size=WIDTH, intermediate_size=3 * WIDTH, num_attention_heads=1, num_key_value_heads=1
    )
    config._attn_implementation = "sdpa"
    layer = Qwen2DecoderLayer(config, 0)
    fake_kernels.replace_layers(layer, ARCHITECTURE)
    mlp = layer.mlp
    hidden = torch.randn(1, TOKENS, WIDTH, requires_grad=True)
    assert kept(lambda: mlp(hidden), list(mlp.parameters())) == hidden.nbytes + 3 * 3 * hidden.nbytes
    assert hidden.grad is not None


def test_attention_keeps_queries_keys_values_its_output_and_a_number_a_head() -> None:
    query = torch.randn(1, 4, TOKENS, WIDTH, requires_grad=True)
    key, value = (torch.randn(1, 2, TOKENS, WIDTH, requires_grad=True) for _ in range(2))
    wanted = 2 * query.nbytes + key.nbytes + value.nbytes + 4 * 4 * TOKENS
    layer = nn.Module()
    assert kept(lambda: fake_kernels._attention(layer, query, key, value, None)[0], []) == wanted
    assert (query.grad is not None, key.grad is not None) == (True, True)


@pytest.mark.parametrize("causal", [True, False])
def test_the_arithmetic_of_attention_is_that_of_pairs_within_segments(causal: bool) -> None:
    segments = Segments.end_to_end([30, 10])
    with FakeTensorMode():
        query = torch.empty(1, 4, TOKENS, WIDTH, requires_grad=True)
        key, value = (torch.empty(1, 2, TOKENS, WIDTH, requires_grad=True) for _ in range(2))
        with MemoryTracker([]) as alive:
            out, _ = fake_kernels._attention(
                nn.Module(), query, key, value, None, segments=segments, is_causal=causal
            )
            forward = alive.flop
            out.sum().backward()
    # Two products of 2 FLOP a multiplication; the backward pass has five (Dao 2023, section 3.2).
    assert forward == 4 * (30**2 + 10**2) * 4 * WIDTH // (2 if causal else 1)
    assert alive.flop == forward * 7 // 2


@pytest.mark.parametrize("precision", ["nf4", "nf4-fp8", "fp8"])
def test_a_quantised_layer_keeps_nothing_but_its_weights_and_lets_gradients_through(precision: str) -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 24, bias=False, device="meta"))
    fake_kernels.quantize(model, precision_of(precision), {"0"})
    layer = model[0]
    layer.weight = nn.Parameter(torch.zeros(layer.weight.shape, dtype=torch.uint8), requires_grad=False)
    hidden = torch.randn(TOKENS, WIDTH, requires_grad=True)
    assert kept(lambda: layer(hidden), [layer.weight]) == 0
    assert hidden.grad is not None
    assert layer(hidden).shape == (TOKENS, 24)


def test_only_fp8_makes_no_copy_of_the_weights_in_16_bits() -> None:
    peaks, flop = {}, {}
    for precision in ("nf4", "int8", "fp8"):
        model = nn.Sequential(nn.Linear(512, 512, bias=False, device="meta"))
        fake_kernels.quantize(model, precision_of(precision), {"0"})
        with FakeTensorMode():
            layer = model[0]
            layer.weight = nn.Parameter(
                torch.empty(layer.weight.shape, dtype=torch.uint8), requires_grad=False
            )
            hidden = torch.empty(10, 512, dtype=torch.bfloat16, requires_grad=True)
            with MemoryTracker([layer.weight, hidden]) as alive:
                layer(hidden).sum().backward()
        peaks[precision] = alive.peak.bytes - layer.weight.nbytes
        flop[precision] = alive.flop
    assert min(peaks["nf4"], peaks["int8"]) > 2 * 512 * 512 > 4 * peaks["fp8"]
    assert set(flop.values()) == {2 * 2 * 10 * 512 * 512}


def test_under_autocast_a_layer_norm_computes_in_fp32_as_on_a_gpu(tmp_path: Path) -> None:
    norm = nn.LayerNorm(WIDTH, dtype=torch.bfloat16)
    fake_kernels.autocast_layer_norms(norm)
    hidden = torch.randn(TOKENS, WIDTH, dtype=torch.bfloat16)
    assert norm(hidden).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert norm(hidden).dtype == torch.float32
