"""Decoders of any architecture, prompted through the chat template of their tokenizer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor, nn

from tunesmith.batching.example import Example
from tunesmith.errors import DataError, ModelError
from tunesmith.kernels.modules import own_modules, transformers_model
from tunesmith.model.families import FOR_TEXT, Family, Trained
from tunesmith.model.families._layer_specs import norm_of
from tunesmith.model.families._prefetch import prefetched_map
from tunesmith.model.families._stop_tokens import write_stops
from tunesmith.model.reading import first_line
from tunesmith.records.conversation import Conversation, Text, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from tunesmith.batching.batch import Batch
    from tunesmith.kernels.fusion.layer_spec import LayerSpec, NormSpec
    from tunesmith.model.families._image_processor import ImageProcessorConfig

Tokens = Int32[np.ndarray, "token"]
Messages = list[dict[str, Any]]

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""For base models whose vocabulary has the turns of ChatML but whose tokenizer has no template."""

ATTENDING = {"full_attention", "sliding_attention"}
"""Kinds of layers that packed batches can keep apart."""

PROBES = ("x", " x", "1", "{", "é", "X.")
"""Beginnings of answers that tell whether a tokenizer's pieces stay apart at the end of a prompt."""


@dataclass(frozen=True)
class Written:
    """What the chat template makes of a conversation."""

    conversation: Conversation
    before: str
    """The prompt."""
    after: str = ""
    """From the answer on; empty for a prompt alone."""
    earlier: tuple[int, ...] = ()
    """Where in the prompt earlier answers begin that are trained too."""
    untrained: tuple[int, ...] = ()
    """Where in the prompt earlier answers begin that are not trained, though all other text is."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A text as tokens."""

    tokens: Tokens
    ends: Int[np.ndarray, " token"] | None = None
    """Where in the text each token ends, if that was asked for."""


