"""Fine-tune Qwen models on labelled data, and prove on held-out data what got better and what got worse.

Every command is a function of the same name in `tunesmith.api`:

    from tunesmith import api
    folder = api.run(api.load_experiment("recipes/quickstart.yaml"))

Those whose name is no sub-package can also be imported from here: `from tunesmith import load_experiment, run`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.api import (
        compare,
        compare_predictions,
        evaluate_predictions,
        load_experiment,
        load_model,
        load_result,
        load_variants,
        merge,
        predict,
        prepare,
        run,
        run_variants,
        schema,
        score_predictions,
        show,
    )

__version__ = "0.2.0"
__all__ = [
    "__version__",
    "compare",
    "compare_predictions",
    "evaluate_predictions",
    "load_experiment",
    "load_model",
    "load_result",
    "load_variants",
    "merge",
    "predict",
    "prepare",
    "run",
    "run_variants",
    "schema",
    "score_predictions",
    "show",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first asked for, so that importing tunesmith costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    api = import_module("tunesmith.api")
    return vars(api)[name] if name in vars(api) else api.__getattr__(name)
