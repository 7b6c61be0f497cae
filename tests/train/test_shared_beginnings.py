"""What examples begin with, laid out once: loss and gradients beside those of every example in full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.model.families.pictures import FAMILIES, picture
from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith.batching.collator import collate
from tunesmith.config.experiment import Model
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.records.conversation import Conversation, Text, Turn
from tunesmith.train.fit import backward
from tunesmith.train.loss import answer_loss

INSTRUCTION = "Say in one word what the following sentence is about, and nothing else: "


def learnt(
    loaded: LoadedModel, asked: list[Conversation], share: bool
) -> tuple[int, float, list[torch.Tensor]]:
    """Tokens laid out, loss, and the gradient of every weight."""
    loaded.model.requires_grad_(True)
    loaded.model.zero_grad()
    batch = collate([loaded.family.render(one) for one in asked], share=share)
    nats = backward(loaded, [batch], answer_loss)
    assert nats is not None
    found = [weight.grad.clone() for weight in loaded.model.parameters() if weight.grad is not None]
    return len(batch.tokens), nats.item(), found


def compare(loaded: LoadedModel, asked: list[Conversation]) -> float:
    """Assert that the same is learnt, and say what share of the tokens is left."""
    whole, plain, wanted = learnt(loaded, asked, share=False)
    tokens, loss, found = learnt(loaded, asked, share=True)
    assert loss == pytest.approx(plain, rel=1e-5)
    largest = max(gradient.abs().max() for gradient in wanted)
    for one, gradient in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, gradient, rtol=1e-3, atol=1e-5 * float(largest))
    return tokens / whole


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama"])
def test_of_texts_with_one_instruction_the_same_is_learnt(tmp_path: Path, model_type: str) -> None:
    loaded = load(Model(path=str(tiny_model(tmp_path / "model", model_type)), weights="fp32"))
    sentences = ["It rained all day.", "They won again!", "Shares fell by a third on Monday."]
    asked = [
        Conversation(f"t:{number}", (Turn.of("user", INSTRUCTION + sentence),), answer)
        for number, (sentence, answer) in enumerate(
            zip(sentences, ["Weather", "Sport", "Money"], strict=True)
        )
    ]
    assert compare(loaded, asked) < 0.75


@pytest.mark.parametrize("model_type", FAMILIES)
def test_of_questions_about_one_picture_the_same_is_learnt(tmp_path: Path, model_type: str) -> None:
    place = tiny_seeing_model(tmp_path / "model", model_type)
    loaded = load(Model(path=str(place), weights="fp32"))
    first, second = picture(tmp_path, 224, 196), picture(tmp_path, 112, 140, seed=1)
    asked = [
        Conversation(f"p:{number}", (Turn("user", (shown, Text(question))),), answer)
        for number, (shown, question, answer) in enumerate(
            [
                (first, "What is it?", "noise"),
                (second, "And this?", "more of it"),
                (first, "Which colours?", "all"),
                (first, "What is it?", "noise"),
            ]
        )
    ]
    asked.append(Conversation("p:9", (Turn.of("user", "No picture at all."),), "None."))
    assert compare(loaded, asked) < 0.7


def test_labels_stand_at_the_end_of_their_example(tmp_path: Path) -> None:
    loaded = load(Model(path=str(tiny_model(tmp_path / "model", "qwen2")), weights="fp32"))
    asked = [
        Conversation(f"t:{number}", (Turn.of("user", INSTRUCTION + sentence),), "Weather")
        for number, sentence in enumerate(["It rained all day.", "They won again!"])
    ]
    examples = [replace(loaded.family.render(one), classes=(number + 3,)) for number, one in enumerate(asked)]
    batch = collate(examples, share=True)
    assert batch.segments.continues.tolist() == [-1, 0, 0]
    assert batch.labels is not None
    assert batch.labels.tolist() == [[1, 3], [2, 4]]
