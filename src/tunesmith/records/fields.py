"""What a record holds by the name of a field, or further inside at a dotted path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunesmith.errors import did_you_mean
from tunesmith.images.picture import as_json


def value_at(fields: Mapping[str, Any], path: str) -> Any:
    """The value of a field, or further inside at a dotted path; of a list on the way, the member of that number (from
    0), or the list of what its members have there. ValueError says in words what is not there, or is null inside.

    >>> value_at({"meta": {"barcode": "40"}}, "meta.barcode")
    '40'
    >>> value_at({"objects": [{"bbox": [1, 2]}, {"bbox": [3, 4]}]}, "objects.bbox")
    [[1, 2], [3, 4]]
    >>> value_at({"replies": [{"text": "yes"}]}, "replies.0.text")
    'yes'
    """
    head, *inner = [path] if path in fields else path.split(".")
    if head not in fields:
        # A name that has dots may be a slip in all of it.
        near = did_you_mean(path, fields) or did_you_mean(head, fields)
        raise ValueError(f"there is no field {head!r} ({', '.join(fields) or 'none'}).{near}")
    value = fields[head]
    for name in inner:
        value = _inside(value, name, path)
    return value


def _inside(value: Any, name: str, path: str) -> Any:
    if isinstance(value, list) and name.isdecimal():
        if int(name) >= len(value):
            raise ValueError(f"{path!r}: there is no number {name} in a list of {len(value)}, counted from 0")
        return value[int(name)]
    if isinstance(value, list):
        return [_inside(one, name, path) for one in value]
    if not isinstance(value, Mapping):
        told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=as_json)
        raise ValueError(f"{path!r}: there is nothing named {name!r} in {told[:60]!r}")
    if value.get(name) is None:
        what = "null in" if name in value else "not in"
        raise ValueError(f"{path!r}: {name!r} is {what} ({', '.join(value)}).{did_you_mean(name, value)}")
    return value[name]
