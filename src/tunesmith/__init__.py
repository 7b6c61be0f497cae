"""Fine-tune Qwen models on labelled data, and prove on held-out data what got better and what got worse.

Every command is a function too:

    from tunesmith import load_experiment, run
    folder = run(load_experiment("recipes/quickstart.yaml"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.config.read import read_experiment as load_experiment
    from tunesmith.deploy.loading import load_result
    from tunesmith.deploy.merge import merge
    from tunesmith.deploy.predict import predict
    from tunesmith.evaluate.external import compare_predictions, score_predictions
    from tunesmith.model.load import load as load_model
    from tunesmith.pipeline.run import run
    from tunesmith.report.compare import write_comparison as compare

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "compare",
    "compare_predictions",
    "load_experiment",
    "load_model",
    "load_result",
    "merge",
    "predict",
    "run",
    "score_predictions",
]

_HOME = {
    "load_experiment": ("tunesmith.config.read", "read_experiment"),
    "load_model": ("tunesmith.model.load", "load"),
    "load_result": ("tunesmith.deploy.loading", "load_result"),
    "merge": ("tunesmith.deploy.merge", "merge"),
    "predict": ("tunesmith.deploy.predict", "predict"),
    "run": ("tunesmith.pipeline.run", "run"),
    "compare": ("tunesmith.report.compare", "write_comparison"),
    "compare_predictions": ("tunesmith.evaluate.external", "compare_predictions"),
    "score_predictions": ("tunesmith.evaluate.external", "score_predictions"),
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first asked for, so that importing tunesmith costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return vars(import_module(module))[attribute]
