import pytest

from tunesmith.errors import DataError
from tunesmith.records.chat_formats import with_messages, with_pictures_apart
from tunesmith.records.record import Record

ASKED = {"role": "user", "content": "Hi"}
ANSWERED = {"role": "assistant", "content": "Ho"}
SYSTEM = {"role": "system", "content": "Be kind"}
SHOWN = [{"type": "image"}, {"type": "text", "text": "Ho"}]


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ({"messages": [ASKED, ANSWERED]}, [ASKED, ANSWERED]),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}],
                    }
                ]
            },
            [ASKED],
        ),
        (
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
            [ASKED, ANSWERED],
        ),
        ({"system": "Be kind", "conversations": [{"from": "human", "value": "Hi"}]}, [SYSTEM, ASKED]),
        ({"conversations": [{"role": "user", "content": "Hi"}]}, [ASKED]),
        ({"conversations": [{"from": "human", "value": "<image>Hi"}]}, [{**ASKED, "content": "<image>Hi"}]),
        ({"conversations": [{"from": "user", "value": SHOWN}]}, [{**ASKED, "content": SHOWN}]),
        ({"messages": [{"role": "user", "content": SHOWN}]}, [{**ASKED, "content": SHOWN}]),
        (
            {"messages": [{"role": "user", "content": SHOWN}, {**ANSWERED, "content": SHOWN[1:]}]},
            [{**ASKED, "content": SHOWN}, ANSWERED],
        ),
        ({"instruction": "Hi", "input": "", "output": "Ho"}, [ASKED, ANSWERED]),
        ({"instruction": "Hi"}, [ASKED]),
        ({"instruction": "Hi", "output": "Ho", "system": "Be kind"}, [SYSTEM, ASKED, ANSWERED]),
        (
            {"instruction": "Add", "input": "1 1", "output": "2", "history": [["Hi", "Ho"]]},
            [
                ASKED,
                ANSWERED,
                {"role": "user", "content": "Add\n\n1 1"},
                {"role": "assistant", "content": "2"},
            ],
        ),
        ({"query": "Hi", "response": "Ho", "history": [], "system": "Be kind"}, [SYSTEM, ASKED, ANSWERED]),
        ({"query": "Add", "history": [["Hi", "Ho"]]}, [ASKED, ANSWERED, {"role": "user", "content": "Add"}]),
        ({"conversation": [{"human": "Hi", "assistant": "Ho"}]}, [ASKED, ANSWERED]),
        ({"prompt": [ASKED], "completion": [ANSWERED]}, [ASKED, ANSWERED]),
        ({"prompt": "Hi", "chosen": [ANSWERED]}, [ASKED, ANSWERED]),
        ({"prompt": "Hi", "completion": "Ho"}, [ASKED, ANSWERED]),
        ({"chosen": [ASKED, ANSWERED], "rejected": [ASKED, ASKED]}, [ASKED, ANSWERED]),
        ({"messages": [ASKED, ANSWERED], "system": "Be kind"}, [SYSTEM, ASKED, ANSWERED]),
        (
            {"messages": [{"role": "human", "content": "Hi"}, {"role": "gpt", "content": "Ho"}]},
            [ASKED, ANSWERED],
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Hi", "weight": 0},
                    {"from": "observation", "value": "3"},
                ]
            },
            [{**ASKED, "weight": 0}, {"role": "tool", "content": "3"}],
        ),
        (
            {
                "conversations": [
                    {"from": "function_call", "value": '<think>hm</think>{"name": "f", "arguments": {}}'}
                ]
            },
            [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"name": "f", "arguments": {}}],
                    "reasoning_content": "hm",
                }
            ],
        ),
        (
            {
                "messages": [
                    {"role": "tool_call", "content": '{"name": "f"}'},
                    {"role": "tool_call", "content": "[1]"},
                ]
            },
            [{"role": "assistant", "content": "", "tool_calls": [{"name": "f"}, 1]}],
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "image": None}]}]},
            [ASKED],
        ),
    ],
)
def test_every_layout_becomes_messages_and_the_other_fields_stay(fields, messages):
    made = with_messages(Record("f:1", {"topic": 3, **fields}))
    assert (made.fields["messages"], made.fields["topic"], made.id) == (messages, 3, "f:1")


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x", "label": 1},
        {"messages": "no list"},
        {"instruction": "x", "output": 3},
        {"messages": [{"content": [{"type": "image"}]}]},
        {"messages": [{"role": {"a": 1}, "content": "x"}, 3, None]},
    ],
)
def test_records_of_other_layouts_stay_untouched(fields):
    record = Record("f:1", fields)
    assert with_messages(record) is record


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"conversations": [{"from": "humen", "value": "x"}]},
            r"f:1: conversations: turn 1 is from 'humen' .*Did you mean 'human'",
        ),
        (
            {"conversations": [{"from": "gpt"}]},
            r"f:1: conversations: turn 1 is not of the form \{from: \.\.\., value: \.\.\.\}",
        ),
        ({"conversations": ["x"]}, "f:1: conversations: turn 1 is not of the form"),
        ({"instruction": "x", "output": "y", "history": [["a"]]}, r"f:1: history: entry 1 is not a pair"),
        (
            {"messages": [ASKED], "history": [["a", "b"]]},
            "has 'history' besides 'messages', so one of them would be",
        ),
        ({"messages": [SYSTEM, ASKED], "system": "Be rude"}, "a system message that says something else"),
        ({"conversations": [{"from": "function_call", "value": "f()"}]}, "must be a function call as JSON"),
    ],
)
def test_a_turn_that_does_not_fit_is_named(fields, message):
    with pytest.raises(DataError, match=message):
        with_messages(Record("f:1", fields))


def test_a_field_of_another_name_is_laid_out_where_it_is():
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
    made = with_messages(Record("f:1", {"dialog": turns}), "dialog")
    assert made.fields == {"dialog": [ASKED, ANSWERED]}


@pytest.mark.parametrize(
    ("part", "picture"),
    [
        ({"type": "image", "image": "a.png"}, "a.png"),
        ({"type": "image_url", "image_url": {"url": "b.png"}}, "b.png"),
        ({"type": "image", "path": "c.png"}, "c.png"),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            "data:image/png;base64,AA==",
        ),
    ],
)
def test_pictures_that_messages_name_themselves_get_a_field(part, picture):
    record = Record("f:1", {"messages": [{"role": "user", "content": [part, {"type": "image"}]}]})
    apart = with_pictures_apart(record, "messages")
    assert apart.fields["messages"][0]["content"] == [{"type": "image"}] * 2
    assert apart.fields["messages.pictures"] == [picture]
