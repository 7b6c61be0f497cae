"""The training step of a run: every stage in order, each from what the one before left, none done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal
from rich.progress import track

from tunesmith.audit.lengths import audit_tokens
from tunesmith.config.experiment import Stage
from tunesmith.errors import DataError, ExperimentError, ModelError, counted
from tunesmith.evaluate.defaults import primary_metric
from tunesmith.model.base_fingerprint import traits_of
from tunesmith.model.heads import hidden_width, new_head, refuse_lost_head, refuse_other_head
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.saving import save_result
from tunesmith.model.trainable import make_trainable
from tunesmith.pipeline.determinism import be_repeatable, seed_everything
from tunesmith.pipeline.example_cache import kept
from tunesmith.pipeline.execution_plan import settle
from tunesmith.pipeline.folder import key_of
from tunesmith.pipeline.log import rewind_log
from tunesmith.pipeline.runs import Trained, is_done, is_trained, take_over, trained_before
from tunesmith.pipeline.steps import Steps
from tunesmith.records.fields import value_at
from tunesmith.records.record import Record
from tunesmith.records.sampling import fixed_sample
from tunesmith.runs.artifacts import refuse_changed, stage_files
from tunesmith.runs.audit import AUDIT
from tunesmith.runs.run import LINEAGE, StageLineage
from tunesmith.runs.stage import BASE, CLAIM, CLASSES, DONE, PARTS, StageResult, TrainedClasses
from tunesmith.tasks import Task
from tunesmith.train.balance import class_notes, class_weights, count_classes
from tunesmith.train.batch_plan import Updates
from tunesmith.train.checkpoint import latest_checkpoint, set_damaged_aside, step_of
from tunesmith.train.examples import Rendered, render_examples
from tunesmith.train.loss import ClassLoss, Loss, MultiClassLoss, WeighedAnswerLoss, answer_loss
from tunesmith.train.observers import Event, Listener
from tunesmith.train.observers._console import Console
from tunesmith.train.observers._jsonl import Jsonl
from tunesmith.train.schedule import warmup_note
from tunesmith.train.stages import Judge, train_stage


def train(steps: Steps, terminal: Terminal) -> Trained:
    """Every stage of the experiment, skipping what is done, here or in another run of the variant."""
    trained: Trained | None = None
    lineage: list[StageLineage] = []
    for number, stage in enumerate(steps.experiment.stages):
        before = None if stage.start == "base" else trained
        fingerprint = steps.keys.stages[stage.name]
        folder = steps.folder.stage(stage.name)
        if not is_done(folder, fingerprint) and not taken_over(steps, stage, fingerprint):
            run_stage(steps, stage, number, before, fingerprint, terminal)
        else:
            refuse_changed(folder)
        if number == 0 and not AUDIT.exists(steps.folder.path):
            write_audit(steps, stage_examples(steps, stage)[0])
        trained = Trained(folder, fingerprint)
        lineage.append(
            StageLineage(
                stage=stage.name,
                started_from=before.result.name if before else "base",
                started_from_key=before.fingerprint if before else key_of(steps.base),
                key=fingerprint,
                left=DONE.require(folder).sha256,
            )
        )
    if not steps.is_finished or not LINEAGE.exists(steps.folder.path):
        LINEAGE.write(steps.folder.path, tuple(lineage))
    assert trained is not None
    return trained


def taken_over(steps: Steps, stage: Stage, fingerprint: str) -> bool:
    """True if another run has trained the stage with the same settings: what it left is then in this run too."""
    folder = steps.folder.stage(stage.name)
    if folder.exists() or (found := trained_before(steps, stage.name, fingerprint)) is None:
        return False
    try:
        refuse_changed(found)
    except ModelError as fault:
        steps.say(f"train: stage {stage.name} is trained again, for what {found} holds is damaged: {fault}")
        return False
    take_over(found, steps.folder)
    steps.say(f"train: stage {stage.name} is trained already, in {found}; its result is taken from there")
    return True


def trained_result(steps: Steps) -> Trained:
    """What an earlier call trained with these settings; ExperimentError if a stage is not trained to its end."""
    for stage in steps.experiment.stages:
        folder, key = steps.folder.stage(stage.name), steps.keys.stages[stage.name]
        if not is_trained(steps, stage.name):
            raise ExperimentError(
                f"{folder}: stage {stage.name!r} is not trained yet with these settings. Call `tunesmith train` or "
                "`tunesmith run` with the same experiment, overrides and variant first"
            )
    return Trained(folder, key)


def run_stage(
    steps: Steps, stage: Stage, number: int, before: Trained | None, fingerprint: str, terminal: Terminal
) -> None:
    """Train one stage, or go on with it, and write what it leaves."""
    folder = steps.folder.stage(stage.name)
    CLAIM.write(folder, fingerprint)
    experiment = steps.experiment
    steps.say(f"train: stage {stage.name}, {number + 1} of {len(experiment.stages)}")
    rendered, sort_by, together = stage_examples(steps, stage)
    loaded = load(steps.model, start=before.result) if before else steps.base_model
    if before and experiment.task.head is not None:
        refuse_lost_head(loaded.head, before.result)
    be_repeatable()
    seed_everything(experiment.seed + number)
    if number == 0:
        write_audit(steps, rendered)
    BASE.write(folder, traits_of(loaded))
    loaded = with_head(loaded, experiment.task, experiment.seed + number)
    classes = classes_of(experiment.task, rendered, stage)
    if classes is not None:
        CLASSES.write(folder, classes)
    trainable = make_trainable(loaded, stage.parts, experiment.seed + number)
    PARTS.write(folder, trainable.summary)
    updates = Updates.of(stage, rendered.examples, experiment.seed + number, sort_by, together)
    how = settle(steps, stage, trainable, updates, loss_of(experiment.task, stage, None), folder)
    for fault in set_damaged_aside(folder / "checkpoints"):
        steps.say(f"train: {fault}. Its checkpoint is set aside; training continues from the one before it")
    newest = latest_checkpoint(folder / "checkpoints")
    rewind_log(steps.folder.log, stage.name, step_of(newest) if newest else 0)
    with listeners(steps, terminal) as listen, _told_of_checkpoint(stage, folder / "checkpoints"):
        progress = train_stage(
            trainable,
            updates,
            stage,
            experiment.checkpoints,
            folder / "checkpoints",
            loss_of(experiment.task, stage, classes),
            judge_of(steps, loaded),
            listen,
            (
                *notes_of(trainable.loaded, how, rendered, classes),
                *filter(None, [warmup_note(stage.optimizer, updates.steps)]),
            ),
        )
    save_result(trainable, folder)
    left = stage_files(folder)
    result = StageResult(
        fingerprint=fingerprint,
        steps=progress.step,
        seconds=progress.seconds,
        best_step=progress.best_step,
        bytes=left.bytes,
        sha256=left.sha256,
        files=left.files,
        task=experiment.task.model_dump(mode="json"),
        longest_answer=0 if experiment.task.head else rendered.examples.longest_answer,
    )
    DONE.write(folder, result)
    steps.let_go()


@contextmanager
def _told_of_checkpoint(stage: Stage, checkpoints: Path) -> Iterator[None]:
    """Within it, an interruption says what is kept of the stage."""
    try:
        yield
    except KeyboardInterrupt as stop:
        newest = latest_checkpoint(checkpoints)
        kept = (
            f"the checkpoint of update {step_of(newest):,} is kept"
            if newest
            else "no checkpoint was written yet"
        )
        stop.add_note(f"stage {stage.name!r}: {kept}")
        raise


def with_head(loaded: LoadedModel, task: Task, seed: int) -> LoadedModel:
    """The model with the head that the task asks for: an earlier stage's, or a new one; ModelError if the earlier one
    is another."""
    if task.head is None:
        return loaded
    labels = task.labels_in_order or ()
    if loaded.head is None:
        width = hidden_width(loaded.family.config)
        return replace(loaded, head=new_head(task.head, labels, width, seed, loaded.device))
    refuse_other_head(loaded.head, task.head, labels)
    return loaded


def classes_of(task: Task, rendered: Rendered, stage: Stage) -> TrainedClasses | None:
    """Numbers and weights of the classes that are trained on; None for a task without classes."""
    labels = task.labels_in_order
    if labels is None:
        return None
    counts = count_classes(rendered.examples.classes, len(labels))
    return TrainedClasses(labels, tuple(counts.tolist()), class_weights(counts, stage.loss))


def loss_of(task: Task, stage: Stage, classes: TrainedClasses | None) -> Loss:
    """What training makes small: the nats of classes or of tokens, weighed as the stage says."""
    weights = classes.weights if classes else None
    if task.head is not None:
        return (MultiClassLoss if task.is_multi else ClassLoss)(stage.loss, weights)
    return answer_loss if stage.loss == type(stage.loss)() else WeighedAnswerLoss(stage.loss, weights)


def ordered_by(stage: Stage) -> dict[str, str]:
    """The fields that a stage's examples are ordered by, by the setting that names them."""
    named = {"order": None if stage.order == "shuffled" else stage.order, "group_by": stage.group_by}
    return {setting: field for setting, field in named.items() if field is not None}


