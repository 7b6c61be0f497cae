"""Marks of other tools inside texts, such as `<video>` or `<bbox>`: they stand for something that is not in the text,
so a model must not learn them as plain words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from tunesmith.errors import DataError
from tunesmith.records.conversation import Conversation

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
"""Code in Markdown, in which a mark is a word like others."""
_NUMBER = r"(?:[ _-]?\d+)?"
_PICTURE, _CONTROL = "the place of a picture", "a control token"
_KINDS = (
    (rf"<(?:image|img|picture){_NUMBER}>", _PICTURE),
    (r"<(?:image_placeholder|start_of_image|image_soft_token|im_patch|image_here)>|\[IMG\]", _PICTURE),
    (rf"\[IMAGE{_NUMBER}\]", _PICTURE),
    (rf"<(?:video|vid){_NUMBER}>", "the place of a video"),
    (rf"<(?:audio|speech|sound){_NUMBER}>", "the place of a sound"),
    (r"<(?:bbox|ref-object|cls-object)>", "the place of a box or a name from the field `objects`"),
    (r"<box>(?=\s*[(\[])|<loc_?\d+>", "a box in the form of another model"),
    (r"<quad>(?=\s*[(\[])|<points?\s+(?:x|coords)\d*=", "a point or a shape in the form of another model"),
    (r"<\|[A-Za-z]\w*\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>", _CONTROL),
)
_MARK = re.compile(
    "|".join(f"(?P<kind{number}>{kind})" for number, (kind, _) in enumerate(_KINDS)), re.IGNORECASE
)
_SPOKEN_OF = re.compile(r"\s*(?:HTML\s+)?(?:tags?|elements?|标签|元素)\b", re.IGNORECASE)
_TAG = re.compile(r"<(\w+)>", re.IGNORECASE)


def marks_in(text: str, around: str = "") -> Iterator[tuple[str, str]]:
    """Each mark of a text, and what it stands for. Marks within code, and HTML elements that are closed in the text, or
    in `around`, or that are spoken of as such, are none.

    >>> list(marks_in("<video>What is this?"))
    [('<video>', 'the place of a video')]
    >>> list(marks_in("Write `<video>` or <video></video>."))
    []
    """
    if "<" not in text and "[I" not in text and "[/I" not in text:
        return
    plain = _CODE.sub(" ", text) if "`" in text else text
    for match in _MARK.finditer(plain):
        tag = _TAG.fullmatch(match[0])
        is_element = tag is not None and (
            re.search(rf"</{tag[1]}\s*>", plain + around, re.IGNORECASE) is not None
            or _SPOKEN_OF.match(plain, match.end()) is not None
        )
        names_file = tag is not None and re.search(rf"<{tag[1]}>\s*\S+\s*</{tag[1]}>", plain, re.IGNORECASE)
        if is_element and not (names_file and tag is not None and tag[1].lower() in ("img", "box")):
            continue
        yield match[0], _KINDS[int(str(match.lastgroup).removeprefix("kind"))][1]


def refuse_marks(conversation: Conversation, plain: Collection[str] = ()) -> None:
    """Raise DataError if a text of the conversation holds a mark that is not among `plain`."""
    texts = [turn.text for turn in conversation.turns]
    texts += [turn.reasoning for turn in conversation.turns if turn.reasoning]
    texts += [conversation.reply.reasoning] if conversation.reply else []
    # Boxes are written by the model's family.
    texts += [conversation.answer] if conversation.boxes is None else []
    around = "\n".join(texts)
    found = {mark: kind for text in texts for mark, kind in marks_in(text, around) if mark not in plain}
    if found:
        named = ", ".join(f"{mark} ({kind})" for mark, kind in found.items())
        kinds = set(found.values())
        when = "if the model has no such token" if kinds == {_CONTROL} else "if it is plain text"
        raise DataError(
            f"{conversation.record}: the text holds {named}, which would be trained as plain words. {_advice(kinds)}; "
            f"or, {when}, add it to data.ignore: [{', '.join(map(repr, found))}]"
        )


def _advice(kinds: set[str]) -> str:
    if _PICTURE in kinds:
        return "Name the fields that hold the pictures in task.pictures (a mark in the user's text is then their place)"
    if kinds & {"the place of a video", "the place of a sound"}:
        return "Videos and sounds are not read: leave these records out"
    return (
        "Use task kind detect for boxes, or remove it from the text"
        if any("box" in kind for kind in kinds)
        else ("Remove it from the text")
    )
