"""The training step of a run: every stage in order, each from what the one before left, none done twice."""

from __future__ import annotations

from rich.console import Console as Terminal

from tunesmith.config.experiment import Stage
from tunesmith.errors import counted
from tunesmith.model.base_fingerprint import traits_of
from tunesmith.model.heads import refuse_lost_head
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.saving import save_result
from tunesmith.model.trainable import make_trainable
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.determinism import seed_everything, use_deterministic_mode
from tunesmith.pipeline.execution_plan import plan_execution
from tunesmith.pipeline.resume import TrainingResult, noting_checkpoint, reuse_stage, rewind
from tunesmith.pipeline.runs import is_done
from tunesmith.pipeline.stage_examples import stage_examples, write_audit
from tunesmith.pipeline.validation import build_judge
from tunesmith.runs.artifacts import refuse_changed, stage_files
from tunesmith.runs.audit import AUDIT
from tunesmith.runs.run import LINEAGE, StageLineage
from tunesmith.runs.stage import BASE, CLAIM, CLASSES, DONE, PARTS, StageResult, TrainedClasses
from tunesmith.train.balance import class_notes
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.checkpoint import Progress
from tunesmith.train.examples import Examples, Rendered
from tunesmith.train.objective import add_head, build_loss, trained_classes
from tunesmith.train.observers._listeners import open_listeners
from tunesmith.train.schedule import warmup_note
from tunesmith.train.stages import train_stage


def train(run: RunContext, terminal: Terminal) -> TrainingResult:
    """Train every stage of the experiment that is not trained yet, here or in another run of the variant."""
    result: TrainingResult | None = None
    lineage: list[StageLineage] = []
    for number, stage in enumerate(run.experiment.stages):
        start = None if stage.start == "base" else result
        key, folder = run.keys.stages[stage.name], run.folder.stage(stage.name)
        if not is_done(folder, key) and not reuse_stage(run, stage.name, key):
            run_stage(run, stage, number, start, terminal)
        else:
            refuse_changed(folder)
        if number == 0 and not AUDIT.exists(run.folder.path):
            write_audit(run, stage_examples(run, stage).rendered)
        result = TrainingResult(folder, key)
        lineage.append(
            StageLineage(
                stage=stage.name,
                started_from=start.folder.name if start else "base",
                started_from_key=start.fingerprint if start else run.keys.base,
                key=key,
                left=DONE.require(folder).sha256,
            )
        )
    if not run.is_finished or not LINEAGE.exists(run.folder.path):
        LINEAGE.write(run.folder.path, tuple(lineage))
    assert result is not None
    return result


def run_stage(
    run: RunContext, stage: Stage, number: int, start: TrainingResult | None, terminal: Terminal
) -> None:
    """Train one stage from its start, or from its last checkpoint, and write what it leaves."""
    folder, experiment = run.folder.stage(stage.name), run.experiment
    seed = experiment.seed + number
    CLAIM.write(folder, run.keys.stages[stage.name])
    run.say(f"train: stage {stage.name}, {number + 1} of {len(experiment.stages)}")
    rendered, sort_by, group_by = stage_examples(run, stage)
    loaded = _start_model(run, start)
    use_deterministic_mode()
    seed_everything(seed)
    if number == 0:
        write_audit(run, rendered)
    BASE.write(folder, traits_of(loaded))
    loaded = add_head(loaded, experiment.task, seed)
    classes = trained_classes(experiment.task, rendered.examples, stage.loss)
    if classes is not None:
        CLASSES.write(folder, classes)
    trainable = make_trainable(loaded, stage.parts, seed)
    PARTS.write(folder, trainable.summary)
    plan = BatchPlan.of(stage, rendered.examples, seed, sort_by, group_by)
    execution = plan_execution(
        run, stage, trainable, plan, build_loss(experiment.task, stage.loss, None), folder
    )
    rewind(run.folder, stage.name, run.say)
    checkpoints = folder / "checkpoints"
    name = f"{experiment.name}/{run.folder.name}"
    settings = experiment.model_dump(mode="json")
    with (
        open_listeners(run.folder.path, run.folder.log, name, settings, experiment.track, terminal) as listen,
        noting_checkpoint(stage.name, checkpoints),
    ):
        progress = train_stage(
            trainable,
            plan,
            stage,
            experiment.checkpoints,
            checkpoints,
            build_loss(experiment.task, stage.loss, classes),
            build_judge(run, loaded),
            listen,
            _notes(trainable.loaded, execution, rendered, classes, warmup_note(stage.optimizer, plan.steps)),
        )
    save_result(trainable, folder)
    _write_result(run, stage, progress, rendered.examples)
    run.release()


def _start_model(run: RunContext, start: TrainingResult | None) -> LoadedModel:
    """The base model, or the model with what an earlier stage left."""
    if start is None:
        return run.base_model
    loaded = load(run.model, start=start.folder)
    if run.experiment.task.head is not None:
        refuse_lost_head(loaded.head, start.folder)
    return loaded


def _write_result(run: RunContext, stage: Stage, progress: Progress, examples: Examples) -> None:
    """Write `done.json`, which makes the stage finished."""
    folder, task = run.folder.stage(stage.name), run.experiment.task
    files = stage_files(folder)
    result = StageResult(
        fingerprint=run.keys.stages[stage.name],
        steps=progress.step,
        seconds=progress.seconds,
        best_step=progress.best_step,
        bytes=files.bytes,
        sha256=files.sha256,
        files=files.files,
        task=task.model_dump(mode="json"),
        longest_answer=0 if task.head else examples.longest_answer,
    )
    DONE.write(folder, result)


def _notes(
    loaded: LoadedModel,
    execution: str,
    rendered: Rendered,
    classes: TrainedClasses | None,
    warning: str | None,
) -> tuple[str, ...]:
    """What the log says once at the start of a stage."""
    examples = rendered.examples
    trained = (
        f"{examples.trained_share:.1%} of them trained"
        if loaded.head is None
        else "all of them read by the head and none of them predicted"
    )
    notes = [
        *loaded.notes,
        execution,
        f"{counted(len(examples), 'example')}, {counted(int(examples.lengths.sum()), 'token')}, {trained}",
    ]
    if classes is not None:
        notes += class_notes(classes)
    if rendered.too_long:
        notes.append(f"{counted(len(rendered.too_long), 'example')} left out: over the length limit")
    if warning is not None:
        notes.append(warning)
    return tuple(notes)
