"""Which layers are exchanged, and that on a GPU a model answers and learns as with its plain ones."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.model.families.pictures import FAMILIES, conversations
from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith import kernels
from tunesmith.batching.collator import collate, to_device
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.kernels.fusion import liger
from tunesmith.methods.lora import Lora
from tunesmith.model.families.generic import Generic
from tunesmith.model.families.qwen2 import Qwen2
from tunesmith.model.load import load
from tunesmith.model.trainable import make_trainable
from tunesmith.records.conversation import Conversation, Turn
from tunesmith.train.loss import answer_loss

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or find_spec("liger_kernel") is None,
    reason="Liger's kernels run on a GPU only",
)
TEXT = [Conversation("a:1", (Turn.of("user", "What is 2 + 2?"),), "Four, as ever."), Conversation(
    "a:2", (Turn.of("user", "Say something longer than that, please."),), "No.")]  # fmt: skip


def test_without_a_gpu_there_are_none_and_the_reason_is_said() -> None:
    said = "no fused: it needs a GPU, this is cpu; no liger: it needs a GPU, this is cpu"
    assert kernels.choose("auto", torch.device("cpu"), torch.bfloat16) == ("none", said)
    with pytest.raises(ModelError) as caught:
        kernels.choose("liger", torch.device("cpu"), torch.bfloat16)
    assert str(caught.value) == (
        "model.kernels: liger cannot run here (it needs a GPU, this is cpu). Possible: auto, none"
    )


def test_none_leaves_the_model_as_it_is() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2))
    kernels.use(layer, object.__new__(Qwen2), "none", torch.device("cpu"))
    assert "forward" not in vars(layer[0])


@pytest.mark.parametrize(("name", "is_known"), [("qwen2", True), ("qwen2_5_vl", True), ("helium", False)])
def test_heads_that_are_turned_in_another_way_are_left_to_the_architecture(name: str, is_known: bool) -> None:
    architecture = ModuleType("copied")
    known = vars(importlib.import_module(f"transformers.models.{name}.modeling_{name}"))
    plain = {one: known[one] for one in liger.ROPE_FUNCTIONS if one in known}
    vars(architecture).update(plain)
    liger._patch_rope(architecture)
    assert all((vars(architecture)[one] is not plain[one]) == is_known for one in plain)


class Reference:
    """Liger's functions by PyTorch's operations, as its documentation defines them."""

    @staticmethod
    def rms_norm(
        x: Tensor, weight: Tensor, eps: float, offset: float, casting: int, in_place: bool
    ) -> Tensor:
        assert not in_place
        normed = x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + eps)
        if casting == liger.CAST_NORMALISED:
            return (offset + weight) * normed.to(x.dtype)
        return ((offset + weight.float()) * normed).to(x.dtype)

    @staticmethod
    def swiglu(gate: Tensor, up: Tensor) -> Tensor:
        return functional.silu(gate) * up


@pytest.fixture
def reference_liger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference functions in the place of Liger's, which run on a GPU only."""
    for name, function, apply in (
        ("rms_norm", "LigerRMSNormFunction", Reference.rms_norm),
        ("swiglu", "LigerSiLUMulFunction", Reference.swiglu),
    ):
        module = ModuleType(f"liger_kernel.ops.{name}")
        vars(module)[function] = SimpleNamespace(apply=apply)
        monkeypatch.setitem(sys.modules, "liger_kernel", ModuleType("liger_kernel"))
        monkeypatch.setitem(sys.modules, "liger_kernel.ops", ModuleType("liger_kernel.ops"))
        monkeypatch.setitem(sys.modules, f"liger_kernel.ops.{name}", module)
    monkeypatch.setattr(liger, "_patch_rope", lambda _: None)


class DescribedGemma(Generic):
    """A family with norms of 1 + weight."""

    norm_classes: ClassVar = {"GemmaRMSNorm": 1.0}


@pytest.mark.usefixtures("reference_liger")
@pytest.mark.parametrize(
    ("model_type", "num_norms", "num_mlps"),
    [("qwen3", 9, 2), ("llama", 5, 2), ("qwen3_moe", 9, 0), ("gemma", 5, 0), ("olmo2", 0, 0)],
)
def test_described_modules_and_no_others_run_by_liger_and_compute_the_same(
    tmp_path: Path, model_type: str, num_norms: int, num_mlps: int
) -> None:
    loaded = load(Model(path=str(tiny_model(tmp_path / "model", model_type)), weights="fp32", device="cpu"))
    for weight in loaded.model.parameters():
        weight.data.add_(torch.randn_like(weight), alpha=0.1)
    batch = collate([loaded.family.render(conversation) for conversation in TEXT])
    with torch.no_grad():
        wanted = loaded.logits(batch)
    family = object.__new__(DescribedGemma) if model_type == "gemma" else loaded.family
    liger.apply_liger(loaded.model, family)
    patched = [type(module).__name__ for module in loaded.model.modules() if "forward" in vars(module)]
    assert sum("Norm" in name for name in patched) == num_norms
    assert sum("MLP" in name for name in patched) == num_mlps
    assert len(patched) == num_norms + num_mlps
    with torch.no_grad():
        torch.testing.assert_close(loaded.logits(batch), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("reference_liger")
def test_adapters_that_are_put_on_later_are_part_of_the_mlp(tmp_path: Path) -> None:
    loaded = load(Model(path=str(tiny_model(tmp_path / "model", "qwen2")), weights="fp32", device="cpu"))
    liger.apply_liger(loaded.model, loaded.family)
    trainable = make_trainable(loaded, {"language": Lora(rank=4, targets="mlp")}, seed=0)
    batch = collate([loaded.family.render(conversation) for conversation in TEXT])
    answer_loss(trainable.loaded, batch).backward()
    ups = [weight for name, weight in trainable.groups[0].parameters.items() if "lora_B" in name]
    assert len(ups) == 6
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in ups)


@needs_gpu
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama", *FAMILIES])
def test_loss_and_gradients_are_those_of_the_plain_layers(tmp_path: Path, model_type: str) -> None:
    sees = model_type in FAMILIES
    place = (tiny_seeing_model if sees else tiny_model)(tmp_path / "model", model_type)
    asked = conversations(tmp_path) if sees else TEXT
    found = {}
    for name in ("none", "liger"):
        loaded = load(Model(path=str(place), weights="fp32", kernels=name, attention="eager"))
        exchanged = [type(module).__name__ for module in loaded.model.modules() if "forward" in vars(module)]
        assert (len(exchanged) > 4) == (name == "liger")
        loaded.model.requires_grad_(True)
        batch = to_device(collate([loaded.family.render(one) for one in asked]), loaded.device)
        nats = answer_loss(loaded, batch)
        nats.backward()
        found[name] = (
            nats.detach(),
            {weight_name: weight.grad for weight_name, weight in loaded.model.named_parameters()},
        )
    torch.testing.assert_close(found["liger"][0], found["none"][0], rtol=1e-4, atol=1e-4)
    for weight_name, gradient in found["none"][1].items():
        torch.testing.assert_close(
            found["liger"][1][weight_name], gradient, rtol=2e-3, atol=2e-4, msg=weight_name
        )
