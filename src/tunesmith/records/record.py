"""A sample's journey, form 1: one row as on disk, with where it stood as its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tunesmith.images.picture import as_json


@dataclass(frozen=True)
class Record:
    """One row of a source."""

    id: str
    """Where it stood: `file:line` or, without lines, `source:number`."""
    fields: Mapping[str, Any]
    """JSON-like values and pictures by column name."""
    left_out: tuple[str, ...] = field(default=(), compare=False)
    """Names of columns that hold bytes, which the source did not read because the task does not ask for them."""

    @cached_property
    def sha256(self) -> str:
        """Hash of the fields (not of the id), independent of the order of the keys.

        >>> Record("a:1", {"x": 1, "y": 2}).sha256 == Record("b:7", {"y": 2, "x": 1}).sha256
        True
        """
        canonical = json.dumps(
            self.fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=as_json
        )
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def num_bytes(value: Any) -> int:
    """About how much memory a JSON-like value takes: the bytes and characters in it, and 64 for each value.

    >>> num_bytes({"text": "abc", "image": b"12"})
    206
    """
    if isinstance(value, str | bytes):
        return 64 + len(value)
    if isinstance(value, Mapping):
        return 64 + sum(len(name) + num_bytes(inner) for name, inner in value.items())
    return 64 + (sum(map(num_bytes, value)) if isinstance(value, list | tuple) else 0)