class Generic(Family):
    """A decoder whose chat template writes the text and whose packed batches take one forward pass."""

    is_verified: ClassVar[bool] = False
    layer_classes: ClassVar[Mapping[str, Callable[[Any], LayerSpec]]] = {}
    """How each kind of layer is built, by the name of its class in transformers."""
    norm_classes: ClassVar[Mapping[str, float]] = {}
    """What each kind of norm adds to its weight (0 or 1), by the name of its class in transformers."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: PreTrainedConfig,
        thinking: bool = False,
        image_processor: ImageProcessorConfig | None = None,
    ) -> None:
        super().__init__(tokenizer, config, thinking, image_processor)
        self._refuse_layers_without_attention()
        self._refuse_positions_of_the_line()
        if not tokenizer.chat_template:
            self._use_chatml()
        added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._special_tokens = sorted(added | set(tokenizer.all_special_tokens))
        self._end_of_turn = self._find_end_of_turn()
        self._refuse_ids_without_weights()
        if thinking and not self._can_think():
            has_switch = "enable_thinking" in str(tokenizer.chat_template)
            why = "only Qwen3's is supported" if has_switch else "its chat template has no `enable_thinking`"
            raise ModelError(
                f"model.thinking: {config.model_type} cannot switch thinking: {why}. Remove the setting, or use a "
                "model that can think (Qwen3)"
            )

    def render_all(
        self, conversations: Iterable[Conversation], trained: Trained = "answer"
    ) -> Iterator[Example]:
        """The training examples; DataError for the first whose text holds control tokens or is refused by the chat
        template."""
        return prefetched_map(
            map(partial(self._compose, trained=trained), conversations),
            partial(self._examples, trained=trained),
        )

    def prompt_all(self, conversations: Iterable[Conversation]) -> Iterator[Example]:
        """All up to where each answer begins."""
        return prefetched_map(map(self._compose_prompt, conversations), self._examples)

    def continuation(self, conversation: Conversation, text: str | None = None) -> Tokens:
        """Tokens after the prompt if the answer were `text`, up to and with the end of the turn."""
        answering = conversation
        if text is not None:
            reply = conversation.reply if text == conversation.answer else None
            answering = replace(conversation, answer=text, boxes=None, reply=reply)
        self.check(answering)
        rest = self._encode_after(*self._texts(answering), self._encode)
        return rest[: self._end(rest)]

    def parse(self, tokens: Sequence[int]) -> tuple[str, bool]:
        """The answer's text, and whether it ended by itself."""
        stops = self.stop_tokens
        length = next((place for place, token in enumerate(tokens) if token in stops), len(tokens))
        return self._read(list(tokens[:length])), length < len(tokens)

    @cached_property
    def stop_tokens(self) -> tuple[int, ...]:
        """Ids that end an answer: the chat template's, and those that config and tokenizer name."""
        named = self.config.get_text_config().eos_token_id
        several = named if isinstance(named, list) else [named]
        stops = {self._end_of_turn, self.tokenizer.eos_token_id, *several} - {None}
        return tuple(sorted(stops))

    @property
    def max_tokens(self) -> int:
        """Most tokens that the model's positions allow."""
        positions = getattr(self.config.get_text_config(), "max_position_embeddings", None)
        return int(positions or self.tokenizer.model_max_length)

    def parts(self, model: nn.Module) -> dict[str, dict[str, nn.Module]]:
        """One part: the whole decoder, with its embeddings and its output head."""
        return {"language": own_modules(model)}

    def layer_spec(self, layer: nn.Module) -> LayerSpec | None:
        """How a layer of one of `layer_classes` is built."""
        name = _class_name(layer, self.layer_classes)
        return None if name is None else self.layer_classes[name](layer)

    def norm_spec(self, norm: nn.Module) -> NormSpec | None:
        """What a norm of one of `norm_classes` computes."""
        name = _class_name(norm, self.norm_classes)
        return None if name is None else norm_of(norm, self.norm_classes[name])

    def logits(self, model: nn.Module, batch: Batch) -> Float[Tensor, "prediction vocabulary"]:
        """Logits at `batch.predicting` of one packed line of tokens."""
        out = model(**_line(batch), logits_to_keep=batch.predicting)
        return out.logits[0]  # type: ignore[no-any-return]

    def hidden(self, model: nn.Module, batch: Batch) -> Float[Tensor, "token width"]:
        """Final hidden states of one packed line of tokens."""
        # The decoder by itself; a whole model may scale or cap its logits, so those are had from all of it.
        decoder: Any = transformers_model(model).base_model
        return decoder(**_line(batch)).last_hidden_state[0]  # type: ignore[no-any-return]

    def save(self, folder: Path) -> None:
        """Write the tokenizer, and the tokens that end an answer into the configs."""
        own = self.tokenizer.eos_token
        self.tokenizer.eos_token = self.tokenizer.convert_ids_to_tokens(self._end_of_turn)
        try:
            self.tokenizer.save_pretrained(folder)
        finally:
            self.tokenizer.eos_token = own
        write_stops(folder, self._end_of_turn, self.stop_tokens)

    def _template_settings(self) -> Mapping[str, Any]:
        """What the chat template is told beside the messages."""
        return {}

    def _can_think(self) -> bool:
        """Whether `thinking` makes a difference to this model."""
        return False

    def _read(self, tokens: list[int]) -> str:
        """The text of an answer's tokens."""
        return str(
            self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def check(self, conversation: Conversation) -> None:
        """Raise DataError for control tokens in a text and for content that the template leaves out."""
        turns = (*conversation.turns, *([conversation.reply] if conversation.reply else []))
        texts = [text for turn in turns for text in (turn.text, turn.reasoning, *turn.tool_calls)]
        control = {token for text in texts for token in self._find_control.findall(text)}
        # Reading an answer drops all special tokens, so none may be part of one.
        control.update(self._find_special.findall(conversation.answer))
        if control:
            raise DataError(
                f"{conversation.record}: the text holds {', '.join(sorted(control))}, which the model reads as "
                "a control token and not as text. Remove it from the record, or write it differently"
            )
        lacking = [
            what
            for what, is_there in (
                ("tools", bool(conversation.tools)),
                ("tool_calls", any(turn.tool_calls for turn in turns)),
                ("messages of the role tool", any(turn.role == "tool" for turn in turns)),
                ("reasoning_content", any(turn.reasoning for turn in turns)),
            )
            if is_there and what not in self._written
        ]
        if lacking:
            raise DataError(
                f"{conversation.record}: has {', '.join(lacking)}, which the model's chat template does not write, so "
                "the model would not see it. Use a model whose template does (Qwen2.5 and Qwen3 write tools, Qwen3 "
                f"writes reasoning), or add it to data.ignore ({', '.join(lacking)})"
            )

    @cached_property
    def _written(self) -> frozenset[str]:
        """What the chat template writes besides roles and contents."""
        call = json.dumps({"name": "PROBE", "arguments": {"x": 1}})
        tool = json.dumps(
            {"type": "function", "function": {"name": "PROBE", "description": "x", "parameters": {}}}
        )
        user, calling = Turn.of("user", "x"), Turn("assistant", (Text("x"),), tool_calls=(call,))
        thinking = Turn("assistant", (Text("x"),), reasoning="PROBE")
        probes: dict[str, tuple[tuple[Turn, ...], tuple[str, ...]]] = {
            "tools": ((user,), (tool,)),
            "tool_calls": ((user, calling), ()),
            "messages of the role tool": (
                (user, replace(calling, tool_calls=()), Turn.of("tool", "PROBE")),
                (),
            ),
            "reasoning_content": ((user, thinking), ()),
        }
        written = set()
        for what, (turns, tools) in probes.items():
            messages = self._messages(Conversation("probe", turns, ""))
            try:
                if "PROBE" in self._apply("probe", messages, tools=tools):
                    written.add(what)
            except DataError:
                continue
        return frozenset(written)

    @cached_property
    def control_tokens(self) -> tuple[str, ...]:
        """Special tokens that the template writes or that end an answer. Others in a question do no harm."""
        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}]
        written = self._apply("chat template", turns)
        stops = self.tokenizer.convert_ids_to_tokens(list(self.stop_tokens))
        return tuple(token for token in self._special_tokens if token in written or token in stops)

    @cached_property
    def _find_control(self) -> re.Pattern[str]:
        return _any_of(self.control_tokens)

    @cached_property
    def _find_special(self) -> re.Pattern[str]:
        return _any_of(self._special_tokens)

    @property
    def _untrainable(self) -> tuple[int, ...]:
        """Ids that never carry loss."""
        return ()

    def _example(
        self, conversation: Conversation, tokens: Tokens, trained: Bool[np.ndarray, " token"]
    ) -> Example:
        """The example of these tokens, as the chat template has them."""
        return Example(conversation.record, tokens, trained, conversation.classes)

    def _compose(self, conversation: Conversation, trained: Trained) -> Written:
        """What the chat template makes of a conversation and its answer; DataError if it cannot be shown to the
        model."""
        self.check(conversation)
        before, after = self._texts(conversation)
        if trained == "answer":
            return Written(conversation, before, after)
        earlier = self._earlier_answers(conversation, before, trained == "assistant")
        return Written(
            conversation, before, after, *((earlier,) if trained == "assistant" else ((), earlier))
        )

    def _compose_prompt(self, conversation: Conversation) -> Written:
        """What the chat template makes of a conversation up to the answer; DataError likewise."""
        self.check(conversation)
        messages = self._messages(conversation)
        before = self._apply(conversation.record, messages, prompting=True, tools=conversation.tools)
        return Written(conversation, before)

    def _examples(self, batch: Sequence[Written], trained: Trained = "answer") -> list[Example]:
        """The examples of what was written."""
        apart = self._tokens_stay_apart
        texts = [written.before for written in batch]
        texts += [
            written.after if apart else written.before + written.after for written in batch if written.after
        ]
        encoded = self._encode_all(texts, any(written.earlier or written.untrained for written in batch))

        def encode(text: str) -> Tokens:
            return encoded[text].tokens if text in encoded else self._encode(text)

        examples = []
        for written in batch:
            prompt = encoded[written.before]
            rest = (
                self._encode_after(written.before, written.after, encode)
                if written.after
                else prompt.tokens[:0]
            )
            tokens = np.concatenate([prompt.tokens, rest])
            carries = self._carries(written, prompt, tokens, trained)
            examples.append(self._example(written.conversation, tokens, carries))
        return examples

    def _carries(
        self, written: Written, prompt: Encoded, tokens: Int32[np.ndarray, "all"], trained: Trained
    ) -> Bool[np.ndarray, "all"]:
        """Which of the tokens carry loss; none of a prompt alone."""
        carries = np.zeros(len(tokens), dtype=bool)
        begin = len(prompt.tokens)
        if begin == len(tokens):
            return carries
        if trained == "all":
            carries[1:] = True
            carries[np.isin(tokens, self._untrainable)] = False
        else:
            carries[begin : begin + self._end(tokens[begin:])] = True
        for opening in written.earlier or written.untrained:
            assert prompt.ends is not None, "asked for where earlier answers matter"
            start = int(np.searchsorted(prompt.ends, opening, side="right"))
            carries[start : start + self._end(tokens[start:])] = bool(written.earlier)
        return carries

    def _messages(self, conversation: Conversation) -> Messages:
        """The turns before the answer, as chat templates want them; DataError for what the model cannot be
        shown."""
        return [self._message(conversation.record, turn) for turn in conversation.turns]

    def _message(self, record: str, turn: Turn) -> dict[str, Any]:
        """One turn as chat templates want it."""
        message = {"role": turn.role, "content": self._content(record, turn)}
        if turn.reasoning:
            message["reasoning_content"] = turn.reasoning
        if turn.tool_calls:
            message["tool_calls"] = [
                {"type": "function", "function": json.loads(call)} for call in turn.tool_calls
            ]
        return message

    def _content(self, record: str, turn: Turn) -> Any:
        if any(not isinstance(piece, Text) for piece in turn.pieces):
            raise DataError(
                f"{record}: has a picture, but {self.config.model_type} models see none. Use a Qwen-VL model, or "
                "leave the picture out of the task"
            )
        return turn.text

    def _answer(self, conversation: Conversation) -> str:
        """The reference answer in the model's words."""
        return conversation.answer

    def _texts(self, conversation: Conversation) -> tuple[str, str]:
        """The text that the chat template writes before the answer, and from the answer on."""
        messages, tools = self._messages(conversation), conversation.tools
        before = self._apply(conversation.record, messages, prompting=True, tools=tools)
        answer = {"role": "assistant", "content": self._answer(conversation)}
        if conversation.reply is not None:
            answer = self._message(conversation.record, conversation.reply)
        text = self._apply(conversation.record, [*messages, answer], tools=tools)
        if not text.startswith(before):
            raise DataError(
                f"{conversation.record}: the chat template does not write this answer where it prompts for "
                f"one (it prompts with ...{before[-60:]!r}). Check the answer for thinking, or the template"
            )
        return before, text[len(before) :]

    def _apply(
        self, record: str, messages: Messages, prompting: bool = False, tools: Sequence[str] = ()
    ) -> str:
        settings, parsed = self._template_settings(), [json.loads(tool) for tool in tools]
        try:
            return self.tokenizer.apply_chat_template(  # type: ignore[return-value]
                messages,
                tools=parsed or None,
                tokenize=False,
                add_generation_prompt=prompting,
                **settings,
            )
        # A template is a program that came with the model: it can fail in any way, and nothing else runs here.
        except Exception as error:
            roles = ", ".join(message["role"] for message in messages)
            raise DataError(
                f"{record}: the model's chat template refuses turns of {roles} ({first_line(error)}). "
                "Change the turns, or leave out task.system"
            ) from error

    def _encode(self, text: str) -> Tokens:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False, verbose=False), dtype=np.int32)

    def _encode_all(self, texts: Iterable[str], with_ends: bool) -> dict[str, Encoded]:
        """The tokens of each text. Each is encoded once, and all of them together, which takes every core."""
        each = list(dict.fromkeys(texts))
        encoded = self.tokenizer(
            each,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=with_ends,
            verbose=False,
        )
        several = [np.array(ids, dtype=np.int32) for ids in encoded["input_ids"]]
        if not with_ends:
            return {text: Encoded(tokens) for text, tokens in zip(each, several, strict=True)}
        ends = [np.array([end for _, end in places], int) for places in encoded["offset_mapping"]]
        return {text: Encoded(*both) for text, *both in zip(each, several, ends, strict=True)}

    def _encode_after(self, before: str, after: str, encode: Callable[[str], Tokens]) -> Tokens:
        """Tokens of `after` where it follows `before`, cut so that those of `before` stay what they are
        alone."""
        if self._tokens_stay_apart:
            return encode(after)
        prompt, both = encode(before), encode(before + after)
        is_prefix = np.array_equal(both[: len(prompt)], prompt)
        return both[len(prompt) :] if is_prefix else encode(after)

    @cached_property
    def _tokens_stay_apart(self) -> bool:
        """False for tokenizers that put something before a text of its own, such as SentencePiece's space."""
        before = self._apply("probe", [{"role": "user", "content": "x"}], prompting=True)
        return all(
            np.array_equal(
                self._encode(before + probe), np.concatenate([self._encode(before), self._encode(probe)])
            )
            for probe in PROBES
        )

    def _end(self, rest: Tokens) -> int:
        """Number of an answer's tokens, the end of the turn included."""
        places = np.flatnonzero(rest == self._end_of_turn)
        if not len(places):
            raise ModelError(
                "model.path: the model's chat template ends one answer in another way than the next. Put another "
                "chat_template.jinja into its folder"
            )
        return int(places[0]) + 1

    def _earlier_answers(self, conversation: Conversation, text: str, trained: bool) -> tuple[int, ...]:
        """Offsets in the prompt of the assistant's earlier answers that are trained, or of those that are not."""
        messages, places = self._messages(conversation), []
        for index, turn in enumerate(conversation.turns):
            if turn.role != "assistant" or turn.trained is not trained:
                continue
            asking = self._apply(conversation.record, messages[:index], True, conversation.tools)
            header = self._header
            if not asking.endswith(header):
                before = self._apply(conversation.record, messages[:index], tools=conversation.tools)
                header = asking.removeprefix(before)
            opening = asking.removesuffix(header) + self._earlier_header(header)
            if not text.startswith(opening):
                raise DataError(
                    f"{conversation.record}: turn {index + 1} (assistant) cannot be told apart in what the "
                    "chat template writes. Alternate user and assistant turns, or use trained: answer"
                )
            places.append(len(opening))
        return tuple(places)

    @cached_property
    def _header(self) -> str:
        """What the template writes to prompt for an answer, nearly always."""
        asked = [{"role": "user", "content": "x"}]
        written = self._apply("chat template", asked)
        return self._apply("chat template", asked, prompting=True).removeprefix(written)

    def _earlier_header(self, header: str) -> str:
        """What stands before an earlier answer, given what the template writes to prompt for one."""
        return header

    def _find_end_of_turn(self) -> int:
        """The token with which the chat template ends an answer."""
        try:
            _, after = self._texts(Conversation("chat template", (Turn.of("user", "x"),), "ANSWER"))
        except DataError as error:
            raise ModelError(
                f"model.path: the model's chat template cannot write a question and its answer ({error}). Put another "
                "chat_template.jinja into its folder"
            ) from error
        marks = {self.tokenizer.convert_tokens_to_ids(token) for token in self._special_tokens}
        ending = [int(token) for token in self._encode(after.rpartition("ANSWER")[2]) if token in marks]
        if not ending:
            raise ModelError(
                "model.path: the model's chat template ends an answer with no control token, so the model "
                "could never learn to stop. Put another chat_template.jinja into its folder"
            )
        return ending[0]

    def _refuse_layers_without_attention(self) -> None:
        """Raise ModelError for layers that carry a state from token to token, past the end of an example."""
        text = self.config.get_text_config()
        settings = vars(text)
        # A property in some configs, so not among their settings.
        kinds = set(getattr(text, "layer_types", None) or ())
        if not settings.get(text.attribute_map.get("num_attention_heads", "num_attention_heads")):
            kinds = {self.config.model_type}
        if kinds - ATTENDING:
            raise ModelError(
                f"model.path: models of type {self.config.model_type} have layers of "
                f"{', '.join(sorted(kinds - ATTENDING))}, whose state would leak from one packed example into the "
                "next; they cannot be trained exactly yet. Use a model with attention in every layer, such as "
                f"{FOR_TEXT}"
            )

    def _refuse_positions_of_the_line(self) -> None:
        """Raise ModelError if one long example changes the rotary positions of all others in its line."""
        parameters = vars(self.config.get_text_config()).get("rope_parameters") or {}
        several = [parameters, *(each for each in parameters.values() if isinstance(each, dict))]
        if any(each.get("rope_type") == "longrope" for each in several):
            raise ModelError(
                f"model.path: {self.config.model_type} has rotary positions of the type longrope, in which one long "
                "example would change all others that are packed with it. Use another model, such as "
                f"{FOR_TEXT}, or the version of this model for short texts, which has no longrope"
            )

    def _refuse_ids_without_weights(self) -> None:
        """Raise ModelError if the tokenizer gives ids that the model has no embedding for."""
        rows = self.config.get_text_config().vocab_size
        highest = max(self.tokenizer.vocab_size - 1, self._end_of_turn)
        if highest >= rows:
            raise ModelError(
                f"model.path: the tokenizer has ids up to {highest:,}, but config.json says vocab_size {rows:,}. "
                "Tokenizer and weights do not belong together; put the files of one model into the folder"
            )

    def _use_chatml(self) -> None:
        """Give the tokenizer ChatML, if its vocabulary has it, so that what is saved has it too."""
        vocabulary = self.tokenizer.get_vocab()
        if not {"<|im_start|>", "<|im_end|>"} <= vocabulary.keys():
            raise ModelError(
                "model.path: the model has no chat template, so it is a base model. Use its Instruct "
                "version, or put a chat_template.jinja into its folder"
            )
        self.tokenizer.chat_template = CHATML


def _class_name(module: nn.Module, known: Iterable[str]) -> str | None:
    """The first known name among the module's class and its base classes."""
    return next((each.__name__ for each in type(module).__mro__ if each.__name__ in known), None)


def _any_of(marks: Sequence[str]) -> re.Pattern[str]:
    """Finds each of these texts; nothing if there are none."""
    longest_first = sorted(marks, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _line(batch: Batch) -> dict[str, Any]:
    """A packed line of tokens as transformers' decoders take it."""
    return {
        "input_ids": batch.tokens[None],
        "position_ids": batch.positions,
        "attention_mask": None,
        "use_cache": False,
        "segments": batch.segments,
    }
