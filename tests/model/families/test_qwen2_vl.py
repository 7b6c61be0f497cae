from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.families.pictures import picture, seeing
from tests.tiny import tiny_seeing_model
from tunesmith.images.boxes import AskForBoxes, Box, Boxes
from tunesmith.model.loaded import LoadedModel
from tunesmith.records.conversation import Conversation, Turn


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return seeing(tiny_seeing_model(tmp_path_factory.mktemp("model"), "qwen2_vl"))


def test_boxes_are_special_tokens_in_thousandths(loaded: LoadedModel, tmp_path: Path) -> None:
    shown = picture(tmp_path, 200, 100)
    boxes = Boxes(shown, (Box("table", (0.1, 0.2, 0.5, 0.9)),), labels=("table",))
    asked = Conversation("p:1", (Turn("user", (shown, AskForBoxes(("table",)))),), "[]", boxes=boxes)
    example = loaded.family.render(asked)
    written = loaded.family.tokenizer.decode(example.tokens[example.trained])
    assert written == (
        "<|object_ref_start|>table<|object_ref_end|><|box_start|>(100,200),(500,900)<|box_end|><|im_end|>"
    )
    assert "Detect the bounding box of every table in the picture." in loaded.family.tokenizer.decode(
        example.tokens
    )
    text, ended = loaded.family.parse(example.tokens[example.trained].tolist())
    assert ended
    assert loaded.family.boxes(text, boxes) == boxes.boxes
    assert loaded.family.continuation(asked).tolist() == example.tokens[example.trained].tolist()
