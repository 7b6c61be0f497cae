"""What loading a mixture of experts leaves out of what its files or the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedModel

from tunesmith.kernels.modules import own_modules
from tunesmith.methods._mixtures import stacked_experts
from tunesmith.precision.quantize import num_weights


def restrict_mixture(model: PreTrainedModel, quantised: str | None) -> Iterator[str]:
    """Switch off what training does not support of a loaded mixture; yield notes for the log."""
    config = model.config.get_text_config()
    if vars(config).get("output_router_logits"):
        # With it, transformers also computes the loss while it generates, and fails.
        config.output_router_logits = False
        yield "router: the auxiliary loss that config.json asks for (output_router_logits) is not trained"
    modules = own_modules(model)
    experts = [
        weight for name in stacked_experts(modules) for weight in modules[name].parameters(recurse=False)
    ]
    if quantised and experts:
        number, total = (sum(map(num_weights, weights)) for weights in (experts, model.parameters()))
        yield (
            f"weights: {quantised}, except for the experts ({number:,} of {total:,} weights, {number / total:.0%}), "
            "which stay in 16 bits"
        )
