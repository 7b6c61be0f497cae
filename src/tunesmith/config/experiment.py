"""The whole experiment file as one typed value. Every unit and default is said here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, PrivateAttr, Tag, field_validator, model_validator

from tunesmith.config.document import Document, Location
from tunesmith.config.faults import Fault, raise_faults
from tunesmith.config.registry import Registry
from tunesmith.config.settings import (
    Duration,
    DurationText,
    FieldNames,
    ImpossibleError,
    Settings,
    parse_duration,
)

if TYPE_CHECKING:
    from tunesmith.evaluate.engines import Engine as AnyEngine
    from tunesmith.methods import Method as AnyMethod
    from tunesmith.records.sources import Source as AnySource
    from tunesmith.tasks import Task as AnyTask
    from tunesmith.train.observers import Observer as AnyObserver

    Precision = str
else:
    Precision = Literal[tuple(Registry("tunesmith.precision.formats").kinds())]
    AnySource = Registry("tunesmith.records.sources", "tunesmith.records.demo_sources").union()
    AnyTask = Registry("tunesmith.tasks").union()
    AnyMethod = Registry("tunesmith.methods").union()
    AnyEngine = Registry("tunesmith.evaluate.engines").union()
    AnyObserver = Registry("tunesmith.train.observers").union()

PRECISIONS = Registry("tunesmith.precision.formats")
Amount = Annotated[float, Field(ge=0)]
AmountOrSource = Annotated[
    Annotated[Amount, Tag("<amount>")] | Annotated[AnySource, Tag("<source>")],
    Discriminator(lambda value: "<amount>" if isinstance(value, int | float) else "<source>"),
]
Rate = Annotated[float, Field(ge=0, lt=1)]
HEAD = "head"
"""The part of a model, and the engine, that a task's head is."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


def _is_quantized(precision: str) -> bool:
    """Whether weights in this precision can only be frozen."""
    return bool(PRECISIONS.item(precision).is_quantized)


class Pixels(Settings):
    """How large the model sees pictures. What is not set is what the model's own files say."""

    min: Annotated[int, Field(ge=1)] | None = None
    """Fewest pixels of a picture; a smaller one is enlarged."""
    max: Annotated[int, Field(ge=1)] | None = None
    """Most pixels of a picture; a larger one is shrunk, and costs that many tokens less."""
    longest_side: Annotated[int, Field(ge=1)] | None = None
    """Most pixels of a picture's longer side; one with a longer side is shrunk."""
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    """Width and height in pixels that every picture is given, whatever its shape."""

    @model_validator(mode="after")
    def _one_rule(self) -> Pixels:
        if self.size is not None and (self.min or self.max or self.longest_side):
            raise ValueError("size says all; leave out min, max and longest_side")
        if self.min and self.max and self.min > self.max:
            raise ImpossibleError(("min", f"{self.min} is more than max, {self.max}"))
        return self


def _level(value: Any) -> Any:
    """What a switch says in words."""
    return {True: "full", False: "none"}[value] if isinstance(value, bool) else value


def _device(value: Any) -> Any:
    """A device as it is often called elsewhere, by its name here."""
    if not isinstance(value, str):
        return value
    return {"gpu": "cuda", "cuda:0": "cuda", "gpu:0": "cuda"}.get(value.lower(), value.lower())


