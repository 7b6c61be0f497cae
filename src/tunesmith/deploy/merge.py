"""What training left as one complete model, which needs neither tunesmith nor PEFT."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tunesmith.config.experiment import Model, Precision
from tunesmith.deploy.loading import find_result
from tunesmith.errors import ExperimentError


def merge(run: str | Path, output: Path, overrides: Sequence[str] = ()) -> Path:
    """The folder `output` with a complete transformers model: the base, what the stages left of its weights, and the
    adapter, all in one. Quantised weights are written as they were trained on, but in bf16.

    `run` and `overrides` are as for `load_result`. What was written is read back and must answer as base and adapter
    did before it takes its name; else ModelError, and nothing is left. ExperimentError if there is something at
    `output` already. A classification head stands beside the model in its own files.
    """
    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise ExperimentError(f"{output}: is there already; name a folder that is not, or an empty one")
    found = find_result(run, overrides)

    import torch

    from tunesmith.model.load import load
    from tunesmith.model.merging import merge as merged
    from tunesmith.model.merging import probe, refuse_other_answers
    from tunesmith.model.saving import save_model

    loaded = found.load_model()
    before = probe(loaded)
    whole = merged(loaded)
    weights: Precision = "fp32" if loaded.compute == torch.float32 else "bf16"

    def check(written: Path) -> None:
        for file in found.stage.glob("head.*"):
            shutil.copy(file, written)
        # Beside the one in memory there may be no room on the device.
        whole.model.to("cpu")
        settings = Model(path=str(written), weights=weights, device=found.experiment.model.device)
        refuse_other_answers(load(settings), before)

    save_model(whole, output, check)
    return output
