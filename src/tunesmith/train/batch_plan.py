"""The batches of a stage. Each is a pure function of the update's number, so that a stage resumes exactly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from numpy import ndarray

from tunesmith.batching.batch import Batch
from tunesmith.batching.collator import collate, default_workers, pinned, to_device
from tunesmith.batching.packer import pack
from tunesmith.batching.sampler import epoch_order, steps_per_epoch
from tunesmith.batching.shared_prefixes import prefix_groups
from tunesmith.config.experiment import Stage
from tunesmith.errors import ModelError
from tunesmith.train.examples import Examples
from tunesmith.train.memory import peak_memory_gib

_PREFETCHED = 2
"""Updates whose micro-batches are prepared while the device works."""
TOKENS = 8192
"""In a micro-batch, where nobody says otherwise."""
_CPU = torch.device("cpu")


@dataclass(eq=False)
class BatchPlan:
    """The batches of all updates of one stage.

    The split into micro-batches may change during training, the examples of an update do not.
    """

    stage: str
    examples: Examples
    examples_per_update: int
    tokens_per_device: int
    steps: int
    """Updates in the whole stage."""
    seed: int
    sort_by: Sequence[Any] | None = None
    """Value of the field to order by, for each example."""
    group_by: Sequence[Any] | None = None
    """For each example, the value whose equal ones stay next to each other."""
    share_prefixes: bool = False
    """Compute common prefixes within a micro-batch only once."""
    workers: int | None = None
    """Processes that read pictures; none is what suits the device."""
    expected_gib: Callable[[int], float] | None = None
    """Forecast of the peak memory with micro-batches of so many tokens, if there is one."""
    _correction: float = 1.0
    """What the forecast turned out to be too small by."""
    _latest_order: dict[int, Int[ndarray, " example"]] = field(default_factory=dict)

    @staticmethod
    def of(
        stage: Stage,
        examples: Examples,
        seed: int,
        sort_by: Sequence[Any] | None = None,
        group_by: Sequence[Any] | None = None,
    ) -> BatchPlan:
        """The updates that a stage's settings ask for."""
        size = stage.batch.num_examples
        steps = stage.length.steps(steps_per_epoch(len(examples), size))
        tokens, workers = stage.batch.max_tokens_per_microbatch, stage.batch.num_workers
        tokens = TOKENS if tokens == "auto" else tokens
        share = stage.batch.share_prefixes
        return BatchPlan(stage.name, examples, size, tokens, steps, seed, sort_by, group_by, share, workers)

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one epoch."""
        return steps_per_epoch(len(self.examples), self.examples_per_update)

    def micro_batches(self, step: int, device: torch.device = _CPU) -> list[Batch]:
        """The packed micro-batches of update `step` (from 0), on the CPU, ready to be copied to the device."""
        workers = self.workers or default_workers(device)
        packed = (
            [self.examples[index] for index in members]
            for members in self.members(step, self.tokens_per_device)
        )
        return [pinned(collate(examples, workers, self.share_prefixes), device) for examples in packed]

    def members(self, step: int, tokens: int) -> list[list[int]]:
        """Indices of the examples in each micro-batch of update `step` if those have at most so many tokens."""
        members = self._members(step)
        lengths = [self.examples.length(index) for index in members]
        if not self.share_prefixes:
            return [[members[place] for place in places] for places in pack(lengths, tokens)]
        groups = prefix_groups([self.examples[index] for index in members])
        units = [unit for group in groups for unit in group.split(tokens, lengths)]
        bins = pack([unit.tokens(lengths) for unit in units], tokens)
        return [[members[place] for unit in packed for place in units[unit].members] for packed in bins]

    @property
    def forecast_gib(self) -> float | None:
        """The forecast for micro-batches as they are now, corrected by what has been seen."""
        return self.expected_gib and self.expected_gib(self.tokens_per_device) * self._correction

    def prefetch(self, start: int, device: torch.device) -> Iterator[tuple[int, list[Batch]]]:
        """Number and micro-batches of each update from `start` on, on the device; the next are prepared meanwhile."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as maker:
            coming = deque(
                maker.submit(self.micro_batches, step, device)
                for step in range(start, min(start + _PREFETCHED, self.steps))
            )
            for step in range(start, self.steps):
                batches = coming.popleft().result()
                if step + _PREFETCHED < self.steps:
                    coming.append(maker.submit(self.micro_batches, step + _PREFETCHED, device))
                yield step, [to_device(batch, device) for batch in batches]

    def split(self, step: int, batches: Sequence[Batch], device: torch.device) -> list[Batch]:
        """The micro-batches of an update that ran out of memory, split to at most half the size of the largest.

        All later ones are split likewise. ModelError if the largest is a single example.
        """
        largest = max(batches, key=lambda batch: len(batch.tokens))
        size = len(largest.tokens)
        if len(largest.segments.lengths) == 1:
            raise ModelError(
                f"stage {self.stage!r}: memory ran out on one example of {size} tokens. Set model.checkpointing: "
                "offload, model.weights: nf4, a smaller data.length.max_tokens or model.pixels.max, or use a smaller "
                "model"
            )
        if self.expected_gib is not None:
            self._correction = max(self._correction, peak_memory_gib(device) / self.expected_gib(size))
        self.tokens_per_device = min(self.tokens_per_device, size // 2)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return [to_device(batch, device) for batch in self.micro_batches(step, device)]

    def tokens(self, step: int) -> int:
        """Tokens of update `step`."""
        return sum(map(self.examples.length, self._members(step)))

    def records(self, step: int) -> list[str]:
        """Ids of the records of update `step`. Not for use during training, whose thread continues
        meanwhile: the order of the epoch is computed again."""
        epoch, number = divmod(step, self.steps_per_epoch)
        order = epoch_order(len(self.examples), self.seed, epoch, self.sort_by, self.group_by)
        members = order[number * self.examples_per_update :][: self.examples_per_update].tolist()
        return [self.examples[index].record for index in members]

    def _members(self, step: int) -> list[int]:
        """Indices of the examples of update `step`."""
        epoch, number = divmod(step, self.steps_per_epoch)
        order = self._order(epoch)
        return order[number * self.examples_per_update :][: self.examples_per_update].tolist()  # type: ignore[no-any-return]

    def _order(self, epoch: int) -> Int[ndarray, " example"]:
        if epoch not in self._latest_order:
            self._latest_order.clear()
            self._latest_order[epoch] = epoch_order(
                len(self.examples), self.seed, epoch, self.sort_by, self.group_by
            )
        return self._latest_order[epoch]
