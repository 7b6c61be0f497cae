"""What training left as one complete model, which needs neither tunesmith nor PEFT."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tunesmith.config.experiment import Model, Precision
from tunesmith.deploy.loading import find_result
from tunesmith.errors import ExperimentError


def merge(
    run: str | Path,
    output: Path,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """The folder `output` with a complete transformers model: the base, what the stages left of its weights, and the
    adapter, all in one. Quantised weights are written as they were trained on, but in bf16.

    `run` and `overrides` are as for `load_result`. What was written is read back, and before it takes its name it must
    hold the merged weights and answer as base and adapter did, on text and, of a model that sees, on pictures; else
    ModelError, and nothing is left. `say` is told what the files cannot say to other programs. ExperimentError if there
    is something at `output` already. A classification head is written next to the model, in its own files.
    """
    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise ExperimentError(f"{output}: is there already; name a folder that is not, or an empty one")
    found = find_result(run, overrides)

    import torch

    from tunesmith.model.load import load
    from tunesmith.model.merging import merge as merged
    from tunesmith.model.merging import refuse_other_answers, refuse_other_weights
    from tunesmith.model.probing import probe
    from tunesmith.model.saving import checksums, save_model

    loaded = found.load_model()
    before = probe(loaded)
    whole = merged(loaded)
    weights: Precision = "fp32" if loaded.compute == torch.float32 else "bf16"

    def check(written: Path) -> None:
        for file in found.stage.glob("head.*"):
            shutil.copy(file, written)
        # Beside the one in memory there may be no room on the device.
        whole.model.to("cpu")
        given = found.experiment.model
        read_back = load(Model(path=str(written), weights=weights, device=given.device, pixels=given.pixels))
        refuse_other_weights(checksums(read_back), expected)
        refuse_other_answers(read_back, before)

    expected = checksums(whole)
    save_model(whole, output, check)
    images = whole.family.image_processor
    if images is not None and images.not_in_file:
        say(
            f"note: {output / 'preprocessor_config.json'} cannot say so: {images.not_in_file} before serving it"
        )
    return output