class Model(Settings):
    """Which base model, in which precision, on which device."""

    path: str
    """Hub name, local folder, `.gguf` file, or `package:NAME` for the GGUF file in an installed package."""
    revision: str | None = None
    """Branch, tag or commit on the hub; none is the default branch."""
    weights: Precision | dict[str, Precision] = "bf16"
    """Precision of weights that are not trained, one of those below; trained ones are in fp32. One for all, or by part,
    such as `{language: nf4}`; parts that are not named are in bf16."""
    pixels: Pixels = Pixels()
    """How large pictures are."""
    attention: Literal["auto", "varlen", "flash_attention_2", "sdpa", "eager"] = "auto"
    """Attention of packed batches; `auto` takes the fastest that this machine has and says so in the log."""
    kernels: Literal["auto", "fused", "liger", "none"] = "auto"
    """Fused kernels: `fused` replaces whole layers that are fully trained or frozen with LoRA, `liger` only norms,
    gated MLPs and rotary positions; `auto` takes the first that runs."""
    cuda_graphs: bool = True
    """Replay the layers of small models as CUDA graphs, where a GPU would wait for kernels to be launched."""
    checkpointing: Annotated[
        Literal["auto", "none", "selective", "full", "offload"], BeforeValidator(_level)
    ] = "auto"
    """Activations that the backward pass computes again: `none`; with `selective` only the wide products of MLPs, where
    kernels are `fused`; with `full` those of every layer, for less memory and about a third more time; `offload` keeps
    what that needs in the host's memory. `auto` takes the first of them with which, by the forecast of memory, enough
    tokens fit at once. On a CPU it is none."""
    thinking: bool = False
    """Let models that can think do so before they answer (Qwen3); alike in training, prompts and reading."""
    device: Annotated[Literal["auto", "cpu", "cuda"], BeforeValidator(_device)] = "auto"
    """Where the model runs; `auto` is the GPU if there is one. `gpu` and `cuda:0` are read as `cuda`."""
    allow_remote_code: bool = False
    """Run Python code that comes with the model. Only for a path you trust."""
    allow_pickle: bool = False
    """Load pickled weights (`.bin`), which can run code. Only for a path you trust."""

    def precision(self, part: str) -> Precision:
        """Precision of a part's weights while they are not trained."""
        return self.weights if isinstance(self.weights, str) else self.weights.get(part, "bf16")

    @property
    def quantised(self) -> Precision | None:
        """The quantized precision that any part has; None if there is none."""
        return next(filter(_is_quantized, sorted(self._named_precisions)), None)

    @property
    def _named_precisions(self) -> set[str]:
        return {self.weights} if isinstance(self.weights, str) else set(self.weights.values())

    @model_validator(mode="after")
    def _weights_go_together(self) -> Model:
        named = sorted(self._named_precisions)
        alone = next((kind for kind in named if PRECISIONS.item(kind).goes_alone), None)
        quantised = list(filter(_is_quantized, named))
        if alone is not None and len(named) > 1:
            *others, last = filter(_is_quantized, PRECISIONS.kinds())
            raise ImpossibleError(
                (
                    "weights",
                    f"{alone} goes with no other precision; use bf16 together with {', '.join(others)} or {last}",
                )
            )
        if len(quantised) > 1:
            said = " and ".join(quantised)
            raise ImpossibleError(("weights", f"{said} are both named; a model has one of them"))
        return self

    @model_validator(mode="after")
    def _device_has_attention(self) -> Model:
        if self.device == "cpu" and self.attention in ("varlen", "flash_attention_2"):
            needs = "needs a GPU, but model.device is 'cpu'; use 'auto', 'sdpa' or 'eager'"
            raise ImpossibleError(("attention", f"{self.attention!r} {needs}"))
        return self


class Split(Settings):
    """Which records are held out, chosen once and written to a manifest."""

    holdout: AmountOrSource = 0.1
    """Test side, never seen in training: below 1 a share of the records, from 1 on a number, or a source."""
    validation: AmountOrSource = 0.05
    """Validation side, for evaluation during training: a share, a number (0 for none), or a source."""
    by: FieldNames | None = None
    """Fields whose text tells duplicates and decides the side; none is all the fields that the task asks about."""
    stratify: str | None = None
    """Field, or dotted path as `meta.kind`, whose values keep their shares on every side."""
    group: str | None = None
    """Field, or dotted path as `meta.person`, whose equal values stay on one side, such as a person or a document."""
    seed: Annotated[int, Field(ge=0)] = 17
    """Seed of the choice, apart from the experiment's own."""
    manifest: Path | None = None
    """A manifest made before; its records keep their sides, added ones join those that they belong with."""

    @model_validator(mode="after")
    def _leaves_something(self) -> Split:
        shares = [side for side in (self.holdout, self.validation) if isinstance(side, float) and side < 1]
        if sum(shares) >= 1:
            raise ImpossibleError(
                ("holdout", f"with validation it takes {sum(shares):.0%} of the records; none is left")
            )
        return self


