import pytest

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.unread import unread_fields, without_ignored

MEANT = [
    {"videos": ["a.mp4"]}, {"audio": "x.wav"}, {"images": ["a.jpg"]}, {"image": {"bytes": None, "path": "a"}},
    {"image_path": "C:\\a.PNG"}, {"image_1": "a.webp"}, {"rejected": "no"}, {"rejected_response": "no"},
    {"labels": [True, False]}, {"label": False}, {"kto_tag": False}, {"labels": "False"}, {"train": False},
    {"loss_weight": 0.0},
    {"loss_scale": 0.5}, {"tools": [{"name": "f"}]}, {"tools": '[{"name": "f"}]'}, {"tool_calls": [{"name": "f"}]},
    {"system": "Be kind"}, {"system_prompt": "x"}, {"objects": {"bbox": [[1, 2, 3, 4]]}}, {"bbox": [1, 2, 3, 4]},
    {"reasoning_content": "because"}, {"thinking": "so"}, {"chat_template_kwargs": {"max_pixels": 3}},
]  # fmt: skip
HARMLESS = [
    {"label": True}, {"label": 0}, {"train": True}, {"videos": 3}, {"image": "a red house"}, {"history": "long"},
    {"objects": 3}, {"tools": "hammer, saw"}, {"score": 0.3}, {"weight": 70}, {"thumbnail": "a.jpg"},
]  # fmt: skip


@pytest.mark.parametrize("held", MEANT, ids=str)
def test_a_field_that_carries_meaning_is_refused_by_name_unless_it_is_used_or_ignored(held):
    (name,) = held
    record = Record("a:1", {"text": "x", **held})
    # What must not be trained is left out: to ignore the mark would train it.
    way_out = r"data\.ignore"
    if name in ("label", "labels", "kto_tag"):
        way_out = (
            "leave such records out" if isinstance(held[name], list) else f"data.where to '{name} == true'"
        )
    with pytest.raises(DataError, match=rf"^a:1: field '{name}' .*{way_out}$"):
        unread_fields(record, ("text",))
    assert unread_fields(record, ("text", f"{name}.inner")) == ()
    assert unread_fields(without_ignored(record, [name]), ("text",)) == ()


@pytest.mark.parametrize("held", HARMLESS, ids=str)
def test_a_field_of_such_a_name_with_another_kind_of_value_is_only_counted(held):
    assert unread_fields(Record("a:1", {"text": "x", **held}), ("text",)) == tuple(held)


@pytest.mark.parametrize("empty", [None, "", []])
def test_empty_fields_are_not_worth_a_word(empty):
    assert unread_fields(Record("a:1", {"text": "x", "rejected": empty, "id": empty}), ("text",)) == ()


def test_all_fields_of_a_record_are_named_at_once_columns_of_bytes_among_them():
    record = Record("a:1", {"rejected": "x", "id": 1}, left_out=("image", "mask"))
    with pytest.raises(DataError) as caught:
        unread_fields(record, ())
    assert [line.partition(" is not")[0][:22] for line in str(caught.value).splitlines()] == [
        "a:1: field 'rejected' ",
        "a:1: field 'image' nam",
    ]
    assert unread_fields(Record("a:1", {}, left_out=("mask",)), ()) == ("mask",)


def test_ignored_keys_are_taken_out_of_messages_too():
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "weight": 0}]
    kept = without_ignored(Record("a:1", {"messages": messages, "rejected": "z"}), ["weight", "rejected"])
    assert kept.fields == {"messages": [messages[0], {"role": "assistant", "content": "y"}]}
