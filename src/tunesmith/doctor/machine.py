"""What this machine has: versions, devices, attention, kernels, precisions, picture libraries, trackers, disk.

Everything is tried rather than guessed from versions.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import psutil
import torch
from jaxtyping import Float, Int32
from torch import Tensor

from tunesmith import kernels
from tunesmith.batching.batch import Segments
from tunesmith.config.registry import Registry
from tunesmith.kernels.attention import short
from tunesmith.kernels.attention.packed import choose
from tunesmith.kernels.ops.lora import LoraUpdate
from tunesmith.kernels.ops.swiglu import swiglu
from tunesmith.precision.formats import all_precisions, check_error

NEEDED = ("torch", "transformers", "peft", "datasets", "tokenizers", "safetensors", "pyarrow", "numpy")
TRACKERS = Registry("tunesmith.train.observers")
QUANT, TRACKING = "pip install 'tunesmith[quant]'", "pip install 'tunesmith[tracking]'"
KERNELS, VISION = "pip install 'tunesmith[kernels]'", "pip install 'tunesmith[vision]'"
FLASH = "pip install flash-attn --no-build-isolation"
_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    name: str
    works: bool
    says: str
    """Its version or size, or why it does not work."""
    bring: str | None = None
    """The command that brings it, if it is missing and can be had."""


def survey(folder: Path = Path()) -> dict[str, list[Finding]]:
    """Findings by topic. Kernels and precisions are tried on the device that training would use."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "versions": [
            Finding("python", True, platform.python_version()),
            *(_package(name) for name in NEEDED),
        ],
        "devices": _devices(),
        "attention": [
            _try("auto", lambda: "takes {}: {}".format(*choose("auto", device, torch.bfloat16))),
            _try("varlen", lambda: _varlen_attention(device)),
            _try("short segments", lambda: _short_attention(device)),
            _try("flash_attention_2", lambda: _flash_attention(device), FLASH),
            _try("sdpa", lambda: _plain_attention(device)),
        ],
        "kernels": [
            _try("auto", lambda: "takes {}: {}".format(*kernels.choose("auto", device, torch.bfloat16))),
            _try("fused", lambda: _fused(device)),
            _try("liger", lambda: _liger(device), KERNELS),
        ],
        "weights": [
            _try(precision.kind, partial(precision.probe, device), precision.package and QUANT)
            for precision in all_precisions()
        ],
        "pictures": [
            _try("pillow", _pillow, VISION),
            _try("imagehash", _imagehash, VISION),
            _try("opencv", _opencv, VISION),
            _try("scipy", _scipy, VISION),
        ],
        "trackers": [_tracker(kind) for kind in TRACKERS.kinds()],
        "disk": [_disk("here", folder), _disk("model cache", _model_cache())],
    }


def _package(name: str, bring: str | None = None) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, "is not installed", bring or f"pip install {name}")


def _tracker(kind: str) -> Finding:
    package = TRACKERS.item(kind).package
    return Finding(kind, True, "needs no package") if package is None else _package(package, TRACKING)


def _devices() -> list[Finding]:
    memory = psutil.virtual_memory()
    findings = [
        Finding(
            "cpu",
            True,
            f"{os.cpu_count()} cores, {memory.total / _GIB:.1f} GiB ({memory.available / _GIB:.1f} free)",
        )
    ]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        memory = f"{total / _GIB:.1f} GiB ({free / _GIB:.1f} free)"
        says = f"{card.name}, {memory}, compute capability {card.major}.{card.minor}"
        findings.append(Finding(f"cuda:{index}", True, says))
    if len(findings) == 1:
        findings.append(Finding("cuda", False, "no GPU that this torch can use"))
    return findings


def _try(name: str, use: Callable[[], str], bring: str | None = None) -> Finding:
    """Use it for real. What it raises is the finding: a driver, a kernel, a package that does not load."""
    try:
        return Finding(name, True, use())
    except ImportError as error:
        return Finding(name, False, f"is not installed ({error})", bring)
    except Exception as error:
        return Finding(name, False, str(error).strip().partition("\n")[0] or type(error).__name__)


def _varlen_attention(device: torch.device) -> str:
    _needs_gpu(device)
    from torch.nn.attention.varlen import varlen_attn

    heads, boundaries = _packed(device)
    varlen_attn(heads, heads, heads, boundaries, boundaries, 5, 5)
    return "torch's own kernel"


