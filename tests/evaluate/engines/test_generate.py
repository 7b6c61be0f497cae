from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig

from tests.evaluate.loaded import tiny
from tunesmith.errors import DataError, ExperimentError
from tunesmith.evaluate.engines.generate import Generate
from tunesmith.kernels.attention.packed import for_generation
from tunesmith.records.conversation import Conversation, Turn
from tunesmith.records.record import Record
from tunesmith.tasks.answer import Answer
from tunesmith.tasks.classify import Classify

TASK = Answer(prompt="{question}")
TEXTS = ["x", "the first of two statements is true " * 3, "a text about modules", "why", "what is a name?"]
ASKED = [Conversation(f"a:{number}", (Turn.of("user", text),), "yes") for number, text in enumerate(TEXTS)]


def one_by_one(conversation: Conversation, most: int) -> tuple[str, bool]:
    """The likeliest token again and again, the whole sequence through the model each time."""
    loaded = tiny()
    tokens = loaded.family.prompt(conversation).tokens.tolist()
    start = len(tokens)
    with torch.no_grad(), for_generation(loaded.model):
        while len(tokens) - start < most and (
            len(tokens) == start or tokens[-1] not in loaded.family.stop_tokens
        ):
            tokens.append(int(loaded.model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
    return loaded.family.parse(tokens[start:])


@pytest.mark.parametrize("tokens_per_batch", [16, 16384])
def test_answers_are_those_of_every_question_alone_without_padding(tokens_per_batch: int) -> None:
    engine = Generate(max_new_tokens=24, tokens_per_batch=tokens_per_batch)
    answers = dict(engine.answers(tiny(), TASK, ASKED))
    assert {index: (one.text, one.ended) for index, one in answers.items()} == {
        index: one_by_one(conversation, 24) for index, conversation in enumerate(ASKED)
    }


def test_an_answer_ends_at_every_stop_token_and_else_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    family = tiny().family
    (_, free), *_ = sorted(Generate(max_new_tokens=8).answers(tiny(), TASK, ASKED[:1]))
    assert not free.ended
    with torch.no_grad(), for_generation(tiny().model):
        prompt = torch.from_numpy(family.prompt(ASKED[0]).tokens)[None].long()
        first = int(tiny().model(input_ids=prompt).logits[0, -1].argmax())
    monkeypatch.setitem(family.__dict__, "stop_tokens", (first, *family.stop_tokens))
    (_, stopped), *_ = sorted(Generate(max_new_tokens=8).answers(tiny(), TASK, ASKED[:1]))
    assert (stopped.text, stopped.ended) == ("", True)


def test_the_models_own_sampling_settings_and_penalties_do_not_apply() -> None:
    plain = list(Generate(max_new_tokens=12).answers(tiny(), TASK, ASKED))
    own = tiny().model.generation_config
    tiny().model.generation_config = GenerationConfig(
        do_sample=True, temperature=5.0, top_k=3, repetition_penalty=1.8, max_length=3
    )
    try:
        assert list(Generate(max_new_tokens=12).answers(tiny(), TASK, ASKED)) == plain
        assert tiny().model.generation_config.repetition_penalty == 1.8
    finally:
        tiny().model.generation_config = own


def test_the_longest_answer_follows_from_all_references_even_if_few_are_left() -> None:
    long = Conversation("a:9", (Turn.of("user", "x"),), "a rather long answer " * 4)
    engine = Generate().fitted(tiny(), TASK, [*ASKED, long])
    longest = len(tiny().family.continuation(long, long.answer))
    assert engine.max_new_tokens == longest + 16
    assert Generate(max_new_tokens=5).fitted(tiny(), TASK, [long]).max_new_tokens == 5
    labels = Classify(labels=["a", "a very much longer label than the other one"], prompt="x")
    short = Conversation("a:1", ASKED[0].turns, "a", 0)
    fitted = Generate().fitted(tiny(), labels, [short]).max_new_tokens
    assert fitted == len(tiny().family.continuation(short, labels.labels_in_order[1])) + 16


def test_a_perfect_answer_is_never_cut_however_long_the_reference_is() -> None:
    long = Conversation("a:9", (Turn.of("user", "x"),), "one thing and another " * 300)
    needed = len(tiny().family.continuation(long))
    assert needed > 1024
    assert Generate().fitted(tiny(), TASK, [*ASKED, long]).max_new_tokens == needed + needed // 8


def test_answers_that_were_trained_elsewhere_raise_the_limit_of_new_questions() -> None:
    asked = TASK.ask(Record("a:1", {"question": "why?"}))
    assert Generate().fitted(tiny(), TASK, [asked], longest_answer=4000).max_new_tokens == 4500
    assert Generate(max_new_tokens=7).fitted(tiny(), TASK, [asked], longest_answer=4000).max_new_tokens == 7


def test_a_limit_below_the_references_is_told_with_their_number_and_the_limit_to_write() -> None:
    family = tiny().family
    long = [Conversation(f"a:{number}", ASKED[0].turns, "word " * 40) for number in (8, 9)]
    needed = len(family.continuation(long[0]))
    (warning,) = Generate(max_new_tokens=20).warnings(family, TASK, [*ASKED, *long])
    assert "20 tokens are fewer than 2 of 7 reference answers need" in warning
    assert f"has {needed}" in warning
    suggested = int(warning.partition("Set it to ")[2].partition(",")[0])
    assert Generate(max_new_tokens=suggested).warnings(family, TASK, [*ASKED, *long]) == ()
    assert Generate().warnings(family, TASK, [*ASKED, *long]) == ()
    with pytest.raises(ExperimentError, match=r"fewer than 2 of 2 reference answers need.*Set it to \d+"):
        Generate(max_new_tokens=20).warnings(family, TASK, long)


def test_a_followed_limit_gives_way_to_a_long_question_but_not_below_its_own_reference() -> None:
    family = tiny().family
    wide = Conversation("c:1", (Turn.of("user", "the " * 1900),), "yes")
    long = Conversation("c:2", (Turn.of("user", "x"),), "word " * 400)
    room = family.max_tokens - len(family.prompt(wide))
    engine = Generate().fitted(tiny(), TASK, [wide, long])
    assert 4 < room < (engine.max_new_tokens or 0)
    answers = dict(engine.answers(tiny(), TASK, [wide, long]))
    assert answers[0].text == Generate(max_new_tokens=room).answers(tiny(), TASK, [wide]).__next__()[1].text
    both = Conversation("c:3", wide.turns, long.answer)
    with pytest.raises(DataError, match=r"^c:3: \d+ tokens\nare over .* \(2048\)"):
        list(Generate().fitted(tiny(), TASK, [both]).answers(tiny(), TASK, [both]))


def test_without_references_the_answer_is_as_long_as_a_candidate_or_the_most() -> None:
    family, record = tiny().family, Record("a:1", {"question": "why?", "text": "x"})
    assert Generate().fitted(tiny(), TASK, [TASK.ask(record)]).max_new_tokens == 1024
    task = Classify(labels=["a", "a very much longer label"], prompt="{text}")
    asked = task.ask(record)
    longest = len(family.continuation(asked, "a very much longer label"))
    assert Generate().fitted(tiny(), task, [asked]).max_new_tokens == longest + 16


def test_the_model_comes_back_as_it_was_and_no_random_number_is_drawn() -> None:
    model = tiny().model
    model.train()
    state, attention = torch.get_rng_state(), model.config._attn_implementation
    list(Generate(max_new_tokens=2).answers(tiny(), TASK, ASKED))
    assert model.training
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.config._attn_implementation == attention
    model.eval()


def test_questions_without_room_for_an_answer_are_named() -> None:
    long = Conversation("c:7", (Turn.of("user", "word " * 1000),), "x")
    with pytest.raises(
        DataError, match=r"^c:7: \d+ tokens\nare over .* \(2048\)\. 1500 of them are for the answer"
    ):
        list(Generate(max_new_tokens=1500).answers(tiny(), TASK, [*ASKED, long]))


def test_no_questions_get_no_answers() -> None:
    assert list(Generate().answers(tiny(), TASK, [])) == []
