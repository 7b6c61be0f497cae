"""How a stage is executed where the experiment leaves it open: chosen once, by the forecast of memory."""

from __future__ import annotations

from pathlib import Path

import torch

from tunesmith.config.experiment import Model, Stage
from tunesmith.forecast.choose import LOOKED_AT, MARGIN, Choice, choose, largest_shape
from tunesmith.forecast.fake_model import FakeModel, Machine, build_fake_model
from tunesmith.forecast.memory import Forecast, forecast
from tunesmith.kernels.fusion.patch import iter_fused_layers
from tunesmith.model.checkpointing import Level, checkpoint
from tunesmith.model.trainable import Trainable
from tunesmith.pipeline.context import RunContext
from tunesmith.runs.stage import EXECUTION_PLAN, ExecutionPlan
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.loss import Loss


def plan_execution(
    run: RunContext, stage: Stage, trainable: Trainable, plan: BatchPlan, loss: Loss, folder: Path
) -> str:
    """Set the checkpointing level and the tokens of a micro-batch; returns a note that says why.

    What is chosen on a GPU is saved in the stage's folder; a resumed stage reuses it, even on another machine. `loss`
    must weight all examples equally.
    """
    device = trainable.loaded.device
    asked, tokens = run.model.checkpointing, stage.batch.max_tokens_per_microbatch
    level: Level = "none" if asked == "auto" else asked
    if asked != "auto" and tokens != "auto":
        note = f"checkpointing: {level} (asked for)"
    elif (begun := EXECUTION_PLAN.read(folder)) is not None:
        level, plan.tokens_per_device = begun.checkpointing, begun.tokens_per_device
        note = f"checkpointing: {level}, {plan.tokens_per_device:,} tokens at once (as the stage began)"
    elif device.type != "cuda":
        note = f"checkpointing: {level} ({'asked for' if asked != 'auto' else 'on a CPU nothing is gained'})"
    elif isinstance(choice := _choose(run, stage, trainable, plan, loss), str):
        note = f"checkpointing: {level} (memory cannot be forecast: {choice})"
    else:
        level, plan.tokens_per_device = choice.checkpointing, choice.tokens_per_device
        plan.expected_gib = choice.expected_gib
        EXECUTION_PLAN.write(folder, ExecutionPlan(level, choice.tokens_per_device))
        note = f"checkpointing: {level} ({choice.reason})"
    checkpoint(trainable.loaded.model, level)
    if level == "selective" and not any(iter_fused_layers(trainable.loaded.model)):
        note += "; as full, since no layer is fused here"
    if level == "offload" and device.type != "cuda":
        note += "; as full, since all is in the host's memory already"
    return note


def _choose(run: RunContext, stage: Stage, trainable: Trainable, plan: BatchPlan, loss: Loss) -> Choice | str:
    """The choice for the GPU, or the reason why memory cannot be forecast; training goes on without a forecast."""
    run.say("memory: forecast, for checkpointing and tokens at once")
    try:
        return _choose_by_forecast(run.model, stage, trainable, plan, loss)
    except Exception as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__


def _choose_by_forecast(
    model: Model, stage: Stage, trainable: Trainable, plan: BatchPlan, loss: Loss
) -> Choice:
    fake = fake_model(model, stage, trainable)

    def forecast_of(level: Level, tokens: int) -> Forecast:
        shape, micro_batches = largest_shape(plan, tokens)
        return forecast(fake, shape, loss, stage.optimizer, level, micro_batches)

    steps = range(min(plan.steps_per_epoch, LOOKED_AT))
    largest = max(plan.tokens(step) for step in steps)
    limit = round(available_bytes(trainable.loaded.device) * (1 - MARGIN))
    return choose(forecast_of, limit, largest, model.checkpointing, stage.batch.max_tokens_per_microbatch)


def fake_model(model: Model, stage: Stage, trainable: Trainable) -> FakeModel:
    """The stage's model without its weights, as it runs on this device."""
    loaded = trainable.loaded
    precisions = {part: model.precision(part) for part in loaded.family.prefixes}
    machine = Machine(loaded.attention, loaded.kernels)
    head = None if loaded.head is None else (loaded.head.settings, loaded.head.labels)
    return build_fake_model(loaded.family, precisions, stage.parts, machine, head)


def available_bytes(device: torch.device) -> int:
    """Bytes that PyTorch's allocator has or can get on a GPU, including those in use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device)
