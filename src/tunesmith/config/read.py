"""From an experiment file, a variant and overrides to one typed experiment, or to every fault at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.config.document import Document, parse_yaml
from tunesmith.config.faults import Fault, faults_of, raise_faults
from tunesmith.config.overrides import Override, apply_override, parse_override
from tunesmith.config.renamed import with_new_names
from tunesmith.errors import ExperimentError, did_you_mean

if TYPE_CHECKING:
    from tunesmith.config.experiment import Experiment


def read_experiment(
    path: str | Path, overrides: Sequence[str] = (), variant: str | None = None
) -> Experiment:
    """The experiment of a YAML file with a variant's changes, and then `overrides` (`model.weights=nf4`).

    With a variant, the result has no variants any more; without, it holds them all. ExperimentError lists
    every fault of the file, of all its variants and of the overrides, each with `file:line`.
    """
    path = Path(path)
    experiment = _experiment(_document(path), str(path), overrides, variant)
    return experiment.read_in(path.parent, variant or "main")


def read_run_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """The resolved experiment in a run folder, which may have old names of settings; `overrides` have new ones.

    ExperimentError lists every fault, as `read_experiment`.
    """
    document = _document(path)
    return _experiment(Document(with_new_names(document.value), document.origins), str(path), overrides, None)


def read_chosen(path: str | Path, overrides: Sequence[str] = (), variant: str | None = None) -> Experiment:
    """The experiment that a command means: as `read_experiment`, but ExperimentError if the file has variants and none
    of them is chosen."""
    experiment = read_experiment(path, overrides, variant)
    refuse_unchosen(experiment, str(path))
    return experiment


def refuse_unchosen(experiment: Experiment, where: str = "experiment") -> None:
    """Raise ExperimentError if the experiment has variants, which are what is meant to run."""
    if names := list(experiment.variants):
        raise ExperimentError(
            f"{where}: has {len(names)} variants ({', '.join(names)}), and none is chosen. Choose one with --variant "
            f"{names[0]} (in Python: load_experiment(path, variant={names[0]!r})), or run all of them with "
            "`tunesmith run --all`"
        )


def experiment_from(
    mapping: Mapping[str, Any],
    overrides: Sequence[str] = (),
    variant: str | None = None,
    where: str = "experiment",
) -> Experiment:
    """The experiment of plain values, as a file would hold them; `where` is its name in error texts."""
    return _experiment(Document(dict(mapping)), where, overrides, variant)


def read_variants(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Experiment]:
    """Every variant of a file as an experiment, by name; of a file without any, itself by the name `main`."""
    path = Path(path)
    document = _document(path)
    names: list[str | None] = [*_changes(document)] or [None]
    return {
        name or "main": _experiment(document, str(path), overrides, name).read_in(path.parent, name or "main")
        for name in names
    }


def dump_experiment(experiment: Experiment) -> str:
    """YAML that holds every setting and reads back as an equal experiment."""
    from ruamel.yaml import YAML

    writer = YAML()
    writer.width = 1_000_000
    writer.representer.add_representer(str, _text_node)
    text = StringIO()
    writer.dump(experiment.model_dump(mode="json", by_alias=True), text)
    return text.getvalue()


def _text_node(representer: Any, text: str) -> Any:
    """ruamel writes NEL (U+0085) as it is, but reads it as the end of a line; double quotes escape it."""
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


def _document(path: Path) -> Document:
    """The plain values of a file; ExperimentError if it cannot be read as one mapping."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        near = did_you_mean(path.name, [other.name for other in path.parent.glob("*.y*ml")])
        raise ExperimentError(f"{path}: there is no such file.{near}") from None
    except IsADirectoryError:
        files = ", ".join(sorted(other.name for other in path.glob("*.y*ml"))) or "none"
        raise ExperimentError(
            f"{path}: is a folder; name an experiment file (YAML files in it: {files})"
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ExperimentError(f"{path}:{line}: is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise ExperimentError(f"{path}: cannot be read: {error.strerror}") from None
    document = parse_yaml(text, str(path))
    if document.value is None:
        raise ExperimentError(f"{path}: is empty; an experiment needs name, model, data, task and stages")
    if not isinstance(document.value, dict):
        what = "a list" if isinstance(document.value, list) else f"the text {str(document.value)[:40]!r}"
        raise ExperimentError(f"{path}:1: holds {what}; an experiment is a mapping (name: ..., model: ...)")
    return document


@dataclass(frozen=True)
class _Reading:
    """What came of checking one document: an experiment, or what is wrong with it."""

    experiment: Experiment | None
    faults: list[Fault]

    def beside(self, known: Iterable[Fault]) -> list[Fault]:
        """Faults that are neither known already nor inside of what is known to be wrong."""
        return [fault for fault in self.faults if not any(fault.follows(other) for other in known)]


def _experiment(document: Document, where: str, overrides: Sequence[str], variant: str | None) -> Experiment:
    """The typed experiment, or ExperimentError with all faults of base, variants and overrides."""
    changes = _changes(document)
    if variant is not None and variant not in changes:
        possible = ", ".join(changes) or "none"
        raise ExperimentError(
            f"{where}: has no variant {variant!r} (possible: {possible}).{did_you_mean(variant, changes)}"
        )
    base = _check(document, [])
    of_variants = {
        name: _check(document, overridden).beside(base.faults) for name, overridden in changes.items()
    }
    wanted, unreadable = _wanted(document, changes.get(variant or "", []), overrides)
    own = wanted.beside(of_variants.get(variant or "", []))
    named = [
        Fault(f"variants.{name}", f"{fault.path}: {fault.what}" if fault.path else fault.what, fault.origin)
        for name, faults in of_variants.items()
        for fault in faults
    ]
    raise_faults([*unreadable, *own, *named], where)
    assert wanted.experiment is not None
    return wanted.experiment.model_copy(update={"variants": {}}) if variant else wanted.experiment


def _wanted(
    document: Document, changes: list[Override], texts: Sequence[str]
) -> tuple[_Reading, list[Fault]]:
    """The document with a variant and overrides, checked, and the faults of texts that are no override."""
    overrides: list[Override] = []
    faults: list[Fault] = []
    for text in texts:
        try:
            overrides.append(parse_override(text))
        except ExperimentError as error:
            faults.append(Fault("", str(error)))
    return _check(document, [*changes, *overrides]), faults


def _changes(document: Document) -> dict[str, list[Override]]:
    """The changes that each variant makes. What is not a mapping is left to the grammar to find."""
    variants = document.value.get("variants")
    if not isinstance(variants, dict):
        return {}
    return {
        name: [
            Override(key, value, document.origin(("variants", name, key))) for key, value in changes.items()
        ]
        for name, changes in variants.items()
        if isinstance(changes, dict)
    }


def _check(document: Document, overrides: Sequence[Override]) -> _Reading:
    """The document with these changes, checked against the grammar."""
    from pydantic import ValidationError

    from tunesmith.config.experiment import Experiment

    faults: list[Fault] = []
    for override in overrides:
        try:
            document = apply_override(document, override)
        except ExperimentError as error:
            faults.append(Fault(override.key, str(error), override.origin))
    try:
        return _Reading(Experiment.model_validate(document.value).read_from(document), faults)
    except ValidationError as error:
        return _Reading(None, faults + faults_of(error, document, Experiment))
