"""The context of one run: its settings, its folders, and what is loaded or computed when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tunesmith.config.experiment import Experiment, Model
from tunesmith.errors import ModelError
from tunesmith.files import expanded
from tunesmith.model.families import Family
from tunesmith.model.load import load, load_family
from tunesmith.model.loaded import LoadedModel
from tunesmith.pipeline.data import data_key, prepare_data, select_shots
from tunesmith.pipeline.folder import ExperimentFolder, RunFolder
from tunesmith.pipeline.keys import RunKeys
from tunesmith.pipeline.runs import choose, is_finished
from tunesmith.pipeline.stage_data import StageExamples
from tunesmith.records.conversation import Conversation
from tunesmith.records.record import Record
from tunesmith.records.sampling import fixed_sample
from tunesmith.split.prepare import Prepared
from tunesmith.tasks import Task

MAIN = "main"


@dataclass(eq=False)
class RunContext:
    """An experiment with its variant already chosen, and the resources of its run, each made when it is first used."""

    experiment: Experiment
    where: Path
    """Folder of the experiment file; paths of data and model may be relative to it."""
    variant: str = MAIN
    say: Callable[[str], None] = print
    """Called with a short text when something begins."""
    examples: dict[str, StageExamples] = field(default_factory=dict)
    """Rendered examples by stage, as long as they are needed."""

    @property
    def shared(self) -> ExperimentFolder:
        """The folder of all runs of the experiment and of what they share."""
        return ExperimentFolder(expanded(self.experiment.output) / self.experiment.name)

    @cached_property
    def keys(self) -> RunKeys:
        """The keys that distinguish this run from one with other settings."""
        return RunKeys.of(self.experiment, self.model, self.prepared.certificate.checksum)

    @cached_property
    def folder(self) -> RunFolder:
        """The run folder with these settings: an existing or a new one."""
        return choose(self.shared, self.variant, self.keys)

    @property
    def is_finished(self) -> bool:
        """True if everything of the run is done."""
        return is_finished(self.folder, self.keys)

    @property
    def base_folder(self) -> Path:
        """The folder of the evaluation of the base model."""
        return self.shared.base(self.keys.baseline)

    @property
    def model(self) -> Model:
        """The model's settings; a path relative to the experiment file is resolved."""
        model = self.experiment.model
        local = self.where / model.path
        return model.model_copy(update={"path": str(local)}) if local.exists() else model

    @cached_property
    def family(self) -> Family:
        """The base model's family, loaded without the weights."""
        return load_family(self.model)

    @cached_property
    def known_family(self) -> Family | None:
        """The family, or None if the model is not available; data can be prepared without it."""
        try:
            return self.family
        except ModelError:
            return None

    @cached_property
    def base_model(self) -> LoadedModel:
        """The base model."""
        return load(self.model)

    @cached_property
    def data_key(self) -> str:
        """The key of the prepared records."""
        return data_key(self.experiment, self.where, self.known_family)

    @cached_property
    def prepared(self) -> Prepared:
        """The split records, prepared if needed and verified against their manifest."""
        folder = self.shared.data(self.data_key)
        lock = self.shared.lock(folder.name)
        return prepare_data(self.experiment, self.where, folder, lock, self.known_family, self.say)

    @cached_property
    def task(self) -> Task:
        """The task with what was decided over all records when they were prepared."""
        task: Task = self.experiment.task
        return task.decided(self.prepared.decision)

    @cached_property
    def shots(self) -> tuple[Conversation, ...]:
        """Solved examples from the training side, for every prompt."""
        return select_shots(self.task, self.prepared, self.experiment.seed)

    @cached_property
    def test_records(self) -> Sequence[Record]:
        """The held-out records that base and tuned model are compared on."""
        count = self.experiment.evaluate.max_test_records
        return fixed_sample(self.prepared.records("test"), count, self.experiment.seed)

    def release(self) -> None:
        """Free the base model, which training has changed, and the rendered examples."""
        self.__dict__.pop("base_model", None)
        self.examples.clear()

    def choose_again(self) -> None:
        """Choose the run folder again at the next use, because another process may have begun one."""
        self.__dict__.pop("folder", None)
