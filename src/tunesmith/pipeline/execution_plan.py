"""How a stage is run where the experiment leaves it open: by the forecast of memory, once, as a stage begins."""

from __future__ import annotations

from pathlib import Path

import torch

from tunesmith.config.experiment import Stage
from tunesmith.forecast.choose import LOOKED_AT, MARGIN, Choice, choose, largest_shape
from tunesmith.forecast.fake_model import FakeModel, Machine, build_fake_model
from tunesmith.forecast.memory import Forecast, forecast
from tunesmith.kernels.fusion.patch import iter_fused_layers
from tunesmith.model.checkpointing import Level, checkpoint
from tunesmith.model.trainable import Trainable
from tunesmith.pipeline.steps import Steps
from tunesmith.runs.stage import EXECUTION_PLAN, ExecutionPlan
from tunesmith.train.batch_plan import Updates
from tunesmith.train.loss import Loss


def settle(
    steps: Steps, stage: Stage, trainable: Trainable, updates: Updates, loss: Loss, folder: Path
) -> str:
    """Set the level of checkpointing and the tokens of a micro-batch, and say why so.

    What a stage on a GPU began with is in its folder, and one that goes on keeps it, on another machine too. `loss`
    must weigh all alike.
    """
    device = trainable.loaded.device
    asked, tokens = steps.model.checkpointing, stage.batch.max_tokens_per_microbatch
    level: Level = "none" if asked == "auto" else asked
    if asked != "auto" and tokens != "auto":
        note = f"checkpointing: {level} (asked for)"
    elif (begun := EXECUTION_PLAN.read(folder)) is not None:
        level, updates.tokens_per_device = begun.checkpointing, begun.tokens_per_device
        note = f"checkpointing: {level}, {updates.tokens_per_device:,} tokens at once (as the stage began)"
    elif device.type != "cuda":
        note = f"checkpointing: {level} ({'asked for' if asked != 'auto' else 'on a CPU nothing is gained'})"
    elif isinstance(found := _chosen(steps, stage, trainable, updates, loss), str):
        note = f"checkpointing: {level} (memory cannot be forecast: {found})"
    else:
        level, updates.tokens_per_device = found.checkpointing, found.tokens_per_device
        updates.expected_gib = found.expected_gib
        EXECUTION_PLAN.write(folder, ExecutionPlan(level, found.tokens_per_device))
        note = f"checkpointing: {level} ({found.reason})"
    checkpoint(trainable.loaded.model, level)
    if level == "selective" and not any(iter_fused_layers(trainable.loaded.model)):
        note += "; as full, since no layer is fused here"
    if level == "offload" and device.type != "cuda":
        note += "; as full, since all is in the host's memory already"
    return note


def _chosen(steps: Steps, stage: Stage, trainable: Trainable, updates: Updates, loss: Loss) -> Choice | str:
    """The choice for the GPU as it is now, or why there is none: nobody's training stops for want of a forecast."""
    steps.say("memory: forecast, for checkpointing and tokens at once")
    try:
        return _by_forecast(steps, stage, trainable, updates, loss)
    except Exception as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__


def _by_forecast(steps: Steps, stage: Stage, trainable: Trainable, updates: Updates, loss: Loss) -> Choice:
    made = fake_model_of(steps, stage, trainable)

    def told(level: Level, tokens: int) -> Forecast:
        shape, micro_batches = largest_shape(updates, tokens)
        return forecast(made, shape, loss, stage.optimizer, level, micro_batches)

    steps_seen = range(min(updates.steps_per_epoch, LOOKED_AT))
    largest = max(updates.tokens(step) for step in steps_seen)
    room = round(room_of(trainable.loaded.device) * (1 - MARGIN))
    return choose(told, room, largest, steps.model.checkpointing, stage.batch.max_tokens_per_microbatch)


def fake_model_of(steps: Steps, stage: Stage, trainable: Trainable) -> FakeModel:
    """The stage's model without its weights, as it runs on this device."""
    loaded, settings = trainable.loaded, steps.model
    precisions = {part: settings.precision(part) for part in loaded.family.prefixes}
    machine = Machine(loaded.attention, loaded.kernels)
    head = None if loaded.head is None else (loaded.head.settings, loaded.head.labels)
    return build_fake_model(loaded.family, precisions, stage.parts, machine, head)


def room_of(device: torch.device) -> int:
    """Bytes that PyTorch's allocator has or could get on a GPU, those that are in use among them."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device)
