"""The steps of one run. Each looks whether it is done and unchanged, and else does it; a killed run goes on here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tunesmith.config.experiment import Evaluate, Experiment, Model, Stage
from tunesmith.config.read import dump_experiment
from tunesmith.config.renamed import with_former_names
from tunesmith.errors import DataError, ModelError, counted
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.defaults import resolve_engine
from tunesmith.evaluate.engines import Engine
from tunesmith.evaluate.evaluate import evaluate
from tunesmith.evaluate.resumable_rows import PARTIAL_ROWS
from tunesmith.evaluate.scores import Scores
from tunesmith.files import SUMS, damage, expanded, whole_file
from tunesmith.model.families import Family
from tunesmith.model.heads import refuse_lost_head
from tunesmith.model.load import load, load_family
from tunesmith.model.loaded import LoadedModel
from tunesmith.pipeline.environment import environment, with_later
from tunesmith.pipeline.folder import ExperimentFolder, RunFolder, at_work, files_key, key_of
from tunesmith.pipeline.runs import RunKeys, choose, evaluation_key, task_key, why_new
from tunesmith.records.conversation import Conversation
from tunesmith.records.filter import compile_filter
from tunesmith.records.record import Record
from tunesmith.records.sampling import fixed_sample
from tunesmith.records.sources import Source
from tunesmith.records.unread import RowNotes
from tunesmith.runs.run import ENVIRONMENT, EVALUATION_KEY, RUN, RunInfo
from tunesmith.runs.sealing import is_incomplete, unseal
from tunesmith.split.prepare import Prepared, prepare, prepared_key
from tunesmith.split.reading import Use, sources_of
from tunesmith.tasks import Task
from tunesmith.train.balance import balanced
from tunesmith.train.examples import Render, Rendered, renderer
from tunesmith.train.observers._jsonl import log_event

MAIN = "main"
MEASURING = {"engine", "metric", "metrics", "max_test_records", "num_resamples", "by"}
"""Settings of `evaluate` that decide what an evaluation measures; `unit` is added where it is set."""


@dataclass(frozen=True, eq=False)
class Steps:
    """One experiment (its variant already chosen) on its way through its run folder."""

    experiment: Experiment
    where: Path
    """Folder of the experiment file: data and model may be named relative to it."""
    variant: str = MAIN
    say: Callable[[str], None] = print
    """Told what begins, in a few words."""
    rendered: dict[str, tuple[Rendered, list[Any] | None, list[Any] | None]] = field(default_factory=dict)
    """By stage: its examples and what they are ordered by, while they are needed."""

    @property
    def shared(self) -> ExperimentFolder:
        """Where the runs lie, and what they share."""
        return ExperimentFolder(expanded(self.experiment.output) / self.experiment.name)

    @cached_property
    def keys(self) -> RunKeys:
        """What tells this run from one with other settings."""
        return RunKeys.of(self)

    @cached_property
    def folder(self) -> RunFolder:
        """The run of these settings: one that is there, or a new one."""
        return choose(self, self.keys)

    @contextmanager
    def claimed(self) -> Iterator[RunFolder]:
        """Hold the run for this process, with its settings written down unless it is over. ExperimentError if another
        process holds it."""
        with ExitStack() as held:
            with at_work(self.shared.lock(self.variant), wait=True):
                # Another process may have begun one since it was last looked at.
                self.__dict__.pop("folder", None)
                run = self.folder
                notice = None if run.has_begun else why_new(self, run)
                held.enter_context(at_work(run.path))
                if not self.is_finished or is_incomplete(run.path):
                    self.write_down()
            if notice:
                self.say(notice)
            try:
                yield run
            except KeyboardInterrupt as stop:
                stop.add_note(f"{run.path} is kept as far as it is done")
                raise

    @property
    def is_finished(self) -> bool:
        """True if the run is over: nothing of it is to be done, and nothing of it may change."""
        return self.keys.finished(self.folder)

    @property
    def model(self) -> Model:
        """The model's settings, with a folder that stands beside the experiment file found there."""
        model = self.experiment.model
        beside = self.where / model.path
        return model.model_copy(update={"path": str(beside)}) if beside.exists() else model

    @cached_property
    def prepared(self) -> Prepared:
        """Records, split and checked; made if they are not there yet, and verified against their manifest."""
        data, task = self.experiment.data, self.experiment.task
        folder = self.shared.data(self.data_key)
        self.say(f"prepare: records and split in {folder}")

        def decide() -> str | None:
            nonlocal task
            decision: str | None = task.decide(
                _records_of(one, self.where, data.where) for _, one in sources_of(data)
            )
            task = task.decided(decision)
            return decision

        with at_work(self.shared.lock(folder.name), wait=True):
            use = Use(lambda record: self._checked(task, record), task.laid_out, task.survey())
            asked, pictures = task.fields_asked(), task.picture_fields()
            prepared = prepare(
                data, asked, self.where, folder, use, checked=self._checks, pictures=pictures, decide=decide
            )
        prepared.verify()
        for note in prepared.certificate.notes:
            self.say(f"prepare: {note}")
        lists = task.fields_joined()
        contradictions = prepared.certificate.contradictions
        if lists and data.join is None and contradictions is not None and contradictions.questions:
            by = ", ".join(task.fields_asked())
            self.say(
                f"prepare: If these rows are boxes of one picture, set data.join: {{by: [{by}], "
                f"lists: [{', '.join(lists)}]}}, which makes one record of them"
            )
        return prepared

    def _checked(self, task: Task, record: Record) -> RowNotes:
        """What to count of a record; DataError for one that task or model cannot use."""
        experiment = self.experiment
        checked = task.check(record, experiment.data.ignore)
        if self._known_family is not None:
            self._known_family.check(checked.conversation)
        elsewhere = self._fields_elsewhere
        unread = tuple(name for name in checked.notes.unread if name not in elsewhere)
        asked = checked.conversation
        return replace(
            checked.notes, unread=unread, answer="\n".join(sorted({asked.answer, *asked.accepted}))
        )

    @cached_property
    def _known_family(self) -> Family | None:
        """The family, if the model is there already: data can be prepared without it."""
        try:
            return self.family
        except ModelError:
            return None

    @cached_property
    def _fields_elsewhere(self) -> set[str]:
        """Names of fields that are used outside the task: to split, to choose, to order, to break results down."""
        experiment, split = self.experiment, self.experiment.data.split
        used = {
            *re.findall(r"\w+", experiment.data.where or ""),
            *experiment.evaluate.by,
            *(split.by or ()),
            split.group,
            split.stratify,
        }
        for stage in experiment.stages:
            used |= {stage.order, stage.group_by, *re.findall(r"\w+", stage.where or "")}
        return {name.split(".")[0] for name in used if name}

    @cached_property
    def _checks(self) -> str:
        """Changes when the check of records would."""
        family = self._known_family
        controls = (
            [] if family is None else [family.config.model_type, family.thinking, *family.control_tokens]
        )
        # With a size for every picture, none has a shape that is refused.
        any_shape = [] if self.experiment.model.pixels.size is None else ["any shape"]
        return key_of(task_key(self.experiment), [*controls, *any_shape])

    @cached_property
    def task(self) -> Task:
        """The task, with what was decided over all of its records when they were prepared."""
        task: Task = self.experiment.task
        return task.decided(self.prepared.decision)

    @cached_property
    def data_key(self) -> str:
        """Changes when the prepared records would."""
        task = self.experiment.task
        asked, pictures = task.fields_asked(), task.picture_fields()
        return prepared_key(self.experiment.data, asked, self.where, self._checks, pictures)

    def engine(self, loaded: LoadedModel) -> Engine:
        """The engine that was asked for, or the task's own; of a task with a head, what a model without one can."""
        experiment = self.experiment
        return resolve_engine(experiment.task, experiment.evaluate, untrained=loaded.head is None)

    @cached_property
    def base_model(self) -> LoadedModel:
        """The untouched base model."""
        return load(self.model)

    @cached_property
    def family(self) -> Family:
        """The base model's family, had without its weights."""
        return load_family(self.model)

    def let_go(self) -> None:
        """Free the base model, which training has changed, and the examples that it was trained on."""
        self.__dict__.pop("base_model", None)
        self.rendered.clear()

    @cached_property
    def shots(self) -> tuple[Conversation, ...]:
        """Solved examples for every prompt, from the training side."""
        task = self.task
        records = (
            fixed_sample(self.prepared.records("train"), task.num_shots, self.experiment.seed)
            if task.num_shots
            else []
        )
        return tuple(task.conversation(record) for record in records)

    def stage_records(self, stage: Stage) -> Sequence[Record]:
        """The training records that the stage's `where` lets through, without those that serve as shots, and so many of
        each class as its `balance` says; DataError if none is left."""
        shots = {shot.record for shot in self.shots}
        records: Sequence[Record] = self.prepared.records("train")
        if shots:
            records = [record for record in records if record.id not in shots]
        if stage.where:
            holds = compile_filter(stage.where)
            chosen = [record for record in records if holds(record)]
            if records and not chosen:
                raise DataError(
                    f"stage {stage.name!r}: where {stage.where!r} holds for none of "
                    f"{counted(len(records), 'training record')}; change it, or leave it out to train on all of them"
                )
            records = chosen
        if stage.balance is None:
            return records
        task = self.task
        classes = [one for record in records for one in task.conversation(record).classes or ()]
        return [records[index] for index in balanced(classes, stage.balance, self.experiment.seed)]

    def render(self, stage: Stage) -> Render:
        """What makes the stage's training examples of conversations."""
        return renderer(self.family, self.experiment.task, stage.loss_on)

    @cached_property
    def test_records(self) -> Sequence[Record]:
        """What base and tuned model are compared on."""
        settings = self.experiment.evaluate
        return fixed_sample(self.prepared.records("test"), settings.max_test_records, self.experiment.seed)

    @property
    def test_settings(self) -> Evaluate:
        """How the test side is evaluated: units are those of the split's group unless `evaluate.unit` names a field."""
        evaluate = self.experiment.evaluate
        return evaluate.model_copy(update={"unit": evaluate.unit or self.experiment.data.split.group})

    @property
    def asked(self) -> list[Any]:
        """All settings that decide what the evaluations measure."""
        experiment = self.experiment
        return [
            task_key(experiment),
            with_former_names(experiment.evaluate.model_dump(mode="json", include=MEASURING), "evaluate"),
            experiment.seed,
            self.prepared.certificate.checksum,
            *([experiment.evaluate.unit] if experiment.evaluate.unit else []),
        ]

    @property
    def base(self) -> list[Any]:
        """All that decides what the base model is."""
        return [
            self.model.model_dump(mode="json", exclude={"checkpointing"}),
            files_key(Path(self.model.path)),
        ]

    @property
    def base_folder(self) -> Path:
        """The evaluation of the untouched base model."""
        return self.shared.base(key_of(self.asked, self.base))

    def write_down(self) -> None:
        """The resolved experiment, the environment, and where the shared pieces lie."""
        run = self.folder
        unseal(run.path)
        with whole_file(run.path / "experiment.yaml") as file:
            file.write_text(dump_experiment(self.experiment), encoding="utf-8")
        ENVIRONMENT.write(run.path, with_later(ENVIRONMENT.read(run.path), environment()))
        model = expanded(Path(self.model.path))
        info = RunInfo(
            experiment=self.experiment.name,
            variant=self.variant,
            number=run.number,
            key=self.keys.whole,
            asked=key_of(self.asked),
            data=f"../data-{self.data_key}",
            base=f"../{self.base_folder.name}",
            where=os.path.relpath(self.where.resolve(), run.path.resolve()),
            model=str(model.resolve()) if model.exists() else self.model.path,
        )
        RUN.write(run.path, info)

    def baseline(self) -> Path:
        """Scores of the untouched base model on the test side; gives their folder."""
        folder = self.base_folder
        with at_work(self.shared.lock(folder.name), wait=True):
            if not self._is_evaluated(folder):
                self.say(
                    f"baseline: the untouched model on {counted(len(self.test_records), 'held-out record')}"
                )
                self.score(self.base_model, "base", folder)
        return folder

    def evaluation(self, result: Path, fingerprint: str) -> Path:
        """Scores of what the last stage left (read back from disk), compared with the base; gives their folder. An
        evaluation that is there is of these settings: see `choose`."""
        folder = self.folder.evaluation
        if not EVALUATION_KEY.exists(folder):
            EVALUATION_KEY.write(folder, evaluation_key(self, fingerprint))
        if not self._is_evaluated(folder):
            self.say(
                f"evaluate: the tuned model on the same {counted(len(self.test_records), 'held-out record')}"
            )
            loaded = load(self.model, start=result)
            if self.experiment.task.head is not None:
                refuse_lost_head(loaded.head, result)
            self.score(loaded, "tuned", folder)
        if not (folder / "comparison.json").exists():
            settings = self.experiment.evaluate
            compare(self.baseline(), folder, self.experiment.task, settings, self.experiment.seed)
        return folder

    def _is_evaluated(self, folder: Path) -> bool:
        """True if the folder holds an evaluation that was written to its end. One with a file that is not as it was
        written is made again, with a message."""
        if (folder / "scores.json").exists() and (fault := damage(folder)) is not None:
            self.say(f"{fault}. It is evaluated again")
            for name in ("scores.json", "rows.jsonl", "comparison.json", SUMS):
                (folder / name).unlink(missing_ok=True)
        # Partial rows go last: an evaluation that still has them stopped before the hashes of its files were written.
        return (folder / "scores.json").exists() and not (folder / PARTIAL_ROWS).exists()

    def score(
        self, loaded: LoadedModel, name: str, folder: Path | None, records: Sequence[Record] | None = None
    ) -> Scores:
        """Scores of a model on the test side or on other records, written to the folder if there is one. Answers that
        were cut are counted in the output and in the log."""
        experiment = self.experiment
        if records is None:
            settings = self.test_settings
        else:
            settings = experiment.evaluate.model_copy(update={"unit": None, "by": []})
        scores = evaluate(
            loaded,
            self.task,
            self.engine(loaded),
            self.test_records if records is None else records,
            settings,
            folder=folder,
            name=name,
            shots=self.shots,
            seed=experiment.seed,
        )
        if scores.cut:
            self.say(
                f"cut: {scores.cut:,} of {counted(scores.records, 'answer')} ({name}) reached the maximum length "
                "(evaluate.engine.max_new_tokens) without an end token"
            )
            log_event(self.folder.log, "cut", evaluation=name, records=scores.records, cut=scores.cut)
        return scores


def _records_of(source: Source, base: Path, condition: str | None) -> Iterator[Record]:
    """The records of a source for which the condition holds, without its bad rows, which preparation names."""
    holds = compile_filter(condition) if condition else lambda record: True
    for row in source.rows(base):
        with suppress(DataError):
            if isinstance(row, Record) and holds(row):
                yield row
