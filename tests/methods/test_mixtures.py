from __future__ import annotations

from torch import nn

from tunesmith.methods._mixtures import routers, stacked_experts


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down_proj = nn.Parameter(nn.Linear(4, 12).weight.view(3, 4, 4).clone())


def layer(experts: nn.Module) -> dict[str, nn.Module]:
    inner = nn.ModuleDict({"experts": experts, "gate": nn.Linear(8, 3), "shared_gate": nn.Linear(8, 1)})
    convolution = nn.ModuleDict({"conv": nn.Conv1d(3, 3, 2), "out": nn.Linear(8, 3)})
    stack = nn.ModuleDict({"layers": nn.ModuleList([nn.ModuleDict({"mlp": inner, "mixer": convolution})])})
    return {name: module for name, module in stack.named_modules() if name}


def test_experts_in_one_weight_or_in_a_list_are_told_from_convolutions_and_routers_from_other_layers() -> (
    None
):
    stacked, listed = layer(Experts()), layer(nn.ModuleList(nn.Linear(8, 8) for _ in range(3)))
    assert stacked_experts(stacked) == {"layers.0.mlp.experts": 3}
    assert stacked_experts(listed) == {}
    for part in (stacked, listed):
        assert routers(part) == {"layers.0.mlp.gate", "layers.0.mlp.shared_gate"}