class Leaks(Settings):
    """What counts as the same record on two sides, and what to do about it."""

    action: Literal["refuse", "drop"] = "refuse"
    """On a leak: `refuse` to go on and name the pairs, or `drop` the training side and count it."""
    near: Annotated[float, Field(gt=0, le=1)] | None = 0.85
    """Share of the words that texts have in common from which they look alike; none finds equal texts only."""
    pictures: Annotated[float, Field(gt=0, le=1)] | None = 0.93
    """Agreement (up to 1) from which two pictures, laid over one another, look alike; none compares files only."""

    @field_validator("pictures", mode="before")
    @classmethod
    def _is_no_number_of_bits(cls, pictures: Any) -> Any:
        if isinstance(pictures, int) and not isinstance(pictures, bool) and pictures != 1:
            raise ValueError(
                f"{pictures} counted bits of a hash. Pictures are now laid over one another: leave it out (0.93), give "
                "an agreement between 0 and 1, or null to compare files only"
            )
        return pictures


class Join(Settings):
    """Several rows made into one record."""

    by: Annotated[FieldNames, Field(min_length=1)]
    """Fields whose equal values make rows one record, such as the picture."""
    lists: Annotated[FieldNames, Field(min_length=1)]
    """Fields whose values are gathered into a list, such as boxes and their labels; null adds nothing."""


class Length(Settings):
    """How long an example may be."""

    max_tokens: Annotated[int, Field(ge=8)] | None = None
    """Most tokens in one example; none is what the model's positions allow."""
    over: Literal["refuse", "drop"] = "refuse"
    """Examples over the limit: `refuse` to train and list them, or `drop` and count them. Never cut."""


class Pictures(Settings):
    """Where the files of pictures are that records name."""

    folder: Path | None = None
    """Folder that names are relative to; none is the folder of the data file that names them."""
    name: Annotated[str, Field(pattern=r"\{\}")] = "{}"
    """File of a picture, `{}` being the value in the record, such as `{}.jpg` for an id."""
    outside: bool = False
    """Allow names that lead out of the folder."""
    max_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    """Most pixels of a file; a larger one is a bad row, found without decoding it."""


class Data(Settings):
    """Where records come from and which are held out."""

    source: AnySource
    """Where the labelled records are."""
    join: Join | None = None
    """Makes one record of several rows: of a table with a row for each box, one for each picture."""
    pictures: Pictures = Pictures()
    """Where their pictures are."""
    split: Split = Split()
    """Which are held out."""
    leaks: Leaks = Leaks()
    """What counts as a leak."""
    length: Length = Length()
    """How long an example may be."""
    where: str | None = None
    """Which records are used at all, on every side, such as `label == true`; the others are counted in the log."""
    on_bad_rows: Literal["stop", "skip"] = "stop"
    """A row that cannot be read: `stop` and list them, or `skip` and count them in log and report."""
    ignore: FieldNames = Field(default_factory=list)
    """Fields of records and keys of messages that are treated as if they were not there, such as `[rejected]`, and
    marks such as `<video>` that are plain text here. Else what carries meaning and cannot be used is an error."""


class Optimizer(Settings):
    """How weights move."""

    kind: Literal["adamw", "adamw-8bit", "paged-adamw-8bit", "adafactor"] = "adamw"
    """8-bit and paged states are bitsandbytes'."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Peak learning rate; a part may set its own."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled; never on norms and biases."""
    betas: tuple[Rate, Rate] = (0.9, 0.999)
    """Decay of the first and second moment."""
    eps: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the root of the second moment."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Shape of the learning rate after warmup; linear and cosine end at zero."""
    warmup: Annotated[float, Field(ge=0)] = 0.03
    """Updates of linear warmup: below 1 a share of the stage, from 1 on a number."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest global gradient norm; none does not clip."""


