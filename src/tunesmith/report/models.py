"""The models of a comparison: base models, predictions from elsewhere and tuned models, each with a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunesmith.report.run_folder import Evaluated, RunView

Kind = Literal["base", "predictions", "run"]


@dataclass(frozen=True, eq=False)
class Model:
    """A model that answered held-out records."""

    name: str
    kind: Kind
    evaluated: Evaluated | None
    runs: tuple[RunView, ...]
    """The run itself, or the runs that share a base or the questions of predictions from elsewhere."""

    @staticmethod
    def from_run(run: RunView, name: str) -> Model:
        """The tuned model of a run."""
        return Model(name, "run", run.tuned, (run,))


def references(runs: Sequence[RunView], names: Sequence[str]) -> list[Model]:
    """The base models, named after their runs if there is more than one, and all predictions from elsewhere, each
    with a name of its own."""
    bases: dict[Path, Evaluated] = {}
    predictions: dict[Path, Evaluated] = {}
    sharing: dict[Path, list[int]] = {}
    for index, run in enumerate(runs):
        for some, evaluated in ((bases, run.base), *((predictions, one) for one in run.external)):
            if evaluated is not None:
                folder = evaluated.folder.resolve()
                some.setdefault(folder, evaluated)
                sharing.setdefault(folder, []).append(index)
    models: list[Model] = []
    for folder, base in bases.items():
        name = (
            "base" if len(bases) == 1 else f"base of {', '.join(names[index] for index in sharing[folder])}"
        )
        models.append(Model(name, "base", base, tuple(runs[index] for index in sharing[folder])))
    used = [
        *names,
        *(model.name for model in models),
        *(one.scores.evaluation for one in predictions.values()),
    ]
    for folder, given in predictions.items():
        name = given.scores.evaluation
        if used.count(name) > 1:
            name = f"{name} ({folder.parent.name}/{folder.name})"
        models.append(Model(name, "predictions", given, tuple(runs[index] for index in sharing[folder])))
    return models


def short_names(runs: Sequence[RunView]) -> list[str]:
    """What tells the runs apart: the variant if that does, else experiment and variant, else the folder."""
    candidates = (
        [run.run.label for run in runs],
        [run.name for run in runs],
        [str(run.path) for run in runs],
    )
    return next((names for names in candidates if len(set(names)) == len(names)), candidates[-1])
