from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.model.families.conversations import CONVERSATIONS, assert_same, tiny_family
from tests.tiny import CHATML, tiny_model, tiny_tokenizer
from tunesmith.batching.collator import collate
from tunesmith.errors import DataError, ModelError
from tunesmith.kernels.attention import packed
from tunesmith.model.families import family_of
from tunesmith.model.families.generic import Generic
from tunesmith.records.conversation import Conversation, Turn


def test_a_model_type_without_a_file_gets_the_generic_family() -> None:
    assert family_of("olmo2") is Generic
    assert family_of("qwen2").__name__ == "Qwen2"
    assert family_of("qwen3").__name__ == "Qwen3"


def test_logits_are_those_of_the_predicting_tokens_only(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path, "llama")).eval()
    family = tiny_family(tmp_path / "other", "llama")
    batch = collate([family.render(CONVERSATIONS["plain"]), family.render(CONVERSATIONS["json"])])
    whole = model(batch.tokens[None], position_ids=batch.positions, use_cache=False).logits[0]
    packed.use(model, "sdpa")
    ours = family.logits(model, batch)
    assert ours.shape == (batch.num_trained, 1024)
    torch.testing.assert_close(ours, whole[batch.predicting], atol=1e-5, rtol=0)


def test_the_language_part_is_the_whole_decoder(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path, "llama"))
    parts = tiny_family(tmp_path / "other", "llama").parts(model)
    assert list(parts) == ["language"]
    named = {name: module for name, module in model.named_modules() if name}
    assert parts["language"] == named
    assert {"lm_head", "model.embed_tokens", "model.layers.1.mlp.down_proj"} <= named.keys()


def test_a_base_model_with_turn_tokens_gets_chatml_and_one_without_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(tmp_path)
    tokenizer.chat_template = None
    family = Generic(tokenizer, AutoConfig.for_model("llama"))
    assert family.tokenizer.decode(family.prompt(CONVERSATIONS["plain"]).tokens).endswith(
        "<|im_start|>assistant\n"
    )
    with pytest.raises(
        ModelError, match=r"no chat template, so it is a base model. Use its Instruct version"
    ):
        Generic(_words_tokenizer(None), AutoConfig.for_model("llama"))


def test_a_template_that_never_ends_an_answer_is_refused(tmp_path: Path) -> None:
    template = CHATML.replace("<|im_end|>", "")
    with pytest.raises(
        ModelError, match="ends an answer with no control token, so the model could never learn to stop"
    ):
        tiny_family(tmp_path, "llama", template)


