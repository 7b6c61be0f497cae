"""A stack of layers as two CUDA graphs, forward and backward.

They serve models so small that a CPU takes longer to launch their kernels than a GPU to run them: replaying a graph is
one launch for all layers.

A graph is captured for one number of tokens and one number of attention blocks. Micro-batches are padded to few such
sizes by tokens that no other token attends to, so that few graphs suffice. A graph reads and writes fixed memory:
inputs are copied to their static buffers before a replay, and gradients of the weights are accumulated in static
buffers that serve as the weights' `grad`.

The graphs are captured over parameters that alias the weights' memory. Autograd nodes of another pass which is still
alive hold the weights themselves, and would take part in the capture and break it.
"""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.kernels.attention.short import BLOCK
from tunesmith.kernels.ops import Activations

MAX_LAYER_FLOP = 2e12
"""FLOP of a layer's forward pass beyond which launches are hidden behind it: 3 ms of a Hopper GPU."""
NUM_EAGER_RUNS = 2
"""How often micro-batches of one size are run eagerly before a graph is captured for it."""
MAX_GRAPHS = 16
MAX_DIFFERENCE = 0.02
"""Largest relative difference between replay and eager execution. For the same work a library may choose another order
of sums, which in 16 bits makes a few thousandths over many layers."""
MIN_TOKEN_STEP, BLOCK_STEP = 256, 128
"""Tokens and attention blocks are padded to multiples; tokens also to a thirty-second of the next power of two."""

Angles = Float[Tensor, "token head_dim"]
Blocks = Int32[Tensor, "block 3"]
Run = Callable[[Activations, Angles, Angles, Blocks, int], Activations]
"""All layers, given the activations, cosines and sines of positions, and the attention blocks with the length of the
longest segment."""


class LayerRun(NamedTuple):
    """What is captured."""

    run: Run
    weights: list[nn.Parameter]
    """All parameters that have gradients."""


class AttentionBlocks(NamedTuple):
    """Where segments lie in a packed micro-batch, for attention over short segments."""

    blocks: Blocks
    max_length: int
    """Tokens of the longest segment."""


class GraphKey(NamedTuple):
    """Sizes that a graph is captured for."""

    num_tokens: int
    num_blocks: int
    max_length: int
    needs_input_grad: bool


