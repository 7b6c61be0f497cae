import pytest

from tunesmith.errors import DataError
from tunesmith.records.conversation import Conversation, Turn
from tunesmith.records.marks import marks_in, refuse_marks


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("<video>What happens?", ["<video>"]),
        ("first <audio>, then <AUDIO2>", ["<audio>", "<AUDIO2>"]),
        ("<ref-object><bbox>", ["<ref-object>", "<bbox>"]),
        ("<img>a/b.jpg</img>What?", ["<img>"]),
        ("<image 2> and <image_1>", ["<image 2>", "<image_1>"]),
        ("a<|image_pad|>b <|eot_id|>", ["<|image_pad|>", "<|eot_id|>"]),
        ("<box>(1,2),(3,4)</box><loc0123>", ["<box>", "<loc0123>"]),
        ("```html\n<video>\n```", []),
        ("Use `<video>` here", []),
        ("<video>\n<source src=x>\n</video>", []),
        ('<img src="a.jpg"> 1 <| 2 |> 3, a < b > c', []),
        ("How do I use the <video> tag?", []),
        ("plain", []),
    ],
)
def test_marks_are_found_but_not_code_and_html(text, marks):
    assert [mark for mark, _ in marks_in(text)] == marks


def test_a_mark_is_refused_in_question_and_answer_unless_it_is_said_to_be_plain():
    for question, answer in (("<video>Why?", "x"), ("x", "<video>")):
        conversation = Conversation("a:1", (Turn.of("user", question),), answer)
        with pytest.raises(
            DataError, match=r"a:1: the text holds <video> \(the place of a video\), .*data\.ignore"
        ):
            refuse_marks(conversation)
        refuse_marks(conversation, ["<video>"])


@pytest.mark.parametrize(
    "text",
    [
        "[IMAGE] What?",
        "[IMAGE_1] What?",
        "[INST] Hi [/INST]",
        "<<SYS>> Be kind",
        "<start_of_turn>user",
        "<quad>(1,2)",
        '<point x="3" y="4">',
    ],
)
def test_marks_and_control_tokens_of_other_models_are_found(text):
    assert list(marks_in(text))


@pytest.mark.parametrize(
    "text", ["a[I] = 3", "[Instagram]", "<quad> bike", "the <point> element", "[INSTALL]"]
)
def test_words_that_look_alike_are_no_marks(text):
    assert not list(marks_in(text))
