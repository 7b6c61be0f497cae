"""The objective of a stage: the head, the class weights and the loss that task and settings ask for."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.config.experiment import Loss as LossSettings
from tunesmith.model.heads import hidden_width, new_head, refuse_other_head
from tunesmith.model.loaded import LoadedModel
from tunesmith.runs.stage import TrainedClasses
from tunesmith.tasks import Task
from tunesmith.train.balance import class_weights, count_classes
from tunesmith.train.examples import Examples
from tunesmith.train.loss import ClassLoss, Loss, MultiClassLoss, WeighedAnswerLoss, answer_loss


def add_head(loaded: LoadedModel, task: Task, seed: int) -> LoadedModel:
    """The model with the head that the task asks for: that of an earlier stage, or a new one.

    ModelError if the earlier head does not fit the task.
    """
    if task.head is None:
        return loaded
    labels = task.labels_in_order or ()
    if loaded.head is None:
        width = hidden_width(loaded.family.config)
        return replace(loaded, head=new_head(task.head, labels, width, seed, loaded.device))
    refuse_other_head(loaded.head, task.head, labels)
    return loaded


def trained_classes(task: Task, examples: Examples, settings: LossSettings) -> TrainedClasses | None:
    """Counts and loss weights of the classes in the examples; None for a task without classes."""
    labels = task.labels_in_order
    if labels is None:
        return None
    counts = count_classes(examples.classes, len(labels))
    return TrainedClasses(labels, tuple(counts.tolist()), class_weights(counts, settings))


def build_loss(task: Task, settings: LossSettings, classes: TrainedClasses | None) -> Loss:
    """The loss that is minimised: cross-entropy of classes or of tokens, weighted as the settings say."""
    weights = classes.weights if classes else None
    if task.head is not None:
        return (MultiClassLoss if task.is_multi else ClassLoss)(settings, weights)
    return answer_loss if settings == LossSettings() else WeighedAnswerLoss(settings, weights)
