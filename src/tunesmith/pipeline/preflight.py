"""Checks before a run begins: all faults of settings, records and trackers, before the run folder is written to."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.config.experiment import Stage
from tunesmith.errors import DataError, ExperimentError, ModelError, TunesmithError, counted, did_you_mean
from tunesmith.evaluate.attainable import missing_metrics
from tunesmith.evaluate.defaults import metric_faults, primary_metric, resolve_engine
from tunesmith.evaluate.evaluate import conversations_of
from tunesmith.evaluate.groups import check_fields
from tunesmith.evaluate.units import check_unit
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.resume import is_trained
from tunesmith.pipeline.stage_data import ordering_fields
from tunesmith.pipeline.stage_examples import stage_examples, stage_records
from tunesmith.pipeline.validation import validation_records
from tunesmith.records.conversation import Conversation
from tunesmith.records.filter import compile_filter
from tunesmith.records.record import Record
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.examples import Render, renderer
from tunesmith.train.schedule import warmup_note

_MOST_NAMED = 20


def check(run: RunContext) -> None:
    """Raise ExperimentError, DataError or ModelError for whatever would stop the run later.

    Records are prepared, and rendered for every stage that is not trained yet. Nothing is written to the run folder. A
    finished run is not checked.
    """
    check_settings(run)
    if run.is_finished:
        return
    check_records(run)
    stages = run.experiment.stages
    left = [stage for stage in stages if not is_trained(run, stage.name)]
    if left:
        check_trackers(run)
        refuse_lacking_fields(run)
    for stage in left:
        check_stage(run, stage)
        if stage is not left[0]:
            run.examples.pop(stage.name)


def check_settings(run: RunContext) -> None:
    """Raise ExperimentError or ModelError for all faults of the settings that need no record and no weights."""
    experiment = run.experiment
    faults = metric_faults(experiment.task, experiment.evaluate)
    if experiment.evaluate.every is not None and experiment.data.split.validation == 0:
        what = (
            "there are no validation records to evaluate on; set data.split.validation to a share or a number"
        )
        faults.append(("evaluate.every", f"{what} above 0, or leave evaluate.every out"))
    conditions = {f"stages.{number}.where": stage.where for number, stage in enumerate(experiment.stages)}
    for setting, condition in {"data.where": experiment.data.where, **conditions}.items():
        try:
            compile_filter(condition or "x == 1")
        except ExperimentError as fault:
            faults.append((setting, str(fault).removeprefix("where: ")))
    try:
        parts = unknown_parts(run)
    except ModelError as error:
        if not faults:
            raise
        setting, _, what = str(error).partition(": ")
        parts = [(setting, what) if setting.startswith("model.") else ("model", str(error))]
    if faults:
        experiment.refuse([*faults, *parts])
    refuse_parts(run, parts)


def refuse_unknown_parts(run: RunContext) -> None:
    """ModelError names every part of every stage that the model does not have."""
    refuse_parts(run, unknown_parts(run))


def refuse_parts(run: RunContext, parts: Sequence[tuple[str, str]]) -> None:
    """ModelError for parts that the model does not have: the fault lies between the two files."""
    try:
        run.experiment.refuse(parts)
    except ExperimentError as error:
        raise ModelError(str(error)) from None


def unknown_parts(run: RunContext) -> list[tuple[str, str]]:
    """Setting and fault of every part of every stage that the model does not have."""
    model_type = run.family.config.model_type
    known = [*run.family.prefixes, *(["head"] if run.experiment.task.head else [])]
    return [
        (
            f"stages.{number}.parts.{part}",
            f"{model_type} has no such part ({', '.join(known)}).{did_you_mean(part, known)}",
        )
        for number, stage in enumerate(run.experiment.stages)
        for part in stage.parts
        if part not in known
    ]


def check_records(run: RunContext) -> None:
    """Raise ExperimentError or DataError for held-out or validation records that cannot be evaluated.

    They may be missing, lack a field, be impossible to ask, or not allow the primary metric.
    """
    settings = run.experiment.evaluate
    if not run.test_records:
        raise DataError("data.split.holdout: there are no records to evaluate on; hold some out")
    check_fields(run.test_records, settings.by)
    if settings.unit is not None:
        check_unit(run.test_records, settings.unit)
    for side, records in (("test", run.test_records), ("validation", validation_records(run))):
        if records:
            conversations = conversations_of(run.task, records, run.shots)
            _refuse_missing_metric(run, side, records, conversations)
            for warning in resolve_engine(run.task, settings).warnings(run.family, run.task, conversations):
                run.say(f"warning: {warning}")
            render = renderer(run.family, run.experiment.task, run.experiment.stages[-1].loss_on)
            _refuse_unshown(conversations, render, run.family.max_tokens)


def _refuse_missing_metric(
    run: RunContext, side: str, records: Sequence[Record], conversations: Sequence[Conversation]
) -> None:
    """ExperimentError if the metric that decides cannot be had of these records, whatever is answered."""
    task, settings = run.task, run.experiment.evaluate
    name = primary_metric(task, settings)[0]
    if name in missing_metrics([name], task, settings, records, conversations):
        what = f"{name!r} cannot be had of the {counted(len(records), f'{side} record')}, whatever the answers are"
        classes = sorted({conversation.answer for conversation in conversations})
        reason = (
            f": all of them are of the class {classes[0]!r}"
            if task.labels_in_order and len(classes) == 1
            else ""
        )
        ways = (
            "Hold out other records (data.split.stratify keeps the shares of classes), or take another metric"
        )
        run.experiment.refuse([("evaluate.metric", f"{what}{reason}. {ways}")])


def _refuse_unshown(conversations: Sequence[Conversation], render: Render, most: int) -> None:
    """DataError names all that cannot be shown to the model: control tokens in a text, or too many tokens."""
    long = [
        f"{example.record}: {len(example):,} tokens"
        for example in render(conversations)
        if len(example) > most
    ]
    if long:
        raise DataError(
            f"{_named(long)}\nare over what the model's positions allow ({most:,}). Shorten these records, or leave "
            "them out of the data"
        )


def _named(faults: Sequence[str]) -> str:
    more = f"\nand {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
    return "\n".join(faults[:_MOST_NAMED]) + more


def check_trackers(run: RunContext) -> None:
    """ExperimentError names every tracker that could not be written to."""
    faults = []
    for number, tracker in enumerate(run.experiment.track):
        try:
            tracker.check()
        except TunesmithError as fault:
            faults.append((f"track.{number}", str(fault).removeprefix("track: ")))
    run.experiment.refuse(faults)


def check_stage(run: RunContext, stage: Stage) -> None:
    """Raise DataError for records that a stage cannot be trained on; warn about a warmup longer than the stage."""
    rendered, sort_by, group_by = stage_examples(run, stage)
    plan = BatchPlan.of(stage, rendered.examples, run.experiment.seed, sort_by, group_by)
    if note := warmup_note(stage.optimizer, plan.steps):
        run.say(f"stage {stage.name}: {note}")


def refuse_lacking_fields(run: RunContext) -> None:
    """DataError names every field that a stage's `order` or `group_by` names and a record of it lacks."""
    faults = []
    for number, stage in enumerate(run.experiment.stages):
        for setting, field in ordering_fields(stage).items():
            try:
                check_fields(stage_records(run, stage), [field], f"stages.{number}.{setting}")
            except DataError as fault:
                faults.append(str(fault))
    if faults:
        raise DataError("\n".join(faults))
