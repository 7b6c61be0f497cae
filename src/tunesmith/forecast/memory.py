"""How much memory a stage's training takes, before any weight is loaded.

A model of the real shapes without data goes through the very forward and backward pass that training will run, and
what is alive is counted all the while; so the forecast follows the code and has no table of constants in it but for
what PyTorch takes beside tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tunesmith.batching.batch import Batch, Pixels, Segments
from tunesmith.config.experiment import Optimizer as OptimizerSettings
from tunesmith.forecast.fake_model import FakeModel
from tunesmith.forecast.memory_tracker import LiveBytes, MemoryTracker, rounded
from tunesmith.model.checkpointing import Level, checkpoint
from tunesmith.model.loaded import LoadedModel
from tunesmith.train.fit import backward
from tunesmith.train.loss import Loss

GIB = 2**30
LIBRARIES = 96 * 2**20
"""Bytes that matrix products have for themselves on a GPU, through PyTorch's allocator."""
CONTEXT = 600 * 2**20
"""Bytes of a GPU that a process takes beside PyTorch's allocator: CUDA itself and its kernels."""
FRAGMENTS = 0.04
"""Share of what is allocated that PyTorch's allocator keeps beside it, in pieces too small to be of use."""


@dataclass(frozen=True)
class BatchShape:
    """A micro-batch, but for what is in it."""

    lengths: tuple[int, ...]
    """Tokens of each example."""
    predictions: int
    """Tokens that are trained."""
    grids: tuple[tuple[int, int], ...] = ()
    """Patches downwards and across of each picture."""

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return sum(self.lengths)

    @property
    def patches(self) -> int:
        """Patches in all."""
        return sum(rows * columns for rows, columns in self.grids)

    def scaled(self, tokens: int) -> BatchShape:
        """Examples of the same kinds, about so many tokens of them."""
        copies, rest = divmod(tokens, self.tokens)
        share = rest / self.tokens
        lengths = self.lengths * copies + self.lengths[: round(share * len(self.lengths))]
        missing = tokens - sum(lengths)
        lengths = (*lengths, missing) if missing > 0 else lengths
        pictures = self.grids * copies + self.grids[: math.ceil(share * len(self.grids))]
        return BatchShape(lengths, math.ceil(self.predictions * tokens / self.tokens), pictures)


@dataclass(frozen=True)
class Forecast:
    """Bytes on the device at the moment when most of it is in use."""

    weights: dict[str, int]
    """By part, adapters among them."""
    gradients: int
    optimizer: int
    """What it keeps of each trained weight."""
    activations: int
    """What the forward pass keeps for the backward pass."""
    logits: int
    """The same of the logits, which are there only where a token is trained."""
    workspace: int
    """What comes and goes: a layer's own tensors, one block computed again, matrix products'."""
    flop: int
    """Arithmetic of the matrix products of one micro-batch, forward and backward."""

    @property
    def total(self) -> int:
        """What PyTorch has allocated at its peak."""
        rest = self.gradients + self.optimizer + self.activations + self.logits + self.workspace
        return sum(self.weights.values()) + rest

    @property
    def device(self) -> int:
        """What the device must have: with the allocator's fragments, and what CUDA takes for itself."""
        return round(self.total * (1 + FRAGMENTS)) + CONTEXT

    def to_json(self) -> dict[str, Any]:
        """Bytes by name, and `flop`."""
        return asdict(self) | {"total": self.total, "device": self.device}