class Batch(Settings):
    """How much one update sees."""

    num_examples: Annotated[int, Field(ge=1)] = 16
    """Examples in one update, over all micro-batches."""
    max_tokens_per_microbatch: Annotated[int, Field(ge=16)] | Literal["auto"] = "auto"
    """Most tokens in one packed micro-batch (one longer example is a micro-batch of its own); `auto` takes as many as
    the forecast of memory says that the GPU has room for, at most 16,384. On a CPU it is 8,192."""
    share_prefixes: bool = False
    """Compute the common prefix of several examples of a micro-batch only once, such as an instruction or a picture
    with several questions. The result is the same with less work. Not with a head, with `loss.balance`, or with
    `loss_on: all`."""
    num_workers: Annotated[int, Field(ge=1)] | None = None
    """Processes that read pictures while a GPU works; none is one a core but one, at most 16, and on a CPU 1."""


class Balance(Settings):
    """Which of the stage's records are trained on, so that classes weigh alike."""

    per_class: Annotated[int, Field(ge=1)] | Literal["max"]
    """Most records of a class, chosen by the seed; `max` repeats those of every class up to the largest one's
    number."""


class Loss(Settings):
    """What an example's error counts, in tasks with classes: on a head or in the tokens of the answer."""

    balance: Literal["none", "inverse_frequency", "effective_number"] = "none"
    """Weight of an example by its class: alike; by 1 / n, n being the class's training examples; or by their
    effective number (1 - beta^n) / (1 - beta) (Cui et al. 2019). Weights have the mean 1 over classes."""
    beta: Rate | None = None
    """Of `effective_number`; none is 0.999."""
    gamma: Annotated[float, Field(ge=0)] = 0.0
    """Errors count (1 - p)^gamma, p being the probability of what is right (focal loss: Lin et al. 2017)."""
    label_smoothing: Rate = 0.0
    """Share of the target that is spread over all classes or tokens alike (Szegedy et al. 2016)."""

    @model_validator(mode="after")
    def _beta_has_a_meaning(self) -> Loss:
        if self.beta is not None and self.balance != "effective_number":
            raise ImpossibleError(("beta", "only effective_number has it; set balance: effective_number"))
        return self


class Divergence(Settings):
    """When a stage is stopped because its loss grows. A loss, gradient norm or weight that is not finite always stops
    it."""

    max_rise: Annotated[float, Field(gt=0)] | None = 4.0
    """Nats that the median loss of the latest updates may be above the lowest such median, or above the loss of a
    blind guess until there is one; none lets it grow."""
    num_updates: Annotated[int, Field(ge=1)] = 10
    """Updates that the median is of."""


class Stage(Settings):
    """One stretch of training."""

    name: Name = "train"
    """Name of the stage and of its folder: letters, digits, '.', '_' and '-'."""
    start: Annotated[Literal["previous", "base"], Field(alias="from")] = "previous"
    """Start from what the stage before left, or from the base model."""
    parts: Annotated[dict[str, AnyMethod], Field(min_length=1)]
    """Method by part of the model; a part that is not named stays frozen."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the stage's records; 1 if neither this nor `steps` is given."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Updates, instead of epochs."""
    batch: Batch = Batch()
    """How much one update sees."""
    optimizer: Optimizer = Optimizer()
    """How weights move."""
    loss_on: Literal["answer", "assistant", "all"] = "answer"
    """Tokens that carry loss: the last answer, every assistant turn, or all text."""
    loss: Loss = Loss()
    """What an example's error counts."""
    divergence: Divergence = Divergence()
    """When the stage is stopped because its loss grows."""
    balance: Balance | None = None
    """How many records of each class are trained on; none takes all."""
    where: str | None = None
    """Only records for which this holds, such as `stage == 2`."""
    order: str = "shuffled"
    """`shuffled`, or the field to sort by (shuffled among equals)."""
    group_by: str | None = None
    """Field whose equal values keep records next to each other in the shuffled order, such as the picture that several
    questions are about. With `batch.share_prefixes` their common prefix is then computed only once."""

    @model_validator(mode="after")
    def _one_length(self) -> Stage:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps are both given; keep one of them")
        return self

    @property
    def length(self) -> Duration:
        """How long the stage lasts."""
        return Duration(float(self.steps), "steps") if self.steps else Duration(self.epochs or 1.0, "epochs")


