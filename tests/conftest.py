"""Settings of all tests: no network, few threads, and all signatures of tunesmith checked at every call."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping

from tests.checked import checked, jaxtyped

jaxtyping.jaxtyped = jaxtyped
jaxtyping.install_import_hook("tunesmith", f"{checked.__module__}.{checked.__name__}")
