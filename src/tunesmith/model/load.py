"""From the experiment's `model` settings to a model that is ready to train or to answer."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.image_processing_base import ImageProcessingMixin
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.utils.logging import disable_progress_bar

from tunesmith import kernels
from tunesmith.config.experiment import Model as ModelSettings
from tunesmith.errors import ModelError, did_you_mean
from tunesmith.files import expanded
from tunesmith.kernels.attention import packed
from tunesmith.kernels.fusion.lora_linear import apply_lora_forward
from tunesmith.model.adapters import quietly
from tunesmith.model.chat_templates import settle_template
from tunesmith.model.checkpointing import checkpoint
from tunesmith.model.families import FOR_PICTURES, FOR_TEXT, Family, family_of
from tunesmith.model.families._image_processor import ImageProcessorConfig
from tunesmith.model.gguf import converted, gguf_of_package
from tunesmith.model.heads import load_head
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.mixtures import restrict_mixture
from tunesmith.model.reading import (
    FROM_ITS_SOURCE,
    first_line,
    json_object,
    reading,
    refuse_pointers,
    unreadable,
)
from tunesmith.model.saving import is_of_a_stage, put_changed
from tunesmith.model.trial import refuse_inexact
from tunesmith.precision.formats import Precision, precision_of
from tunesmith.precision.quantize import refuse_prequantised
from tunesmith.runs.artifacts import refuse_changed


def load(settings: ModelSettings, start: Path | None = None) -> LoadedModel:
    """The model in eval mode on its device, nothing of it trainable yet.

    `start` is an earlier stage's folder: its `model/` stands in for the base, its `adapter/` and its head are put on.
    Raises ModelError in one sentence, whatever it is that cannot be found, trusted, read or run.
    """
    _be_quiet_without_a_terminal()
    if start is not None:
        refuse_changed(start)
    device = _device(settings.device)
    compute = precision_of(settings.precision("language")).compute_dtype
    name, reason = packed.choose(settings.attention, device, compute)
    place = base_folder(settings, start)
    if is_of_a_stage(Path(place)) and Path(place).parent != start:
        refuse_changed(Path(place).parent)
    config = _config(settings, place)
    family = _family(settings, place, config)
    model = _weights(settings, place, config, device, family)
    fused, fused_reason = kernels.choose(settings.kernels, device, compute)
    prepared = _prepared(model, settings, device, family, fused)
    restricted = tuple(restrict_mixture(model, settings.quantised))
    packed.use(model, name)
    kernels.use(model, family, fused, device)
    family.post_load(model)
    changed = _changed(model, start)
    model.requires_grad_(False)
    if settings.checkpointing != "auto":
        checkpoint(model, settings.checkpointing)
    adapted = _with_adapter(model, start / "adapter") if start and (start / "adapter").is_dir() else model
    notes = (f"attention: {name} ({reason})", f"kernels: {fused} ({fused_reason})", *prepared, *restricted)
    head = load_head(start, config, device) if start else None
    graphs = settings.cuda_graphs and device.type == "cuda"
    return LoadedModel(adapted.eval(), family, device, compute, name, notes, changed, fused, graphs, head)


def _changed(model: PreTrainedModel, start: Path | None) -> frozenset[str]:
    """Full names of the weights that an earlier stage changed, after they are put into the model."""
    if start is None or not (start / "weights").is_dir():
        return frozenset()
    return put_changed(model, start / "weights")


def load_family(settings: ModelSettings) -> Family:
    """The base model's family, had from its config and tokenizer without its weights; ModelError as
    `load`."""
    _be_quiet_without_a_terminal()
    place = base_folder(settings)
    return _family(settings, place, _config(settings, place))


def _be_quiet_without_a_terminal() -> None:
    """Keep transformers' progress bars out of files and pipes, where each of their steps is a line."""
    if not sys.stderr.isatty():
        disable_progress_bar()