def stage_examples(steps: Steps, stage: Stage) -> tuple[Rendered, list[Any] | None, list[Any] | None]:
    """The examples of the stage's records, the value that each is ordered by unless they are shuffled, and the value
    that keeps it beside others if one does; remembered until the stage is over."""
    if stage.name in steps.rendered:
        return steps.rendered[stage.name]
    rendered = kept(steps, stage, partial(_render, steps, stage))
    values: dict[str, list[Any]] = {}
    if named := ordered_by(stage):
        within = {example.record for example in rendered.examples}
        records = [record for record in steps.stage_records(stage) if record.id in within]
        values = {
            setting: [field_of(record, setting, field) for record in records]
            for setting, field in named.items()
        }
    steps.rendered[stage.name] = found = rendered, values.get("order"), values.get("group_by")
    return found


def _render(steps: Steps, stage: Stage) -> Rendered:
    """The examples of the stage's records, made now."""
    records, task = steps.stage_records(stage), steps.task
    shown = track(records, description="rendering examples", total=len(records), transient=True)
    conversations = (task.conversation(record, steps.shots) for record in shown)
    return render_examples(steps.family, conversations, steps.render(stage), steps.experiment.data.length)


def write_audit(steps: Steps, rendered: Rendered) -> None:
    """The lengths of the first stage's examples, for the report."""
    limit = steps.experiment.data.length.max_tokens
    AUDIT.write(steps.folder.path, audit_tokens(rendered.examples, limit, steps.family.image_processor))