def _short_attention(device: torch.device) -> str:
    _needs_gpu(device)
    heads, boundaries = _packed(device)
    each = heads.transpose(0, 1)[None]
    blocks = short.query_blocks(Segments.end_to_end(boundaries.diff().tolist())).to(device)
    out = short.short_attention(each, each, each, blocks, 5, 0.125, True)
    scores = (each[0] @ each[0].mT).float()[:, :3, :3] * 0.125
    seen = torch.ones(3, 3, device=device).tril().bool()
    wanted = scores.masked_fill(~seen, float("-inf")).softmax(-1) @ each[0, :, :3].float()
    check_error(out[0, :3, 0].cpu(), wanted[0].cpu(), 2e-2)
    return f"triton {metadata.version('triton')}"


def _flash_attention(device: torch.device) -> str:
    _needs_gpu(device)
    from flash_attn import flash_attn_varlen_func

    heads, boundaries = _packed(device)
    flash_attn_varlen_func(heads, heads, heads, boundaries, boundaries, 5, 5, causal=True)
    return f"flash-attn {metadata.version('flash-attn')}"


def _needs_gpu(device: torch.device) -> None:
    if device.type != "cuda":
        raise RuntimeError("needs a GPU")


def _packed(device: torch.device) -> tuple[Float[Tensor, "token head width"], Int32[Tensor, " boundary"]]:
    """Two segments of 3 and 5 tokens laid end to end, and their boundaries."""
    heads = torch.randn(8, 1, 64, device=device, dtype=torch.bfloat16)
    return heads, torch.tensor([0, 3, 8], device=device, dtype=torch.int32)


def _plain_attention(device: torch.device) -> str:
    heads = torch.randn(1, 1, 8, 16, device=device)
    torch.nn.functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    return "torch's own"


def _fused(device: torch.device) -> str:
    _needs_gpu(device)
    both, inner, up = (
        torch.randn(*shape, device=device, dtype=torch.bfloat16) for shape in ((64, 192), (64, 16), (96, 16))
    )
    wanted, _ = swiglu(both.cpu(), LoraUpdate(inner.cpu(), up.cpu()), None, None)
    check_error(swiglu(both, LoraUpdate(inner, up), None, None)[0].cpu(), wanted.float(), 2e-2)
    return f"triton {metadata.version('triton')}"


def _liger(device: torch.device) -> str:
    _needs_gpu(device)
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction

    from tunesmith.kernels.fusion.liger import CAST_NORMALISED

    hidden, weight = torch.randn(4, 64, device=device), torch.ones(64, device=device)
    normed = LigerRMSNormFunction.apply(hidden, weight, 1e-6, 0.0, CAST_NORMALISED, False)
    check_error(normed, hidden * torch.rsqrt(hidden.square().mean(-1, keepdim=True) + 1e-6), 1e-2)
    return f"liger-kernel {metadata.version('liger-kernel')}"


def _pillow() -> str:
    """Pillow's version and the forms of pictures that it was built to read."""
    from PIL import features

    codecs = {"jpg": "JPEG", "webp": "WebP", "avif": "AVIF", "jpg_2000": "JPEG 2000", "libtiff": "TIFF"}
    lacking = ", ".join(name for codec, name in codecs.items() if not features.check(codec))
    return f"{metadata.version('pillow')}, {f'reads all but {lacking}' if lacking else 'reads all forms'}"


def _imagehash() -> str:
    from PIL import Image

    from tunesmith.records.image_ingestion import NO_HASH, perceptual_hash

    if perceptual_hash(Image.linear_gradient("L")) == NO_HASH:
        raise RuntimeError("loads, but sees nothing in a picture")
    return f"{metadata.version('imagehash')}, hashes pictures"


def _opencv() -> str:
    import cv2
    import numpy as np

    ramp = np.arange(64, dtype=np.float32).reshape(8, 8)
    if not np.allclose(cv2.resize(ramp, (8, 8)), ramp):
        raise RuntimeError("loads, but resizes wrongly")
    return f"{metadata.version('opencv-python-headless')}, lays look-alike pictures over one another"


def _scipy() -> str:
    from scipy.optimize import linear_sum_assignment

    if linear_sum_assignment([[1.0, 0.0], [0.0, 1.0]])[1].tolist() != [1, 0]:
        raise RuntimeError("loads, but matches boxes wrongly")
    return f"{metadata.version('scipy')}, matches boxes"


def _model_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _disk(name: str, folder: Path) -> Finding:
    """Free space where the folder is, or would be."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return Finding(name, True, f"{shutil.disk_usage(there).free / _GIB:.1f} GiB free at {folder.absolute()}")
