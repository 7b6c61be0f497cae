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
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.kernels.attention.short import BLOCK
from tunesmith.kernels.ops.pointwise import Rows

MOST_WORK = 2e12
"""Arithmetic of a layer's forward pass beyond which starting its kernels is hidden behind them: 3 ms of a Hopper
GPU."""
SIGHTINGS = 2
"""So often lines of one size are run as they are before they are worth a graph."""
MOST_GRAPHS = 16
MOST_OFF = 0.02
"""Relative difference of a recording to what it recorded: of the same work on the same numbers a library may choose
another order of sums, of which 16 bits make a few thousandths over many layers."""
LEAST_STEP, BLOCK_STEP = 256, 128
"""Tokens and blocks of attention come in multiples: of the tokens also of a thirty-second of the next power of two."""

Angles = Float[Tensor, "token head_width"]
Blocks = Int32[Tensor, "block 3"]
Run = Callable[[Rows, Angles, Angles, Blocks, int], Rows]
"""All layers, given the rows, cosine and sine of their positions, and the blocks of attention with the length of the
longest segment."""


class Layers(NamedTuple):
    """What is recorded."""

    run: Run
    weights: list[nn.Parameter]
    """All that have gradients."""


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

    def __init__(self, layers: Layers, apart: Layers, work: float) -> None:
        """`apart` are the same layers on parameters of their own, which share their numbers with the weights; `work` is
        the arithmetic of one layer for one token."""
        self._layers, self._apart, self._work = layers, apart, work
        self._graphs: dict[Key, Graph] = {}
        self._seen: Counter[Key] = Counter()
        self._is_off = False
        self._gradients: list[Tensor] = []
        self._came_out: weakref.ref[Tensor] | None = None
        self._pool: Any = None
        self.turn = 0
        """Number of the latest replay: graphs share their memory, so that it is the only one with a backward pass."""

    def gave(self, hidden: Tensor) -> bool:
        """Whether this is what the last replay gave, so that the layers have nothing left to do."""
        return self._came_out is not None and self._came_out() is hidden

    def __call__(
        self, hidden: Float[Tensor, "1 token width"], cosine: Angles, sine: Angles, line: Line
    ) -> Any:
        """What comes out of the last layer; None if such a line is not worth a graph. Without a graph the layers run
        one by one over the same filled line, so that it is the same to the last bit when it was recorded."""
        given = Given(hidden.squeeze(0), cosine, sine, line.blocks)
        key = self._key(given, line.longest)
        if key is None:
            return None
        graph = self._graphs.get(key) or self._recorded(key, given)
        if graph is None:
            out = self._layers.run(*given.filled(key), key.longest)[None, : len(given.rows)]
        else:
            self._place_gradients()
            out = _Replayed.apply(*given, graph, self, self._layers.weights[0])[None]  # type: ignore[no-untyped-call]
        self._came_out = weakref.ref(out)
        return out

    def _key(self, given: Given, longest: int) -> Key | None:
        tokens = len(given.rows)
        if not self._layers.weights or tokens * self._work > MOST_WORK:
            return None
        step = max(LEAST_STEP, 1 << max((tokens - 1).bit_length() - 5, 0))
        filled = -(-tokens // step) * step
        blocks = len(given.blocks) - (tokens - filled) // BLOCK
        longest = BLOCK if longest <= BLOCK else BLOCK + 1
        return Key(filled, -(-blocks // BLOCK_STEP) * BLOCK_STEP, longest, given.rows.requires_grad)

    def _recorded(self, key: Key, given: Given) -> Graph | None:
        self._seen[key] += 1
        if self._is_off or self._seen[key] <= SIGHTINGS or len(self._graphs) == MOST_GRAPHS:
            return None
        device = given.rows.device
        # What a graph works in stays its own, and takes up to one and a half times as much.
        most = torch.cuda.get_device_properties(device).total_memory
        if 3 * torch.cuda.max_memory_allocated(device) > most:
            self._is_off = True
            self._graphs.clear()
            return None
        if not self._gradients:
            weights = self._layers.weights
            sizes = [one.numel() for one in weights]
            flat = torch.zeros(sum(sizes), device=device)
            self._gradients = [
                piece.view_as(one) for piece, one in zip(flat.split(sizes), weights, strict=True)
            ]
        self.turn += 1
        before = _Before(device) if device.type == "cuda" else None
        if before is not None and self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        try:
            graph = Graph(self._apart, key, given, self._gradients, self._pool)
        except Exception as error:
            # Training goes on without.
            self._is_off = True
            self._graphs.clear()
            if before is not None:
                before.put_back(self._pool)
            why = str(error).strip().partition("\n")[0]
            logging.getLogger(__name__).warning("no CUDA graphs, kernels are started one by one: %s", why)
            return None
        self._graphs[key] = graph
        return graph

    def _place_gradients(self) -> None:
        """Make the fixed places the weights' gradients, with what those are so far."""
        weights = self._layers.weights
        if weights[0].grad is self._gradients[0]:
            return
        torch._foreach_zero_(self._gradients)
        for weight, place in zip(weights, self._gradients, strict=True):
            if weight.grad is not None:
                place.copy_(weight.grad)
            weight.grad = place


class _Before:
    """What a recording that fails leaves otherwise: the stream that work goes to, the device's random numbers, and
    where the allocator takes memory from."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.current_stream(device)
        self._numbers = torch.cuda.get_rng_state(device)

    def put_back(self, pool: Any) -> None:
        """Go on as before; `pool` is what was recorded into."""
        index = self._device.index or 0
        torch.cuda.set_stream(self._stream)
        generator = torch.cuda.default_generators[index]
        generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())
        generator.set_state(self._numbers)
        # Where the recording itself could not be ended (not all failures are such), nobody has told the allocator.
        with suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(index, pool)
            torch._C._cuda_releasePool(index, pool)


class Given(NamedTuple):
    """What goes into the layers."""

    rows: Rows
    cosine: Angles
    sine: Angles
    blocks: Blocks

    def filled(self, key: Key) -> Given:
        """The same with tokens behind it that nothing looks at."""
        missing = key.tokens - len(self.rows)
        rows, cosine, sine = (functional.pad(one, (0, 0, 0, missing)) for one in self[:3])
        behind = _behind(len(self.rows), key.tokens, self.blocks)
        return Given(rows, cosine, sine, torch.cat([self.blocks, behind]))


def _behind(tokens: int, filled: int, blocks: Blocks) -> Int32[Tensor, "filler 3"]:
    """Blocks of the segments that fill a line up."""
    starts = torch.arange(tokens, filled, BLOCK, dtype=blocks.dtype, device=blocks.device)
    return torch.stack([starts, (filled - starts).clamp_max(BLOCK), torch.zeros_like(starts)], dim=1)


class Graph:
    """Both passes over lines of one size. That they give what the layers give one by one is checked once, on the line
    that they are recorded with."""

    def __init__(
        self,
        layers: Layers,
        key: Key,
        given: Given,
        gradients: list[Tensor],
        pool: Any,
    ) -> None:
        run, twins = layers
        rows, cosine, sine, _ = given
        self._rows = rows.new_zeros(key.tokens, rows.shape[1]).requires_grad_(key.needs_gradient)
        self._cosine, self._sine = (one.new_zeros(key.tokens, one.shape[1]) for one in (cosine, sine))
        self._blocks = torch.zeros(key.blocks, 3, dtype=torch.int32, device=rows.device)
        self._gradient = torch.zeros_like(self._rows)
        with torch.no_grad():
            # Through norms of tokens that are zero, gradients would grow from layer to layer without bounds.
            self._gradient[: self._fill(given)] = 1.0
        placed = (self._rows, self._cosine, self._sine, self._blocks, key.longest)
        wanted = [*([self._rows] if key.needs_gradient else []), *twins]
        # Another thread brings batches to the GPU meanwhile.
        mode: Any = {"capture_error_mode": "thread_local"}
        with torch.enable_grad():
            plain = self._warm_up(run, placed, wanted, self._gradient)
            self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._forward, pool=pool, **mode):
                out = run(*placed)
            with torch.cuda.graph(self._backward, pool=pool, **mode):
                found = torch.autograd.grad(out, wanted, self._gradient)
                torch._foreach_add_(gradients, list(found[-len(twins) :]))
        self._out = out.detach()
        self._of_rows = found[0] if key.needs_gradient else None
        self._check(plain, gradients)

    @staticmethod
    def _warm_up(run: Run, placed: Any, wanted: list[Tensor], gradient: Tensor) -> tuple[Tensor, ...]:
        """Once without recording, on a stream of its own, since what is set up at the first call cannot be recorded:
        what comes out, and all gradients given its own."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            out = run(*placed)
            found = torch.autograd.grad(out, wanted, gradient)
        torch.cuda.current_stream().wait_stream(stream)
        return out.detach(), *found

    @torch.no_grad()
    def _check(self, plain: tuple[Tensor, ...], gradients: list[Tensor]) -> None:
        """Replay what was recorded beside what the layers gave, and leave the gradients as they were."""
        before = [one.clone() for one in gradients]
        torch._foreach_zero_(gradients)
        self._forward.replay()
        self._backward.replay()
        out, *found = plain
        pairs = [(self._out, out), *zip(gradients, found[-len(gradients) :], strict=True)]
        if self._of_rows is not None:
            pairs.append((self._of_rows, found[0]))
        differences = [
            (one.float() - right.float()).norm() / (right.float().norm() + 1e-30) for one, right in pairs
        ]
        torch._foreach_copy_(gradients, before)
        worst = torch.stack(differences).max().item()
        if not worst <= MOST_OFF:
            raise RuntimeError(f"what was recorded gives something else (by {worst:.1e})")

    def _fill(self, given: Given) -> int:
        """Put what is given into its places, and behind it tokens that nothing looks at; the number of its tokens."""
        tokens, filled = len(given.rows), len(self._rows)
        for place, one in ((self._rows, given.rows), (self._cosine, given.cosine), (self._sine, given.sine)):
            place[:tokens].copy_(one)
            place[tokens:].zero_()
        number = len(given.blocks)
        self._blocks.zero_()
        self._blocks[:number].copy_(given.blocks)
        if tokens < filled:
            behind = _behind(tokens, filled, given.blocks)
            self._blocks[number : number + len(behind)].copy_(behind)
        return tokens

    def forward(self, given: Given) -> Tensor:
        """What comes out."""
        tokens = self._fill(given)
        self._forward.replay()
        return self._out[:tokens].detach()

    def backward(self, gradient: Tensor) -> Tensor | None:
        """Gradient of the rows; those of the weights are added to their places."""
        tokens = len(gradient)
        self._gradient[:tokens].copy_(gradient)
        self._gradient[tokens:].zero_()
        self._backward.replay()
        return None if self._of_rows is None else self._of_rows[:tokens]


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        cosine: Tensor,
        sine: Tensor,
        blocks: Tensor,
        graph: Graph,
        stack: Stack,
        _: Tensor,
    ) -> Tensor:
        stack.turn += 1
        ctx.graph, ctx.stack, ctx.turn = graph, stack, stack.turn
        return graph.forward(Given(rows, cosine, sine, blocks))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if ctx.turn != ctx.stack.turn:
            raise RuntimeError(
                "the layers were run again before this backward pass; set model.cuda_graphs: false"
            )
        ctx.stack.turn += 1
        return ctx.graph.backward(gradients[0]), None, None, None, None, None, None
