"""What is trained, and in which precision the rest stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One way of training."""

    name: str
    products: int
    """Floating-point operations a weight and token: forward 2, gradients of activations 2, of weights 2."""
    adapts: bool = True
    """Low-rank adapters on every linear layer; else the weights themselves, or a head."""
    weights: str = "bf16"
    """Of what is frozen, in tunesmith's words."""
    beside: str = ""
    """Another method, to whose peers it is compared where none offers this one."""

    def rank(self, sees: bool) -> tuple[int, int]:
        """Rank and alpha of the adapters."""
        return (64, 16) if sees else (16, 32)


METHODS = {
    method.name: method
    for method in (
        Method("lora", 4),
        Method("qlora", 4, weights="nf4"),
        Method("qlora-fp8", 4, weights="nf4-fp8", beside="qlora"),
        Method("fp8", 4, weights="fp8", beside="lora"),
        Method("full", 6, adapts=False),
        Method("head", 2, adapts=False),
    )
}
CLASSES = 30
"""Of the classification head."""
