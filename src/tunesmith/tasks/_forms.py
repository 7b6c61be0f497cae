"""The forms in which a model names a class: how a label is written as an answer, and read back from one."""

from __future__ import annotations

import ast
import json
import re
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tunesmith.config.head import Head
from tunesmith.config.settings import Settings
from tunesmith.tasks import Unread
from tunesmith.tasks._labels import spelled
from tunesmith.tasks._said import folded, label_in, labels_named, peeled, plain

_FLAT_OBJECT = re.compile(r"\{[^{}]*\}")
_BARE_KEY = re.compile(r"([{,]\s*)([^\W\d]\w*)\s*:")
_STRAIGHT = str.maketrans("“”„", '"""')
_LONGEST_FAULTY = 4000
_SEPARATORS = re.compile(r"[,;\n、，；]|\s+and\s+")
_CONTROL = re.compile(r"(?:<\|[^|<>]*\|>|</s>)+\s*$")
_LETTER = re.compile(
    r"(?:(?:option|choice|letter|answer)\s+)?\(?([A-Za-z])\)?(?:(?:\s*[.):、]\s*|\s*[-–—]\s+|\s+)(.+))?",
    re.DOTALL | re.IGNORECASE,
)


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
        do not matter, in any script."""
        return label_in(text, labels)


class JsonForm(Form):
    """A JSON object with the label under one key."""

    kind: Literal["json"] = "json"
    key: Annotated[str, Field(min_length=1)] = "category"
    """Key of the label in the object."""

    def write(self, index: int, labels: Sequence[str]) -> str:
        """`{"category":"World"}`."""
        return json.dumps({self.key: labels[index]}, ensure_ascii=False, separators=(",", ":"))

    def read(self, text: str, labels: Sequence[str]) -> int | Unread:
        """The label under the key of an object that stands alone, in a code fence or among words that name no other
        label. Slips of writing (single quotes, a comma too many, another key where there is only one) do not matter."""
        found = _objects_in(_CONTROL.sub("", folded(text)))
        if isinstance(found, Unread):
            return found
        objects, words = found
        indices = {_read_object(one, self.key, labels) for one in objects}
        if len(indices) > 1:
            return Unread(f"has {len(objects)} JSON objects that differ")
        index = indices.pop()
        others = [
            label
            for label in labels_named(words, labels)
            if not isinstance(index, int) or label != labels[index]
        ]
        return Unread(f"names {', '.join(others)} next to its JSON object") if others else index


class LetterForm(Form):
    """The letter of the class in the list that `{options}` puts into the prompt."""

    kind: Literal["letter"] = "letter"

    def write(self, index: int, labels: Sequence[str]) -> str:
        """`A`."""
        return ascii_uppercase[index]

    def read(self, text: str, labels: Sequence[str]) -> int | Unread:
        """The letter alone, as `a`, `(A)` or `A.`, or with its own label behind it, as `A. World`; what else does not
        matter is as for the label alone."""
        letters = ascii_uppercase[: len(labels)]
        more = None
        for one in peeled(text, ()):
            match = _LETTER.fullmatch(one)
            if not match or match[1].upper() not in letters:
                continue
            index = letters.index(match[1].upper())
            if not match[2] or label_in(match[2], labels) == index:
                return index
            more = more or Unread(
                f"has more behind the letter {letters[index]} than its label {labels[index]!r}"
            )
        return more or Unread(f"is not one of the letters {letters[0]} to {letters[-1]}")

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
        return label_in(text, labels)

    def write_several(self, indices: Sequence[int], labels: Sequence[str]) -> str:
        """`["World", "Sports"]`."""
        return json.dumps([labels[index] for index in indices], ensure_ascii=False)

    def read_several(self, text: str, labels: Sequence[str]) -> tuple[int, ...] | Unread:
        """The labels of a JSON list (none, if it is empty), of a list with commas or lines, or the one that stands
        alone."""
        try:
            named = json.loads(text)
        except (ValueError, RecursionError):
            named = None
        if not isinstance(named, list):
            whole = label_in(text, labels)
            named = (
                [text] if isinstance(whole, int) else [one for one in _SEPARATORS.split(text) if one.strip()]
            )
            if not named:
                return Unread("is empty")
        found = [_read_value(one, "label", labels) for one in named]
        return next((one for one in found if isinstance(one, Unread)), None) or tuple(sorted(set(found)))  # type: ignore[arg-type]


_OneForm = Annotated[TextForm | JsonForm | LetterForm | HeadForm, Field(discriminator="kind")]
AnyForm = Annotated[
    _OneForm,
    BeforeValidator(
        lambda value: {"kind": value} if isinstance(value, str) else value,
        json_schema_input_type=Literal["text", "json", "letter", "head"] | _OneForm,
    ),
]


def _read_object(pairs: Sequence[tuple[Any, Any]], key: str, labels: Sequence[str]) -> int | Unread:
    """The class that the pairs of a JSON object name."""
    values = [value for name, value in pairs if name == key]
    values = values or [value for name, value in pairs if plain(str(name)) == plain(key)]
    if not values and len(pairs) == 1:
        values = [pairs[0][1]]
    found = {_read_value(value, key, labels) for value in values}
    if len(found) == 1:
        return found.pop()
    return Unread(f"is a JSON object with {len(values)} keys {key!r}")


def _read_value(value: Any, key: str, labels: Sequence[str]) -> int | Unread:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, int | float):
        value = spelled(value)
    if not isinstance(value, str):
        return Unread(f"is a JSON object, but the value of {key!r} is not text")
    return label_in(value, labels)


def _objects_in(text: str) -> tuple[Sequence[Sequence[tuple[Any, Any]]], str] | Unread:
    """The JSON objects of a text (pairs of key and value), and the words around them; or why there are none."""
    bare = text.strip()
    whole = _parsed(bare)
    if whole is not None:
        whole = whole[0] if isinstance(whole, list) and len(whole) == 1 else whole
        return ([whole], "") if isinstance(whole, tuple) else Unread("is JSON, but not an object")
    found = [_parsed(match[0]) for match in _FLAT_OBJECT.finditer(bare)]
    objects = [one for one in found if isinstance(one, tuple)]
    if not objects and bare.removesuffix("```").count("{") == 1 + bare.count("}"):
        start = bare.index("{")
        closed = _parsed(bare[start:].removesuffix("```").rstrip() + "}")
        return ([closed], bare[:start]) if isinstance(closed, tuple) else Unread("is not whole JSON")
    if not objects or len(objects) < len(found):
        return Unread("is not whole JSON")
    return objects, _FLAT_OBJECT.sub(" ", bare)


def _parsed(text: str) -> Any:
    """The value of a JSON text, also with single quotes, bare keys or a comma too many: an object as a tuple of its
    pairs, None for what is none."""
    try:
        return json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        if len(text) > _LONGEST_FAULTY or not text.startswith(("{", "[")):
            return None
    quoted = _BARE_KEY.sub(r'\1"\2":', text.translate(_STRAIGHT))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(quoted, mode="eval").body
            if isinstance(tree, ast.List) and len(tree.elts) == 1:
                tree = tree.elts[0]
            if not isinstance(tree, ast.Dict) or None in tree.keys:
                return None
            keys = [ast.literal_eval(key) for key in tree.keys if key is not None]
            return tuple(zip(keys, map(ast.literal_eval, tree.values), strict=True))
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
