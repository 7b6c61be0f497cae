"""The forms in which a model names a class: how a label is written as an answer, and read back from one."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tunesmith.config.head import Head
from tunesmith.config.settings import Settings
from tunesmith.tasks import Unread

_FENCE = re.compile(r"```\w*\s*(.*?)\s*```", re.DOTALL)
_LEAD = re.compile(r"(the\s+)?(answer|category|class|label)(\s+is\b|\s*:)\s*:?\s*", re.IGNORECASE)
_WRAPPING = "\"'`*“”‘’«» \t\r\n"


class Form(Settings):
    """What every form can do. Classes are given and named by their index in `labels`."""

    kind: Any

    @abstractmethod
    def write(self, index: int, labels: Sequence[str]) -> str:
        """The answer that names a class."""

    @abstractmethod
    def read(self, text: str, labels: Sequence[str]) -> int | Unread:
        """The class that an answer names, or why it names none."""

    def options(self, labels: Sequence[str]) -> str:
        """All classes for the prompt, one a line."""
        return "\n".join(f"- {label}" for label in labels)


class TextForm(Form):
    """The label itself."""

    kind: Literal["text"] = "text"

    def write(self, index: int, labels: Sequence[str]) -> str:
        """`World`."""
        return labels[index]

    def read(self, text: str, labels: Sequence[str]) -> int | Unread:
        """The label alone: case, quotes, emphasis, a code fence, `Answer:` before it and a full stop after it
        do not matter."""
        return _label(_LEAD.sub("", _bare(text), count=1), labels)


class JsonForm(Form):
    """A JSON object with the label under one key."""

    kind: Literal["json"] = "json"
    key: Annotated[str, Field(min_length=1)] = "category"
    """Key of the label in the object."""

    def write(self, index: int, labels: Sequence[str]) -> str:
        """`{"category":"World"}`."""
        return json.dumps({self.key: labels[index]}, ensure_ascii=False, separators=(",", ":"))

    def read(self, text: str, labels: Sequence[str]) -> int | Unread:
        """The label under the key of an object that stands alone or in a code fence."""
        try:
            pairs = json.loads(_unfenced(text), object_pairs_hook=tuple)
        except (ValueError, RecursionError):
            return Unread("is not whole JSON")
        if not isinstance(pairs, tuple):
            return Unread("is JSON, but not an object")
        values = [value for key, value in pairs if key == self.key]
        if len(values) != 1:
            return Unread(f"is a JSON object with {len(values)} keys {self.key!r}")
        if not isinstance(values[0], str):
            return Unread(f"is a JSON object, but the value of {self.key!r} is not text")
        return _label(values[0].strip(), labels)


class LetterForm(Form):
    """The letter of the class in the list that `{options}` puts into the prompt."""

    kind: Literal["letter"] = "letter"

    def write(self, index: int, labels: Sequence[str]) -> str:
        """`A`."""
        return ascii_uppercase[index]

    def read(self, text: str, labels: Sequence[str]) -> int | Unread:
        """The letter alone, as `a`, `(A)` or `A.`, or with its own label behind it, as `A. World`."""
        bare = _LEAD.sub("", _bare(text), count=1)
        match = re.fullmatch(r"\(?([A-Za-z])\)?(?:\s*[.):]\s*(.*))?", bare, re.DOTALL)
        letters = ascii_uppercase[: len(labels)]
        if not match or match[1].upper() not in letters:
            return Unread(f"is not one of the letters {letters[0]} to {letters[-1]}")
        index = letters.index(match[1].upper())
        if match[2] and _label(match[2], labels) != index:
            return Unread(f"has more behind the letter {letters[index]} than its label {labels[index]!r}")
        return index

    def options(self, labels: Sequence[str]) -> str:
        """`A. World`, one a line."""
        return "\n".join(f"{letter}. {label}" for letter, label in zip(ascii_uppercase, labels, strict=False))


class HeadForm(Form, Head):
    """A head on the model's hidden states names the class. Where text stands for a class (in reports, and for a
    model whose head is not trained yet), it is the label itself; of several, a JSON list of them."""

    kind: Literal["head"] = "head"

    def write(self, index: int, labels: Sequence[str]) -> str:
        """`World`."""
        return labels[index]

    def read(self, text: str, labels: Sequence[str]) -> int | Unread:
        """The label alone."""
        return _label(text, labels)

    def write_several(self, indices: Sequence[int], labels: Sequence[str]) -> str:
        """`["World", "Sports"]`."""
        return json.dumps([labels[index] for index in indices], ensure_ascii=False)

    def read_several(self, text: str, labels: Sequence[str]) -> tuple[int, ...] | Unread:
        """The labels of a list, or the one that stands alone."""
        try:
            named = json.loads(text)
        except ValueError:
            named = None
        if not isinstance(named, list):
            named = [text]
        found = [self.read(str(one), labels) for one in named]
        return next((one for one in found if isinstance(one, Unread)), None) or tuple(sorted(set(found)))  # type: ignore[arg-type]


_OneForm = Annotated[TextForm | JsonForm | LetterForm | HeadForm, Field(discriminator="kind")]
AnyForm = Annotated[
    _OneForm,
    BeforeValidator(
        lambda value: {"kind": value} if isinstance(value, str) else value,
        json_schema_input_type=Literal["text", "json", "letter", "head"] | _OneForm,
    ),
]


def _unfenced(text: str) -> str:
    fenced = _FENCE.fullmatch(text.strip())
    return fenced[1] if fenced else text.strip()


def _bare(text: str) -> str:
    return _unfenced(text).strip(_WRAPPING)


def _label(text: str, labels: Sequence[str]) -> int | Unread:
    """The class of which this is the label, or why it is none."""
    wanted = {plain(label): index for index, label in enumerate(labels)}
    said = plain(text)
    if said in wanted:
        return wanted[said]
    if not said:
        return Unread("is empty")
    named = _named(text, labels)
    if len(named) > 1:
        return Unread(f"names {len(named)} labels ({', '.join(named)})")
    return Unread(f"says more than the label {named[0]!r}" if named else "is none of the labels")


def plain(text: str) -> str:
    """What of a label tells it from another: not case, quotes, white space, nor a full stop."""
    return " ".join(text.strip(_WRAPPING).removesuffix(".").strip(_WRAPPING).casefold().split())


def _named(text: str, labels: Sequence[str]) -> list[str]:
    """Labels that stand in the text as whole words; of labels within one another the longest."""
    longest_first = sorted(labels, key=len, reverse=True)
    found = re.findall(
        rf"(?<!\w)(?:{'|'.join(re.escape(label.casefold()) for label in longest_first)})(?!\w)",
        text.casefold(),
    )
    return [label for label in labels if label.casefold() in found]
