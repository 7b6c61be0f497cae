from dataclasses import FrozenInstanceError

import pytest

from tunesmith.records.conversation import Conversation, Text, Turn


def test_a_turn_of_one_text_says_that_text() -> None:
    turn = Turn.of("user", "  Is it\ngood? 🙂 ")
    assert (turn.role, turn.text) == ("user", "  Is it\ngood? 🙂 ")
    assert turn == Turn("user", (Text("  Is it\ngood? 🙂 "),))


def test_pieces_of_a_turn_are_joined_with_nothing_between_them() -> None:
    assert Turn("user", (Text("one "), Text(""), Text("two"))).text == "one two"
    assert Turn("assistant", ()).text == ""


def test_equal_conversations_are_equal_so_that_answers_of_an_interrupted_evaluation_are_found_again() -> None:
    made = [Conversation("a:1", (Turn.of("user", "Q"),), "A", 0) for _ in range(2)]
    assert made[0] == made[1]
    assert repr(made[0]) == repr(made[1])
    assert repr(made[0]) != repr(Conversation("a:1", (Turn.of("user", "Q"),), "B", 0))


def test_a_conversation_made_for_training_cannot_be_changed_before_evaluation() -> None:
    conversation = Conversation("a:1", (Turn.of("user", "Q"),), "A")
    with pytest.raises(FrozenInstanceError):
        conversation.answer = "B"  # type: ignore[misc]
    assert (conversation.label, conversation.accepted) == (None, ())