def field_of(record: Record, setting: str, field: str) -> Any:
    """The value that a stage's setting names; DataError if the record has no such field."""
    try:
        return value_at(record.fields, field)
    except ValueError as fault:
        raise DataError(f"{record.id}: {setting}: {fault}") from fault


def judge_of(steps: Steps, loaded: LoadedModel) -> Judge | None:
    """How validation records tell the best checkpoint; None if the experiment does not ask for it."""
    settings, records = steps.experiment.evaluate, judged_records(steps)
    if settings.every is None:
        return None
    metric, better = primary_metric(steps.experiment.task, settings)

    def measure() -> Mapping[str, float]:
        scores = steps.score(loaded, "validation", None, records)
        return {name: score.value for name, score in scores.metrics.items()}

    return Judge(measure, metric, better, settings.every, settings.patience)


def judged_records(steps: Steps) -> Sequence[Record]:
    """The validation records for evaluations during training, none if the experiment does not ask for those;
    ExperimentError if it does and there are none."""
    settings = steps.experiment.evaluate
    if settings.every is None:
        return ()
    records = fixed_sample(
        steps.prepared.records("validation"), settings.max_validation_records, steps.experiment.seed
    )
    if not records:
        raise ExperimentError(
            "evaluate.every: there are no validation records to evaluate on; set data.split.validation to a share "
            "or a number above 0, or leave evaluate.every out"
        )
    return records


def notes_of(
    loaded: LoadedModel, how: str, rendered: Rendered, classes: TrainedClasses | None
) -> tuple[str, ...]:
    """What the log should say once at the start of a stage."""
    examples = rendered.examples
    trained = (
        f"{examples.trained_share:.1%} of them trained"
        if loaded.head is None
        else "all of them read by the head and none of them predicted"
    )
    notes = [
        *loaded.notes,
        how,
        f"{counted(len(examples), 'example')}, {counted(int(examples.lengths.sum()), 'token')}, {trained}",
    ]
    if classes is not None:
        notes += class_notes(classes)
    if rendered.too_long:
        notes.append(f"{counted(len(rendered.too_long), 'example')} left out: over the length limit")
    return tuple(notes)


@contextmanager
def listeners(steps: Steps, terminal: Terminal) -> Iterator[Callable[[Event], None]]:
    """A function that hands an event to the console, the JSON log and every tracker of the experiment."""
    folder, name = steps.folder, f"{steps.experiment.name}/{steps.folder.name}"
    settings = steps.experiment.model_dump(mode="json")
    with ExitStack() as closing:
        text = closing.enter_context((folder.path / "train.log").open("a", encoding="utf-8", buffering=1))
        file = Terminal(file=text, width=120, force_terminal=False, color_system=None)
        opened: list[Listener] = [Console(terminal), Jsonl(folder.log), Console(file)]
        opened += [tracker.watch(folder.path, name, settings) for tracker in steps.experiment.track]
        for listener in opened:
            closing.callback(listener.close)

        def listen(event: Event) -> None:
            for listener in opened:
                listener.event(event)

        yield listen