class Evaluate(Settings):
    """How answers are obtained and scored."""

    every: DurationText | None = None
    """Evaluate on validation records during training and keep the best checkpoint; none keeps the last."""
    max_validation_records: Annotated[int, Field(ge=1)] = 1000
    """Most validation records for an evaluation during training; the sample is fixed."""
    max_test_records: Annotated[int, Field(ge=1)] | None = None
    """Most test records for base and tuned evaluation; none is all of them."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop a stage after this many evaluations without a better one; none never stops early."""
    metric: str | None = None
    """Metric that tells the best checkpoint; none is the task's first."""
    engine: AnyEngine | None = None
    """How answers are obtained; none is what the task prefers."""
    metrics: list[str] | None = None
    """Metrics to report; none is the task's own list."""
    by: FieldNames = Field(default_factory=list)
    """Record fields, or dotted paths, by whose values results are broken down as well, such as `[stage, meta.kind]`."""
    unit: str | None = None
    """Field, or dotted path, whose equal values make records one independent unit, such as a patient: intervals and
    tests count units. None is `data.split.group`, else the pictures or the context that records share, else records."""
    num_resamples: Annotated[int, Field(ge=100)] = 2000
    """How many times whole units are exchanged between base and tuned for the tests of a change."""

    @model_validator(mode="after")
    def _patience_counts_something(self) -> Evaluate:
        if self.patience is not None and self.every is None:
            raise ImpossibleError(
                ("patience", "counts evaluations during a stage, but `every` is not set; set it")
            )
        return self


class Checkpoints(Settings):
    """What is kept so that an interrupted run goes on where it was."""

    every: DurationText = parse_duration("1 epoch")
    """How often a checkpoint is written; every evaluation that is the best so far writes one too."""
    num_to_keep: Annotated[int, Field(ge=1)] = 1
    """How many of the latest checkpoints are kept, in addition to the best one."""


@dataclass(frozen=True)
class Origin:
    """Where the settings of an experiment were read; two experiments may be equal whatever theirs is."""

    document: Document = field(default=Document(None), compare=False)
    folder: Path = field(default=Path(), compare=False)
    """Folder of the experiment file: data and model may be named relative to it."""
    variant: str = field(default="main", compare=False)
    """Name of the variant, and of the run."""


class Experiment(Settings):
    """One experiment file."""

    name: Name
    """Name of the experiment and of its run folder: letters, digits, '.', '_' and '-'."""
    seed: Annotated[int, Field(ge=0)] = 17
    """Seed of order, initialisation and dropout."""
    model: Model
    """The base model."""
    data: Data
    """Records and what is held out."""
    task: AnyTask
    """What is asked, how an answer is read and marked."""
    stages: Annotated[list[Stage], Field(min_length=1)]
    """Training, one stage after the other."""
    evaluate: Evaluate = Evaluate()
    """How answers are obtained and scored."""
    checkpoints: Checkpoints = Checkpoints()
    """What is kept for going on after an interruption."""
    track: list[AnyObserver] = Field(default_factory=list)
    """Trackers beside the console and the JSON log, which are always there."""
    output: Path = Path("runs")
    """Folder of run folders."""
    variants: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Overrides by name (letters, digits, '.', '_' and '-'), with dotted keys as on the command line."""

    _origin: Origin = PrivateAttr(default=Origin())

    @property
    def origin(self) -> Origin:
        """Where the experiment was read."""
        return self._origin

    def read_from(self, document: Document) -> Experiment:
        """The experiment itself, which remembers on which lines its settings stand."""
        self._origin = replace(self._origin, document=document)
        return self

    def read_in(self, folder: Path, variant: str) -> Experiment:
        """The experiment itself, which remembers the folder of its file and the name of its variant."""
        self._origin = replace(self._origin, folder=folder, variant=variant)
        return self

    def refuse(self, faults: Iterable[tuple[str, str]]) -> None:
        """Raise ExperimentError with all faults, each a setting's dotted path and what is wrong there, with the line
        that it was read from; nothing happens if there is none."""
        document = self._origin.document
        found = [Fault(path, what, document.origin(_location(path))) for path, what in faults]
        raise_faults(found, document.origin(()).rpartition(":")[0] or "experiment")

    @model_validator(mode="after")
    def _possible(self) -> Experiment:
        faults = [
            *_doubled_names(self.stages),
            *_quantised_but_trained(self),
            *_classes_wanted(self),
            *_nothing_to_share(self),
            *(_head_faults(self) if self.task.head else _no_head_faults(self)),
        ]
        if faults:
            raise ImpossibleError(*faults)
        return self


def _location(path: str) -> Location:
    return tuple(int(key) if key.isdecimal() else key for key in path.split("."))


def _doubled_names(stages: list[Stage]) -> Iterator[tuple[str, str]]:
    names = [stage.name for stage in stages]
    for index, name in enumerate(names):
        if name in names[:index]:
            first = names.index(name)
            yield (
                f"stages.{index}.name",
                f"got {name!r}, which stages.{first} has too; each stage names a folder",
            )


def _quantised_but_trained(experiment: Experiment) -> Iterator[tuple[str, str]]:
    for index, stage in enumerate(experiment.stages):
        for part, method in stage.parts.items():
            # A head is no part of the base model, so it is never quantised.
            weights = experiment.model.precision(part) if part != HEAD else "fp32"
            if method.needs_float_weights and _is_quantized(weights):
                yield (
                    f"stages.{index}.parts.{part}",
                    f"kind {method.kind!r} trains the model's own weights, but model.weights is {weights!r} and"
                    " quantised weights cannot be trained; use kind 'lora', or model.weights 'bf16' or 'fp32'",
                )


def _classes_wanted(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Settings of classes where the task has none, or several a record."""
    task = experiment.task
    for index, stage in enumerate(experiment.stages):
        asked = []
        if stage.balance is not None:
            asked.append("balance")
        if stage.loss.balance != "none":
            asked.append("loss.balance")
        for name in asked if task.labels_in_order is None else []:
            yield f"stages.{index}.{name}", f"task kind {task.kind!r} has no classes; leave it out"
        if stage.balance is not None and task.head is not None and task.head.multi:
            yield f"stages.{index}.balance", "a record has several classes (multi); use loss.balance instead"


