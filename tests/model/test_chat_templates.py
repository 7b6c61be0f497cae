from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.model.families.pictures import conversations, picture
from tests.tiny import CHATML, tiny_model, tiny_seeing_model
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.model.families import Family
from tunesmith.model.load import load_family
from tunesmith.records.conversation import Conversation, Text, Turn

SOFT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
"""For text; of a list it writes Python's own form."""


def family_in(folder: Path) -> Family:
    return load_family(Model(path=str(folder), device="cpu"))


def in_processor(folder: Path, template: object) -> None:
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))


def in_tokenizer(folder: Path, template: object) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": template}))


PLACES: dict[str, Callable[[Path, str], None]] = {
    "in the processor's file": in_processor,
    "in the tokenizer's file": in_tokenizer,
    "in both, that of the tokenizer for text": lambda folder, template: (
        in_processor(folder, template),
        in_tokenizer(folder, CHATML),
    )[1],
    "named, in the tokenizer's file": lambda folder, template: in_tokenizer(
        folder, [{"name": "default", "template": template}, {"name": "tool_use", "template": "x"}]
    ),
    "the only one, by another name": lambda folder, template: in_processor(
        folder, [{"name": "chat", "template": template}]
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_template_of_a_model_that_sees_is_found_wherever_it_stands(place: str, tmp_path: Path) -> None:
    asked = conversations(tmp_path)
    folder = tiny_seeing_model(tmp_path / "model", "qwen2_5_vl")
    expected = [example.tokens.tolist() for example in family_in(folder).render_all(asked)]
    template = folder / "chat_template.jinja"
    text = template.read_text()
    template.unlink()
    PLACES[place](folder, text)
    assert [example.tokens.tolist() for example in family_in(folder).render_all(asked)] == expected


@pytest.mark.parametrize("template", [CHATML, SOFT, None])
def test_a_template_for_text_is_enough_for_text_and_pictures_say_what_to_put_there(
    template: str | None, tmp_path: Path
) -> None:
    folder = tiny_seeing_model(tmp_path / "model", "qwen3_vl")
    (folder / "chat_template.jinja").unlink()
    if template:
        in_tokenizer(folder, template)
    family = family_in(folder)
    family.prompt(Conversation("a:1", (Turn.of("user", "x"),), ""))
    shown = Conversation("a:2", (Turn("user", (picture(tmp_path, 60, 60), Text("x"))),), "y")
    with pytest.raises(ModelError, match=r"chat template is for text alone.*Put the chat_template\.json"):
        family.render(shown)


def test_the_template_of_a_text_model_may_stand_in_the_processors_file(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    in_processor(folder, "{{ 'Hello. ' }}" + CHATML)
    family = family_in(folder)
    prompt = family.prompt(Conversation("a:1", (Turn.of("user", "x"),), ""))
    assert family.tokenizer.decode(prompt.tokens).startswith("Hello. ")


def test_several_named_templates_without_a_default_are_named(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    in_tokenizer(folder, [{"name": "rag", "template": CHATML}, {"name": "tool_use", "template": CHATML}])
    with pytest.raises(
        ModelError, match=r"has the chat templates rag, tool_use, and none is called 'default'"
    ):
        family_in(folder)