def _family(settings: ModelSettings, place: str, config: PreTrainedConfig) -> Family:
    kind = family_of(config.model_type)
    unknown = (
        []
        if isinstance(settings.weights, str)
        else [part for part in settings.weights if part not in kind.prefixes]
    )
    if unknown:
        raise ModelError(
            "\n".join(
                f"model.weights.{part}: {config.model_type} has no such part ({', '.join(kind.prefixes)})."
                + did_you_mean(part, kind.prefixes)
                for part in unknown
            )
        )
    image_processor = _image_processor(settings, place) if kind.has_vision else None
    tokenizer = load_tokenizer(settings, place)
    shows_pictures = partial(kind.shows_pictures, tokenizer) if kind.has_vision else None
    settle_template(tokenizer, place, settings.revision, shows_pictures)
    family = kind(tokenizer, config, settings.thinking, image_processor)
    refuse_inexact(family, settings.allow_remote_code)
    return family


def _image_processor(settings: ModelSettings, place: str) -> ImageProcessorConfig:
    """The model's image processor settings, changed as the experiment says."""
    name = _called(settings, place)
    json_object(Path(place) / "preprocessor_config.json", name)

    def why(error: Exception) -> str:
        return (
            f"model.path: {name} has no preprocessor_config.json that can be read ({first_line(error)}). Put the one "
            "of its base model next to its config.json"
        )

    with reading(why):
        file, _ = ImageProcessingMixin.get_image_processor_dict(place, revision=settings.revision)
    return ImageProcessorConfig.from_file(settings.pixels, file)


def base_folder(settings: ModelSettings, start: Path | None = None) -> str:
    """Where the base model's files are: a folder on this machine, or a hub name. A GGUF file is converted
    first."""
    if start is not None and (start / "model").is_dir():
        return str((start / "model").resolve())
    if start is not None and (start / "adapter").is_dir():
        return _under_adapter(start, base_folder(settings))
    if settings.path.startswith("package:"):
        return str(converted(gguf_of_package(settings.path.removeprefix("package:"))))
    path = expanded(Path(settings.path))
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"model.path: there is no file {settings.path}. Check the path")
        return str(converted(path))
    if path.is_dir():
        if not (path / "config.json").is_file():
            entries = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
            raise ModelError(
                f"model.path: the folder {settings.path} has no config.json (it has {entries}). Give the "
                "folder that `save_pretrained` wrote, or a hub name"
            )
        return str(path.resolve())
    if path.is_absolute() or settings.path.startswith((".", "~")) or settings.path.count("/") > 1:
        raise ModelError(
            f"model.path: there is no folder {settings.path}. Check the path, or give a hub name"
        )
    return settings.path


def _under_adapter(start: Path, place: str) -> str:
    """What a stage's adapter was trained on: the base in `place`, or the model that an earlier stage left."""
    config = start / "adapter" / "adapter_config.json"
    named = json_object(config, str(config.parent)).get("base_model_name_or_path")
    if not isinstance(named, str):
        raise ModelError(
            f"{config}: does not name the model that the adapter was trained on (base_model_name_or_path is "
            f"{named!r}). Bring that file back, or train again"
        )
    stated = Path(named)
    if str(stated) == place or not is_of_a_stage(stated):
        return place
    for folder in (start.parent / stated.parent.name / "model", stated):
        if folder.is_dir():
            return str(folder.resolve())
    raise ModelError(
        f"{start / 'adapter'} was trained on {stated}, which is not there. Bring that stage's folder back, "
        "or train again"
    )


