from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.evaluate.loaded import tiny
from tunesmith.errors import DataError
from tunesmith.evaluate.engines.score import Score
from tunesmith.kernels.attention.packed import for_generation
from tunesmith.records.conversation import Conversation, Turn
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Task
from tunesmith.tasks.chat import Chat
from tunesmith.tasks.classify import Classify

TEXTS = [
    "x",
    "the first of two statements is true " * 3,
    "a longer text about modules and their names",
    "y z",
]
CLASSIFY = Classify(
    labels=["a", "apple pie", "apple sauce", "a class of its own"], prompt="Which? {text}", answer="json"
)
CLASSIFIED = [
    CLASSIFY.conversation(Record(f"a:{number}", {"text": text, "label": CLASSIFY.labels_in_order[number]}))
    for number, text in enumerate(TEXTS)
]
CHATS = [
    Conversation(f"c:{number}", (Turn.of("user", text),), "an answer " * (number + 1))
    for number, text in enumerate(TEXTS)
]


def one_by_one(task: Task, conversation: Conversation) -> list[tuple[float, int]]:
    """Log-likelihood and number of tokens of each candidate, each a full sequence through the plain model."""
    loaded = tiny()
    prompt = loaded.family.prompt(conversation).tokens
    found = []
    for text in task.candidates(conversation):
        answer = loaded.family.continuation(conversation, text)
        tokens = torch.from_numpy(np.concatenate([prompt, answer]).astype(np.int64))
        with torch.no_grad(), for_generation(loaded.model):
            logits = loaded.model(input_ids=tokens[None]).logits[0]
        chances = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        found.append((chances.gather(1, tokens[len(prompt) :, None]).sum().item(), len(answer)))
    return found


@pytest.mark.parametrize("tokens_per_batch", [16, 200, 4096])
@pytest.mark.parametrize(
    ("task", "asked"), [(CLASSIFY, CLASSIFIED), (Chat(), CHATS)], ids=["classify", "chat"]
)
def test_likelihoods_are_those_of_every_sequence_alone(
    task: Task, asked: list[Conversation], tokens_per_batch: int
) -> None:
    answers = dict(Score(tokens_per_batch=tokens_per_batch).answers(tiny(), task, asked))
    assert sorted(answers) == list(range(len(asked)))
    for index, conversation in enumerate(asked):
        expected = one_by_one(task, conversation)
        assert answers[index].scores == pytest.approx([score for score, _ in expected], abs=1e-4)
        assert answers[index].num_tokens == tuple(size for _, size in expected)


def answer(**settings: Any) -> Answer:
    return dict(Score(**settings).answers(tiny(), CLASSIFY, CLASSIFIED[:1]))[0]


def test_the_answer_is_the_likeliest_candidate_with_softmax_probabilities() -> None:
    scored = answer()
    assert scored.scores is not None
    assert scored.probabilities == pytest.approx(torch.tensor(scored.scores).double().softmax(0).tolist())
    assert scored.text == CLASSIFY.candidates(CLASSIFIED[0])[int(np.argmax(scored.scores))]
    assert CLASSIFY.read(scored) in CLASSIFY.labels


def test_the_mean_per_token_compares_long_and_short_labels_fairly() -> None:
    scored = answer(normalise="mean")
    assert scored.scores == answer().scores
    means = np.array(scored.scores) / np.array(scored.num_tokens)
    assert scored.probabilities == pytest.approx(torch.from_numpy(means).softmax(0).tolist())
    assert scored.text == CLASSIFY.candidates(CLASSIFIED[0])[int(means.argmax())]


def test_the_model_comes_back_as_it_was_and_no_random_number_is_drawn() -> None:
    model = tiny().model
    modes = {name: place % 2 == 0 for place, (name, _) in enumerate(model.named_modules())}
    for name, module in model.named_modules():
        module.training = modes[name]
    state = torch.get_rng_state()
    answers = list(Score().answers(tiny(), CLASSIFY, CLASSIFIED))
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert torch.equal(torch.get_rng_state(), state)
    model.eval()
    assert list(Score().answers(tiny(), CLASSIFY, CLASSIFIED)) == answers


def test_conversations_over_the_models_positions_are_all_named() -> None:
    long = [Conversation(f"c:{number}", (Turn.of("user", "word " * 2100),), "x") for number in range(22)]
    with pytest.raises(DataError) as caught:
        list(Score().answers(tiny(), Chat(), [*CHATS, *long]))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("c:0: ")
    assert lines[20:] == [
        "and 2 more",
        "are over what the model's positions allow (2048). "
        "Shorten the records, or leave them out of the data.",
    ]


def test_a_model_whose_weights_have_diverged_gives_unread_answers() -> None:
    scored = Score()._answer(["a", "b"], [math.nan, -1.0], (1, 1))
    assert scored == Answer("")
