"""A stack of layers as two CUDA graphs, forward and backward: for models so small that a CPU takes longer to start
their kernels than a GPU to run them.

A graph is recorded for one number of tokens and one of blocks of attention. Lines are filled up with tokens that
nothing looks at, so that few graphs are enough. What goes in and comes out has fixed places, and so have the gradients
of the weights, which are added up there and become the weights' own.
"""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn

from tunesmith.model.kernels.fused import Rows
from tunesmith.model.kernels.short_attention import BLOCK

MOST_WORK = 2e12
"""Arithmetic of a layer's forward pass beyond which starting its kernels is hidden behind them: 3 ms of a Hopper
GPU."""
SIGHTINGS = 2
"""So often lines of one size are run as they are before they are worth a graph."""
MOST_GRAPHS = 16
LEAST_STEP, BLOCK_STEP = 256, 128
"""Tokens and blocks of attention come in multiples: of the tokens also of a thirty-second of the next power of two."""

Angles = Float[Tensor, "token head_width"]
Blocks = Int32[Tensor, "block 3"]
Run = Callable[[Rows, Angles, Angles, Blocks, int], Rows]
"""All layers, given the rows, cosine and sine of their positions, and the blocks of attention with the length of the
longest segment."""


class Line(NamedTuple):
    """Where segments stand, for attention."""

    blocks: Blocks
    longest: int
    """Tokens of the longest segment."""


class Key(NamedTuple):
    """What a graph is recorded for."""

    tokens: int
    blocks: int
    longest: int
    needs_gradient: bool
    """Whether that of the rows is asked for."""


