"""Low-rank adapters on a part's linear layers (Hu et al. 2021), in PEFT's own form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from tunesmith.errors import ModelError, did_you_mean
from tunesmith.methods import Method
from tunesmith.methods._mixtures import is_in_layer, routers, stacked_experts

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import nn

BLOCKS = {
    "attention": re.compile(r"(^|[._])(\w*attn|\w*attention)[._]"),
    "mlp": re.compile(r"(^|[._])(mlp|ffn|feed_forward|experts)[._]"),
}
"""The names of the modules around the layers that a word stands for."""
PROJECTOR = re.compile(r"(^|[._])\w*merger\w*[._]")
"""The same of what projects the output of a vision tower."""


class Lora(Method):
    """The weight W of each target is frozen, and (alpha / rank) B A is added to it."""

    adds_adapter: ClassVar[bool] = True

    kind: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1)] = 16
    """Inner dimension of an adapter."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """What an adapter adds is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of an adapter's inputs that is zeroed in training."""
    targets: Literal["attention", "mlp", "all"] | list[str] = "all"
    """Linear layers with an adapter: those of attention, of the MLPs, all in the model's layers (and of a projector),
    or a list of names (`q_proj`) and regular expressions over full names. Routers of mixtures have none unless they
    are listed. Experts cannot have any; the log says how many weights that leaves out."""
    bias: Literal["none", "lora", "all"] = "none"
    """Biases that are trained beside: none, those of the targets, or all of the part."""
    rslora: bool = False
    """Multiply by alpha / sqrt(rank) instead (Kalajdzievski 2023)."""
    dora: bool = False
    """Train each weight's magnitude apart from its direction (Liu et al. 2024)."""
    init: Literal["default", "gaussian"] = "default"
    """How A begins: uniform as in a linear layer, or normal. B begins at zero in either case."""
    start: Literal["continue", "new"] = "continue"
    """After an earlier stage's adapter: go on training it, or merge it into the weights and put on a new
    one."""

    @field_validator("targets")
    @classmethod
    def _expressions_compile(cls, targets: str | list[str]) -> str | list[str]:
        for target in targets if isinstance(targets, list) else []:
            try:
                re.compile(target)
            except re.error as error:
                raise ValueError(
                    f"{target!r} is neither a name nor a regular expression ({error})"
                ) from error
        if not targets:
            raise ValueError("names no layer; give at least one, or attention, mlp or all")
        return targets

    def weights(self, part: dict[str, nn.Module]) -> list[str]:
        """Full names of the biases that are trained beside the adapters."""
        if self.bias == "none":
            return []
        biased = self.target_modules(part) if self.bias == "lora" else list(part)
        return [
            f"{name}.bias" for name in biased if "bias" in dict(part[name].named_parameters(recurse=False))
        ]

    def adapter(self, part: dict[str, nn.Module]) -> LoraConfig:
        """PEFT's config with the targets' full names; ModelError if a target matches nothing."""
        from peft import LoraConfig

        biases: dict[str, Literal["none", "lora_only", "all"]] = {
            "none": "none",
            "lora": "lora_only",
            "all": "all",
        }
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=self.target_modules(part),
            bias=biases[self.bias],
            use_rslora=self.rslora,
            use_dora=self.dora,
            init_lora_weights=True if self.init == "default" else self.init,
        )

    def target_modules(self, part: dict[str, nn.Module]) -> list[str]:
        """Full names of the layers with an adapter, in the model's order."""
        possible = _adaptable(part)
        if isinstance(self.targets, str):
            excluded = routers(part)
            wanted = {name for name in possible if self._asks_for(name) and name not in excluded}
            unmatched: list[str] = [] if wanted else [self.targets]
        else:
            matches = {
                target: {name for name in possible if _matches(target, name)} for target in self.targets
            }
            wanted = set().union(*matches.values())
            unmatched = [target for target, names in matches.items() if not names]
        if unmatched:
            short = sorted({name.rpartition(".")[2] for name in possible})
            raise ModelError(
                f"targets: {', '.join(map(repr, unmatched))} matches no layer of this part "
                f"({', '.join(short)})." + did_you_mean(unmatched[0], short)
            )
        return [name for name in possible if name in wanted]

    def left_out(self, part: dict[str, nn.Module]) -> list[str]:
        """Full names of the experts' weights that `targets` asks for by a word; no adapter can be put on them."""
        return [
            f"{module}.{name}"
            for module in stacked_experts(part)
            if self._asks_for(f"{module}.")
            for name, weight in part[module].named_parameters(recurse=False)
            if weight.dim() == 3
        ]

    def _asks_for(self, name: str) -> bool:
        """Whether a word that `targets` is stands for a layer of this name."""
        if self.targets == "all":
            return is_in_layer(name) or PROJECTOR.search(name) is not None
        return isinstance(self.targets, str) and BLOCKS[self.targets].search(name) is not None


def _adaptable(part: dict[str, nn.Module]) -> list[str]:
    """Full names of the layers that an adapter can be put on."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return [name for name, module in part.items() if isinstance(module, nn.Linear | nn.Embedding | Conv1D)]


def _matches(target: str, name: str) -> bool:
    return name == target or name.endswith(f".{target}") or re.fullmatch(target, name) is not None
