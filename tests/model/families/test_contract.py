"""What must hold for every family, whatever its chat template."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig

from tests.model.families.conversations import (
    CONVERSATIONS,
    as_messages,
    assert_same,
    tiny_family,
    trained_text,
)
from tests.model.families.qwen_vocabulary import qwen_tokenizer
from tests.tiny import CHATML, official_template
from tunesmith.errors import DataError
from tunesmith.model.families import Family, _prefetch, family_of
from tunesmith.records.conversation import Conversation

FAMILIES = {
    "generic": ("llama", "", False),
    "qwen2": ("qwen2", "", False),
    "qwen2.5": ("qwen2", "qwen2_5", False),
    "qwen3": ("qwen3", "qwen3", False),
    "qwen3 thinking": ("qwen3", "qwen3", True),
    "qwen3-2507": ("qwen3", "qwen3_instruct_2507", False),
}
"""Model type, TRL's name of the official template (none is plain ChatML), and the thinking switch."""


REAL = [f"{name}, real vocabulary" for name in ("qwen2.5", "qwen3", "qwen3 thinking", "qwen3-2507")]


@pytest.fixture(
    params=[*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in REAL)], scope="module"
)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    name, _, is_real = request.param.partition(",")
    model_type, template, thinking = FAMILIES[name]
    text = official_template(template) if template else CHATML
    if not is_real:
        return tiny_family(tmp_path_factory.mktemp("tokenizer"), model_type, text, thinking)
    tokenizer = qwen_tokenizer()
    tokenizer.chat_template = text
    return family_of(model_type)(tokenizer, AutoConfig.for_model(model_type), thinking)


@pytest.fixture(params=CONVERSATIONS)
def conversation(request: pytest.FixtureRequest) -> Conversation:
    return CONVERSATIONS[request.param]


def official_tokens(family: Family, conversation: Conversation) -> list[int]:
    return family.tokenizer.apply_chat_template(as_messages(conversation), tokenize=True, return_dict=False)


def test_an_example_is_what_the_official_template_gives_token_by_token(
    family: Family, conversation: Conversation
) -> None:
    tokens, official = family.render(conversation).tokens.tolist(), official_tokens(family, conversation)
    assert family.tokenizer.decode(tokens) == family.tokenizer.decode(official)
    merges_over_the_border = conversation.answer.startswith("\n") and "\n\n" in family.tokenizer.decode(
        tokens
    )
    assert tokens == official or merges_over_the_border


def test_the_prompt_is_how_the_example_begins(family: Family, conversation: Conversation) -> None:
    prompt, example = family.prompt(conversation).tokens, family.render(conversation)
    assert np.array_equal(example.tokens[: len(prompt)], prompt)
    assert not example.trained[: len(prompt)].any()
    asking = family.tokenizer.apply_chat_template(
        as_messages(conversation)[:-1], add_generation_prompt=True, enable_thinking=family.thinking,
        return_dict=False,
    )  # fmt: skip
    assert prompt.tolist() == asking


def test_a_candidate_scored_is_what_would_be_trained(family: Family, conversation: Conversation) -> None:
    example = family.render(conversation)
    trained = example.tokens[example.trained]
    assert np.array_equal(family.continuation(conversation, conversation.answer), trained)
    assert trained[-1] in family.stop_tokens
    assert example.classes == conversation.classes
    assert example.record == conversation.record


def test_reading_gives_back_what_was_written(family: Family, conversation: Conversation) -> None:
    written = family.continuation(conversation, conversation.answer).tolist()
    text, ended = family.parse(written)
    template_drops = "lstrip" in family.tokenizer.chat_template
    assert text == (conversation.answer.lstrip("\n") if template_drops else conversation.answer)
    assert ended
    if conversation.answer and not family.thinking:
        cut, ended = family.parse(written[:-1])
        assert (cut, ended) == (text, False)


def test_every_assistant_turn_is_trained_if_asked_for_and_no_other_text(family: Family) -> None:
    conversation = CONVERSATIONS["multi-turn"]
    answers = ["<b>Hello</b> you", "So soon?", "4"]
    thought = "<think>\n\n</think>\n\n" if family.thinking else ""
    expected = "".join(f"{thought if answer == '4' else ''}{answer}<|im_end|>" for answer in answers)
    assert trained_text(family, conversation, "assistant") == expected
    assert trained_text(family, CONVERSATIONS["plain"], "assistant") == f"{thought}Four.<|im_end|>"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from(list(CONVERSATIONS)), max_size=12),
    trained=st.sampled_from(["answer", "assistant", "all"]),
)
def test_many_at_once_are_what_each_is_alone(family: Family, names: list[str], trained: str) -> None:
    asked = [replace(CONVERSATIONS[name], record=f"a:{place}") for place, name in enumerate(names)]
    with patch.object(_prefetch, "RUN", 4):
        together, prompts = list(family.render_all(asked, trained)), list(family.prompt_all(asked))
    assert_same(together, [family.render(one, trained) for one in asked])
    assert_same(prompts, [family.prompt(one) for one in asked])


def test_of_many_the_first_that_is_refused_is_named_and_those_before_it_come_out(family: Family) -> None:
    asked = [replace(CONVERSATIONS["plain"], record=f"b.jsonl:{place}") for place in range(12)]
    for place in (6, 9):
        asked[place] = replace(asked[place], answer="Say <|im_end|>")
    with patch.object(_prefetch, "RUN", 4):
        examples = family.render_all(asked)
        assert [next(examples).record for _ in range(6)] == [one.record for one in asked[:6]]
        with pytest.raises(DataError, match=r"^b\.jsonl:6: the text holds <\|im_end\|>"):
            next(examples)


def test_everything_but_the_first_token_is_trained_if_asked_for(family: Family) -> None:
    example = family.render(CONVERSATIONS["system"], "all")
    assert not example.trained[0]
    assert example.trained[1:].all()


@pytest.mark.parametrize("place", ["user", "answer"])
def test_text_that_would_end_a_turn_is_refused_with_its_record(family: Family, place: str) -> None:
    plain = CONVERSATIONS["plain"]
    turns = (type(plain.turns[0]).of("user", "Say <|im_end|>"),) if place == "user" else plain.turns
    answer = "Say <|im_end|>" if place == "answer" else plain.answer
    with pytest.raises(
        DataError, match=r"b\.jsonl:9: the text holds <\|im_end\|>, which the model reads as a control"
    ):
        family.render(Conversation("b.jsonl:9", turns, answer))
