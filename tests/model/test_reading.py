"""Model folders of any kind: whatever is wrong with a file, there is one sentence that names the model and the file."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith.config.experiment import Model
from tunesmith.errors import ModelError
from tunesmith.model.load import load
from tunesmith.model.reading import reading


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_seeing_model(tmp_path_factory.mktemp("seeing") / "model", "qwen2_vl", layers=1)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as found:
        load(Model(path=str(folder), weights="fp32", device="cpu"))
    assert len(str(found.value).splitlines()) == 1


def with_value(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        stated = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**stated, **changes}))

    return change


def holding(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "config-cut": (holding("config.json", b'{"model_type": "qw'), r"config\.json of .* cannot be read"),
    "config-list": (holding("config.json", b"[]"), r"config\.json of .* holds a JSON list, not an object"),
    "config-deep": (holding("config.json", b"[" * 9000), r"config\.json of .* nested too deeply"),
    "model-type-list": (with_value("config.json", model_type=["qwen2"]), r"says model_type \['qwen2'\]"),
    "architectures": (with_value("config.json", architectures=[1]), r"architectures \[1\]"),
    "strict-field": (with_value("config.json", initializer_range=1), "initializer_range"),
    "strict-class": (with_value("config.json", num_hidden_layers=32), "layer_types"),
    "pad-token": (with_value("config.json", pad_token_id=99_999), "cannot be read"),
    "tokenizer-bits": (holding("tokenizer.json", b'{"version": 3}'), "has no tokenizer that can be read"),
    "tokenizer-null": (holding("tokenizer_config.json", b"null"), "holds a JSON NoneType, not an object"),
    "tokenizer-latin": (holding("tokenizer_config.json", b'{"a": "\xff"}'), r"tokenizer_config\.json .*'utf-8' codec"),
    "tokenizer-class": (with_value("tokenizer_config.json", tokenizer_class=7), "has no tokenizer that can be read"),
    "tokenizer-length": (with_value("tokenizer_config.json", model_max_length={}), "no tokenizer that can be read"),
    "weights-cut": (holding("model.safetensors", b"\x10\0\0"), r"model\.safetensors of .* cannot be read"),
    "weights-header": (holding("model.safetensors", b"\x02" + b"\0" * 7 + b"[]"), r"model\.safetensors of "),
    "pointer": (holding("model.safetensors", POINTER), "model.safetensors of .* only point .* `git lfs pull`"),
    "template-syntax": (holding("chat_template.jinja", b"{% for %}"), "chat template cannot write a question"),
    "template-sum": (holding("chat_template.jinja", b"{{ 1 + 'a' }}"), "unsupported operand"),
    "template-no-end": (holding("chat_template.jinja", b"x"), r"model\.path: the model's chat template"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HARMS)
def test_a_damaged_file_of_a_model_is_one_sentence(tmp_path: Path, kind: str) -> None:
    folder = tiny_model(tmp_path / "model", hidden_size=16, layers=1)
    harm, message = HARMS[kind]
    harm(folder)
    refused(folder, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": "14"}, None),
        ({"patch_size": [14]}, "sizes or colours that cannot be"),
        ({"merge_size": 0}, "sizes or colours that cannot be"),
        ({"image_std": [0.2, 0.2, 0]}, "sizes or colours that cannot be"),
        ({"size": 3, "min_pixels": None}, "sizes or colours that cannot be"),
    ],
)
def test_sizes_of_pictures_that_cannot_be_are_one_sentence(
    seeing: Path, tmp_path: Path, changes: dict[str, Any], message: str | None
) -> None:
    folder = shutil.copytree(seeing, tmp_path / "model")
    with_value("preprocessor_config.json", **changes)(folder)
    if message is None:
        load(Model(path=str(folder), weights="fp32", device="cpu"))
    else:
        refused(folder, message)


@pytest.mark.parametrize(
    "index", [b"[]", b'{"weight_map": {}}', b'{"metadata": 1, "weight_map": {"a": 3}}', b"{"]
)
def test_a_damaged_index_of_shards_is_one_sentence(tmp_path: Path, index: bytes) -> None:
    folder = tiny_model(tmp_path / "model", hidden_size=16, layers=1)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_bytes(index)
    refused(folder, r"model\.path: the weights of .*model cannot be read|lack")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", hidden_size=16, layers=1)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for number, names in enumerate((sorted(weights)[::2], sorted(weights)[1::2]), 1):
        save_file(
            {name: weights[name] for name in names}, folder / f"model-{number}.safetensors", {"format": "pt"}
        )
    shards = {name: f"model-{1 + index % 2}.safetensors" for index, name in enumerate(sorted(weights))}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    load(Model(path=str(folder), weights="fp32", device="cpu"))
    (folder / "model-2.safetensors").unlink()
    refused(folder, re.escape("model-2.safetensors"))


def test_a_fault_of_our_own_outside_the_door_stays_what_it_is() -> None:
    with pytest.raises(ModelError, match="describe: KeyError"), reading(lambda error: f"describe: {error!r}"):
        raise KeyError("a")
    with pytest.raises(KeyboardInterrupt), reading(str):
        raise KeyboardInterrupt
