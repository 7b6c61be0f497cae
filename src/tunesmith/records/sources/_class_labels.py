"""Class labels of the `datasets` library, which stores the position of a name: read as the names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Names = Any
"""A list of names; for class labels inside a list or an object, `("list", names)` or `{key: names}`."""


def class_names(features: Mapping[str, Any]) -> dict[str, Names]:
    """Names of the class labels of each column that holds any, also inside lists and objects."""
    found = ((name, _names_in(feature)) for name, feature in features.items())
    return {name: names for name, names in found if names is not None}


def class_names_in(schema: pa.Schema) -> dict[str, Names]:
    """Names of the class labels as `datasets` noted them in the schema of a Parquet file; none if it did not."""
    note = (schema.metadata or {}).get(b"huggingface")
    if note is None or b"ClassLabel" not in note:
        return {}
    import datasets

    try:
        features = datasets.Features.from_dict(json.loads(note)["info"]["features"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return class_names({name: of for name, of in features.items() if name in schema.names})


def _names_in(feature: Any) -> Names | None:
    import datasets

    if isinstance(feature, datasets.ClassLabel):
        return list(feature.names)
    if isinstance(feature, dict):
        inside = {key: _names_in(of) for key, of in feature.items()}
        return {key: names for key, names in inside.items() if names is not None} or None
    if not isinstance(feature, datasets.List | datasets.LargeList):
        return None
    names = _names_in(feature.feature)
    return None if names is None else ("list", names)


def with_class_names(table: pa.Table, labels: dict[str, Names]) -> pa.Table:
    """The table with class labels by name; -1, which means that there is no label, as null."""
    import pyarrow as pa

    for column, names in labels.items():
        index = table.schema.get_field_index(column)
        values = table.column(index)
        if isinstance(names, list):
            named = _taken(values.combine_chunks(), names)
        else:
            named = pa.array([_renamed(value, names) for value in values.to_pylist()])
        table = table.set_column(index, column, named)
    return table


def _taken(codes: pa.Array, names: list[str]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    is_known = pc.and_(pc.greater_equal(codes, 0), pc.less(codes, len(names)))
    known = pc.if_else(is_known, codes, pa.scalar(None, codes.type))
    return pa.array(names, pa.string()).take(known)


def _renamed(value: Any, names: Names) -> Any:
    """A value with the class labels inside it by name."""
    if value is None:
        return None
    if isinstance(names, list):
        return names[value] if 0 <= value < len(names) else None
    if isinstance(names, dict):
        return {
            key: _renamed(inside, names[key]) if key in names else inside for key, inside in value.items()
        }
    return [_renamed(member, names[1]) for member in value]
