"""`tunesmith audit` measures examples before anything is trained."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.cli.conftest import Finished


def audited(path: Path, *more: str) -> dict:
    """The audit of lengths alone, unless a forecast is asked for."""
    more = more if "--forecast" in more else (*more, "--no-forecast")
    ended = call("audit", path, *more, "--json")
    assert ended.code == 0, ended.err
    found: dict = json.loads(ended.out)
    return found


def test_a_person_reads_lengths_what_is_trained_and_a_limit_to_set(finished: Finished) -> None:
    ended = call("audit", finished.path, "--variant", "low", "--no-forecast")
    assert ended.code == 0, ended.err
    assert "200 examples, lengths in tokens\n" in ended.out
    assert re.search(r"\d+\.\d% of all tokens are trained", ended.out)
    assert "recommended: data.length.max_tokens: 64\n" in ended.out


def test_a_program_reads_nothing_but_json(finished: Finished) -> None:
    found = audited(finished.path, "--variant", "low")
    assert (found["mode"], found["samples"], found["limit"]) == ("tokens", 200, None)
    assert sum(found["histogram"]["counts"]) == 200


def test_characters_need_no_model(untouched: Path) -> None:
    found = audited(untouched, "model.path=no/such/model", "--characters")
    assert (found["mode"], found["samples"], found["recommended"]) == ("characters", 200, None)
    assert "tokens" not in found


def test_a_limit_is_tried_before_it_is_set(finished: Finished) -> None:
    found = audited(finished.path, "--variant", "low", "--limit", "32")
    assert (found["limit"], 0 < found["over_limit"] < 200) == (32, True)
    told = call("audit", finished.path, "--variant", "low", "--limit", "32", "--no-forecast").out
    assert f"a limit of 32 hits {found['over_limit']} (" in told


def test_without_a_limit_the_experiments_own_is_looked_at_where_it_counts(finished: Finished) -> None:
    own = "data.length.max_tokens=32"
    assert (
        audited(finished.path, "--variant", "low", own)["over_limit"]
        == audited(finished.path, "--variant", "low", "--limit", "32")["over_limit"]
    )
    assert audited(finished.path, "--variant", "low", own, "--limit", "400")["limit"] == 400
    assert audited(finished.path, "--variant", "low", own, "--characters")["limit"] is None


def test_a_sample_is_as_large_as_asked(finished: Finished) -> None:
    assert audited(finished.path, "--variant", "low", "--max-samples", "7")["samples"] == 7
    assert audited(finished.path, "--variant", "low", "--max-samples", "7") == audited(
        finished.path, "--variant", "low", "--max-samples", "7"
    )
    assert call("audit", finished.path, "--variant", "low", "--max-samples", "0").code == 2


def test_an_unknown_variant_is_2(finished: Finished) -> None:
    assert "Did you mean 'high'?" in call("audit", finished.path, "--variant", "hi").err


def test_memory_and_time_are_told_with_what_fits(finished: Finished) -> None:
    told = call("audit", finished.path, "--variant", "low", "model.weights=bf16", "--memory", "24GiB").out
    assert re.search(r"^adapt +none +[\d,]+( +\d+\.\d\d){8}$", told, re.MULTILINE)
    assert "largest batch.max_tokens_per_microbatch of stage adapt in 24 GiB: " in told
    assert re.search(r"^lora( +>?[\d,]+( c)?){6}$", told, re.MULTILINE)
    assert re.search(r"^stage adapt should take .* on ", told, re.MULTILINE)


def test_a_program_reads_the_forecast_and_may_leave_it_out(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.pipeline.outlook.ways_of", lambda *_: [])
    found = audited(finished.path, "--variant", "low", "model.weights=bf16", "--forecast")["outlook"]
    assert found["stages"][0]["memory"]["none"]["total"] > 0
    assert "outlook" not in audited(finished.path, "--variant", "low", "--no-forecast")
    assert "outlook" not in audited(finished.path, "--variant", "low", "--characters", "--forecast")


def test_a_memory_that_is_no_size_is_2(finished: Finished) -> None:
    ended = call("audit", finished.path, "--variant", "low", "--memory", "much")
    assert (ended.code, "--memory: got 'much'" in ended.err) == (2, True)


def test_a_memory_that_says_nothing_or_is_asked_for_without_a_forecast_is_2(finished: Finished) -> None:
    for no_size in ("banana", "0", ""):
        ended = call("audit", finished.path, "--variant", "low", "--memory", no_size)
        assert (ended.code, ended.out) == (2, "")
        assert f"error: --memory: got {no_size!r}; must be a size such as 24GiB or 80GB" in ended.err
    for without in ("--no-forecast", "--characters"):
        ended = call("audit", finished.path, "--variant", "low", "--memory", "24", without)
        assert ended.code == 2
        assert f"--memory: asks for a forecast, and with {without} there is none; leave one out" in ended.err
