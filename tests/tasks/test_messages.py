import json

import pytest

from tunesmith.tasks._messages import faults_of_order, read_message, tools_of

ANSWER = {"role": "assistant", "content": "A"}
ADD = {"name": "add", "arguments": {"x": 1}}


@pytest.mark.parametrize(
    ("marks", "trained"),
    [
        ({}, True), ({"weight": 0}, False), ({"weight": 1}, True), ({"loss": False}, False), ({"loss": None}, True),
        ({"train": False}, False), ({"training": True}, True), ({"loss_weight": 0.0}, False),
        ({"loss_scale": 1.0}, True), ({"masked": True}, False), ({"trainable": False, "weight": 0}, False),
    ],
)  # fmt: skip
def test_a_message_that_is_marked_as_not_to_be_trained_is_not(marks, trained):
    assert read_message({**ANSWER, **marks}, False).trained is trained


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ({**ANSWER, "weight": 0.5}, "'weight' is 0.5; possible are 0 and 1"),
        ({**ANSWER, "weight": "low"}, "'weight' is 'low'; possible are 0 and 1"),
        (
            {**ANSWER, "weight": 0, "train": True},
            "'train' says that it is trained, and 'weight' that it is not",
        ),
        ({"role": "user", "content": "x", "train": True}, "'train' says that the user's message is trained"),
        ({**ANSWER, "refusal": "I cannot"}, "has 'refusal', which cannot be used here"),
        ({"role": "user", "content": "x", "images": ["a"]}, "has 'images', which cannot be used here"),
        ({"role": "user", "content": "x", "thinking": "y"}, "only the assistant's messages have reasoning"),
        ({"role": "user", "content": "x", "tool_calls": [ADD]}, "only the assistant calls tools"),
        ({**ANSWER, "tool_calls": [{"name": 3}]}, "is not of the form"),
        ({**ANSWER, "tool_calls": [{"name": "f", "arguments": "{"}]}, "is not of the form"),
        ({**ANSWER, "thinking": "a", "reasoning": "b"}, "must be one text"),
        (
            {"role": "user", "content": [{"type": "text", "text": "x", "weight": 0}]},
            "has a part with 'weight'",
        ),
        ({"role": "user", "content": [{"type": "video", "video": "a"}]}, "videos and sounds are not read"),
        (
            {"role": "user", "content": [{"type": "image", "image": "a.png"}]},
            r"Set task.pictures .* \[messages\]",
        ),
    ],
)
def test_what_would_be_lost_is_refused_by_name(message, fault):
    with pytest.raises(ValueError, match=fault):
        read_message(message, False)


@pytest.mark.parametrize(
    "call",
    [ADD, {"type": "function", "id": "1", "function": ADD}, {"name": "add", "arguments": '{"x": 1}'},
     {"name": "add", "parameters": {"x": 1}}],
)  # fmt: skip
def test_tool_calls_of_every_form_are_read_alike(call):
    for message in ({"tool_calls": [call]}, {"tool_calls": json.dumps([call])}, {"function_call": call}):
        read = read_message({"role": "assistant", "content": None, **message}, False)
        assert [json.loads(one) for one in read.tool_calls] == [ADD]


def test_an_object_as_content_is_written_as_json():
    read = read_message({"role": "assistant", "content": {"city": "Köln"}}, False)
    assert (read.text, read.is_json) == ('{"city": "Köln"}', True)


def test_a_tool_answers_a_call_and_only_a_call():
    user, tool = {"role": "user", "content": "U"}, {"role": "tool", "content": "2"}
    calling = {"role": "assistant", "content": "", "tool_calls": [ADD]}

    def faults(*messages):
        return list(faults_of_order([read_message(one, False) for one in messages]))

    assert faults(user, calling, tool, tool, ANSWER, user, ANSWER) == []
    assert faults(user, calling) == []
    assert faults(user, calling, user)[0].startswith("[2]: is the user's, but must be the tool's")
    assert faults(user, ANSWER, tool)[0].startswith("[2]: is the tool's, but must be the user's")


@pytest.mark.parametrize(
    "fields", [{"tools": [{"name": "f"}]}, {"tools": '[{"name": "f"}]'}, {"functions": [{"name": "f"}]}]
)
def test_tools_are_described_in_one_form(fields):
    assert [json.loads(tool) for tool in tools_of(fields)] == [
        {"type": "function", "function": {"name": "f"}}
    ]


def test_tools_that_cannot_be_read_are_refused():
    for tools in ("{", [3], [{"description": "x"}]):
        with pytest.raises(ValueError, match=r"^tools: "):
            tools_of({"tools": tools})
