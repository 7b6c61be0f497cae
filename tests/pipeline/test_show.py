from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text

from tests.model.families.pictures import conversations, picture
from tests.pipeline import pictured
from tests.pipeline.small import lora_stage, small_experiment
from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith import load_experiment
from tunesmith.batching.example import Example
from tunesmith.config.experiment import Model
from tunesmith.errors import DataError
from tunesmith.images.boxes import Box, Boxes
from tunesmith.model.families import Family
from tunesmith.model.load import load_family
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.show import (
    CONTROL,
    FOLDED,
    SEEN,
    TRAINED,
    TokenRun,
    boxes_of,
    coloured,
    rendered_examples,
    runs,
)
from tunesmith.records.conversation import Conversation, Turn

TALK = Conversation(
    "a.jsonl:7",
    (Turn.of("user", "Hi [red]there[/red] 🙂"), Turn.of("assistant", "Ho"), Turn.of("user", "早?")),
    "Well [/bold] 🙂",
)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return load_family(Model(path=str(tiny_model(tmp_path_factory.mktemp("show") / "model"))))


def steps_of(path: Path, *overrides: str) -> RunContext:
    return RunContext(load_experiment(path, overrides), path.parent, say=lambda text: None)


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


def test_data_cannot_steer_the_terminal(family: Family) -> None:
    asked = Turn.of("user", "a\x1b[2Jb\x07\n\tc\x9bd")
    shown = coloured(family.render(Conversation("\x1b]0;x\x07.jsonl:1", (asked,), "\x1b[0m")), family).plain
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert "a\\x1b[2Jb\\x07\n\tc\\x9bd" in shown


def test_an_example_that_ends_with_a_trained_token_closes_its_bracket(family: Family) -> None:
    tokens = np.array(family.tokenizer.encode("old house"), np.int32)
    example = Example("a:1", tokens, np.ones(len(tokens), bool))
    assert coloured(example, family).plain.endswith("\n⟦old house⟧\n")


def test_neighbours_that_are_alike_are_shown_in_one_piece() -> None:
    example = Example("a:1", np.array([9, 1, 2, 9, 3, 4], np.int32), np.array([0, 0, 0, 1, 1, 1], bool))
    assert list(runs(example, special={9})) == [
        TokenRun([9], False, True),
        TokenRun([1, 2], False, False),
        TokenRun([9], True, True),
        TokenRun([3, 4], True, False),
    ]


def test_what_is_shown_is_what_the_first_stage_trains_on(tmp_path: Path) -> None:
    path = small_experiment(tmp_path, stages=[lora_stage(where="stage == 2")])
    steps = steps_of(path, "task.num_shots=2")
    stage_of = {record.id: record.fields["stage"] for record in steps.prepared.records("train")}
    shown = [one.text.plain.partition(": ")[0] for one in rendered_examples(steps, 1000)]
    wanted = {record for record, stage in stage_of.items() if stage == 2}
    assert set(shown) == wanted - {shot.record for shot in steps.shots}


def test_the_same_few_examples_are_shown_every_time(tmp_path: Path) -> None:
    path = small_experiment(tmp_path)
    first, again = ([one.text.plain for one in rendered_examples(steps_of(path), 3)] for _ in range(2))
    assert len(first) == 3
    assert first == again


@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen3_vl"])
def test_all_tokens_of_a_picture_are_folded_into_one_mark(tmp_path: Path, model_type: str) -> None:
    seeing = load_family(Model(path=str(tiny_seeing_model(tmp_path / "model", model_type))))
    asked = conversations(tmp_path)[1]
    example = seeing.render(asked)
    text = coloured(example, seeing)
    assert "_pad|>" not in text.plain
    marks = [
        f"[picture {number}: {one.picture.path}, {one.picture.width}x{one.picture.height} seen as "
        f"{one.width}x{one.height}, {one.num_tokens} tokens]"
        for number, one in enumerate(example.pictures, 1)
    ]
    assert styled(text, FOLDED) == marks
    bare = re.sub(r"\[picture \d:.*?\]", "", text.plain.partition("\n")[2])
    unfolded = seeing.tokenizer.decode(example.tokens).replace("<|image_pad|>", "")
    assert re.sub("[⟦⟧]", "", bare).rstrip("\n") == unfolded.rstrip("\n")
    assert text.plain.startswith(f"p:2: {len(example)} tokens ({example.num_picture_tokens} of 2 pictures), ")


def test_two_pictures_that_touch_are_two_marks(tmp_path: Path) -> None:
    seeing = load_family(Model(path=str(tiny_seeing_model(tmp_path / "model", "qwen2_vl"))))
    whole = seeing.render(conversations(tmp_path)[1])
    first = whole.pictures[0]
    second = dataclasses.replace(whole.pictures[1], start=first.start + first.num_tokens)
    tokens = np.full(second.start + second.num_tokens, whole.tokens[first.start])
    joined = Example("a:1", tokens, np.zeros(len(tokens), bool), pictures=(first, second))
    pictures = [(run.picture, len(run.tokens)) for run in runs(joined, set())]
    assert [one for one in pictures if one[0] is not None] == [(0, first.num_tokens), (1, second.num_tokens)]


def test_boxes_belong_to_the_picture_that_they_were_said_of(tmp_path: Path) -> None:
    one, other = picture(tmp_path, 60, 60), picture(tmp_path, 80, 80)
    boxes = [(Box(name, (0, 0, 1, 1)),) for name in "abc"]
    turns = (
        Turn("user", (one,)), Turn("assistant", (Boxes(one, boxes[0]),)),
        Turn("user", (other,)), Turn.of("assistant", "none of a kind"),
        Turn("user", (one,)), Turn("assistant", (Boxes(one, boxes[1]),)),
        Turn("user", (other,)),
    )  # fmt: skip
    asked = Conversation("a:1", turns, "", boxes=Boxes(other, boxes[2]))
    assert boxes_of(asked) == [boxes[0], (), boxes[1], boxes[2]]


def test_drawings_are_in_a_temporary_folder_or_where_they_are_wanted_and_never_in_a_run(
    tmp_path: Path,
) -> None:
    path = pictured.pictured_experiment(tmp_path)
    steps = pictured.steps_of(path, "task.num_shots=1")
    (shown,) = rendered_examples(steps, 1)
    name = shown.example.record.replace(":", "-")
    drawn = shown.pictures[0].path.parent
    assert drawn.name.startswith("tunesmith-show-")
    assert [one.path for one in shown.pictures] == [drawn / f"{name}.png", drawn / f"{name}-2.png"]
    assert not (tmp_path / "runs/pictured/main").exists()
    (elsewhere,) = rendered_examples(steps, 1, tmp_path / "out")
    elsewhere.pictures[0].draw()
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"{name}.png"]
    assert elsewhere.to_json()["pictures"][1]["boxes"][0]["label"] == "table"


def test_a_picture_that_is_not_what_it_was_is_named(tmp_path: Path) -> None:
    steps = pictured.steps_of(pictured.pictured_experiment(tmp_path))
    (shown,) = rendered_examples(steps, 1)
    (seen,) = shown.pictures
    seen.placed.picture.file.write_bytes(b"")
    with pytest.raises(DataError, match=r"\.png: has changed since the data was prepared"):
        seen.draw()
