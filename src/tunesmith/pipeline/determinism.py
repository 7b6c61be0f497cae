"""Seeds everywhere, and kernels that give the same bits every time."""

from __future__ import annotations

import os
import random
import warnings

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators, on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def use_deterministic_mode(enabled: bool = True) -> None:
    """Choose kernels whose result does not depend on the order in which a GPU's threads finish, so that an interrupted
    run ends with the same weights. Where an operation has none, it runs all the same: the backward pass of flash
    attention, above all, adds up in any order for long segments."""
    # cuBLAS reads it when it is first used (NVIDIA, cuBLAS documentation, "Results reproducibility").
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(enabled, warn_only=True)
    # Filling memory that is about to be written anyway only costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    warnings.filterwarnings(
        "ignore", "Flash Attention defaults to a non-deterministic algorithm", UserWarning
    )
