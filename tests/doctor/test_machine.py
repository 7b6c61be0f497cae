"""What the doctor says is what was tried, not what was guessed."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from tunesmith.config.registry import Registry
from tunesmith.doctor.machine import (
    VISION,
    Finding,
    _disk,
    _imagehash,
    _package,
    _pillow,
    _scipy,
    _try,
    survey,
)
from tunesmith.precision.formats import PRECISIONS


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Finding]]:
    return {topic: {one.name: one for one in findings} for topic, findings in survey().items()}


def test_the_versions_and_devices_are_those_of_this_process(found: dict[str, dict[str, Finding]]) -> None:
    assert found["versions"]["torch"].says == torch.__version__
    assert found["devices"]["cpu"].works
    assert ("cuda:0" in found["devices"]) == torch.cuda.is_available()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU lacks")
def test_without_a_gpu_the_kernels_that_need_one_are_said_not_to_work(
    found: dict[str, dict[str, Finding]],
) -> None:
    assert found["devices"]["cuda"] == Finding("cuda", False, "no GPU that this torch can use")
    assert found["attention"]["varlen"] == Finding("varlen", False, "needs a GPU")
    assert found["attention"]["flash_attention_2"] == Finding("flash_attention_2", False, "needs a GPU")
    assert found["attention"]["sdpa"].works
    assert found["attention"]["auto"].says.startswith("takes sdpa: ")
    assert found["kernels"]["auto"].says == "takes none: no fused: it needs a GPU, this is cpu; " + (
        "no liger: it needs a GPU, this is cpu"
    )
    assert found["kernels"]["fused"] == Finding("fused", False, "needs a GPU")
    assert found["kernels"]["liger"] == Finding("liger", False, "needs a GPU")


def test_what_pictures_need_is_tried_out(found: dict[str, dict[str, Finding]]) -> None:
    for name, package in (
        ("pillow", "pillow"),
        ("imagehash", "ImageHash"),
        ("opencv", "opencv-python-headless"),
        ("scipy", "scipy"),
    ):
        assert found["pictures"][name].works
        assert found["pictures"][name].says.startswith(f"{version(package)}, ")


def test_a_pillow_that_was_built_without_a_form_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda codec: codec not in ("avif", "webp"))
    assert _pillow().endswith(", reads all but WebP, AVIF")


@pytest.mark.parametrize("package", ["PIL", "imagehash", "scipy.optimize"])
def test_a_library_for_pictures_that_is_missing_comes_with_the_command(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    name, use = {
        "PIL": ("pillow", _pillow), "imagehash": ("imagehash", _imagehash), "scipy.optimize": ("scipy", _scipy)
    }[package]  # fmt: skip
    found = _try(name, use, VISION)
    assert not found.works
    assert found.bring == "pip install 'tunesmith[vision]'"
    assert "is not installed" in found.says


@pytest.mark.parametrize("weights", ["nf4", "int8"])
def test_quantisation_is_tried_out(found: dict[str, dict[str, Finding]], weights: str) -> None:
    pytest.importorskip("bitsandbytes")
    assert found["weights"][weights].works
    assert found["weights"][weights].says.startswith("bitsandbytes ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU lacks")
@pytest.mark.parametrize("weights", ["nf4-fp8", "fp8"])
def test_8_bits_without_a_gpu_are_said_to_run_slowly(
    found: dict[str, dict[str, Finding]], weights: str
) -> None:
    if weights == "nf4-fp8":
        pytest.importorskip("bitsandbytes")
    assert found["weights"][weights] == Finding(
        weights,
        False,
        "runs, but without products in 8 bits, which is slower: it needs a GPU, this is cpu",
    )


def test_every_tracker_and_precision_of_the_registries_is_looked_for(
    found: dict[str, dict[str, Finding]],
) -> None:
    assert list(found["trackers"]) == Registry("tunesmith.train.observers").kinds()
    assert list(found["weights"]) == PRECISIONS.kinds()


def test_what_is_missing_comes_with_the_command_that_brings_it() -> None:
    def use() -> str:
        import no_such_package  # noqa: F401

        return ""

    missing = Finding(
        "x", False, "is not installed (No module named 'no_such_package')", "pip install 'tunesmith[x]'"
    )
    assert _try("x", use, "pip install 'tunesmith[x]'") == missing
    assert _package("no-such-package", "get it") == Finding(
        "no-such-package", False, "is not installed", "get it"
    )


def test_the_disk_of_a_folder_that_is_not_there_yet_is_looked_at(tmp_path: Path) -> None:
    free = _disk("here", tmp_path / "runs" / "new")
    assert free.works
    assert free.says.endswith(f"GiB free at {tmp_path / 'runs' / 'new'}")