def load_tokenizer(settings: ModelSettings, place: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer; ModelError if there is none that can be read."""
    options: dict[str, Any] = {"revision": settings.revision, "trust_remote_code": settings.allow_remote_code}
    name = _called(settings, place)
    stated = json_object(Path(place) / "tokenizer_config.json", name)
    is_plain = stated.get("tokenizer_class") == "PreTrainedTokenizerFast"
    # AutoTokenizer would go by the model's architecture and split text as its usual tokenizer does.
    tokenizer_class: Any = PreTrainedTokenizerFast if is_plain else AutoTokenizer

    def why(error: Exception) -> str:
        return (
            f"model.path: {name} has no tokenizer that can be read ({first_line(error)}). Put tokenizer.json and "
            "tokenizer_config.json of the model next to its config.json"
        )

    with reading(why):
        tokenizer = tokenizer_class.from_pretrained(place, **options)
        # Without its files, transformers makes up a tokenizer that knows no more than its special tokens.
        if tokenizer.vocab_size <= len(tokenizer.added_tokens_decoder):
            raise ValueError("it has no vocabulary")
        if not 0 < tokenizer.model_max_length < math.inf:
            raise ValueError(f"its model_max_length is {tokenizer.model_max_length!r:.80}")
        # It is put together only when it is first used.
        tokenizer.decode(tokenizer("x y").input_ids)
        set(tokenizer.all_special_tokens)
    return tokenizer  # type: ignore[no-any-return]


def _called(settings: ModelSettings, place: str) -> str:
    """The model in messages: as the experiment names it, or a stage's own folder, which is not the experiment's."""
    return place if is_of_a_stage(Path(place)) else settings.path


def _device(setting: str) -> torch.device:
    has_gpu = torch.cuda.is_available()
    if setting == "cuda" and not has_gpu:
        raise ModelError(
            "model.device: cuda was asked for, but PyTorch finds no GPU. Use device: auto or cpu"
        )
    return torch.device("cuda" if has_gpu and setting != "cpu" else "cpu")


def _config(settings: ModelSettings, place: str) -> PreTrainedConfig:
    """The model's config; ModelError if it is not there, needs code of its own, or is no decoder."""
    name = _called(settings, place)
    if Path(place).is_dir():
        refuse_pointers(Path(place), name)
        _refuse_odd_config(json_object(Path(place) / "config.json", name), name)
    with reading(partial(_why_no_config, settings, place)):
        config = AutoConfig.from_pretrained(
            place, revision=settings.revision, trust_remote_code=settings.allow_remote_code
        )
    has_vision = family_of(config.model_type).has_vision
    names = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES if has_vision else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    known = names.get(config.model_type)
    decoders = {known} if isinstance(known, str) else set(known or ())
    architectures = set(config.architectures or decoders)
    is_unknown = not settings.allow_remote_code and not architectures & decoders
    takes_more = _takes_more_than_text(config)
    if is_unknown or (takes_more and not has_vision):
        raise ModelError(_why_not_this_kind(name, config.model_type, sorted(architectures), takes_more))
    quantised: dict[str, Any] = vars(config).get("quantization_config") or {}
    if quantised:
        refuse_prequantised(name, quantised)
    return config


def _takes_more_than_text(config: PreTrainedConfig) -> bool:
    """Whether the language model is only one of several models in it."""
    others = any("vision" in name or "audio" in name for name in config.sub_configs)
    try:
        return others or config.get_text_config() is not config
    except ValueError:  # There are several.
        return True


def _why_not_this_kind(name: str, model_type: str, architectures: Sequence[str], takes_more: bool) -> str:
    """Why a model that is no causal language model cannot be trained, and what can be instead."""
    what = f"model.path: {name} is a {', '.join(architectures) or model_type} (model_type {model_type})"
    if model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return f"{what}, which has an encoder and a decoder. Use a causal language model such as {FOR_TEXT}"
    others = {**MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, **MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES}
    if model_type in others or takes_more:
        return (
            f"{what}, which takes more than text, and this family is not supported. Models that take pictures and are: "
            f"{FOR_PICTURES}; for text alone use {FOR_TEXT}"
        )
    return f"{what}, which is not a causal language model. Use one, such as {FOR_TEXT}"


def _refuse_odd_config(stated: Mapping[str, Any], name: str) -> None:
    """Raise ModelError if config.json names what the model is by anything but names."""
    kind, architectures = stated.get("model_type"), stated.get("architectures")
    is_list = isinstance(architectures, list) and all(isinstance(name, str) for name in architectures)
    if not isinstance(kind, str) or not (architectures is None or is_list):
        raise ModelError(
            f"model.path: config.json of {name} says model_type {kind!r:.80} and architectures {architectures!r:.80}. "
            "Give a model of which these are a name and a list of names"
        )


def _why_no_config(settings: ModelSettings, place: str, error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return (
            f"model.path: {settings.path} needs Python code that comes with it. If you trust it, set "
            "model.allow_remote_code: true"
        )
    if Path(place).is_dir():
        return f"model.path: config.json of {_called(settings, place)} cannot be read ({first_line(error)})"
    revision = f" at revision {settings.revision}" if settings.revision else ""
    return (
        f"model.path: {settings.path}{revision} is no folder here, is not in the hub's cache, and could not "
        f"be had from the hub ({first_line(error)}). Check the name, the network and, for a gated model, "
        "`hf auth login`"
    )


def _weights(
    settings: ModelSettings, place: str, config: PreTrainedConfig, device: torch.device, family: Family
) -> PreTrainedModel:
    plain = [part for part in family.prefixes if settings.precision(part) != settings.quantised]
    skipped = [start for part in plain for start in family.prefixes[part]]
    auto: Any = AutoModelForImageTextToText if family.has_vision else AutoModelForCausalLM
    try:
        model, report = _read_weights(auto, settings, place, config, device, skipped)
    except torch.OutOfMemoryError as error:
        raise ModelError(_too_large(settings, device)) from error
    lacking = sorted([*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])])
    if lacking:
        raise ModelError(
            f"model.path: the weights of {_called(settings, place)} lack {len(lacking)} that its config.json asks for, "
            f"such as {lacking[0]}. The files do not belong together, or are incomplete"
        )
    return model


