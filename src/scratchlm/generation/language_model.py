"""A model at work: `load(folder)` gives an object that continues texts and answers messages."""

from __future__ import annotations

import codecs
import dataclasses
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from scratchlm.base.config import from_dict
from scratchlm.base.device import choose_device
from scratchlm.base.errors import UserError, nearest
from scratchlm.base.files import read_json
from scratchlm.base.reading import require_table
from scratchlm.generation.batch import greedy_batch
from scratchlm.generation.config import (
    ChatConfig,
    GenerateConfig,
    ResolvedChatConfig,
    ResolvedGenerateConfig,
    SamplingConfig,
)
from scratchlm.generation.engine import Engine, stream_ids, worth_compiling
from scratchlm.generation.generate import generate_ids
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import adapted, answers_alike, use_adapter, with_own_modules
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.chat import ChatTemplate, Conversation
from scratchlm.weights.checkpoint import GENERATION_FILE, SavedModel, find_model, join_adapter, load_model

SETTINGS = [field.name for field in dataclasses.fields(SamplingConfig)]


class LanguageModel:
    """A decoder with its tokenizer and chat template, ready to write.

    Texts may be written side by side, by turns or in threads: one engine continues them together, each as if it were
    alone. It keeps what it computed while there is memory, so that what the next prompt shares with an earlier text is
    not computed again. A text is written to its end by the adapter and the template in use when its method was called;
    `use` is for all threads and for what is begun afterwards. Weights must not be trained while a text is written.
    """

    def __init__(self, saved: SavedModel, templates: Mapping[str, ChatTemplate | None] | None = None) -> None:
        """Take a model, and the chat templates that its adapters were fine-tuned with."""
        self.saved = saved
        self._own, self._templates = saved.template, dict(templates or {})
        self._lock = threading.Lock()
        self._engines: dict[int, Engine] = {}
        self._view = saved.decoder

    def __repr__(self) -> str:
        shape = self.decoder.config
        return (
            f"<LanguageModel: {self.decoder.parameter_count():,} parameters, {shape.layers} layers of {shape.width}, "
            f"{self.tokenizer.vocabulary_size:,} ids, a context of {shape.context:,}>"
        )

    @property
    def decoder(self) -> Decoder:
        """The network."""
        return self.saved.decoder

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer it was trained with."""
        return self.saved.tokenizer

    def settings(self, **changes: Any) -> SamplingConfig:
        """Return the model's own sampling settings with changes, for example `temperature=0`."""
        for name in changes:
            if name not in SETTINGS:
                raise UserError(f"unknown sampling setting {name!r}: {nearest(name, SETTINGS)}")
        return dataclasses.replace(sampling_from(self.saved.generation), **changes)

    def use(self, adapter: str | None) -> LanguageModel:
        """Choose the adapter that answers from now on, None for the model below, and return the model.

        Many adapters stand on one model and cost little: `model.use("poet").generate(...)`. Raises `UserError` for an
        unknown name.
        """
        with self._lock:
            use_adapter(self.decoder, adapter)
            self.saved.template = self._templates.get(adapter or "") or self._own
        return self

    def generate(self, prompt: str, *, cached: bool = True, **changes: Any) -> str:
        """Return the text that follows `prompt`; `cached=False` takes the plain path, which gives the same."""
        return "".join(self.stream(prompt, cached=cached, **changes))

    def stream(self, prompt: str, *, cached: bool = True, **changes: Any) -> Iterator[str]:
        """Yield the text that follows `prompt` piece by piece."""
        config, (decoder, template) = self.settings(**changes), self._answering()
        ends = frozenset() if template is None else template.stop_ids  # of a turn
        if self.tokenizer.end_of_text is not None:
            ends |= {self.tokenizer.end_of_text}
        way = self._cached if cached else generate_ids
        return assemble(way(decoder, self._prompt_ids(prompt), config, ends), self.tokenizer, config.stop)

    def reply(self, conversation: Conversation, **changes: Any) -> Iterator[str]:
        """Yield the assistant's next message piece by piece.

        Raises `UserError` when the model has learned no conversations, or the conversation exceeds the context.
        """
        decoder, template = self._conversing()
        config = self.settings(**changes)
        prompt = template.render(conversation, reply=True).ids
        if not prompt:
            raise UserError("chat template: lays out nothing; use the template that came with the model")
        self._check_length(len(prompt), "conversation")
        return assemble(self._cached(decoder, prompt, config, template.stop_ids), self.tokenizer, config.stop)

    def replies(self, conversations: Sequence[Conversation], max_tokens: int) -> list[str]:
        """Return the assistant's next message to each of many conversations, the likeliest token each time.

        Raises `UserError` as `reply` does.
        """
        decoder, template = self._conversing()
        prompts = [template.render(each, reply=True).ids for each in conversations]
        found = greedy_batch(decoder, prompts, max_tokens, template.stop_ids)
        return [self.tokenizer.decode(ids).strip() for ids in found]

    def _answering(self) -> tuple[Decoder, ChatTemplate | None]:
        """Return the decoder and the template that answer now, which a later `use` does not change."""
        with self._lock:
            if not adapted(self.decoder):
                return self.decoder, self.saved.template
            if not answers_alike(self._view, self.decoder) or self._view is self.decoder:
                self._view = with_own_modules(self.decoder)
            return self._view, self.saved.template

    def _conversing(self) -> tuple[Decoder, ChatTemplate]:
        decoder, template = self._answering()
        if template is None:
            raise UserError("this model has learned no conversations; fine-tune it first, or use scratchlm generate")
        return decoder, template

    def _cached(
        self, decoder: Decoder, prompt: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int]
    ) -> Iterator[int]:
        """Yield new ids through the engine of a decoder."""
        with self._lock:
            engine = self._engines.get(id(decoder))
            if engine is None:
                self._engines = {key: each for key, each in self._engines.items() if each.busy}
                engine = self._engines[id(decoder)] = Engine(decoder, compiled=worth_compiling(decoder))
        return stream_ids(engine, prompt, config, stop_ids)

    def _prompt_ids(self, prompt: str) -> list[int]:
        """Encode a prompt after what begins a text; an empty one becomes the end of the document before."""
        begin = self.tokenizer.begin_of_text
        ids = [*([] if begin is None else [begin]), *self.tokenizer.encode(prompt)]
        if not ids:
            if self.tokenizer.end_of_text is None:
                raise UserError("prompt: is empty, and this tokenizer has no end-of-text token; give some text")
            ids = [self.tokenizer.end_of_text]
        self._check_length(len(ids), "prompt")
        return ids

    def _check_length(self, length: int, what: str) -> None:
        context = self.decoder.config.context
        if length > context:
            raise UserError(f"{what}: {length} tokens exceed the model's context of {context}; shorten it")


