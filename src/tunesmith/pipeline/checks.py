"""Everything that can go wrong and be known before: told before a run folder is written to, and all faults of the
settings at once."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.config.experiment import Stage
from tunesmith.errors import DataError, ExperimentError, ModelError, TunesmithError, counted, did_you_mean
from tunesmith.evaluate.attainable import missing_metrics
from tunesmith.evaluate.defaults import metric_faults, primary_metric, resolve_engine
from tunesmith.evaluate.evaluate import conversations_of
from tunesmith.evaluate.groups import check_fields
from tunesmith.evaluate.units import check_unit
from tunesmith.pipeline.runs import is_trained
from tunesmith.pipeline.steps import Steps
from tunesmith.pipeline.training import judged_records, ordered_by, stage_examples
from tunesmith.records.conversation import Conversation
from tunesmith.records.filter import compile_filter
from tunesmith.records.record import Record
from tunesmith.train.batch_plan import Updates
from tunesmith.train.examples import Render
from tunesmith.train.schedule import warmup_note

_MOST_NAMED = 20


def check(steps: Steps) -> None:
    """Raise ExperimentError, DataError or ModelError for whatever would stop the run later. Records are prepared, and
    rendered for every stage that is not trained yet; nothing is written that belongs to one run.

    A run that is over is not looked at.
    """
    check_settings(steps)
    if steps.is_finished:
        return
    check_records(steps)
    stages = steps.experiment.stages
    left = [stage for stage in stages if not is_trained(steps, stage.name)]
    if left:
        check_trackers(steps)
        refuse_lacking_fields(steps)
    for stage in left:
        check_stage(steps, stage)
        if stage is not left[0]:
            steps.rendered.pop(stage.name)


def check_settings(steps: Steps) -> None:
    """Tell all that is wrong with the settings themselves, or with the model's parts that they name: without a record
    and without weights."""
    experiment = steps.experiment
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
        parts = unknown_parts(steps)
    except ModelError as error:
        if not faults:
            raise
        setting, _, what = str(error).partition(": ")
        parts = [(setting, what) if setting.startswith("model.") else ("model", str(error))]
    if faults:
        experiment.refuse([*faults, *parts])
    refuse_parts(steps, parts)


def refuse_unknown_parts(steps: Steps) -> None:
    """ModelError names every part of every stage that the model does not have."""
    refuse_parts(steps, unknown_parts(steps))


def refuse_parts(steps: Steps, parts: Sequence[tuple[str, str]]) -> None:
    """ModelError for parts that the model does not have: the fault lies between the two files."""
    try:
        steps.experiment.refuse(parts)
    except ExperimentError as error:
        raise ModelError(str(error)) from None


def unknown_parts(steps: Steps) -> list[tuple[str, str]]:
    """Setting and fault of every part of every stage that the model does not have."""
    model_type = steps.family.config.model_type
    known = [*steps.family.prefixes, *(["head"] if steps.experiment.task.head else [])]
    return [
        (
            f"stages.{number}.parts.{part}",
            f"{model_type} has no such part ({', '.join(known)}).{did_you_mean(part, known)}",
        )
        for number, stage in enumerate(steps.experiment.stages)
        for part in stage.parts
        if part not in known
    ]


def check_records(steps: Steps) -> None:
    """Tell of held-out and validation records that are not there, lack a field, cannot be asked, cannot give the metric
    that decides, or have reference answers over `max_new_tokens`."""
    settings = steps.experiment.evaluate
    if not steps.test_records:
        raise DataError("data.split.holdout: there are no records to evaluate on; hold some out")
    check_fields(steps.test_records, settings.by)
    if settings.unit is not None:
        check_unit(steps.test_records, settings.unit)
    for side, records in (("test", steps.test_records), ("validation", judged_records(steps))):
        if records:
            conversations = conversations_of(steps.task, records, steps.shots)
            _refuse_missing_metric(steps, side, records, conversations)
            for warning in resolve_engine(steps.task, settings).warnings(
                steps.family, steps.task, conversations
            ):
                steps.say(f"warning: {warning}")
            render = steps.render(steps.experiment.stages[-1])
            _refuse_unshown(conversations, render, steps.family.max_tokens)


def _refuse_missing_metric(
    steps: Steps, side: str, records: Sequence[Record], conversations: Sequence[Conversation]
) -> None:
    """ExperimentError if the metric that decides cannot be had of these records, whatever is answered."""
    task, settings = steps.task, steps.experiment.evaluate
    name = primary_metric(task, settings)[0]
    if name in missing_metrics([name], task, settings, records, conversations):
        what = f"{name!r} cannot be had of the {counted(len(records), f'{side} record')}, whatever the answers are"
        classes = sorted({one.answer for one in conversations})
        told = (
            f": all of them are of the class {classes[0]!r}"
            if task.labels_in_order and len(classes) == 1
            else ""
        )
        ways = (
            "Hold out other records (data.split.stratify keeps the shares of classes), or take another metric"
        )
        steps.experiment.refuse([("evaluate.metric", f"{what}{told}. {ways}")])


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


def check_trackers(steps: Steps) -> None:
    """ExperimentError names every tracker that could not be written to."""
    faults = []
    for number, tracker in enumerate(steps.experiment.track):
        try:
            tracker.check()
        except TunesmithError as fault:
            faults.append((f"track.{number}", str(fault).removeprefix("track: ")))
    steps.experiment.refuse(faults)


def check_stage(steps: Steps, stage: Stage) -> None:
    """Tell of records that a stage cannot be trained on; says if the stage ends before its warmup does."""
    examples, sort_by, together = stage_examples(steps, stage)
    updates = Updates.of(stage, examples.examples, steps.experiment.seed, sort_by, together)
    if note := warmup_note(stage.optimizer, updates.steps):
        steps.say(f"stage {stage.name}: {note}")


def refuse_lacking_fields(steps: Steps) -> None:
    """DataError names every field that a stage's `order` or `group_by` names and a record of it lacks."""
    faults = []
    for number, stage in enumerate(steps.experiment.stages):
        for setting, field in ordered_by(stage).items():
            try:
                check_fields(steps.stage_records(stage), [field], f"stages.{number}.{setting}")
            except DataError as fault:
                faults.append(str(fault))
    if faults:
        raise DataError("\n".join(faults))