def forecast(
    made: FakeModel,
    shape: BatchShape,
    loss: Loss,
    settings: OptimizerSettings,
    checkpointing: Level = "none",
    micro_batches: int = 1,
) -> Forecast:
    """The forecast for updates of this many micro-batches of this shape.

    `loss` must weigh all alike. From the second update on the optimizer has its states; from an update's second
    micro-batch on, gradients are there before the forward pass.
    """
    checkpoint(made.loaded.model, checkpointing)
    segments = Segments.end_to_end(list(shape.lengths))
    labels = torch.tensor([(index, 0) for index in range(len(shape.lengths))])
    grids = torch.tensor(shape.grids)
    with made.active():
        batch = _batch(made.loaded, shape, segments, labels, grids)
        watched = _Watched(loss)
        alive = MemoryTracker(made.tensors)
        start = alive.now
        alive.track_gradients(made.trained)
        watched.alive = alive
        with alive:
            for _ in range(min(micro_batches, 2)):
                alive.reset_peak()
                before = alive.flop
                backward(made.loaded, [batch], watched)
        for weight in made.trained:
            weight.grad = None
    peak, gradients, flop = alive.peak, alive.now.gradients, alive.flop - before
    states = optimizer_bytes([tuple(weight.shape) for weight in made.trained], settings)
    rows = len(labels) if made.loaded.head is not None else shape.predictions
    logits = 4 * rows * _num_classes(made.loaded)
    # When the optimizer steps, gradients are whole and activations gone.
    stepping = start.bytes + gradients
    most = peak if peak.bytes >= stepping else LiveBytes(stepping, gradients)
    rest = most.bytes - start.bytes - most.gradients
    logits = min(logits, rest)
    activations = min(watched.kept.bytes - watched.kept.gradients - start.bytes - logits, rest - logits)
    return Forecast(
        weights=dict(made.weights),
        gradients=most.gradients,
        optimizer=states,
        activations=activations,
        logits=logits,
        workspace=rest - logits - activations + LIBRARIES,
        flop=flop,
    )


class _Watched(Loss):
    """A loss that notes what is kept once it is known."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss
        self.alive: MemoryTracker | None = None
        self.kept = LiveBytes(0, 0)

    def __call__(self, loaded: LoadedModel, batch: Batch) -> Float[Tensor, ""]:
        """The loss's own."""
        nats = self._loss(loaded, batch)
        assert self.alive is not None
        self.kept = self.alive.now
        return nats

    def num_trained(self, batch: Batch) -> int:
        """The loss's own."""
        return self._loss.num_trained(batch)


def _batch(
    loaded: LoadedModel, shape: BatchShape, segments: Segments, labels: Tensor, grids: Tensor
) -> Batch:
    """A batch of this shape, without data."""
    pixels = None
    if shape.grids:
        image_processor = loaded.family.image_processor
        assert image_processor is not None, "only a model that sees has pictures"
        merged = image_processor.merge_size**2
        patches = torch.empty(shape.patches, 3 * image_processor.patch_size**2, dtype=torch.uint8)
        pixels = Pixels(patches, grids, torch.zeros(shape.patches // merged, dtype=torch.long))
    where = torch.zeros(shape.predictions, dtype=torch.long)
    return Batch(
        tokens=torch.zeros(shape.tokens, dtype=torch.long),
        positions=torch.zeros(3 if shape.grids else 1, shape.tokens, dtype=torch.long),
        predicting=where,
        targets=where,
        segments=segments,
        pixels=pixels,
        labels=labels,
    )


def _num_classes(loaded: LoadedModel) -> int:
    """Numbers that are computed where something is predicted."""
    if loaded.head is not None:
        return len(loaded.head.labels)
    return int(loaded.family.config.get_text_config().vocab_size)


def optimizer_bytes(shapes: Sequence[tuple[int, ...]], settings: OptimizerSettings) -> int:
    """Bytes of the states that the optimizer keeps on the device for trained weights of these shapes."""
    return sum(rounded(size) for shape in shapes for size in _state_sizes(shape, settings.kind))


def _state_sizes(shape: tuple[int, ...], kind: str) -> Iterator[int]:
    """Bytes of each tensor that is kept for one weight."""
    number = math.prod(shape)
    if kind == "adafactor":
        yield 4
        if len(shape) > 1:
            yield from (4 * number // shape[-1], 4 * number // shape[-2])
        else:
            yield 4 * number
    elif kind == "adamw" or number < _SMALLEST_IN_8_BITS:
        yield from (4 * number, 4 * number)
        if kind == "adamw":
            yield 4
    elif kind == "adamw-8bit":
        scales = 4 * -(-number // _BLOCK_OF_8_BITS)
        yield from (number, number, scales, scales)


_SMALLEST_IN_8_BITS, _BLOCK_OF_8_BITS = 4096, 256
"""bitsandbytes keeps states of smaller weights in fp32, and a scale for each block; paged states are on the host."""
