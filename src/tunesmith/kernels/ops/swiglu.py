"""The gated activation of an MLP, SwiGLU (Shazeer 2020), with LoRA adapters, and its gradients.

Forward, with g and u the outputs of the gate and up projections, each with its adapter's contribution added:

    y     = silu(g) * u           silu(g) = g * sigmoid(g)
    inner = y lora_A^T            input of the down projection's adapter

Backward, given grad_output = dL/dy and with p = sigmoid(g):

    dL/du = grad_output * g * p
    dL/dg = grad_output * u * p * (1 + g * (1 - p))

dL/dy has two parts: the down projection's own, which is `grad_output`, and its adapter's, which is handed over as a
product that is still to be computed (`output_update`) and is added on the fly. The gradients of the adapters' inner
activations are dL/dg B_gate and dL/du B_up.

Layout: the projections' outputs are one (token, 2 * width) matrix, gate in the left half and up in the right half. The
matrix is kept for the backward pass, which overwrites it with the gradients; y is not kept but recomputed, and written
into `grad_output`, since the down projection's adapter needs it for its own gradient. So the widest tensors of a layer
exist once.

The forward pass rounds silu(g) to the dtype of the input, as transformers' layers do; the rest is fp32 inside.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from tunesmith.kernels.ops import Activations, GateUp, LoraA, LoraInner
from tunesmith.kernels.ops.dispatch import implementation
from tunesmith.kernels.ops.lora import LoraUpdate

_NAME = "swiglu"


def swiglu(
    gate_up: GateUp,
    gate_update: LoraUpdate | None,
    up_update: LoraUpdate | None,
    lora_A: LoraA | None,
) -> tuple[Activations, LoraInner | None]:
    """silu(gate) * up, each with its adapter's update, and the product of that with lora_A^T if it is given."""
    if (kernels := implementation(gate_up, _NAME)) is not None:
        return kernels.swiglu(gate_up, gate_update, up_update, lora_A)
    gate, up = gate_up.chunk(2, dim=1)
    wide_gate = gate_update.added_to(gate) if gate_update else gate.float()
    wide_up = up_update.added_to(up) if up_update else up.float()
    out = (functional.silu(wide_gate).to(gate.dtype).float() * wide_up).to(gate.dtype)
    return out, None if lora_A is None else out @ lora_A.T


def swiglu_backward(
    grad_output: Activations,
    gate_up: GateUp,
    gate_update: LoraUpdate | None,
    up_update: LoraUpdate | None,
    output_update: LoraUpdate | None,
) -> tuple[GateUp, Activations, LoraInner | None]:
    """Gradients of gate and up, the recomputed output, and the gradients of the adapters' inner activations.

    `output_update` is the part of the output's gradient that is still to be added. `grad_output` and `gate_up` may be
    overwritten.
    """
    if (kernels := implementation(gate_up, _NAME)) is not None:
        return kernels.swiglu_backward(grad_output, gate_up, gate_update, up_update, output_update)
    dtype = gate_up.dtype
    gate, up = gate_up.chunk(2, dim=1)
    wide_gate = gate_update.added_to(gate) if gate_update else gate.float()
    wide_up = up_update.added_to(up) if up_update else up.float()
    grad = output_update.added_to(grad_output) if output_update else grad_output.float()
    sigmoid = torch.sigmoid(wide_gate)
    silu = wide_gate * sigmoid
    grad_gate = (grad * wide_up * sigmoid * (1 + wide_gate * (1 - sigmoid))).to(dtype)
    grad_up = (grad * silu).to(dtype)
    updates = ((grad_gate, gate_update), (grad_up, up_update))
    grad_inner = [grad_half @ update.lora_B for grad_half, update in updates if update]
    out = (silu.to(dtype).float() * wide_up).to(dtype)
    return torch.cat([grad_gate, grad_up], 1), out, torch.cat(grad_inner, 1) if grad_inner else None
