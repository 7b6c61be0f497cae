from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tests.tiny import tiny_model
from tunesmith.batching.batch import Batch, Segments
from tunesmith.batching.collator import to_device
from tunesmith.errors import ModelError
from tunesmith.kernels.attention import packed
from tunesmith.model.families.generic import Generic

LENGTHS = [7, 3, 12, 7, 1]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="varlen kernels run on a GPU only")


def line(lengths: list[int], continues: list[int] | None = None, seed: int = 0) -> Batch:
    """Random tokens in these segments; every token of a segment but its last predicts the next one."""
    segments = Segments.end_to_end(lengths, continues)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1000, (sum(lengths),), generator=generator)
    offsets = [lengths[parent] if parent >= 0 else 0 for parent in segments.continues.tolist()]
    positions = torch.cat([torch.arange(n) + before for n, before in zip(lengths, offsets, strict=True)])
    starts = segments.starts.tolist()
    predicting = torch.cat([torch.arange(start, start + n) for start, n in zip(starts, lengths, strict=True)])
    return Batch(tokens, positions[None], predicting, tokens[predicting], segments)


def model_of(folder: Path, model_type: str, **config: object) -> torch.nn.Module:
    place = tiny_model(folder, model_type, **config)
    return AutoModelForCausalLM.from_pretrained(place, attn_implementation="eager")


def packed_logits(model: torch.nn.Module, batch: Batch, name: str) -> torch.Tensor:
    packed.use(model, name)
    return Generic.logits(None, model, batch)


def one_by_one(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Logits of each segment alone (after what it continues), by transformers' own eager attention."""
    model.set_attn_implementation("eager")
    starts, lengths = batch.segments.starts.tolist(), batch.segments.lengths.tolist()
    rows = []
    for start, length, parent in zip(starts, lengths, batch.segments.continues.tolist(), strict=True):
        before = batch.tokens[:0] if parent < 0 else batch.tokens[starts[parent] :][: lengths[parent]]
        whole = torch.cat([before, batch.tokens[start : start + length]])
        rows.append(model(input_ids=whole[None], use_cache=False).logits[0, len(before) :])
    return torch.cat(rows)


def gradients(model: torch.nn.Module, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    functional.cross_entropy(logits, batch.targets).backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("name", ["sdpa", "eager"])
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama"])
def test_packed_examples_give_logits_and_gradients_of_each_alone(
    model_type: str, name: str, tmp_path: Path
) -> None:
    model, batch = model_of(tmp_path, model_type), line(LENGTHS)
    packed, alone = packed_logits(model, batch, name), one_by_one(model, batch)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=0)
    ours, theirs = gradients(model, packed, batch), gradients(model, one_by_one(model, batch), batch)
    for weight, gradient in theirs.items():
        torch.testing.assert_close(ours[weight], gradient, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["sdpa", "eager"])
def test_a_continuation_gives_logits_and_gradients_of_the_whole_sequence(name: str, tmp_path: Path) -> None:
    model = model_of(tmp_path, "qwen3")
    batch = line([9, 3, 3, 5, 1, 4], continues=[-1, 0, 0, -1, 3, 0])
    packed, alone = packed_logits(model, batch, name), one_by_one(model, batch)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=0)
    ours, theirs = gradients(model, packed, batch), gradients(model, one_by_one(model, batch), batch)
    for weight, gradient in theirs.items():
        torch.testing.assert_close(ours[weight], gradient, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["sdpa", "eager"])
def test_a_sliding_window_stays_what_it_is_when_packed(name: str, tmp_path: Path) -> None:
    model = model_of(tmp_path, "qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=1)
    assert "sliding_attention" in model.config.layer_types
    batch = line([9, 3, 3], continues=[-1, 0, -1])
    torch.testing.assert_close(packed_logits(model, batch, name), one_by_one(model, batch), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["sdpa", "eager"])
def test_what_stands_in_one_example_never_reaches_another(name: str, tmp_path: Path) -> None:
    model, batch = model_of(tmp_path, "qwen2"), line(LENGTHS)
    changed = replace(batch, tokens=batch.tokens.clone())
    changed.tokens[7:10] = (changed.tokens[7:10] + 1) % 1000
    before, after = packed_logits(model, batch, name), packed_logits(model, changed, name)
    others = [place for place in range(30) if not 7 <= place < 10]
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[7:10], after[7:10])


