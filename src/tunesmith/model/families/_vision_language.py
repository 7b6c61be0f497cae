"""What vision-language models of Qwen share: pictures among tokens, boxes in text, three parts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor, nn

from tunesmith.batching.collator import collate_pixels, default_workers
from tunesmith.batching.example import Example
from tunesmith.errors import DataError, ModelError, counted
from tunesmith.files import write_json
from tunesmith.images.boxes import AskForBoxes, Box, Boxes, BoxForm
from tunesmith.images.picture import Picture
from tunesmith.kernels.modules import own_modules, transformers_model
from tunesmith.model.families import _boxes
from tunesmith.model.families._image_processor import ImageProcessorConfig
from tunesmith.model.families._vision_tower import Tower, add_at
from tunesmith.model.families.qwen2 import Qwen2
from tunesmith.records.conversation import Conversation, Piece, Text, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from tunesmith.batching.batch import Batch

VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
PLACEHOLDER = "<|image_pad|>"


class VisionLanguage(Qwen2):
    """Text as in Qwen2; each picture is a run of placeholder tokens, embedded by the vision tower."""

    has_vision: ClassVar[bool] = True
    prefixes: ClassVar[dict[str, tuple[str, ...]]] = {
        "projector": ("model.visual.merger", "model.visual.deepstack_merger_list"),
        "vision": ("model.visual",),
        "language": ("",),
    }
    form: ClassVar[BoxForm] = "json"
    """How the generation was trained to write boxes."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: PreTrainedConfig,
        thinking: bool = False,
        image_processor: ImageProcessorConfig | None = None,
    ) -> None:
        super().__init__(tokenizer, config, thinking, image_processor)
        assert image_processor is not None, (
            "a vision-language family needs the settings of its image processor"
        )
        self._images = image_processor
        self._placeholder = int(tokenizer.convert_tokens_to_ids(PLACEHOLDER))  # type: ignore[arg-type]

    def boxes(self, text: str, asked: Boxes) -> tuple[Box, ...]:
        """The things that an answer's text names; ValueError says why none can be read."""
        return _boxes.read(text, self._space(asked.picture), asked.labels)

    @classmethod
    def shows_pictures(cls, tokenizer: PreTrainedTokenizerBase, template: str) -> bool:
        """Whether a chat template writes one placeholder for a picture."""
        messages: Any = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "x"}]}]
        try:
            written = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
        # A template is a program that came with the model: it can fail in any way.
        except Exception:
            return False
        return str(written).count(PLACEHOLDER) == 1

    def picture_example(self, record: str, pictures: Sequence[Picture]) -> Example:
        """The tokens of these pictures one after the other, each between its marks; nothing of it is trained."""
        marks = (VISION[0], PLACEHOLDER, VISION[1])
        ids = [int(self.tokenizer.convert_tokens_to_ids(mark)) for mark in marks]  # type: ignore[arg-type]
        tokens = np.array(ids * len(pictures), dtype=np.int32)
        shown = Conversation(record, (Turn("user", tuple(pictures)),), "")
        return self._example(shown, tokens, np.zeros(len(tokens), dtype=bool))

    def parts(self, model: nn.Module) -> dict[str, dict[str, nn.Module]]:
        """Vision tower, projector (what makes the tower's output tokens), and language model."""
        parts: dict[str, dict[str, nn.Module]] = {part: {} for part in ("vision", "projector", "language")}
        for name, module in own_modules(model).items():
            part = next(part for part, starts in self.prefixes.items() if name.startswith(starts))
            parts[part][name] = module
        return parts

    def post_load(self, model: PreTrainedModel) -> None:
        """Run the vision tower over all pictures of a batch at once, in training and generation."""
        inner: Any = model
        self._tower(inner).install()
        if hasattr(inner.model.language_model, "_deepstack_process"):
            inner.model.language_model._deepstack_process = add_at

    def logits(self, model: nn.Module, batch: Batch) -> Float[Tensor, "prediction vocabulary"]:
        """Logits at `batch.predicting` of one packed line of tokens and pictures."""
        inner: Any = transformers_model(model)
        return inner.lm_head(self.hidden(model, batch)[batch.predicting])  # type: ignore[no-any-return]

    def hidden(self, model: nn.Module, batch: Batch) -> Float[Tensor, "token width"]:
        """Final hidden states of one packed line of tokens and pictures."""
        inner: Any = transformers_model(model)
        language = inner.model.language_model
        embedded = language.embed_tokens(batch.tokens)
        extras: dict[str, Any] = {}
        if batch.pixels is not None:
            embeddings, deep = self._tower(inner)(batch.pixels.patches, batch.pixels.grids)
            embedded = embedded.index_copy(0, batch.pixels.tokens, embeddings.to(embedded.dtype))
            if deep:
                extras = {"visual_pos_masks": batch.pixels.tokens, "deepstack_visual_embeds": deep}
        elif torch.is_grad_enabled() and not embedded.requires_grad:
            # Where only the vision tower is trained, a line without pictures needs a (zero) gradient too.
            embedded.requires_grad_()
        return language(  # type: ignore[no-any-return]
            inputs_embeds=embedded[None],
            position_ids=batch.positions[:, None] if len(batch.positions) > 1 else batch.positions,
            attention_mask=None,
            use_cache=False,
            segments=batch.segments,
            **extras,
        ).last_hidden_state[0]

    def for_generation(self, prompts: Sequence[Example], device: torch.device) -> dict[str, Tensor]:
        """Patches, grids, and which of the padded tokens are placeholders."""
        pixels = collate_pixels(prompts, [0] * len(prompts), default_workers(device))
        if pixels is None:
            return {}
        longest = max(map(len, prompts))
        kinds = torch.zeros(len(prompts), longest, dtype=torch.int)
        for row, prompt in enumerate(prompts):
            kinds[row, longest - len(prompt) :] = torch.from_numpy(prompt.tokens == self._placeholder)
        grids = torch.cat([torch.ones(len(pixels.grids), 1, dtype=torch.long), pixels.grids], dim=1)
        return {
            "pixel_values": pixels.patches.to(device),
            "image_grid_thw": grids.to(device),
            "mm_token_type_ids": kinds.to(device),
        }

    def save(self, folder: Path) -> None:
        """Write tokenizer, end tokens, and the sizes in which pictures were trained."""
        super().save(folder)
        write_json(folder / "preprocessor_config.json", self._images.trained_file)

    def check(self, conversation: Conversation) -> None:
        """Raise DataError as for text, and for a picture of an unsupported shape."""
        super().check(conversation)
        for picture in conversation.pictures:
            self._images.place(conversation.record, picture, 0)

    def _tower(self, inner: Any) -> Tower:
        return Tower(inner.model.visual, self.config, self._images)

    @abstractmethod
    def _space(self, picture: Picture) -> tuple[int, int]:
        """The coordinates of a picture's right and lower edge in the boxes of this generation."""

    def _ask(self, asked: AskForBoxes) -> str:
        """The question where things are, with the wanted form of the answer."""
        wanted = f"every {' and every '.join(asked.labels)} in the picture."
        if self._form(asked.form) == "tokens":
            return f"Detect the bounding box of {wanted}"
        return f"Locate {wanted} Report bbox coordinates in JSON format."

    def _form(self, form: BoxForm) -> BoxForm:
        return self.form if form == "auto" else form

    def _write(self, boxes: Boxes) -> str:
        writing = {"tokens": _boxes.write_tokens, "json": _boxes.write_json}[self._form(boxes.form)]
        return writing(boxes.boxes, self._space(boxes.picture))

    def _answer(self, conversation: Conversation) -> str:
        return conversation.answer if conversation.boxes is None else self._write(conversation.boxes)

    def _content(self, record: str, turn: Turn) -> Any:
        pieces = [self._piece(piece) for piece in turn.pieces]
        if turn.pictures:
            if not self._has_picture_template:
                raise ModelError(
                    "model.path: the model's chat template is for text alone: it leaves out pictures. Put the "
                    "chat_template.json or chat_template.jinja of the family's Instruct model into its folder"
                )
            return pieces
        return "".join(piece["text"] for piece in pieces)

    def _piece(self, piece: Piece) -> dict[str, str]:
        """A piece of a turn in the form that chat templates want."""
        match piece:
            case Picture():
                return {"type": "image"}
            case Text(text):
                return {"type": "text", "text": text}
            case AskForBoxes():
                return {"type": "text", "text": self._ask(piece)}
            case Boxes():
                return {"type": "text", "text": self._write(piece)}

    def _example(
        self,
        conversation: Conversation,
        tokens: Int32[np.ndarray, " token"],
        trained: Bool[np.ndarray, " token"],
    ) -> Example:
        """The example with as many placeholders for each picture as it has tokens."""
        pictures = conversation.pictures
        if not pictures:
            return super()._example(conversation, tokens, trained)
        marks = np.flatnonzero(tokens == self._placeholder)
        if len(marks) != len(pictures):
            raise DataError(
                f"{conversation.record}: has {counted(len(pictures), 'picture')}, but the chat template shows "
                f"{len(marks)}; only the user's turns can have pictures"
            )
        placed, start = [], 0
        for number, (mark, picture) in enumerate(zip(marks.tolist(), pictures, strict=True)):
            start += mark - (marks[number - 1] + 1 if number else 0)
            placed.append(self._images.place(conversation.record, picture, int(start)))
            start += placed[-1].num_tokens
        repeats = np.ones(len(tokens), dtype=np.int64)
        repeats[marks] = [picture.num_tokens for picture in placed]
        return Example(
            conversation.record,
            np.repeat(tokens, repeats),
            np.repeat(trained, repeats),
            conversation.classes,
            tuple(placed),
        )

    @cached_property
    def _has_picture_template(self) -> bool:
        return self.shows_pictures(self.tokenizer, str(self.tokenizer.chat_template))

    @cached_property
    def control_tokens(self) -> tuple[str, ...]:
        """Texts that no conversation may hold, marks of pictures among them."""
        return (*super().control_tokens, *VISION)

    @cached_property
    def _untrainable(self) -> tuple[int, ...]:
        return tuple(int(self.tokenizer.convert_tokens_to_ids(mark)) for mark in VISION)  # type: ignore[arg-type]
