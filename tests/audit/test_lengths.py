import numpy as np
import pytest

from tunesmith.audit.lengths import audit_characters, audit_lines, recommend, summarise
from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.records.conversation import Conversation, Text, Turn


def test_the_quick_mode_counts_characters_of_question_and_answer_without_a_tokenizer() -> None:
    conversations = [
        Conversation("a:1", (Turn.of("system", "ab"), Turn.of("user", "cde")), "xyz"),
        Conversation("a:2", (Turn.of("user", "🙂"),), "y"),
    ]
    audit = audit_characters(conversations, limit=5)
    assert audit.samples == 2
    assert audit.lengths["max"] == 8
    assert audit.lengths["min"] == 2
    assert audit.trained_share == 4 / 10
    assert audit.over_limit == 1
    assert audit.recommended is None
    assert audit.characters["mean"] == 5


def test_every_example_is_in_one_bar_of_the_histogram() -> None:
    lengths = np.random.default_rng(0).integers(10, 500, 1000)
    audit = summarise(lengths, 100, "tokens", None)
    assert sum(audit.histogram.counts) == 1000
    assert sum("█" in line for line in audit_lines(audit)) == sum(
        count >= max(audit.histogram.counts) / 80 for count in audit.histogram.counts
    )
    assert audit.lengths["p95"] == pytest.approx(np.sort(lengths)[949], abs=2)


def test_the_recommended_limit_cuts_nothing_when_lengths_are_alike() -> None:
    assert recommend(np.array([100, 110, 120])) == 128


def test_the_recommended_limit_leaves_out_a_few_giants() -> None:
    lengths = np.array([100] * 999 + [9000])
    assert recommend(lengths) == 128


def test_equal_lengths_have_a_histogram_of_one_bar() -> None:
    assert sum(summarise(np.array([7, 7, 7]), 3, "tokens", None).histogram.counts) == 3


def test_nothing_to_audit_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="no record to look at"):
        summarise(np.array([], dtype=int), 0, "tokens", None)


def test_the_audit_says_what_a_limit_hits_and_which_to_set() -> None:
    lines = audit_lines(summarise(np.array([10] * 9 + [100]), 30, "tokens", limit=50))
    assert "a limit of 50 hits 1 (10.0%)" in lines
    assert "recommended: data.length.max_tokens: 128" in lines
    assert "15.8% of all tokens are trained" in lines


def test_the_quick_mode_says_that_pictures_are_not_counted() -> None:
    picture = Picture("a.png", "", 64, 64, "")
    asked = Conversation("a:1", (Turn("user", (picture, Text("Which of "), picture, Text("?"))),), "x")
    audit = audit_characters([asked, Conversation("a:2", (Turn.of("user", "?"),), "y")])
    assert audit.pictures_not_counted == 2
    told = [line for line in audit_lines(audit) if "not counted" in line]
    assert told == ["2 pictures are not counted, being tokens and not characters; leave out --characters"]
    assert audit_characters([Conversation("a:1", (), "x")]).pictures_not_counted == 0