def assemble(ids: Iterable[int], tokenizer: Tokenizer, stop: Sequence[str] = ()) -> Iterator[str]:
    """Turn ids into pieces of text: whole characters only, and nothing from where a stop text begins.

    Bytes that form no character become U+FFFD; a last character that was cut off, as by `max_tokens`, is left out.
    Text that might be the beginning of a stop text is held back until it is known.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    held = ""
    for token in ids:
        held += decoder.decode(tokenizer.token_bytes(token))
        end = min((held.index(text) for text in stop if text in held), default=None)
        if end is not None:
            if end:
                yield held[:end]
            return
        safe = len(held) - _possible_stop(held, stop)
        if safe:
            yield held[:safe]
            held = held[safe:]
    if held:
        yield held


def _possible_stop(text: str, stop: Sequence[str]) -> int:
    """Return the length of the longest end of `text` that begins a stop text."""
    sizes = (size for each in stop for size in range(1, len(each)) if text.endswith(each[:size]))
    return max(sizes, default=0)


def sampling_from(stored: Mapping[str, Any]) -> SamplingConfig:
    """Return the settings of a model's generation.json; what is not ours in it is passed over."""
    return from_dict(SamplingConfig, {name: stored[name] for name in stored if name in SETTINGS}, "generation.json")


@overload
def resolve_sampling(config: GenerateConfig) -> ResolvedGenerateConfig: ...


@overload
def resolve_sampling(config: ChatConfig) -> ResolvedChatConfig: ...


def resolve_sampling(config: GenerateConfig | ChatConfig) -> ResolvedGenerateConfig | ResolvedChatConfig:
    """Fill what a config leaves open with the sampling settings that its model was saved with."""
    if isinstance(config, ResolvedGenerateConfig | ResolvedChatConfig):
        return config
    path = find_model(config.model) / GENERATION_FILE
    stored = config.sampling or sampling_from(require_table(read_json(path), str(path)))
    values = {**vars(config), "sampling": stored}
    return ResolvedGenerateConfig(**values) if isinstance(config, GenerateConfig) else ResolvedChatConfig(**values)


def load(place: str | Path, device: str = "auto", adapters: Mapping[str, str | Path] | None = None) -> LanguageModel:
    """Load a model folder, or the newest model of a run's folder, and by name the adapters of runs begun from it.

    Raises `UserError` when there is none or a file of it is truncated or altered, and for adapters of other models.
    """
    folder = find_model(Path(place))
    saved = load_model(folder)
    runs = {name: find_model(Path(run)) for name, run in (adapters or {}).items()}
    templates = {name: join_adapter(saved, folder, name, run) for name, run in runs.items()}
    saved.decoder.to(choose_device(device))
    return LanguageModel(saved, templates)
