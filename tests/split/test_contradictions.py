from tunesmith.records.store import RecordStore, write_store
from tunesmith.runs.manifest import Contradictions, DedupFields
from tunesmith.split.contradictions import contradiction_notes, contradictions
from tunesmith.split.dedup_keys import KeyBuilder


def found_among(tmp_path, rows, told=None):
    keys = KeyBuilder(told or DedupFields(("text",), True))
    with write_store(tmp_path / "r.arrow") as writer:
        for number, (text, answer) in enumerate(rows):
            keys.add(f"f:{number}", "0" * 64, {"text": text}, answer=answer)
            writer.add(f"f:{number}", "0" * 64, "{}")
    return contradictions(keys.keys(), RecordStore(tmp_path / "r.arrow"))


def test_equal_questions_with_different_answers_are_counted_and_two_pairs_named(tmp_path):
    rows = [
        ("a", "cat"),
        ("b", "cat"),
        ("a", "Cat."),
        ("a", "dog"),
        ("c", "1"),
        ("b", "cat"),
        ("c", "2"),
        ("d", "x"),
    ]
    rows += [("e", "1"), ("e", "2"), ("e", "3")]
    found = found_among(tmp_path, rows)
    assert (found.questions, found.records) == (3, 8)
    named = {pair.records: pair.answers for pair in found.examples}
    assert len(named) == 2
    everything = {("f:0", "f:3"): ("cat", "dog"), ("f:4", "f:6"): ("1", "2"), ("f:8", "f:9"): ("1", "2")}
    assert named.items() <= everything.items()
    assert contradiction_notes(found)[0].startswith(
        "8 records ask 3 questions that have more than one answer: f:"
    )


def test_agreement_and_unknown_answers_are_no_contradiction(tmp_path):
    found = found_among(tmp_path, [("a", "cat"), ("a", " CAT"), ("b", None), ("b", None), ("b", "x")])
    assert found == Contradictions(0, 0)
    assert contradiction_notes(found) == []


def test_what_the_task_asks_counts_and_not_what_the_split_goes_by(tmp_path):
    told = DedupFields(("id",), False, asked=("text",))
    assert found_among(tmp_path, [("a", "cat"), ("a", "dog")], told).questions == 1
