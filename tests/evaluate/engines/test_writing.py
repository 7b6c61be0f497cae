from __future__ import annotations

from tests.evaluate.engines.test_candidates import prompt_of
from tests.evaluate.loaded import tiny
from tunesmith.evaluate.engines._writing import write


def test_no_answer_is_longer_than_allowed_or_goes_on_after_its_end() -> None:
    prompts = [prompt_of(list(range(20, 20 + size))) for size in (1, 7, 30)]
    answers = write(tiny(), prompts, 9)
    stops = set(tiny().family.stop_tokens)
    assert len(answers) == 3
    for tokens in answers:
        assert not set(tokens[:-1]) & stops
        assert len(tokens) == 9 or tokens[-1] in stops
