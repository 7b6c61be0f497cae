from __future__ import annotations

import re
from typing import Any

import pytest

from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.records.conversation import Text, Turn
from tunesmith.records.record import Record
from tunesmith.tasks import Answer
from tunesmith.tasks.chat import Chat

SYSTEM = {"role": "system", "content": "S"}
USER = {"role": "user", "content": "U"}
ASSISTANT = {"role": "assistant", "content": "A"}


def turns(messages: Any, task: Chat | None = None) -> list[tuple[str, str]]:
    conversation = (task or Chat()).conversation(Record("chat.jsonl:5", {"messages": messages}))
    return [(turn.role, turn.text) for turn in conversation.turns] + [("answer", conversation.answer)]


def test_the_last_assistant_turn_is_the_answer() -> None:
    assert turns([SYSTEM, USER, ASSISTANT, USER, ASSISTANT]) == [
        ("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "U"), ("answer", "A"),
    ]  # fmt: skip


def test_a_chat_that_ends_with_the_user_can_be_asked_but_not_trained_on() -> None:
    record = Record("chat.jsonl:5", {"messages": [SYSTEM, USER, ASSISTANT, USER]})
    assert [turn.role for turn in Chat().ask(record).turns] == ["system", "user", "assistant", "user"]
    with pytest.raises(
        DataError, match="ends with the user's message; the last one must be the assistant's answer"
    ):
        Chat().conversation(record)
    for messages, what in [
        ([SYSTEM], "has no message but the system's"),
        ([ASSISTANT], "must be the user's"),
    ]:
        with pytest.raises(DataError, match=what):
            Chat().ask(Record("chat.jsonl:5", {"messages": messages}))


def test_the_records_own_system_message_goes_before_the_tasks() -> None:
    task = Chat(system="T")
    assert turns([SYSTEM, USER, ASSISTANT], task)[0] == ("system", "S")
    assert turns([USER, ASSISTANT], task)[0] == ("system", "T")


def test_content_may_be_a_list_of_text_pieces() -> None:
    pieces = {"role": "user", "content": [{"type": "text", "text": "U"}, {"type": "text", "text": "V"}]}
    assert turns([pieces, ASSISTANT])[0] == ("user", "UV")


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ("hello", ": is str, but must be a list of messages with role and content"),
        ([], ": is empty; there must be at least a user's message and the assistant's answer"),
        ([USER], ": ends with the user's message; the last one must be the assistant's answer"),
        ([SYSTEM], ": has no message but the system's; the user must ask something"),
        (
            [USER, USER, ASSISTANT],
            "[1]: is the user's, but must be the assistant's: user and assistant take turns",
        ),
        ([ASSISTANT], "[0]: is the assistant's, but must be the user's: user and assistant take turns"),
        (
            [USER, SYSTEM, ASSISTANT],
            "[1]: is the system's, but must be the assistant's: user and assistant take turns",
        ),
        (
            [{"role": "usr", "content": "x"}, ASSISTANT],
            "[0]: unknown role 'usr' (system, user, assistant, tool). Did you mean 'user'?",
        ),
        ([USER, {"role": "assistant", "content": " "}], "[1]: content of the assistant is empty"),
        ([USER, {"role": "assistant"}], "[1]: must have role and content, but is {'role': 'assistant'}"),
        (
            [{"role": "user", "content": [{"type": "image"}]}, ASSISTANT],
            "[0]: content of the user has a picture; name the fields that hold them in task.pictures",
        ),
        (
            [{"role": "user", "content": [{"type": "audio"}]}, ASSISTANT],
            "[0]: content of the user is neither text nor a list of text and picture parts: it holds a part of type "
            "'audio', and videos and sounds are not read. Leave the record out",
        ),
    ],
)
def test_what_is_wrong_is_said_by_record(messages: Any, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        turns(messages)
    assert str(caught.value) == f"chat.jsonl:5: messages{fault}"


def test_all_bad_messages_are_named_at_once() -> None:
    with pytest.raises(DataError) as caught:
        turns([{"role": "robot", "content": "x"}, {"role": "user", "content": None}])
    assert [line.partition("]")[0] for line in str(caught.value).splitlines()] == [
        "chat.jsonl:5: messages[0", "chat.jsonl:5: messages[1",
    ]  # fmt: skip


def test_written_answers_have_no_loss() -> None:
    task = Chat()
    conversation = task.conversation(Record("a:1", {"messages": [USER, ASSISTANT]}))
    assert task.mark(conversation, Answer("A"), "A") == {"nats": None, "tokens": None}
    weighed = Answer("A", scores=(-2.5,), num_tokens=(3,))
    assert task.mark(conversation, weighed, "A") == {"nats": 2.5, "tokens": 3}


def picture(name: str) -> Picture:
    return Picture(f"{name}.jpg", "00", 40, 30, "0" * 16)


def shown(user: Any, pictures: Any, **more: Any) -> tuple[Turn, ...]:
    """The turns of a chat with one question, pictures given as their names."""
    held = [picture(name) for name in pictures] if isinstance(pictures, str) else pictures
    fields = {"messages": [{"role": "user", "content": user}, ASSISTANT], "images": held, **more}
    return Chat(pictures=["images"]).conversation(Record("chat.jsonl:5", fields)).turns


IMAGE = {"type": "image"}


def written(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("user", "pieces"),
    [
        ("What?", (picture("a"), picture("b"), Text("What?"))),
        ("<image>What?<image>", (picture("a"), Text("What?"), picture("b"))),
        ("<image>\n<image>\nWhat?", (picture("a"), Text("\n"), picture("b"), Text("\nWhat?"))),
        ([IMAGE, written("or "), IMAGE, written("?")], (picture("a"), Text("or "), picture("b"), Text("?"))),
        ([IMAGE, IMAGE], (picture("a"), picture("b"))),
        ([written("What"), written("?")], (picture("a"), picture("b"), Text("What?"))),
        (
            [{"type": "image_url", "image_url": {"url": "./a.jpg"}}, IMAGE, written("?")],
            (picture("a"), picture("b"), Text("?")),
        ),
    ],
)
def test_pictures_stand_at_their_places_in_order_or_all_before_the_text(user: Any, pieces: Any) -> None:
    assert shown(user, "ab") == (Turn("user", pieces),)


def test_pictures_go_through_the_turns_in_order_and_those_of_several_fields_field_by_field() -> None:
    messages = [
        SYSTEM, {"role": "user", "content": "<image>"}, ASSISTANT,
        {"role": "user", "content": "<image> or <image>?"}, ASSISTANT,
    ]  # fmt: skip
    fields = {"messages": messages, "one": picture("c"), "two": [picture("a"), picture("b")]}
    conversation = Chat(pictures=["one", "two"]).conversation(Record("a:1", fields))
    assert conversation.turns[1] == Turn("user", (picture("c"),))
    assert conversation.turns[3].pieces == (picture("a"), Text(" or "), picture("b"), Text("?"))
    assert conversation.answer == "A"


def test_pictures_of_a_chat_without_places_stand_before_the_first_users_text() -> None:
    messages = [SYSTEM, USER, ASSISTANT, USER, ASSISTANT]
    fields = {"messages": messages, "images": [picture("a")]}
    turns = Chat(pictures=["images"]).conversation(Record("a:1", fields)).turns
    assert [turn.pictures for turn in turns] == [(), (picture("a"),), (), ()]


@pytest.mark.parametrize("none", [[], None])
def test_a_record_may_have_no_pictures_among_others_that_do(none: Any) -> None:
    assert shown("What?", none) == (Turn.of("user", "What?"),)


def test_without_a_field_for_pictures_the_mark_is_text() -> None:
    assert turns([{"role": "user", "content": "<image>"}, ASSISTANT])[0] == ("user", "<image>")


@pytest.mark.parametrize(
    ("user", "pictures", "fault"),
    [
        (
            "<image>What?",
            "ab",
            "the users' messages have 1 place for pictures (<image>, or parts of type image), but task.pictures "
            "gives 2. Have one for each picture, or none at all: then all stand before the first text",
        ),
        ([IMAGE, IMAGE, written("?")], None, "the users' messages have 2 places for pictures"),
        ("What?", ["a.jpg"], "task.pictures: field 'images' is '[\"a.jpg\"]', which is no picture"),
    ],
)
def test_pictures_and_places_that_do_not_agree_are_told_with_the_record(
    user: Any, pictures: Any, fault: str
) -> None:
    with pytest.raises(DataError, match=rf"^chat\.jsonl:5: {re.escape(fault)}"):
        shown(user, pictures)


def test_a_missing_field_of_pictures_is_none_unless_another_has_nearly_its_name() -> None:
    fields = {"messages": [USER, ASSISTANT]}
    assert Chat(pictures=["photo"]).conversation(Record("a:1", fields)).turns == (Turn.of("user", "U"),)
    with pytest.raises(DataError) as caught:
        Chat(pictures=["image", "photo"]).conversation(Record("a:1", {**fields, "images": [], "photos": []}))
    assert str(caught.value) == (
        "a:1: task.pictures: there is no field 'image'. Did you mean 'images'?\n"
        "a:1: task.pictures: there is no field 'photo'. Did you mean 'photos'?"
    )


def test_an_answer_cannot_show_a_picture() -> None:
    with pytest.raises(
        DataError, match=r"messages\[1\]: content of the assistant has a picture; only users'"
    ):
        turns([USER, {"role": "assistant", "content": [IMAGE, written("x")]}], Chat(pictures=["images"]))


def test_places_for_pictures_that_nobody_names_are_not_trained_as_text() -> None:
    messages = [{"role": "user", "content": "<image>What?"}, ASSISTANT]
    record = Record("a.jsonl:7", {"messages": messages, "images": ["a.jpg"]})
    with pytest.raises(
        DataError, match=r"^a\.jsonl:7: .* a field 'images', but .* Set task\.pictures to \[images\]$"
    ):
        Chat().conversation(record)
    for fields in ({"images": []}, {"images": None}, {"photo": "a.jpg"}):
        assert Chat().conversation(Record("a:1", {"messages": messages, **fields})).pictures == ()


def chat(*messages: Any, **more: Any) -> Any:
    return Chat().conversation(Record("a:1", {"messages": list(messages), **more}))


def test_a_last_answer_that_is_not_to_be_trained_is_no_reference() -> None:
    conversation = chat(USER, ASSISTANT, USER, {"role": "assistant", "content": "bad", "weight": 0})
    assert (len(conversation.turns), conversation.answer) == (1, "A")
    with pytest.raises(DataError, match="all messages of the assistant are marked as not to be trained"):
        chat(USER, {**ASSISTANT, "train": False})
    earlier = chat(USER, {**ASSISTANT, "loss": False}, USER, ASSISTANT)
    assert [turn.trained for turn in earlier.turns] == [True, False, True]


def test_reasoning_tool_calls_and_tools_are_kept_for_the_chat_template() -> None:
    call = {"name": "add", "arguments": {"x": 1}}
    conversation = chat(
        USER, {**ASSISTANT, "reasoning_content": "hm", "tool_calls": [call]}, tools=[{"name": "add"}]
    )
    assert conversation.reply == Turn(
        "assistant", (Text("A"),), "hm", ('{"name": "add", "arguments": {"x": 1}}',)
    )
    assert conversation.answer == 'A\n{"name": "add", "arguments": {"x": 1}}'
    assert conversation.tools == ('{"type": "function", "function": {"name": "add"}}',)


def test_pictures_that_messages_name_are_theirs_and_another_field_may_not_differ() -> None:
    named = {
        "role": "user",
        "content": [{"type": "image", "image": "photos/4.png"}, {"type": "text", "text": "?"}],
    }
    task = Chat(pictures=["messages"])
    assert task.picture_fields() == ("messages.pictures",)
    record = task.laid_out(Record("a:1", {"messages": [named, ASSISTANT]}))
    assert record.fields["messages.pictures"] == ["photos/4.png"]
    with pytest.raises(
        DataError, match=r"shows the picture 'photos/4\.png', but task\.pictures gives 'other/4\.jpg'"
    ):
        shown(named["content"], [Picture("other/4.jpg", "00", 40, 30, "0" * 16)])


def test_the_system_prompt_is_filled_from_the_record() -> None:
    record = Record("a:1", {"messages": [USER, ASSISTANT], "style": "short"})
    assert Chat(system="Be {style}.").conversation(record).turns[0].text == "Be short."
    with pytest.raises(DataError, match=r"a:1: task\.system: there is no field 'stile'"):
        Chat(system="Be {stile}.").conversation(record)


def test_what_a_record_holds_besides_is_refused_or_counted() -> None:
    record = Record("a:1", {"messages": [USER, ASSISTANT], "id": 3})
    assert Chat().check(record).notes.unread == ("id",)
    with pytest.raises(DataError, match="field 'rejected' holds an answer that is marked as worse"):
        Chat().check(Record("a:1", {**record.fields, "rejected": "no"}))
    with pytest.raises(DataError, match=r"the text holds <bbox>"):
        Chat().check(Record("a:1", {"messages": [USER, {"role": "assistant", "content": "<bbox>"}]}))
