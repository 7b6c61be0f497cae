"""What an experiment's training would take, from its records and its model's config alone."""

from __future__ import annotations

import re
from functools import partial

import torch
from rich.progress import Progress

from tunesmith.config.experiment import Stage
from tunesmith.errors import ExperimentError, ModelError
from tunesmith.forecast.choose import largest_shape
from tunesmith.forecast.fake_model import FakeModel, Machine, build_fake_model
from tunesmith.forecast.memory import GIB, Forecast, forecast
from tunesmith.forecast.outlook import CARDS, Fits, Outlook, StageOutlook, Way, Work, fits, ways_of
from tunesmith.forecast.time import matrix_rate
from tunesmith.model.checkpointing import LEVELS, Level
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.preflight import refuse_unknown_parts
from tunesmith.precision.formats import all_precisions
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.examples import Examples
from tunesmith.train.objective import build_loss

_MOST_GIB = 100_000


def outlook(
    run: RunContext, examples: Examples, gib: float | None = None, records: int | None = None
) -> Outlook:
    """Memory and time of every stage on these examples, which ways of training fit which card, and how much fits into
    `gib`, or else into this machine's GPU. Of `records` in all, if the examples are of some of them. ModelError names
    parts that the model does not have.

    The forecast is for a GPU, this machine's or not; time is for the device that training would take here.
    """
    refuse_unknown_parts(run)
    gib = gib or _own_gib()
    device, name = _device()
    rate = matrix_rate(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    try:
        stages, cards = _forecast(run, examples, gib, rate, records or len(examples))
    except ModelError:
        raise
    except Exception as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"audit: the memory of {run.family.config.model_type} cannot be forecast ({why}). Leave it out with "
            "--no-forecast"
        ) from error
    return Outlook(stages, cards, gib, name)


def _forecast(
    run: RunContext, examples: Examples, gib: float | None, rate: float, records: int
) -> tuple[tuple[StageOutlook, ...], tuple[Fits, ...]]:
    stages = run.experiment.stages
    share = records / len(examples)
    ways = ways_of(stages[0].parts, tuple(run.family.prefixes), _suggested_precisions())
    with Progress(transient=True) as progress:
        task = progress.add_task("forecasting memory", total=len(stages) + len(ways))
        outlooks = []
        for stage in stages:
            outlooks.append(_Stage(run, stage, examples).outlook(gib, rate, share))
            progress.advance(task)
        first, cards = _Stage(run, stages[0], examples), []
        for way in ways:
            cards.append(first.fits(way))
            progress.advance(task)
    return tuple(outlooks), tuple(cards)


def _suggested_precisions() -> tuple[str, ...]:
    """Precisions for which it is said which cards suffice, the smallest first."""
    suggested = [precision for precision in all_precisions() if precision.is_suggested]
    suggested.sort(key=lambda precision: precision.weight_bytes(4096, 4096))
    return tuple(precision.kind for precision in suggested)


class _Stage:
    """A stage on the examples of the audit."""

    def __init__(self, run: RunContext, stage: Stage, examples: Examples) -> None:
        self._run, self._stage = run, stage
        self._plan = BatchPlan.of(stage, examples, run.experiment.seed)
        self._shape, _ = largest_shape(self._plan, self._plan.tokens_per_device)
        self._loss = build_loss(run.experiment.task, stage.loss, None)

    def outlook(self, gib: float | None, rate: float, share: float) -> StageOutlook:
        """Memory by level of checkpointing, what fits into `gib`, and time if there are `share` times as many
        examples."""
        settings = self._run.model
        precisions = {part: settings.precision(part) for part in self._run.family.prefixes}
        made = self._fake_model(Way("", self._stage.parts, precisions))
        asked = settings.checkpointing
        levels: list[Level] = list(LEVELS) if asked == "auto" else [asked]
        tokens = self._plan.tokens_per_device
        forecasts = {level: self._forecast(made, level, tokens) for level in levels}
        most = {} if gib is None else fits("", levels, partial(self._forecast, made)).most_tokens(gib)
        size, first = forecasts[levels[0]]
        seen = range(min(self._plan.steps_per_epoch, 32))
        mean = sum(self._plan.tokens(step) for step in seen) / len(seen)
        steps = self._plan.steps * (1 if self._stage.steps else share)
        work = Work(first.flop / size * mean * steps, rate)
        return StageOutlook(
            self._stage.name, size, {level: result for level, (_, result) in forecasts.items()}, most, work
        )

    def fits(self, way: Way) -> Fits:
        """Which cards a way of training fits."""
        made = self._fake_model(way)
        return fits(way.name, LEVELS, partial(self._forecast, made), min(CARDS))

    def _fake_model(self, way: Way) -> FakeModel:
        task = self._run.experiment.task
        head = (task.head, task.labels_in_order or ()) if task.head is not None else None
        return build_fake_model(self._run.family, way.precisions, way.methods, self._machine(way), head)

    def _machine(self, way: Way) -> Machine:
        """A GPU with all that is fast, but for what the experiment says otherwise."""
        settings, usual = self._run.model, Machine()
        if way.precisions["language"] == "fp32":
            usual = Machine("sdpa", usual.kernels)
        return Machine(
            usual.attention if settings.attention == "auto" else settings.attention,
            usual.kernels if settings.kernels == "auto" else settings.kernels,
        )

    def _forecast(self, made: FakeModel, level: Level, tokens: int) -> tuple[int, Forecast]:
        """The forecast for about so many tokens at once, and for how many exactly."""
        shape = self._shape.scaled(tokens)
        several = 1 if shape.tokens >= self._plan.tokens(0) else 2
        return shape.tokens, forecast(made, shape, self._loss, self._stage.optimizer, level, several)


def asked_gib(memory: str | None, characters: bool, forecast: bool) -> float | None:
    """GiB that the options of `tunesmith audit` ask about; ExperimentError if there is no forecast that could tell."""
    if memory is None:
        return None
    if characters or not forecast:
        without = "--characters" if characters else "--no-forecast"
        raise ExperimentError(
            f"--memory: asks for a forecast, and with {without} there is none; leave one out"
        )
    return parse_gib(memory)


def parse_gib(text: str) -> float:
    """GiB that a text such as `24GiB`, `24 GB` or `24` says; ExperimentError for another, or for none at all.

    >>> parse_gib("24GiB"), parse_gib("80 GB")
    (24.0, 74.505...)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(GiB|GB|G|)\s*", text, re.IGNORECASE)
    gib = 0.0 if match is None else float(match[1]) * (1e9 / GIB if match[2].upper() == "GB" else 1)
    if match is None or not 0 < gib < _MOST_GIB:
        raise ExperimentError(
            f"--memory: got {text[:40]!r}; must be a size such as 24GiB or 80GB, above 0 and below {_MOST_GIB:,} GiB"
        )
    return gib


def _own_gib() -> float | None:
    """Memory of this machine's GPU; None without one."""
    return torch.cuda.get_device_properties(0).total_memory / GIB if torch.cuda.is_available() else None


def _device() -> tuple[torch.device, str]:
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.cuda.get_device_name()
    return torch.device("cpu"), "this machine's CPU"
