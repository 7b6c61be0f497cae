"""From a run folder to a model that answers as the run's evaluation had it answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.config.experiment import Experiment, Model
from tunesmith.config.read import read_run_experiment
from tunesmith.config.renamed import with_new_names
from tunesmith.errors import ExperimentError, ModelError, counted
from tunesmith.files import expanded
from tunesmith.runs.run import RUN, RunInfo
from tunesmith.runs.sealing import refuse_changed_run
from tunesmith.runs.stage import BASE, DONE

if TYPE_CHECKING:
    from tunesmith.deploy.result import Result
    from tunesmith.evaluate.engines import Engine
    from tunesmith.model.loaded import LoadedModel
    from tunesmith.records.conversation import Conversation

_TRAINED_ELSEWHERE = "data.pictures.folder=null"
"""New records have their pictures beside themselves, and not where those of the training data are."""


@dataclass(frozen=True)
class RunStage:
    """A run and the stage whose result is to be used, before anything is loaded."""

    run: Path
    stage: Path
    experiment: Experiment
    """As it was resolved, with what is now to be other."""
    info: RunInfo
    """The content of `run.json`."""
    has_other_model: bool = False
    """True if another base model was asked for than the run names."""

    def load(self, max_new_tokens: int | None = None) -> Result:
        """The model with what the stage left, and all that it takes to ask it. ModelError if the base model has
        moved, is another one, or does not fit."""
        from tunesmith.deploy.result import Result
        from tunesmith.evaluate.defaults import engine_without_references

        engine = engine_without_references(self.experiment.task, self.experiment.evaluate)
        engine = engine if max_new_tokens is None else _limited(engine, max_new_tokens)
        shots = self.shots()
        return Result(self.stage, self.experiment, self.load_model(), engine, shots, self._longest_answer())

    def load_model(self) -> LoadedModel:
        """The model alone with what the stage left. ModelError as `load`."""
        from tunesmith.model.base_fingerprint import refuse_other_base
        from tunesmith.model.heads import refuse_lost_head
        from tunesmith.model.load import load

        model = self.model
        try:
            loaded = load(model, start=self.stage)
        except ModelError as error:
            trained_on = f"\nIt was trained on {self._trained_on}" if self.has_other_model else ""
            raise ModelError(f"{error}{trained_on}") from error
        traits = BASE.read(self.stage)
        if traits is not None and not self._is_complete:
            refuse_other_base(loaded, traits, model.path, f"{self.stage} (on {self._trained_on})")
        if self.experiment.task.head is not None:
            refuse_lost_head(loaded.head, self.stage)
        return loaded

    def _longest_answer(self) -> int:
        """Tokens of the longest answer that any stage was trained on; 0 for a run of an earlier version."""
        results = (DONE.read(folder) for folder in self.run.glob("stages/*"))
        return max((result.longest_answer for result in results if result is not None), default=0)

    @property
    def where(self) -> Path:
        """Folder of the experiment file, if it lies to the run folder as it did."""
        return self.run / self.info.where

    @property
    def model(self) -> Model:
        """The base model's settings, with a folder that lies beside the experiment file, or where it was, found
        there; ModelError if it is in neither."""
        model = self.experiment.model
        if self.has_other_model or self._is_complete:
            return model
        trained_on = Path(self._trained_on)
        places = [self.where / expanded(Path(model.path)), trained_on]
        found = next((place for place in places if place.exists()), None)
        if found is not None:
            return model.model_copy(update={"path": str(found)})
        if trained_on.is_absolute():
            raise ModelError(
                f"model.path: the base model {model.path} of {self.run} is not there any more (it was {trained_on}). "
                "Bring it back, or say where it is: --model PATH (model.path=PATH)"
            )
        return model

    @property
    def _trained_on(self) -> str:
        """The base model as the run names it: an absolute path, or a name."""
        return self.info.model or self.experiment.model.path

    @property
    def _is_complete(self) -> bool:
        """True if the stage left a complete model, which needs no base."""
        return (self.stage / "model").is_dir()

    def shots(self) -> tuple[Conversation, ...]:
        """The solved examples that stand before every question, from the run's training records; ExperimentError if
        those are not there."""
        from tunesmith.records.sampling import fixed_sample
        from tunesmith.split.prepare import Prepared

        task = self.experiment.task
        if not task.num_shots:
            return ()
        folder = self.run / self.info.data
        if not (folder / "manifest.json").exists():
            raise ExperimentError(
                f"task.num_shots: {counted(task.num_shots, 'solved example is', 'solved examples are')} shown before "
                f"every question, but the training records that they come from are not in {folder}. Bring it back"
            )
        prepared = Prepared.open(folder, self.where)
        task, records = task.decided(prepared.decision), prepared.records("train")
        return tuple(
            task.conversation(record)
            for record in fixed_sample(records, task.num_shots, self.experiment.seed)
        )


def load_result(run: str | Path, overrides: Sequence[str] = ()) -> Result:
    """What a run left, ready to answer.

    `run` is a run folder (`runs/ag-news/lora`), of which the last stage counts, or the folder of a stage in it;
    `overrides` change settings of its experiment, such as `model.device=cpu`. ExperimentError if it is no such
    folder or not trained to its end, ModelError if the base model is not there, or does not fit.
    """
    return find_result(run, overrides).load()


def find_result(run: str | Path, overrides: Sequence[str] = ()) -> RunStage:
    """The run and the stage that a folder means; nothing heavy is loaded. ExperimentError as `load_result`."""
    folder = Path(run)
    stage: Path | None = None
    if not (folder / RUN.name).exists() and (folder.parent.parent / RUN.name).exists():
        folder, stage = folder.parent.parent, folder
    if not (folder / RUN.name).exists():
        inside = sorted(folder.glob("*/run.json"))
        if len(inside) != 1:
            raise ExperimentError(_no_run(folder, [file.parent.name for file in inside]))
        folder = inside[0].parent
    refuse_changed_run(folder, (RUN.name, "experiment.yaml", "stages/*/done.json"))
    info = RUN.require(folder)
    experiment = read_run_experiment(folder / "experiment.yaml", [_TRAINED_ELSEWHERE, *overrides])
    stage = stage or folder / "stages" / experiment.stages[-1].name
    _refuse_unfinished(folder, stage)
    asked_before = with_new_names({"task": DONE.require(stage).task or {}})["task"]
    if not any(override.strip().startswith("task") for override in overrides):
        _refuse_other_question(folder, stage, asked_before, experiment)
    has_other_model = any(override.strip().startswith("model.path=") for override in overrides)
    return RunStage(folder, stage, experiment, info, has_other_model)


def _no_run(folder: Path, inside: Sequence[str]) -> str:
    if not folder.exists():
        return f"{folder}: there is no such folder; give a run folder (runs/EXPERIMENT/VARIANT)"
    hint = (
        f"it holds the runs {', '.join(inside)}: give one of them"
        if inside
        else "give runs/EXPERIMENT/VARIANT"
    )
    return f"{folder}: is no run folder, for there is no run.json in it; {hint}"


def _refuse_unfinished(run: Path, stage: Path) -> None:
    if not DONE.exists(stage):
        done = sorted(file.parent.name for file in run.glob("stages/*/done.json"))
        others = f", or name the folder of a stage that is ({', '.join(done)})" if done else ""
        raise ExperimentError(
            f"{stage}: stage {stage.name!r} is not trained to its end. Call `tunesmith run` or `tunesmith train` with "
            f"the same experiment and variant again{others}"
        )
    if not [*stage.glob("*.safetensors"), *stage.glob("*/*.safetensors")]:
        raise ModelError(
            f"{stage}: holds no weights (adapter, model or weights), though the stage was trained. Bring them back, or "
            "train again"
        )


def _refuse_other_question(
    run: Path, stage: Path, asked_before: Mapping[str, Any], experiment: Experiment
) -> None:
    """Raise ExperimentError if the run's experiment asks otherwise than when the stage was trained."""
    now = experiment.task.model_dump(mode="json")
    changed = [f"task.{name}" for name, value in asked_before.items() if now.get(name, value) != value]
    if changed:
        raise ExperimentError(
            f"{run / 'experiment.yaml'}: {', '.join(changed)} changed after stage {stage.name!r} was trained. Call "
            "`tunesmith run` again so that it is trained with it, or change it back"
        )


def _limited(engine: Engine, max_new_tokens: int) -> Engine:
    if "max_new_tokens" not in type(engine).model_fields:
        raise ExperimentError(
            f"--max-new-tokens: engine {engine.kind!r} writes no answers. Leave it out, or set evaluate.engine=generate"
        )
    return engine.model_copy(update={"max_new_tokens": max_new_tokens})
