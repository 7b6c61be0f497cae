"""What cannot stand together with a head, or without one, is refused where it stands."""

from __future__ import annotations

import pytest

from tests.config.recipe import RECIPE
from tunesmith.config.document import parse_yaml
from tunesmith.config.experiment import Experiment
from tunesmith.config.head import Head
from tunesmith.config.read import experiment_from
from tunesmith.errors import ExperimentError
from tunesmith.tasks._forms import HeadForm

HEAD = "task.answer={kind: head, pooling: last, hidden: 64}"
PARTS = "stages.0.parts={language: lora, head: full}"


def experiment(*overrides: str) -> Experiment:
    return experiment_from(parse_yaml(RECIPE, "r").value | {"variants": {}}, list(overrides))


def test_a_head_is_a_form_of_the_answer_with_all_its_settings() -> None:
    task = experiment(HEAD, PARTS).task
    assert isinstance(task.head, Head)
    assert (task.head.pooling, task.head.layers, task.head.hidden, task.head.dropout) == ("last", 2, 64, 0.1)
    assert experiment("task.answer=head", PARTS).task.head == HeadForm()
    assert experiment().task.head is None


def test_a_head_is_trained_on_quantised_weights() -> None:
    assert experiment(HEAD, PARTS, "model.weights=nf4").stages[0].parts["head"].kind == "full"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ([HEAD], "stages.0.parts: task.answer is a head, but no stage up to this one trains it; add head"),
        (
            [HEAD, "stages.0.parts={language: lora, head: frozen}"],
            "stages.0.parts: task.answer is a head, but",
        ),
        (
            [HEAD, "stages.0.parts={head: lora}"],
            "stages.0.parts.head: kind 'lora' adapts weights that are there",
        ),
        ([PARTS], "stages.0.parts.head: got 'full', which only a task with `answer: {kind: head}` has"),
        (["evaluate.engine=head"], "evaluate.engine: got 'head', which only a task with"),
        (
            [HEAD, PARTS, "evaluate.engine=generate"],
            "evaluate.engine: got 'generate', but task.answer is a head",
        ),
        (
            [HEAD, PARTS, "stages.0.loss_on=all"],
            "stages.0.loss_on: task.answer is a head, so no token carries loss",
        ),
        (["stages.0.loss={beta: 0.9}"], "stages.0.loss.beta: only effective_number has it"),
        (
            ["task={kind: answer, prompt: '{a}'}", "stages.0.loss.balance=inverse_frequency"],
            "stages.0.loss.balance: task kind 'answer' has no classes; leave it out",
        ),
        (
            ["task={kind: answer, prompt: '{a}'}", "stages.0.balance.per_class=max"],
            "stages.0.balance: task kind 'answer' has no classes; leave it out",
        ),
        (
            ["task.answer={kind: head, multi: true}", PARTS, "stages.0.balance.per_class=9"],
            "stages.0.balance: a record has several classes (multi); use loss.balance instead",
        ),
    ],
)
def test_what_does_not_go_with_a_head_is_refused_where_it_stands(overrides: list[str], told: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        experiment(*overrides)
    assert told in str(caught.value)


def test_a_later_stage_may_go_on_with_the_head_of_an_earlier_one_but_not_from_the_base() -> None:
    first = "{name: a, parts: {language: lora, head: full}}"
    experiment(HEAD, f"stages=[{first}, {{name: b, parts: {{language: lora}}}}]")
    with pytest.raises(ExperimentError, match=r"stages\.1\.parts: task\.answer is a head"):
        experiment(HEAD, f"stages=[{first}, {{name: b, from: base, parts: {{language: lora}}}}]")