def _nothing_to_share(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Shared prefixes where nothing can be shared."""
    task = experiment.task
    for index, stage in enumerate(experiment.stages):
        path = f"stages.{index}.batch.share_prefixes"
        if not stage.batch.share_prefixes:
            continue
        if task.head is not None:
            yield path, "a head looks at all tokens of an example by itself; leave it out"
        elif stage.loss.balance != "none":
            yield path, "loss.balance weights each token by the class of its example; leave one of them out"
        elif stage.loss_on == "all":
            yield (
                path,
                "loss_on is 'all', and a shared prefix ends at the first token with loss, so nothing is shared; "
                "leave one of them out",
            )


def _head_faults(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """What cannot be where the task is answered by a head."""
    engine = experiment.evaluate.engine
    if engine is not None and engine.kind != HEAD:
        yield (
            "evaluate.engine",
            f"got {engine.kind!r}, but task.answer is a head, which answers itself; leave it out",
        )
    for index, stage in enumerate(experiment.stages):
        method = stage.parts.get(HEAD)
        if method is not None and method.adds_adapter:
            yield (
                f"stages.{index}.parts.{HEAD}",
                f"kind {method.kind!r} adapts weights that are there, but a head begins anew; use kind 'full'",
            )
        if stage.loss_on != "answer":
            yield f"stages.{index}.loss_on", "task.answer is a head, so no token carries loss; leave it out"
        if (method is None or method.kind == "frozen") and (index == 0 or stage.start == "base"):
            yield (
                f"stages.{index}.parts",
                "task.answer is a head, but no stage up to this one trains it; add head: {kind: full}",
            )


def _no_head_faults(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """What cannot be where the answer is text."""
    wanted = "which only a task with `answer: {kind: head}` has; set it, or leave this out"
    if experiment.evaluate.engine is not None and experiment.evaluate.engine.kind == HEAD:
        yield "evaluate.engine", f"got 'head', {wanted}"
    for index, stage in enumerate(experiment.stages):
        if HEAD in stage.parts:
            yield f"stages.{index}.parts.{HEAD}", f"got {stage.parts[HEAD].kind!r}, {wanted}"
