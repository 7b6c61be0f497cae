from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text

from tests.pipeline.small import lora_stage, small_experiment
from tests.tiny import tiny_model
from tunesmith import load_experiment
from tunesmith.config.experiment import Model
from tunesmith.data.conversation import Conversation, Turn
from tunesmith.data.example import Example
from tunesmith.model.families import Family
from tunesmith.model.load import load_family
from tunesmith.pipeline.show import CONTROL, SEEN, TRAINED, coloured, rendered_examples, runs
from tunesmith.pipeline.steps import Steps

TALK = Conversation(
    "a.jsonl:7",
    (Turn.of("user", "Hi [red]there[/red] 🙂"), Turn.of("assistant", "Ho"), Turn.of("user", "早?")),
    "Well [/bold] 🙂",
)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return load_family(Model(path=str(tiny_model(tmp_path_factory.mktemp("show") / "model"))))


def steps_of(path: Path, *overrides: str) -> Steps:
    return Steps(load_experiment(path, overrides), path.parent, say=lambda text: None)


def styled(text: Text, style: str) -> list[str]:
    return [text.plain[span.start : span.end] for span in text.spans if style in str(span.style)]


@pytest.mark.parametrize(
    ("trained", "between"),
    [
        ("answer", ["Well [/bold] 🙂<|im_end|>"]),
        ("assistant", ["Ho<|im_end|>", "Well [/bold] 🙂<|im_end|>"]),
    ],
)
def test_trained_tokens_stand_between_brackets_and_all_that_the_model_sees_is_shown(
    family: Family, trained: str, between: list[str]
) -> None:
    example = family.render(TALK, trained)  # type: ignore[arg-type]
    head, _, body = coloured(example, family).plain.partition("\n")
    assert re.findall("⟦(.*?)⟧", body, re.DOTALL) == between
    assert re.sub("[⟦⟧]", "", body).rstrip("\n") == family.tokenizer.decode(example.tokens).rstrip("\n")
    count = int(example.trained.sum())
    assert head == f"a.jsonl:7: {len(example)} tokens, {count} trained ({count / len(example):.1%})"


def test_colours_tell_trained_seen_and_control_tokens_apart(family: Family) -> None:
    text = coloured(family.render(TALK), family)
    assert styled(text, TRAINED) == ["Well [/bold] 🙂", "<|im_end|>"]
    assert "<|im_start|>" in styled(text, f"{SEEN} {CONTROL}")
    assert {"<|im_start|>", "<|im_end|>"} == set(styled(text, CONTROL))


def test_spaces_are_shown_as_the_model_sees_them(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family.tokenizer, "clean_up_tokenization_spaces", True)
    example = family.render(Conversation("a:1", (Turn.of("user", "Is it so ?"),), "No , it isn 't ."))
    shown = coloured(example, family).plain
    assert "Is it so ?" in shown
    assert "⟦No , it isn 't .<|im_end|>⟧" in shown


def test_an_example_that_ends_with_a_trained_token_closes_its_bracket(family: Family) -> None:
    tokens = np.array(family.tokenizer.encode("old house"), np.int32)
    example = Example("a:1", tokens, np.ones(len(tokens), bool))
    assert coloured(example, family).plain.endswith("\n⟦old house⟧\n")


def test_neighbours_that_are_alike_are_shown_in_one_piece() -> None:
    example = Example("a:1", np.array([9, 1, 2, 9, 3, 4], np.int32), np.array([0, 0, 0, 1, 1, 1], bool))
    assert list(runs(example, special={9})) == [
        ([9], False, True),
        ([1, 2], False, False),
        ([9], True, True),
        ([3, 4], True, False),
    ]


def test_what_is_shown_is_what_the_first_stage_trains_on(tmp_path: Path) -> None:
    path = small_experiment(tmp_path, stages=[lora_stage(where="stage == 2")])
    steps = steps_of(path, "task.shots=2")
    stage_of = {record.id: record.fields["stage"] for record in steps.prepared.records("train")}
    shown = [text.plain.partition(": ")[0] for text in rendered_examples(steps, 1000)]
    wanted = {record for record, stage in stage_of.items() if stage == 2}
    assert set(shown) == wanted - {shot.record for shot in steps.shots}


def test_the_same_few_examples_are_shown_every_time(tmp_path: Path) -> None:
    path = small_experiment(tmp_path)
    first, again = ([text.plain for text in rendered_examples(steps_of(path), 3)] for _ in range(2))
    assert len(first) == 3
    assert first == again
