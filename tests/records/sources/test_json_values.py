import pytest

from tunesmith.records.sources._json_values import describe, parse


def test_numbers_that_json_does_not_know_are_read_as_data_files_mean_them():
    assert parse("[NaN, Infinity, -Infinity]") == [None, float("inf"), float("-inf")]


@pytest.mark.parametrize(
    ("value", "words"), [(True, "true or false"), (1.5, "a number"), ({}, "an object"), ("", "a text")]
)
def test_values_are_described_in_words(value, words):
    assert describe(value) == words