def test_bf16_products_are_those_of_eager_attention(tmp_path: Path) -> None:
    model, batch = model_of(tmp_path, "qwen2").bfloat16(), line(LENGTHS)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        packed, alone = packed_logits(model, batch, "sdpa"), one_by_one(model, batch)
    assert packed.dtype == torch.bfloat16
    torch.testing.assert_close(packed, alone, atol=2e-2, rtol=0)


def test_generation_uses_a_cache_and_packing_is_back_afterwards(tmp_path: Path) -> None:
    model, batch = model_of(tmp_path, "qwen2").eval(), line([8])
    logits = packed_logits(model, batch, "sdpa")
    with packed.for_generation(model):
        made = model.generate(batch.tokens[None], max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert made[0, 8] == logits[-1].argmax()
    assert torch.equal(packed_logits(model, batch, "sdpa"), logits)


def test_auto_takes_what_this_machine_has_and_says_why() -> None:
    assert packed.choose("auto", CPU, torch.bfloat16)[0] == "sdpa"
    assert "no varlen: it needs a GPU, this is cpu" in packed.choose("auto", CPU, torch.bfloat16)[1]
    assert packed.choose("auto", CUDA, torch.bfloat16)[0] == "varlen"
    name, reason = packed.choose("auto", CUDA, torch.float32)
    assert name == "sdpa"
    assert "it needs 16 bit" in reason
    assert packed.choose("eager", CPU, torch.float32) == ("eager", "asked for")


def test_attention_that_cannot_be_had_is_refused_with_what_can() -> None:
    with pytest.raises(ModelError, match=r"attention: varlen cannot run here .*Possible: auto, sdpa, eager"):
        packed.choose("varlen", CPU, torch.bfloat16)
    with pytest.raises(ModelError, match="flash-attn is not installed"):
        packed.choose("flash_attention_2", CUDA, torch.bfloat16)


def test_a_model_with_attention_of_its_own_is_refused() -> None:
    config = AutoConfig.for_model("bloom", vocab_size=64, hidden_size=16, n_layer=1, n_head=2)
    with pytest.raises(ModelError, match="bloom have attention code of their own, which cannot be told"):
        packed.use(AutoModelForCausalLM.from_config(config), "sdpa")


def test_an_architecture_that_wants_more_of_attention_is_refused(tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        "gemma2", vocab_size=1024, hidden_size=32, intermediate_size=64, num_hidden_layers=1, head_dim=8,
        num_attention_heads=4, num_key_value_heads=2, attn_logit_softcapping=50.0, pad_token_id=0,
    )  # fmt: skip
    with pytest.raises(ModelError, match="gemma2 have attention with a soft cap on its scores, which packed"):
        packed_logits(AutoModelForCausalLM.from_config(config), line([4]), "sdpa")


@needs_gpu
@pytest.mark.parametrize("continues", [None, [-1, 0, 0, -1, 3, 0]])
def test_the_varlen_kernel_agrees_with_eager_attention(continues: list[int] | None, tmp_path: Path) -> None:
    model = model_of(tmp_path, "qwen3", hidden_size=128).to("cuda", torch.bfloat16)
    batch = to_device(line([9, 3, 3, 5, 1, 4], continues), torch.device("cuda"))
    ours = packed_logits(model, batch, "varlen")
    torch.testing.assert_close(ours, one_by_one(model, batch), atol=3e-2, rtol=0)
    theirs = gradients(model, one_by_one(model, batch).float(), batch)
    for weight, gradient in gradients(model, packed_logits(model, batch, "varlen").float(), batch).items():
        assert functional.cosine_similarity(gradient.flatten(), theirs[weight].flatten(), dim=0) > 0.99


@pytest.mark.parametrize("name", ["sdpa", "eager"])
def test_attention_is_in_the_precision_of_the_products_whatever_comes_in(name: str) -> None:
    attend = ALL_ATTENTION_FUNCTIONS[packed.REGISTERED[name]]
    query, key, value = torch.randn(3, 1, 2, 5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = attend(torch.nn.Identity(), query, key, value, None, segments=Segments.end_to_end([2, 3]))
    assert out.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["sdpa", "eager"])
def test_in_a_vision_tower_a_patch_sees_all_of_its_window_and_nothing_else(name: str) -> None:
    attend = ALL_ATTENTION_FUNCTIONS[packed.REGISTERED[name]]
    query, key, value = torch.randn(3, 1, 2, 5, 4)
    out, _ = attend(
        torch.nn.Identity(), query, key, value, None, segments=Segments.end_to_end([2, 3]), is_causal=False
    )
    for start, end in ((0, 2), (2, 5)):
        pieces = (one[:, :, start:end] for one in (query, key, value))
        wanted = torch.nn.functional.scaled_dot_product_attention(*pieces).transpose(1, 2)
        torch.testing.assert_close(out[:, start:end], wanted)


def packed_without_data(
    continues: list[int] | None, window: int | None, causal: bool
) -> packed.AttentionInputs:
    """What a layer is asked, of tensors on no device: such have shapes and derivatives only."""
    lines = [
        torch.empty(1, heads, 30, 16, device="meta", dtype=torch.bfloat16, requires_grad=True)
        for heads in (4, 2, 2)
    ]
    return packed.AttentionInputs(  # type: ignore[call-arg]
        *lines, Segments.end_to_end(LENGTHS, continues), None, dropout=0.0, window=window, causal=causal
    )


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("continues", [None, [-1, 0, 0, -1, 3]])
def test_this_pytorch_runs_flash_attention_without_a_custom_operator_around_it(
    continues: list[int] | None, window: int | None, causal: bool
) -> None:
    assert packed._flash_is_known()
    inputs = packed_without_data(continues, window, causal)
    out = packed._varlen(inputs)
    assert out.shape == (1, 30, 4, 16)
    assert out.grad_fn.next_functions[0][0].name() == "FlashAttentionBackward0"
    out.sum().backward()
    for given in (inputs.query, inputs.key, inputs.value):
        assert given.grad.shape == given.shape


@pytest.mark.parametrize("window", [None, 4])
def test_a_pytorch_with_another_flash_attention_is_asked_by_its_public_function(
    window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_flash_is_known", lambda: False)
    inputs = packed_without_data(None, window, causal=True)
    out = packed._varlen(inputs)
    assert out.shape == (1, 30, 4, 16)
    out.sum().backward()
    assert inputs.key.grad.shape == inputs.key.shape


def test_tables_have_blocks_where_segments_are_short_and_continue_nothing() -> None:
    short, long = Segments.end_to_end([1024, 3]), Segments.end_to_end([3, 1025])
    going_on = Segments.end_to_end([9, 3], continues=[-1, 0])
    assert len(packed._table(short, CPU).blocks) == 17
    assert packed._table(long, CPU).blocks is None
    assert packed._table(going_on, CPU).blocks is None


class OnGpu(torch.Tensor):
    """Says that it is there."""

    is_cuda = property(lambda self: True)  # type: ignore[assignment]


@pytest.mark.parametrize(("window", "is_short"), [(None, True), (12, True), (4, False)])
def test_a_window_narrower_than_a_segment_is_left_to_pytorch(
    window: int | None, is_short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed.short, "supports", lambda width, dtype: True)
    inputs = packed_without_data(None, window, causal=True)
    on_gpu = torch.empty(1, 4, 30, 16, dtype=torch.bfloat16).as_subclass(OnGpu)
    line = packed.short_line(inputs.segments, on_gpu, window)
    assert (line is not None) == is_short
    assert packed.short_line(inputs.segments, inputs.query, window) is None


@needs_gpu
@pytest.mark.parametrize("causal", [True, False])
def test_short_segments_give_what_pytorchs_kernel_gives(
    causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend = ALL_ATTENTION_FUNCTIONS[packed.REGISTERED["varlen"]]
    segments = Segments.end_to_end([1, 63, 200, 64, 70])
    torch.manual_seed(0)
    given = [torch.randn(1, heads, 398, 64, device="cuda", dtype=torch.bfloat16) for heads in (4, 2, 2)]
    found = []
    for takes in (True, False):
        monkeypatch.setattr(packed.short, "supports", lambda width, dtype, takes=takes: takes)
        leaves = [one.detach().requires_grad_() for one in given]
        out, _ = attend(torch.nn.Identity(), *leaves, None, segments=segments, is_causal=causal)
        out.square().sum().backward()
        found.append([out, *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).float().norm() < 0.01 * theirs.float().norm()
