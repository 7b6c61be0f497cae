from __future__ import annotations

from tests.train.small import stage
from tunesmith.config.experiment import Loss
from tunesmith.runs.stage import TrainedClasses
from tunesmith.tasks.classify import Classify
from tunesmith.train.loss import ClassLoss, MultiClassLoss, WeighedAnswerLoss, answer_loss
from tunesmith.train.objective import build_loss

CLASSES = TrainedClasses(("a", "b"), (1, 3), (1.5, 0.5))


def task(**answer: object) -> Classify:
    settings = {
        "labels": ["a", "b"],
        "prompt": "{text}",
        "answer": {"kind": "head", **answer} if answer else "text",
    }
    return Classify.model_validate(settings)


def test_each_task_and_setting_gets_its_loss_with_the_weights_of_the_classes() -> None:
    assert build_loss(task(), stage().loss, None) is answer_loss
    settings = Loss(balance="inverse_frequency")
    assert build_loss(task(), settings, CLASSES) == WeighedAnswerLoss(settings, CLASSES.weights)
    assert build_loss(task(layers=1), settings, CLASSES) == ClassLoss(settings, CLASSES.weights)
    assert type(build_loss(task(multi=True), settings, CLASSES)) is MultiClassLoss