def _read_weights(
    auto: Any,
    settings: ModelSettings,
    place: str,
    config: PreTrainedConfig,
    device: torch.device,
    skipped: Sequence[str],
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model, and what transformers says of weights that are missing or do not fit."""
    precision = _base_precision(settings)
    arguments = precision.load_arguments(skipped)
    with reading(partial(_why_no_weights, settings, place)):
        return auto.from_pretrained(  # type: ignore[no-any-return]
            place,
            config=config,
            revision=settings.revision,
            trust_remote_code=settings.allow_remote_code,
            use_safetensors=None if settings.allow_pickle else True,
            dtype=precision.compute_dtype,
            device_map={"": device} if precision.loads_on_device else None,
            output_loading_info=True,
            **arguments,
        )


def _base_precision(settings: ModelSettings) -> Precision:
    """The quantized precision of some part, if there is one, else that of the language part."""
    return precision_of(settings.quantised or settings.precision("language"))


def _prepared(
    model: PreTrainedModel, settings: ModelSettings, device: torch.device, family: Family, fused: str
) -> tuple[str, ...]:
    """Prepare the linear layers of the parts that have the base precision; return notes for the log.

    Output layers, embeddings and norms stay as they are.
    """
    precision = _base_precision(settings)
    head = model.get_output_embeddings()
    names = [
        name
        for part, modules in family.parts(model).items()
        if settings.precision(part) == precision.kind
        for name, module in modules.items()
        if type(module) is torch.nn.Linear and module is not head
    ]
    try:
        note = precision.prepare(model, names, device, fused)
    except torch.OutOfMemoryError as error:
        raise ModelError(_too_large(settings, device)) from error
    return () if note is None else (note,)


def _too_large(settings: ModelSettings, device: torch.device) -> str:
    return (
        f"model.weights: {settings.path} in {settings.weights} does not fit on {device}. Use weights: nf4, or a "
        "smaller model"
    )


def _why_no_weights(settings: ModelSettings, place: str, error: Exception) -> str:
    pickled = sorted(Path(place).glob("*.bin")) if Path(place).is_dir() else []
    if (pickled or "pytorch_model.bin" in str(error)) and not settings.allow_pickle:
        return (
            f"model.path: {settings.path} has only pickled weights (.bin), which can run code when they are "
            "read. If you trust them, set model.allow_pickle: true"
        )
    file = unreadable(Path(place)) or "the weights of "
    return f"model.path: {file}{_called(settings, place)} cannot be read ({first_line(error)}). {FROM_ITS_SOURCE}"


def _with_adapter(model: PreTrainedModel, folder: Path) -> torch.nn.Module:
    from peft import PeftModel

    def why(error: Exception) -> str:
        return f"{folder}: this adapter does not fit the model, or is damaged ({first_line(error)})"

    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"{folder}: has no adapter_model.safetensors. Bring it back, or train the stage again"
        )
    with reading(why), quietly():
        warnings.filterwarnings("error", "Found missing adapter keys")
        wrapped = PeftModel.from_pretrained(model, folder, is_trainable=False)
    apply_lora_forward(wrapped)
    return wrapped
