"""Heads: what they pool is each example's own, packed or not; what a stage leaves of them comes back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.families.pictures import FAMILIES, conversations, seeing
from tests.tiny import tiny_model, tiny_seeing_model
from tests.train.small import examples, loaded
from tunesmith.batching.batch import Segments
from tunesmith.batching.collator import collate
from tunesmith.config.experiment import Model
from tunesmith.config.head import Head
from tunesmith.errors import ModelError
from tunesmith.kernels.modules import transformers_model
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.heads import hidden_width, load_head, new_head, refuse_other_head, save_head
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.saving import save_result, trained_state
from tunesmith.model.trainable import make_trainable

LABELS = ("a", "b", "c")
CPU = torch.device("cpu")
POOLINGS = ("mean", "last", "attention")


def with_head(model: LoadedModel, settings: Head | None = None) -> LoadedModel:
    width = hidden_width(model.family.config)
    return replace(model, head=new_head(settings or Head(hidden=16), LABELS, width, 3, CPU))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_each_example_is_pooled_over_its_own_tokens_alone(pooling: str) -> None:
    head = new_head(Head(pooling=pooling, hidden=8), LABELS, 6, 3, CPU)  # type: ignore[arg-type]
    lengths = [3, 1, 5]
    hidden = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    pooled = head.pooled(hidden, Segments.end_to_end(lengths))
    at = 0
    for row, length in zip(pooled.numpy(), lengths, strict=True):
        own = hidden[at : at + length].double().numpy()
        shares = np.full(length, 1 / length)
        if pooling == "last":
            shares = np.eye(length)[-1]
        elif pooling == "attention":
            assert head.query is not None
            powers = np.exp(own @ head.query.weight[0].double().numpy())
            shares = powers / powers.sum()
        np.testing.assert_allclose(row, shares @ own, rtol=1e-5, atol=1e-6)
        at += length


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_layers_are_linear_with_gelu_between_them(layers: int) -> None:
    head = new_head(Head(hidden=8, layers=layers), LABELS, 6, 3, CPU)
    hidden = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    values = hidden.mean(0)
    for number in range(layers):
        if number:
            values = values * 0.5 * (1 + torch.erf(values / 2**0.5))
        state = head.state_dict()
        values = state[f"layers.{number}.weight"] @ values + state[f"layers.{number}.bias"]
    torch.testing.assert_close(head(hidden, Segments.end_to_end([4]))[0], values)


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama"])
def test_hidden_states_are_those_of_transformers_after_the_last_norm(tmp_path: Path, model_type: str) -> None:
    model = loaded(tmp_path, model_type)
    for example in examples(3):
        batch = collate([example])
        with torch.no_grad():
            ours = model.family.hidden(model.model, batch)
            reference = model.model(
                input_ids=batch.tokens[None], output_hidden_states=True, segments=batch.segments
            )
            head = model.model.get_output_embeddings()  # type: ignore[operator]
            torch.testing.assert_close(head(ours), reference.logits[0])
        torch.testing.assert_close(ours, reference.hidden_states[-1][0])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_packed_text_gives_the_logits_of_its_examples_alone(tmp_path: Path, pooling: str) -> None:
    model = with_head(loaded(tmp_path, "qwen3"), Head(pooling=pooling, hidden=16))  # type: ignore[arg-type]
    given = list(examples(8))
    with torch.no_grad():
        packed = model.class_logits(collate(given))
        alone = torch.cat([model.class_logits(collate([example])) for example in given])
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_pictures_give_the_logits_of_their_examples_alone(
    tmp_path: Path, family: str, pooling: str
) -> None:
    model = seeing(tiny_seeing_model(tmp_path / "model", family))
    model = with_head(model, Head(pooling=pooling, hidden=16))  # type: ignore[arg-type]
    prompts = [model.family.prompt(one) for one in conversations(tmp_path)]
    with torch.no_grad():
        packed = model.class_logits(collate(prompts))
        alone = torch.cat([model.class_logits(collate([prompt])) for prompt in prompts])
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)


def test_a_head_begins_the_same_for_the_same_seed_and_leaves_chance_as_it_was() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second, other = (new_head(Head(hidden=4), LABELS, 6, seed, CPU) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.layers[0].weight, second.layers[0].weight)  # type: ignore[arg-type]
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)  # type: ignore[arg-type]


def test_a_head_on_a_model_in_16_bits_is_not_rounded_to_16_bits() -> None:
    head = new_head(Head(hidden=8), LABELS, 6, 3, CPU)
    hidden = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    segments = Segments.end_to_end([3, 1, 5])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(hidden, segments)
    assert torch.equal(logits, head(hidden, segments))


def test_dropout_is_in_training_alone() -> None:
    head = new_head(Head(hidden=64, dropout=0.5), LABELS, 6, 3, CPU)
    hidden, segments = torch.ones(4, 6), Segments.end_to_end([4])
    assert torch.equal(head(hidden, segments), head(hidden, segments))
    head.train()
    assert not torch.equal(head(hidden, segments), head(hidden, segments))


def test_a_head_is_one_more_part_trained_beside_adapters_or_alone(tmp_path: Path) -> None:
    both = make_trainable(with_head(loaded(tmp_path)), {"language": Lora(rank=4), "head": Full()}, seed=1)
    assert [group.part for group in both.groups] == ["language", "head"]
    expected = 64 * 16 + 16 + 16 * 3 + 3
    assert {row.part: row.trained for row in both.summary}["head"] == expected
    alone = make_trainable(with_head(loaded(tmp_path)), {"head": Full()}, seed=1)
    assert all(name.startswith("head.") for name in trained_state(alone))
    assert not any(weight.requires_grad for weight in alone.loaded.model.parameters())
    with pytest.raises(
        ModelError, match=r"parts\.head: lora adapts weights, but a head begins anew\. Use full"
    ):
        make_trainable(with_head(loaded(tmp_path)), {"head": Lora()}, seed=1)
    with pytest.raises(ModelError, match=r"parts\.head: the model has no such part \(language\)"):
        make_trainable(loaded(tmp_path), {"head": Full()}, seed=1)


@pytest.mark.parametrize("language", [None, Lora(rank=4), Full()])
def test_what_a_stage_leaves_answers_as_it_did(tmp_path: Path, language: Lora | Full | None) -> None:
    methods = {"head": Full()} | ({} if language is None else {"language": language})
    trainable = make_trainable(with_head(loaded(tmp_path)), methods, seed=1)
    with torch.no_grad():
        for weight in trained_state(trainable).values():
            weight += 0.05
    save_result(trainable, tmp_path / "stage")
    left = sorted(path.name for path in (tmp_path / "stage").iterdir())
    kind = {None: [], "lora": ["adapter"], "full": ["model"]}[language and language.kind]
    assert left == [*kind, "head.json", "head.safetensors"] if kind != ["model"] else ["head.json", *left[1:]]
    again = load(Model(path=str(tmp_path / "model"), weights="fp32", device="cpu"), tmp_path / "stage")
    batch = collate(list(examples(4)))
    trainable.loaded.train(False)
    with torch.no_grad():
        torch.testing.assert_close(again.class_logits(batch), trainable.loaded.class_logits(batch))
    stated = json.loads((tmp_path / "stage" / "head.json").read_text())
    assert stated["labels"] == list(LABELS)
    assert (stated["pooling"], stated["width"], stated["shapes"]["layers.1.weight"]) == ("mean", 64, [3, 16])
    assert stated["base_model"]["model_type"] == "qwen2"


def saved(folder: Path) -> LoadedModel:
    model = with_head(loaded(folder))
    assert model.head is not None
    inner = transformers_model(model.model)
    save_head(model.head, inner.config, inner.name_or_path, folder)
    return model


def test_a_head_of_another_base_model_is_refused_by_name(tmp_path: Path) -> None:
    saved(tmp_path)
    other = load(Model(path=str(tiny_model(tmp_path / "other", "qwen3")), weights="fp32", device="cpu"))
    with pytest.raises(ModelError) as caught:
        load_head(tmp_path, other.family.config, CPU)
    assert "(qwen2, hidden states of width 64), but the model is qwen3 with width 64." in str(caught.value)
    wide = tiny_model(tmp_path / "wide", hidden_size=128)
    (tmp_path / "stage").mkdir()
    for name in ("head.json", "head.safetensors"):
        (tmp_path / name).rename(tmp_path / "stage" / name)
    with pytest.raises(ModelError, match="but the model is qwen2 with width 128"):
        load(Model(path=str(wide), weights="fp32", device="cpu"), tmp_path / "stage")


def test_files_that_do_not_belong_together_are_told(tmp_path: Path) -> None:
    model = saved(tmp_path)
    state = load_file(tmp_path / "head.safetensors")
    save_file({**state, "layers.1.bias": torch.zeros(5)}, tmp_path / "head.safetensors")
    with pytest.raises(
        ModelError, match=r"head\.safetensors: this head cannot be read.*size mismatch for layers\.1"
    ):
        load_head(tmp_path, model.family.config, CPU)
    (tmp_path / "head.safetensors").unlink()
    with pytest.raises(ModelError, match=r"Bring back both files of the stage, or train again"):
        load_head(tmp_path, model.family.config, CPU)
    (tmp_path / "head.json").unlink()
    assert load_head(tmp_path, model.family.config, CPU) is None


def test_a_head_that_a_task_does_not_mean_is_refused_with_all_that_differs() -> None:
    head = new_head(Head(hidden=4), LABELS, 6, 3, CPU)
    refuse_other_head(head, Head(hidden=4, dropout=0.5), LABELS)
    with pytest.raises(ModelError) as caught:
        refuse_other_head(head, Head(hidden=4, pooling="last"), ("a", "c", "b"))
    assert str(caught.value).splitlines() == [
        "task.labels: the head was trained for others: they are in another order (at place 2 the head has 'b', the "
        "task 'c')",
        "task.answer.pooling: the head has mean, the task asks for last",
        "Give the task what the head was trained with, or train a new one",
    ]
    with pytest.raises(
        ModelError, match=r"\(3, the task has 2\): it does not know 'x'; the task lacks 'b', 'c'"
    ):
        refuse_other_head(head, Head(hidden=4), ("a", "x"))
