from __future__ import annotations

import numpy as np

from tests.evaluate.engines.test_score import CLASSIFIED, CLASSIFY
from tests.evaluate.loaded import tiny
from tunesmith.batching.example import Example
from tunesmith.evaluate.engines._candidates import Question, lay_out


def prompt_of(tokens: list[int]) -> Example:
    return Example("a:1", np.array(tokens, np.int32), np.zeros(len(tokens), bool))


def test_the_prompt_and_what_all_candidates_share_go_through_once() -> None:
    family = tiny().family
    prompt = family.prompt(CLASSIFIED[0])
    candidates = [family.continuation(CLASSIFIED[0], text) for text in CLASSIFY.candidates(CLASSIFIED[0])]
    question = Question.of(prompt, candidates)
    assert question.num_shared >= len(family.tokenizer.encode('{"category":"'))
    whole = len(prompt) + question.num_shared
    assert question.size == whole + sum(len(one) - question.num_shared - 1 for one in candidates)
    laid = lay_out([question, question])
    assert len(laid.batch.tokens) == 2 * question.size
    assert len(laid.batch.predicting) == len(set(laid.batch.predicting.tolist()))
    np.testing.assert_array_equal(laid.batch.tokens[:whole], question.trunk)


def test_candidates_of_one_token_each_add_nothing_to_the_line() -> None:
    prompt = prompt_of([5, 6, 7])
    question = Question.of(prompt, [np.array([1], np.int32), np.array([2], np.int32)])
    assert question.size == 3
    assert lay_out([question]).batch.segments.lengths.tolist() == [3]


def test_every_prediction_weighs_the_token_that_comes_next() -> None:
    prompt = prompt_of([5, 6])
    candidates = [np.array(tokens, np.int32) for tokens in ([1, 2, 3], [1, 4], [1, 2, 2, 9])]
    laid = lay_out([Question.of(prompt, candidates)] * 2)
    batch = laid.batch
    assert batch.tokens.tolist() == [5, 6, 1, 2, 2, 2] * 2
    assert batch.positions.tolist() == [[0, 1, 2, 3, 3, 4] * 2]
    assert batch.segments.lengths.tolist() == [3, 1, 2] * 2
    assert batch.segments.continues.tolist() == [-1, 0, 0, -1, 3, 3]
    assert laid.candidates.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5, 5]
    assert laid.tokens.tolist() == [1, 2, 3, 1, 4, 1, 2, 2, 9] * 2
    at = batch.predicting[laid.rows].tolist()
    assert at == [1, 2, 3, 1, 2, 1, 2, 4, 5, 7, 8, 9, 7, 8, 7, 8, 10, 11]
