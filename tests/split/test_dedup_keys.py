from dataclasses import replace

import pytest

from tunesmith.images.picture import Picture
from tunesmith.runs.manifest import DedupFields
from tunesmith.split.dedup_keys import KeyBuilder, compared_texts


def test_equal_texts_groups_and_strata_have_equal_keys():
    keys = KeyBuilder(DedupFields(("text",), True, group="who", stratify="label"))
    keys.add("a:1", "0" * 64, {"text": "Hello ", "who": "Ann", "label": "b"})
    keys.add("a:2", "1" * 64, {"text": "Hello", "who": "Bob", "label": "a"})
    keys.add("a:3", "2" * 64, {"text": "other", "who": "Ann", "label": "b"})
    made = keys.keys()
    assert made.text[0] == made.text[1] != made.text[2]
    assert made.group[0] == made.group[2] != made.group[1]
    assert (made.strata, made.stratum.tolist()) == (("a", "b"), [1, 0, 1])
    assert len(set(made.id.tolist())) == len(set(made.content.tolist())) == 3


def test_duplicates_may_be_told_by_a_text_further_inside():
    keys = KeyBuilder(DedupFields(("meta.text",), False))
    for text in ("Hello", " Hello", "other"):
        keys.add("a:1", "0" * 64, {"meta": {"text": text}})
    keys.add("a:1", "0" * 64, {"meta": {}})
    made = keys.keys().text
    assert made[0] == made[1] != made[2]
    assert made[3] not in made[:3]


def test_two_fields_are_not_mistaken_for_each_other():
    keys = KeyBuilder(DedupFields(("a", "b"), True))
    keys.add("a:1", "0" * 64, {"a": "x y", "b": "z"})
    keys.add("a:2", "0" * 64, {"a": "x", "b": "y z"})
    assert keys.keys().text[0] != keys.keys().text[1]


def test_without_named_fields_all_of_a_record_counts():
    assert compared_texts(DedupFields((), False), {"b": "Two.", "a": 1}) == ["1", "Two."]


@pytest.mark.parametrize(
    ("told", "fields", "message"),
    [
        (
            DedupFields(("txt",), True),
            {"text": "x"},
            r"data\.split\.by: there is no field 'txt' \(text\)\. Did you mean 'text'",
        ),
        (
            DedupFields((), False, group="who"),
            {"text": "x"},
            r"data\.split\.group: there is no field 'who' \(text\)",
        ),
        (DedupFields((), False, group="who"), {"who": None}, r"data\.split\.group: field 'who' is null"),
        (
            DedupFields((), False, group="meta.who"),
            {"meta": {"whom": "x"}},
            r"data\.split\.group: 'meta\.who': 'who' is not in \(whom\)\. Did you mean 'whom'",
        ),
        (
            DedupFields((), False, stratify="label"),
            {"text": "x"},
            r"data\.split\.stratify: there is no field 'label' \(text\)",
        ),
    ],
)
def test_a_record_without_a_field_that_the_split_goes_by_is_told_and_not_taken_in(told, fields, message):
    keys = KeyBuilder(told)
    with pytest.raises(ValueError, match=message):
        keys.add("a:1", "0" * 64, fields)
    assert len(keys) == 0
    assert len(keys.keys().id) == 0


def test_the_same_question_about_another_picture_is_another_text_and_all_pictures_are_seen():
    one, other = (Picture("a.jpg", digit * 64, 4, 3, digit * 16) for digit in "12")
    keys = KeyBuilder(DedupFields(("image", "text"), False, group="image", stratify="image"))
    for number, image in enumerate([one, other, replace(one, path="b.jpg"), [one, other]]):
        keys.add(f"a:{number}", "0" * 64, {"image": image, "text": "What is it?"})
    made = keys.keys()
    assert made.text[0] == made.text[2] != made.text[1]
    assert made.group[0] == made.group[2] != made.group[1]
    assert made.images.record.tolist() == [0, 1, 2, 3, 3]
    assert made.images.content.tolist() == [int(digit * 16, 16) for digit in "12112"]
    assert made.images.look.tolist() == made.images.content.tolist()
    assert KeyBuilder(DedupFields((), False)).keys().images is None


def test_case_and_punctuation_make_another_text_with_the_same_loose_form():
    keys = KeyBuilder(DedupFields(("text",), True))
    for text in ("Is it so?", "is it so", "Is it not so?"):
        keys.add("a:1", "0" * 64, {"text": text})
    made = keys.keys()
    assert len(set(made.text.tolist())) == 3
    assert made.loose[0] == made.loose[1] != made.loose[2]
    assert made.marks[0] != made.marks[1]


def test_what_decides_the_side_is_the_group_else_the_picture_else_what_is_asked():
    image = Picture("a.jpg", "1" * 64, 4, 3, "1" * 16)
    for told, fields, others in [
        (DedupFields(("text",), True, group="who"), {"text": "a", "who": "Ann"}, {"text": "b", "who": "Ann"}),
        (DedupFields(("text", "image"), True), {"text": "a", "image": image}, {"text": "b", "image": image}),
        (DedupFields(("text",), True), {"text": "a", "label": 1}, {"text": "a", "label": 2, "more": "x"}),
        (
            DedupFields(("messages",), True),
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}]},
        ),
    ]:
        keys = KeyBuilder(told)
        keys.add("a:1", "0" * 64, fields)
        keys.add("a:2", "1" * 64, others)
        assert len(set(keys.keys().side.tolist())) == 1


def test_answers_that_differ_in_form_only_are_equal_and_the_first_ones_are_kept():
    keys = KeyBuilder(DedupFields(("text",), True))
    for answer in ("Yes.", "yes", "no", None):
        keys.add("a:1", "0" * 64, {"text": "x"}, answer=answer)
    made = keys.keys()
    assert made.answer[0] == made.answer[1] != made.answer[2]
    assert made.answer[3] == 0
    assert list(made.answers.values()) == ["Yes.", "no"]