def test_thinking_is_refused_for_models_that_have_no_switch(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model.thinking: llama cannot switch thinking"):
        tiny_family(tmp_path, "llama", thinking=True)


def test_turns_that_the_template_refuses_name_the_record(tmp_path: Path) -> None:
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    family = tiny_family(tmp_path, "llama", template)
    with pytest.raises(
        DataError, match=r"a:2: .*refuses turns of system, user .*no system.*leave out task.system"
    ):
        family.prompt(CONVERSATIONS["system"])


def test_an_answer_that_the_template_moves_names_the_record(tmp_path: Path) -> None:
    template = CHATML.replace("+ message['content'] +", "+ message['content'] | upper +")
    template = "{% set ns = messages | length %}{% if ns > 1 %}{{ 'long' }}{% endif %}" + template
    with pytest.raises(ModelError, match="does not write this answer where it prompts for one"):
        tiny_family(tmp_path, "llama", template)


@pytest.mark.parametrize(
    "template", ["{% for x in messages %}", "{{ messages.nothing.more }}", "{{ 1 + 'x' }}"]
)
def test_a_chat_template_that_cannot_be_run_is_a_fault_of_the_model(tmp_path: Path, template: str) -> None:
    with pytest.raises(
        ModelError, match=r"model\.path: the model's chat template cannot write a question and its answer"
    ):
        tiny_family(tmp_path, "llama", template)


def test_a_tokenizer_with_more_ids_than_the_model_has_embeddings_is_refused(tmp_path: Path) -> None:
    config = AutoConfig.for_model("llama", vocab_size=500)
    with pytest.raises(ModelError, match=r"ids up to 1,0\d\d, but config.json says vocab_size 500"):
        Generic(tiny_tokenizer(tmp_path), config)


def test_two_assistant_turns_in_a_row_are_refused_where_the_template_joins_them(tmp_path: Path) -> None:
    template = (
        "{% for message in messages %}{% if loop.first or message.role != messages[loop.index0 - 1].role %}"
        "{{ '<|im_start|>' + message.role + '\n' }}{% endif %}{{ message.content }}"
        "{% if loop.last or message.role != messages[loop.index0 + 1].role %}{{ '<|im_end|>\n' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    turns = [("user", "Hi"), ("assistant", "One."), ("assistant", "Two."), ("user", "Bye")]
    conversation = Conversation("a:9", tuple(Turn.of(role, text) for role, text in turns), "Yes")
    with pytest.raises(DataError, match=r"a:9: turn 3 \(assistant\) cannot be told apart"):
        tiny_family(tmp_path, "llama", template).render(conversation, "assistant")


def test_tokenizers_that_put_a_space_before_a_text_keep_the_answer_as_the_template_has_it() -> None:
    template = (
        "{% for m in messages %}{{ '[' + m.role + ']' + m.content + '</s>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
    )
    family = Generic(_words_tokenizer(template), AutoConfig.for_model("llama"))
    example = family.render(CONVERSATIONS["plain"])
    whole = family.tokenizer("[user]What is 2 + 2?</s>[assistant]Four.</s>", add_special_tokens=False)
    assert example.tokens.tolist() == whole["input_ids"]
    asked = [CONVERSATIONS["plain"], CONVERSATIONS["empty answer"]]
    assert_same(list(family.render_all(asked)), [family.render(one) for one in asked])
    assert np.array_equal(
        family.continuation(CONVERSATIONS["plain"], "Four."), example.tokens[example.trained]
    )


def _words_tokenizer(template: str | None) -> PreTrainedTokenizerFast:
    """SentencePiece's way: a letter a token, and a space in front of every text."""
    letters = sorted(set("▁[]abcdefghijklmnopqrstuvwxyzFWXMo2+?.1{éux "))
    backend = Tokenizer(models.BPE({letter: place for place, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    backend.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", model_max_length=512)
    tokenizer.chat_template = template
    return tokenizer


def test_special_tokens_that_mark_no_turn_may_be_asked_about_but_not_answered_with(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(tmp_path)
    tokenizer.add_tokens([AddedToken("<file_sep>", special=True)])
    family = Generic(tokenizer, AutoConfig.for_model("llama"))
    asked = Conversation("a:10", (Turn.of("user", "What is <file_sep>?"),), "A mark")
    assert "<file_sep>" in tokenizer.decode(family.render(asked).tokens)
    with pytest.raises(DataError, match="a:10: the text holds <file_sep>"):
        family.continuation(asked, "It is <file_sep>")


def test_what_the_chat_template_leaves_out_is_refused_by_name(tmp_path: Path) -> None:
    family = tiny_family(tmp_path, "llama")
    asked = Turn.of("user", "x")
    tool = '{"type": "function", "function": {"name": "add"}}'
    call = '{"name": "add", "arguments": {}}'
    for conversation, named in [
        (Conversation("a:1", (asked,), "y", tools=(tool,)), "has tools,"),
        (
            Conversation("a:1", (asked,), "y", reply=Turn("assistant", (), tool_calls=(call,))),
            "has tool_calls,",
        ),
        (Conversation("a:1", (asked,), "y", reply=Turn("assistant", (), "hm")), "has reasoning_content,"),
    ]:
        with pytest.raises(DataError, match=rf"a:1: {named} which the model's chat template does not write"):
            family.render(conversation)
