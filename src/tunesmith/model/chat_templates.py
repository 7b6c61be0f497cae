"""Where a model's chat template stands: in its tokenizer's files, or in `chat_template.json` of its processor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.utils import cached_file

from tunesmith.errors import ModelError

_OF_PROCESSOR = "chat_template.json"


def settle_template(
    tokenizer: PreTrainedTokenizerBase,
    place: str,
    revision: str | None,
    shows_pictures: Callable[[str], bool] | None,
) -> None:
    """Give the tokenizer one chat template, or none if the model has none.

    `chat_template.jinja` and the tokenizer's own come first, `chat_template.json` next. For a model with vision, the
    first template for which `shows_pictures` is true is used, else the first. ModelError for several templates by name
    of which none is called `default`.
    """
    own: Any = tokenizer.chat_template
    templates = [
        template for template in (_default(own, "its tokenizer"), _of_processor(place, revision)) if template
    ]
    suitable = [template for template in templates if shows_pictures is not None and shows_pictures(template)]
    chosen = next(iter(suitable or templates), None)
    if chosen is not None:
        tokenizer.chat_template = chosen


def _of_processor(place: str, revision: str | None) -> str | None:
    """The template in `chat_template.json`, as processors saved it before transformers 4.52."""
    try:
        file = cached_file(
            place,
            _OF_PROCESSOR,
            revision=revision,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        stated = json.loads(Path(file).read_text(encoding="utf-8")) if file else None
    except (OSError, ValueError):
        return None
    return _default(stated.get("chat_template") if isinstance(stated, dict) else stated, _OF_PROCESSOR)


def _default(stated: Any, where: str) -> str | None:
    """The template to use of one, or of several by name."""
    if isinstance(stated, list):
        stated = {
            entry["name"]: entry["template"]
            for entry in stated
            if isinstance(entry, dict) and entry.keys() >= _NAMED
        }
    if not isinstance(stated, dict):
        return stated if isinstance(stated, str) else None
    if "default" in stated:
        return str(stated["default"])
    if len(stated) > 1:
        raise ModelError(
            f"model.path: {where} has the chat templates {', '.join(map(str, stated))}, and none is called 'default'. "
            "Put the one to use into chat_template.jinja of the model's folder"
        )
    return str(next(iter(stated.values()), "")) or None


_NAMED = {"name", "template"}