class GraphedLayers:
    """Consecutive layers, and their graphs."""

    def __init__(self, layers: LayerRun, aliased: LayerRun, flop_per_token: float) -> None:
        """`aliased` are the same layers on parameters that share the weights' memory. `flop_per_token` is the forward
        pass of one layer for one token."""
        self._layers, self._aliased, self._flop_per_token = layers, aliased, flop_per_token
        self._graphs: dict[GraphKey, CapturedGraph] = {}
        self._num_seen: Counter[GraphKey] = Counter()
        self._is_off = False
        self._grad_buffers: list[Tensor] = []
        self._last_output: weakref.ref[Tensor] | None = None
        self._pool: Any = None
        self.num_replays = 0
        """Number of the latest replay. Graphs share their memory, so only that one has a backward pass."""

    def is_cached_output(self, x: Tensor) -> bool:
        """Whether `x` is the output of the last call, so that the layers behind the first have nothing left to do."""
        return self._last_output is not None and self._last_output() is x

    def __call__(
        self, x: Float[Tensor, "1 token width"], cos: Angles, sin: Angles, attention: AttentionBlocks
    ) -> Any:
        """The output of the last layer, or None if graphs are not worth it for these sizes.

        While there is no graph yet, the layers are run eagerly over the same padded micro-batch, so that the output is
        equal to the last bit whether it was replayed or not.
        """
        inputs = GraphInputs(x.squeeze(0), cos, sin, attention.blocks)
        key = self._key(inputs, attention.max_length)
        if key is None:
            return None
        graph = self._graphs.get(key) or self._captured(key, inputs)
        if graph is None:
            out = self._layers.run(*inputs.padded(key), key.max_length)[None, : len(inputs.x)]
        else:
            self._use_grad_buffers()
            out = _Replay.apply(*inputs, graph, self, self._layers.weights[0])[None]  # type: ignore[no-untyped-call]
        self._last_output = weakref.ref(out)
        return out

    def _key(self, inputs: GraphInputs, max_length: int) -> GraphKey | None:
        num_tokens = len(inputs.x)
        if not self._layers.weights or num_tokens * self._flop_per_token > MAX_LAYER_FLOP:
            return None
        step = max(MIN_TOKEN_STEP, 1 << max((num_tokens - 1).bit_length() - 5, 0))
        padded_tokens = -(-num_tokens // step) * step
        num_blocks = len(inputs.blocks) - (num_tokens - padded_tokens) // BLOCK
        padded_blocks = -(-num_blocks // BLOCK_STEP) * BLOCK_STEP
        max_length = BLOCK if max_length <= BLOCK else BLOCK + 1
        return GraphKey(padded_tokens, padded_blocks, max_length, inputs.x.requires_grad)

    def _captured(self, key: GraphKey, inputs: GraphInputs) -> CapturedGraph | None:
        self._num_seen[key] += 1
        if self._is_off or self._num_seen[key] <= NUM_EAGER_RUNS or len(self._graphs) == MAX_GRAPHS:
            return None
        device = inputs.x.device
        # A graph keeps the memory that it works in, up to one and a half times what the layers take eagerly.
        total_memory = torch.cuda.get_device_properties(device).total_memory
        if 3 * torch.cuda.max_memory_allocated(device) > total_memory:
            self._is_off = True
            self._graphs.clear()
            return None
        if not self._grad_buffers:
            weights = self._layers.weights
            sizes = [weight.numel() for weight in weights]
            flat = torch.zeros(sum(sizes), device=device)
            self._grad_buffers = [
                piece.view_as(weight) for piece, weight in zip(flat.split(sizes), weights, strict=True)
            ]
        self.num_replays += 1
        state = CaptureState(device) if device.type == "cuda" else None
        if state is not None and self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        try:
            graph = CapturedGraph(self._aliased, key, inputs, self._grad_buffers, self._pool)
        except Exception as error:
            # Training continues without graphs.
            self._is_off = True
            self._graphs.clear()
            if state is not None:
                state.restore(self._pool)
            reason = str(error).strip().partition("\n")[0]
            logging.getLogger(__name__).warning(
                "CUDA graphs are off, kernels are launched one by one: %s", reason
            )
            return None
        self._graphs[key] = graph
        return graph

    def _use_grad_buffers(self) -> None:
        """Make the static buffers the weights' `grad`, with what that holds so far."""
        weights = self._layers.weights
        if weights[0].grad is self._grad_buffers[0]:
            return
        torch._foreach_zero_(self._grad_buffers)
        for weight, buffer in zip(weights, self._grad_buffers, strict=True):
            if weight.grad is not None:
                buffer.copy_(weight.grad)
            weight.grad = buffer


class CaptureState:
    """State that a failed capture would leave changed: the current stream, the random generator and the allocator."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.current_stream(device)
        self._random_state = torch.cuda.get_rng_state(device)

    def restore(self, pool: Any) -> None:
        """Restore the state; `pool` is the memory pool of the capture."""
        index = self._device.index or 0
        torch.cuda.set_stream(self._stream)
        generator = torch.cuda.default_generators[index]
        generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())
        generator.set_state(self._random_state)
        # If the capture itself could not be ended, the allocator still serves the pool; otherwise these calls raise.
        with suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(index, pool)
            torch._C._cuda_releasePool(index, pool)


class GraphInputs(NamedTuple):
    """Tensors that the layers read."""

    x: Activations
    cos: Angles
    sin: Angles
    blocks: Blocks

    def padded(self, key: GraphKey) -> GraphInputs:
        """The same with padding tokens at the end."""
        missing = key.num_tokens - len(self.x)
        x, cos, sin = (functional.pad(tensor, (0, 0, 0, missing)) for tensor in self[:3])
        padding = _padding_blocks(len(self.x), key.num_tokens, self.blocks)
        return GraphInputs(x, cos, sin, torch.cat([self.blocks, padding]))


def _padding_blocks(num_tokens: int, padded_tokens: int, blocks: Blocks) -> Int32[Tensor, "padding 3"]:
    """Attention blocks of the padding tokens, as segments of their own."""
    starts = torch.arange(num_tokens, padded_tokens, BLOCK, dtype=blocks.dtype, device=blocks.device)
    lengths = (padded_tokens - starts).clamp_max(BLOCK)
    return torch.stack([starts, lengths, torch.zeros_like(starts)], dim=1)


class CapturedGraph:
    """Both passes over micro-batches of one size.

    A capture can be wrong without an error, so it is replayed once and compared with eager execution.
    """

    def __init__(
        self, layers: LayerRun, key: GraphKey, inputs: GraphInputs, grad_buffers: list[Tensor], pool: Any
    ) -> None:
        run, weights = layers
        self._x = inputs.x.new_zeros(key.num_tokens, inputs.x.shape[1]).requires_grad_(key.needs_input_grad)
        self._cos, self._sin = (
            table.new_zeros(key.num_tokens, table.shape[1]) for table in (inputs.cos, inputs.sin)
        )
        self._blocks = torch.zeros(key.num_blocks, 3, dtype=torch.int32, device=inputs.x.device)
        self._grad_output = torch.zeros_like(self._x)
        with torch.no_grad():
            # Zero for padding tokens: the norm of a zero row scales its gradient up, layer by layer without bounds.
            self._grad_output[: self._load(inputs)] = 1.0
        static_inputs = (self._x, self._cos, self._sin, self._blocks, key.max_length)
        needing_grad = [*([self._x] if key.needs_input_grad else []), *weights]
        # Another thread copies batches to the GPU meanwhile.
        mode: Any = {"capture_error_mode": "thread_local"}
        with torch.enable_grad():
            eager = self._run_eagerly(run, static_inputs, needing_grad, self._grad_output)
            self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._forward, pool=pool, **mode):
                out = run(*static_inputs)
            with torch.cuda.graph(self._backward, pool=pool, **mode):
                grads = torch.autograd.grad(out, needing_grad, self._grad_output)
                torch._foreach_add_(grad_buffers, list(grads[-len(weights) :]))
        self._out = out.detach()
        self._grad_x = grads[0] if key.needs_input_grad else None
        self._check(eager, grad_buffers)

    @staticmethod
    def _run_eagerly(
        run: Run, static_inputs: Any, needing_grad: list[Tensor], grad_output: Tensor
    ) -> tuple[Tensor, ...]:
        """The output and all gradients of one eager run on a side stream.

        It also warms up: what kernels set up at their first call cannot be captured.
        """
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            out = run(*static_inputs)
            grads = torch.autograd.grad(out, needing_grad, grad_output)
        torch.cuda.current_stream().wait_stream(stream)
        return out.detach(), *grads

    @torch.no_grad()
    def _check(self, eager: tuple[Tensor, ...], grad_buffers: list[Tensor]) -> None:
        """Compare a replay with the eager run; leave the accumulated gradients as they were."""
        accumulated = [buffer.clone() for buffer in grad_buffers]
        torch._foreach_zero_(grad_buffers)
        self._forward.replay()
        self._backward.replay()
        out, *grads = eager
        pairs = [(self._out, out), *zip(grad_buffers, grads[-len(grad_buffers) :], strict=True)]
        if self._grad_x is not None:
            pairs.append((self._grad_x, grads[0]))
        differences = [
            (replayed.float() - expected.float()).norm() / (expected.float().norm() + 1e-30)
            for replayed, expected in pairs
        ]
        torch._foreach_copy_(grad_buffers, accumulated)
        largest = torch.stack(differences).max().item()
        if not largest <= MAX_DIFFERENCE:
            raise RuntimeError(
                f"CUDA graph replay differs from eager execution (max difference {largest:.1e})"
            )

    def _load(self, inputs: GraphInputs) -> int:
        """Copy the inputs into the static buffers, padding tokens behind them; return the number of their tokens."""
        num_tokens, padded_tokens = len(inputs.x), len(self._x)
        for buffer, tensor in ((self._x, inputs.x), (self._cos, inputs.cos), (self._sin, inputs.sin)):
            buffer[:num_tokens].copy_(tensor)
            buffer[num_tokens:].zero_()
        num_blocks = len(inputs.blocks)
        self._blocks.zero_()
        self._blocks[:num_blocks].copy_(inputs.blocks)
        if num_tokens < padded_tokens:
            padding = _padding_blocks(num_tokens, padded_tokens, inputs.blocks)
            self._blocks[num_blocks : num_blocks + len(padding)].copy_(padding)
        return num_tokens

    def forward(self, inputs: GraphInputs) -> Tensor:
        """The output of the last layer."""
        num_tokens = self._load(inputs)
        self._forward.replay()
        return self._out[:num_tokens].detach()

    def backward(self, grad_output: Tensor) -> Tensor | None:
        """Gradient of the input; gradients of the weights are added to their buffers."""
        num_tokens = len(grad_output)
        self._grad_output[:num_tokens].copy_(grad_output)
        self._grad_output[num_tokens:].zero_()
        self._backward.replay()
        return None if self._grad_x is None else self._grad_x[:num_tokens]


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        blocks: Tensor,
        graph: CapturedGraph,
        layers: GraphedLayers,
        _: Tensor,
    ) -> Tensor:
        """The last argument, a weight, makes the output need a gradient."""
        layers.num_replays += 1
        ctx.graph, ctx.layers, ctx.number = graph, layers, layers.num_replays
        return graph.forward(GraphInputs(x, cos, sin, blocks))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        if ctx.number != ctx.layers.num_replays:
            raise RuntimeError(
                "the layers were run again before this backward pass; set model.cuda_graphs: false"
            )
        ctx.layers.num_replays += 1
        return ctx.graph.backward(grad_outputs[0]), None, None, None, None, None, None
