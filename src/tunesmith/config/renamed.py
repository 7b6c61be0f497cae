"""Settings that were renamed: the one table of old and new names.

An old name in an experiment file or an override is a fault that names the new one. Run folders of earlier versions are
read with their old names, and keys of runs are computed from the old names, so that a renamed setting makes no new run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "checkpoints.keep": "num_to_keep",
    "evaluate.examples": "max_validation_records",
    "evaluate.resamples": "num_resamples",
    "evaluate.test_examples": "max_test_records",
    "stages.*.batch.examples": "num_examples",
    "stages.*.batch.share_beginnings": "share_prefixes",
    "stages.*.batch.tokens_per_device": "max_tokens_per_microbatch",
    "stages.*.batch.workers": "num_workers",
    "stages.*.divergence.rise": "max_rise",
    "stages.*.divergence.updates": "num_updates",
    "stages.*.optimizer.clip": "max_grad_norm",
    "stages.*.together": "group_by",
    "stages.*.trained": "loss_on",
    "task.shots": "num_shots",
}
"""New name by the old dotted path; `*` stands for any list index."""
_FORMER = {f"{path.rpartition('.')[0]}.{new}": path.rpartition(".")[2] for path, new in RENAMED.items()}


def new_name(path: str) -> str | None:
    """The new name of the setting at this dotted path, or None if it was not renamed.

    >>> new_name("stages.0.optimizer.clip")
    'max_grad_norm'
    """
    return RENAMED.get(_general(path))


def with_new_names(tree: Any) -> Any:
    """The values of an experiment file with every old name replaced, also in its variants.

    >>> with_new_names({"stages": [{"trained": "all"}], "variants": {"a": {"stages.0.trained": "all"}}})
    {'stages': [{'loss_on': 'all'}], 'variants': {'a': {'stages.0.loss_on': 'all'}}}
    """
    renamed = _renamed(tree, "", RENAMED)
    if isinstance(renamed, Mapping) and isinstance(renamed.get("variants"), Mapping):
        variants = {
            name: {_dotted(key): _renamed(value, _general(key), RENAMED) for key, value in changes.items()}
            if isinstance(changes, Mapping)
            else changes
            for name, changes in renamed["variants"].items()
        }
        renamed = {**renamed, "variants": variants}
    return renamed


def with_former_names(tree: Any, path: str = "") -> Any:
    """Settings, as plain values, with the names that they had first; `path` is where they are in the experiment.

    >>> with_former_names({"loss_on": "answer", "epochs": 1.0}, "stages.0")
    {'trained': 'answer', 'epochs': 1.0}
    """
    return _renamed(tree, _general(path), _FORMER)


def _renamed(tree: Any, path: str, names: Mapping[str, str]) -> Any:
    if isinstance(tree, list):
        return [_renamed(item, _joined(path, "*"), names) for item in tree]
    if not isinstance(tree, Mapping):
        return tree
    renamed = {}
    for key, value in tree.items():
        inner = _joined(path, str(key))
        name = names.get(inner, key)
        # A file with both names keeps both, so that the check finds the fault.
        renamed[key if name in tree else name] = _renamed(value, inner, names)
    return renamed


def _dotted(key: str) -> str:
    """A dotted key with the new names of all its parts."""
    parts = key.split(".")
    new = [new_name(".".join(parts[: size + 1])) or part for size, part in enumerate(parts)]
    return ".".join(new)


def _general(path: str) -> str:
    """The path with `*` for list indices."""
    return ".".join("*" if key.isdecimal() else key for key in path.split("."))


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
