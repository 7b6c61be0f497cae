"""Rendered examples on disk, so that a variant, stage or start with the same settings does not make them anew."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import tunesmith
from tunesmith.config.experiment import Stage
from tunesmith.config.renamed import with_former_names
from tunesmith.files import files_sha256, read_json, whole_folder, write_json
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.folder import at_work, key_of
from tunesmith.pipeline.keys import task_key
from tunesmith.train.examples import Examples, Rendered

LEAST = 2000
"""Training records; fewer are rendered again as fast as they are read."""
FILES = ("tokens.npy", "trained.npy", "ends.npy", "others.json", "too_long.json")
RENDERERS = ("records", "images", "batching", "tasks", "model/families", "train/examples.py")
"""Our own code that decides what examples are."""
LIBRARIES = ("transformers", "tokenizers", "jinja2")


def cached_examples(run: RunContext, stage: Stage, make: Callable[[], Rendered]) -> Rendered:
    """The stage's examples, from the experiment's folder if they are there and whole; else made, and kept there."""
    if run.prepared.counts["train"] < LEAST:
        return make()
    key = examples_key(run, stage)
    folder = run.shared.examples(key)
    with at_work(run.shared.lock(folder.name), wait=True):
        rendered = _read(folder, key)
        if rendered is None:
            rendered = make()
            _write(rendered, folder, key)
    return rendered


def examples_key(run: RunContext, stage: Stage) -> str:
    """Changes when a stage's examples would: with the records and which of them are taken, the task, what is trained of
    them, tokenizer, template and picture settings, and the code that renders. Weights and methods do not matter."""
    experiment, family = run.experiment, run.family
    places = [str(place.resolve()) for place in (run.where, run.prepared.folder)]
    with TemporaryDirectory() as saved:
        family.save(Path(saved))
        words = files_sha256(sorted(file for file in Path(saved).rglob("*") if file.is_file()))
    ours = Path(tunesmith.__file__).parent
    code = [
        file
        for name in RENDERERS
        for file in sorted([ours / name, *(ours / name).rglob("*.py")])
        if file.is_file()
    ]
    return key_of(
        [run.data_key, run.prepared.certificate.checksum, places],
        experiment.seed if experiment.task.num_shots or stage.balance else None,
        [task_key(experiment), experiment.data.length.model_dump(mode="json")],
        with_former_names(stage.model_dump(mode="json", include={"where", "balance", "loss_on"}), "stages.*"),
        run.model.model_dump(mode="json", include={"thinking", "pixels"}),
        [family.config.model_type, family.max_tokens, family.stop_tokens, words],
        [files_sha256(code), *map(metadata.version, LIBRARIES)],
    )


def _read(folder: Path, key: str) -> Rendered | None:
    """What was kept; None if it is not there, of other settings, or not as it was written."""
    try:
        if read_json(folder / "key.json") != [key, files_sha256([folder / name for name in FILES])]:
            return None
        too_long = tuple((record, size) for record, size in read_json(folder / "too_long.json"))
        return Rendered(Examples.read(folder), too_long)
    except (OSError, ValueError):
        return None


def _write(rendered: Rendered, folder: Path, key: str) -> None:
    with whole_folder(folder) as making:
        rendered.examples.write(making)
        write_json(making / "too_long.json", rendered.too_long)
        write_json(making / "key.json", [key, files_sha256([making / name for name in FILES])])
