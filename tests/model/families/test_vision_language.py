"""What must hold for every family that sees: what the official processor and model give, packed or alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModelForImageTextToText
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.model.families.conversations import assert_same
from tests.model.families.pictures import FAMILIES, conversations, rendered, seeing
from tests.tiny import tiny_seeing_model
from tunesmith.batching.collator import collate
from tunesmith.batching.positions import positions_of
from tunesmith.errors import DataError
from tunesmith.model.families import _prefetch
from tunesmith.model.loaded import LoadedModel
from tunesmith.records.conversation import Conversation, Text, Turn
from tunesmith.train.loss import answer_loss


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return seeing(tiny_seeing_model(tmp_path_factory.mktemp("model"), request.param))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Conversation]:
    return conversations(tmp_path_factory.mktemp("pictures"))


def official(loaded: LoadedModel, conversation: Conversation) -> tuple[str, dict[str, Any]]:
    """Text with placeholders by the official template, and pixels by the official processor."""
    file = loaded.family.image_processor.file
    processor = Qwen2VLImageProcessorPil(
        size={"shortest_edge": file["min_pixels"], "longest_edge": file["max_pixels"]},
        **{
            name: file[name]
            for name in ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std")
        },
    )
    messages = [
        {
            "role": turn.role,
            "content": [
                {"type": "text", "text": piece.text} if isinstance(piece, Text) else {"type": "image"}
                for piece in turn.pieces
            ],
        }
        for turn in conversation.turns
    ]
    messages.append({"role": "assistant", "content": [{"type": "text", "text": conversation.answer}]})
    text = loaded.family.tokenizer.apply_chat_template(messages, tokenize=False)
    if not conversation.pictures:
        return text, {}
    pixels = processor([Image.open(one.file) for one in conversation.pictures], return_tensors="pt")
    for grid in pixels["image_grid_thw"].tolist():
        text = text.replace("<|image_pad|>", "<|seen|>" * (grid[1] * grid[2] // 4), 1)
    return text.replace("<|seen|>", "<|image_pad|>"), dict(pixels)


def official_inputs(loaded: LoadedModel, conversation: Conversation) -> dict[str, Any]:
    text, pixels = official(loaded, conversation)
    tokens = loaded.family.tokenizer(text, return_tensors="pt")["input_ids"]
    kinds = (tokens == loaded.family.config.image_token_id).int()
    return {"input_ids": tokens, "mm_token_type_ids": kinds, **pixels}


@pytest.mark.parametrize("number", range(4))
def test_tokens_are_those_of_the_official_processor(
    loaded: LoadedModel, asked: list[Conversation], number: int
) -> None:
    example = loaded.family.render(asked[number])
    text, _ = official(loaded, asked[number])
    assert example.tokens.tolist() == loaded.family.tokenizer(text)["input_ids"]
    assert (
        loaded.family.tokenizer.decode(example.tokens[example.trained]) == asked[number].answer + "<|im_end|>"
    )


@settings(max_examples=15, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 3), max_size=9), trained=st.sampled_from(["answer", "assistant", "all"])
)
def test_many_at_once_are_what_each_is_alone(
    loaded: LoadedModel, asked: list[Conversation], numbers: list[int], trained: str
) -> None:
    several = [replace(asked[number], record=f"p:{place}") for place, number in enumerate(numbers)]
    with patch.object(_prefetch, "RUN", 4):
        together, prompts = (
            list(loaded.family.render_all(several, trained)),
            list(loaded.family.prompt_all(several)),
        )
    assert_same(together, [loaded.family.render(one, trained) for one in several])
    assert_same(prompts, [loaded.family.prompt(one) for one in several])


def test_of_many_the_first_that_cannot_be_shown_is_named_though_its_picture_is_looked_at_last(
    loaded: LoadedModel, asked: list[Conversation]
) -> None:
    several = [replace(asked[0], record=f"p:{place}") for place in range(10)]
    flat = replace(asked[0].pictures[0], width=1000, height=1)
    several[5] = replace(several[5], turns=(Turn("user", (flat, Text("What is it?"))),))
    several[6] = replace(several[6], answer="<|im_end|>")
    with patch.object(_prefetch, "RUN", 4), pytest.raises(DataError, match=r"^p:5: picture .*\.png: "):
        list(loaded.family.render_all(several))


@pytest.mark.parametrize("number", [0, 1, 3])
def test_pixels_are_those_of_the_official_processor(
    loaded: LoadedModel, asked: list[Conversation], number: int
) -> None:
    pixels = collate([loaded.family.render(asked[number])]).pixels
    _, wanted = official(loaded, asked[number])
    assert pixels is not None
    assert pixels.grids.tolist() == [grid[1:] for grid in wanted["image_grid_thw"].tolist()]
    image_processor = loaded.family.image_processor
    mean, std = (
        torch.tensor(one).repeat_interleave(image_processor.patch_size**2)
        for one in (image_processor.mean, image_processor.std)
    )
    ours = (pixels.patches.float() / 255 - mean) / std
    once = wanted["pixel_values"].unflatten(1, (3, 2, image_processor.patch_size**2))
    assert torch.equal(once[:, :, 0], once[:, :, 1])
    torch.testing.assert_close(ours, once[:, :, 0].flatten(1), rtol=0, atol=2e-6)


@pytest.mark.parametrize("number", range(4))
def test_positions_are_those_of_the_official_model(
    loaded: LoadedModel, asked: list[Conversation], number: int
) -> None:
    inputs = official_inputs(loaded, asked[number])
    example = loaded.family.render(asked[number])
    if not asked[number].pictures:
        assert positions_of(example).tolist() == [list(range(len(example)))]
        return
    wanted, _ = loaded.model.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        image_grid_thw=inputs["image_grid_thw"],
    )
    assert positions_of(example).tolist() == wanted[:, 0].tolist()


def official_logits(loaded: LoadedModel, conversation: Conversation) -> torch.Tensor:
    model = AutoModelForImageTextToText.from_pretrained(
        loaded.model.name_or_path, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        return model(**official_inputs(loaded, conversation), use_cache=False).logits[0]


@pytest.mark.parametrize("number", range(4))
def test_logits_are_those_of_the_official_model(
    loaded: LoadedModel, asked: list[Conversation], number: int
) -> None:
    batch = collate([loaded.family.render(asked[number])])
    with torch.no_grad():
        ours = loaded.logits(batch)
    torch.testing.assert_close(
        ours, official_logits(loaded, asked[number])[batch.predicting], rtol=1e-4, atol=2e-5
    )


def gradients(loaded: LoadedModel, batches: list[Any]) -> tuple[float, dict[str, torch.Tensor]]:
    loaded.model.requires_grad_(True)
    loaded.model.zero_grad()
    nats = torch.stack([answer_loss(loaded, batch) for batch in batches]).sum()
    nats.backward()
    found = {
        name: weight.grad.clone()
        for name, weight in loaded.model.named_parameters()
        if weight.grad is not None
    }
    return nats.item(), found


def test_a_packed_batch_has_the_loss_and_gradients_of_its_examples_alone(
    loaded: LoadedModel, asked: list[Conversation]
) -> None:
    examples = rendered(loaded, asked)
    packed, of_packed = gradients(loaded, [collate(examples, workers=2)])
    alone, of_alone = gradients(loaded, [collate([example]) for example in examples])
    assert packed == pytest.approx(alone, abs=1e-5 * len(examples))
    assert of_packed.keys() == of_alone.keys() == dict(loaded.model.named_parameters()).keys()
    for part, modules in loaded.family.parts(loaded.model).items():
        names = [
            f"{module}.{name}"
            for module, holder in modules.items()
            for name, _ in holder.named_parameters(recurse=False)
        ]
        known = [name for name in names if name in of_packed]
        assert known, part
        for name in known:
            torch.testing.assert_close(of_packed[name], of_alone[name], rtol=2e-4, atol=2e-5, msg=name)


def test_text_alone_can_train_what_sees(loaded: LoadedModel, asked: list[Conversation]) -> None:
    loaded.model.zero_grad()
    loaded.model.requires_grad_(False)
    loaded.model.model.visual.requires_grad_(True)
    answer_loss(loaded, collate([loaded.family.render(asked[2])])).backward()
    seen = [weight.grad for weight in loaded.model.model.visual.parameters() if weight.grad is not None]
    assert not any(gradient.any() for gradient in seen)


def test_all_text_is_trained_but_no_picture(loaded: LoadedModel, asked: list[Conversation]) -> None:
    example = loaded.family.render(asked[1], "all")
    untrained = loaded.family.tokenizer.convert_ids_to_tokens(example.tokens[1:][~example.trained[1:]])
    assert set(untrained) == {"<|vision_start|>", "<|image_pad|>", "<|vision_end|>"}
    assert np.isin(example.tokens, loaded.family.config.image_token_id).sum() == example.num_picture_tokens


def test_writing_sees_the_pictures(loaded: LoadedModel, asked: list[Conversation], tmp_path: Path) -> None:
    from tunesmith.evaluate.engines._writing import write

    prompts = [loaded.family.prompt(one) for one in asked]
    together = write(loaded, prompts, 6)
    assert together == [write(loaded, [prompt], 6)[0] for prompt in prompts]
    model = AutoModelForImageTextToText.from_pretrained(loaded.model.name_or_path, dtype=torch.float32).eval()
    for conversation, prompt, wrote in zip(asked, prompts, together, strict=True):
        inputs = official_inputs(loaded, conversation)
        size = len(prompt)
        cut = {
            name: value[:, :size] if name in ("input_ids", "mm_token_type_ids") else value
            for name, value in inputs.items()
        }
        settings = {"do_sample": False, "max_new_tokens": 6, "eos_token_id": list(loaded.family.stop_tokens)}
        official_answer = model.generate(**cut, **settings, pad_token_id=0)[0, size:].tolist()
        assert wrote == official_answer
