from __future__ import annotations

import numpy as np

from tests.evaluate.loaded import tiny
from tunesmith.evaluate.engines._writing import write


def test_no_answer_is_longer_than_allowed_or_goes_on_after_its_end() -> None:
    prompts = [np.arange(20, 20 + size, dtype=np.int32) for size in (1, 7, 30)]
    answers = write(tiny(), prompts, 9)
    stops = set(tiny().family.stop_tokens)
    assert len(answers) == 3
    for tokens in answers:
        assert not set(tokens[:-1]) & stops
        assert len(tokens) == 9 or tokens[-1] in stops