class Stack:
    """Layers that follow one another, and their graphs."""

    def __init__(self, run: Run, parameters: Sequence[nn.Parameter], work: float) -> None:
        """`work` is the arithmetic of one layer for one token."""
        self._run, self._parameters, self._work = run, list(parameters), work
        self._graphs: dict[Key, Graph] = {}
        self._seen: Counter[Key] = Counter()
        self._is_off = False
        self._gradients: list[Tensor] = []
        self._came_out: weakref.ref[Tensor] | None = None

    def gave(self, hidden: Tensor) -> bool:
        """Whether this is what the last replay gave, so that the layers have nothing left to do."""
        return self._came_out is not None and self._came_out() is hidden

    def __call__(
        self, hidden: Float[Tensor, "1 token width"], cosine: Angles, sine: Angles, line: Line
    ) -> Any:
        """What comes out of the last layer; None if there is no graph for such a line."""
        key = self._key(hidden, line)
        graph = None if key is None else self._graphs.get(key) or self._recorded(key, hidden, cosine)
        if graph is None:
            return None
        self._place_gradients()
        out = _Replayed.apply(hidden.squeeze(0), cosine, sine, line.blocks, graph, self._parameters[0])[None]  # type: ignore[no-untyped-call]
        self._came_out = weakref.ref(out)
        return out

    def _key(self, hidden: Tensor, line: Line) -> Key | None:
        tokens = hidden.shape[1]
        if self._is_off or not self._parameters or tokens * self._work > MOST_WORK:
            return None
        step = max(LEAST_STEP, 1 << max((tokens - 1).bit_length() - 5, 0))
        filled = -(-tokens // step) * step
        blocks = len(line.blocks) - (tokens - filled) // BLOCK
        longest = BLOCK if line.longest <= BLOCK else BLOCK + 1
        return Key(filled, -(-blocks // BLOCK_STEP) * BLOCK_STEP, longest, hidden.requires_grad)

    def _recorded(self, key: Key, hidden: Tensor, cosine: Tensor) -> Graph | None:
        self._seen[key] += 1
        if self._seen[key] <= SIGHTINGS or len(self._graphs) == MOST_GRAPHS:
            return None
        device = hidden.device
        # What a graph works in stays its own.
        if (
            2 * torch.cuda.max_memory_allocated(device)
            > torch.cuda.get_device_properties(device).total_memory
        ):
            self._is_off = True
            return None
        if not self._gradients:
            flat = torch.zeros(sum(one.numel() for one in self._parameters), device=device)
            pieces = flat.split([one.numel() for one in self._parameters])
            self._gradients = [
                piece.view_as(one) for piece, one in zip(pieces, self._parameters, strict=True)
            ]
        pool = next((graph.pool for graph in self._graphs.values()), None)
        try:
            graph = Graph(self._run, key, (hidden, cosine), self._parameters, self._gradients, pool)
        except RuntimeError as error:
            self._is_off = True
            why = str(error).strip().partition("\n")[0]
            logging.getLogger(__name__).warning("no CUDA graphs, kernels are started one by one: %s", why)
            return None
        self._graphs[key] = graph
        return graph

    def _place_gradients(self) -> None:
        """Make the fixed places the weights' gradients, with what those are so far."""
        first = self._parameters[0]
        if first.grad is self._gradients[0]:
            return
        torch._foreach_zero_(self._gradients)
        for weight, place in zip(self._parameters, self._gradients, strict=True):
            if weight.grad is not None:
                place.copy_(weight.grad)
            weight.grad = place


class Graph:
    """Both passes over lines of one size."""

    def __init__(
        self,
        run: Run,
        key: Key,
        like: tuple[Tensor, Tensor],
        parameters: Sequence[nn.Parameter],
        gradients: list[Tensor],
        pool: Any,
    ) -> None:
        hidden, angles = like
        self._rows = hidden.new_zeros(key.tokens, hidden.shape[2]).requires_grad_(key.needs_gradient)
        self._cosine, self._sine = (angles.new_zeros(key.tokens, angles.shape[1]) for _ in range(2))
        self._blocks = torch.zeros(key.blocks, 3, dtype=torch.int32, device=hidden.device)
        self._turn = 0
        given = (self._rows, self._cosine, self._sine, self._blocks, key.longest)
        wanted = [*([self._rows] if key.needs_gradient else []), *parameters]
        with torch.enable_grad():
            self._warm_up(run, given, wanted)
            self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            # Another thread brings batches to the GPU meanwhile.
            mode = {"capture_error_mode": "thread_local"}
            with torch.cuda.graph(self._forward, pool=pool, **mode):  # type: ignore[arg-type]
                out = run(*given)
            self.pool = self._forward.pool()
            self._gradient = torch.zeros_like(out)
            with torch.cuda.graph(self._backward, pool=self.pool, **mode):  # type: ignore[arg-type]
                found = torch.autograd.grad(out, wanted, self._gradient)
                torch._foreach_add_(gradients, list(found[-len(parameters) :]))
        self._out = out.detach()
        self._of_rows = found[0] if key.needs_gradient else None

    def _warm_up(self, run: Run, given: Any, wanted: list[Tensor]) -> None:
        """Once without recording, on a stream of its own: what is set up at the first call may not be recorded."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            out = run(*given)
            torch.autograd.grad(out, wanted, torch.zeros_like(out))
        torch.cuda.current_stream().wait_stream(stream)

    def forward(self, rows: Tensor, cosine: Tensor, sine: Tensor, blocks: Tensor) -> tuple[Tensor, int]:
        """What comes out, and which turn of this graph it was."""
        tokens, filled = len(rows), len(self._rows)
        for place, given in ((self._rows, rows), (self._cosine, cosine), (self._sine, sine)):
            place[:tokens].copy_(given)
            if tokens < filled:
                place[tokens:].zero_()
        self._blocks.zero_()
        self._blocks[: len(blocks)].copy_(blocks)
        if tokens < filled:
            starts = torch.arange(tokens, filled, BLOCK, device=rows.device)
            fillers = torch.stack(
                [starts, (filled - starts).clamp_max(BLOCK), torch.zeros_like(starts)], dim=1
            )
            self._blocks[len(blocks) : len(blocks) + len(fillers)].copy_(fillers)
        self._forward.replay()
        self._turn += 1
        return self._out[:tokens].detach(), self._turn

    def backward(self, gradient: Tensor, turn: int) -> Tensor | None:
        """Gradient of the rows; those of the weights are added to their places."""
        if turn != self._turn:
            raise RuntimeError(
                "the layers were run again before this backward pass; set model.cuda_graphs: false"
            )
        tokens = len(gradient)
        self._gradient[:tokens].copy_(gradient)
        self._gradient[tokens:].zero_()
        self._backward.replay()
        return None if self._of_rows is None else self._of_rows[:tokens]


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, cosine: Tensor, sine: Tensor, blocks: Tensor, graph: Graph, _: Tensor
    ) -> Tensor:
        out, ctx.turn = graph.forward(rows, cosine, sine, blocks)
        ctx.graph = graph
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return ctx.graph.backward(gradients[0], ctx.turn), None, None, None, None, None
