"""A model at work: `load(folder)` gives an object that continues texts and answers messages."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Unpack, overload

import torch

from scratchlm.base.config import from_dict
from scratchlm.base.device import choose_device
from scratchlm.base.errors import UserError, nearest, shortened
from scratchlm.base.files import read_json
from scratchlm.base.reading import require_table
from scratchlm.base.result import html_table
from scratchlm.config.calls import accepted
from scratchlm.config.field_docs import names_settings_of
from scratchlm.generation.assembling import assemble
from scratchlm.generation.batch import engine_of
from scratchlm.generation.beam import beam_search
from scratchlm.generation.compiling import worth_compiling
from scratchlm.generation.config import (
    ChatConfig,
    GenerateConfig,
    SamplingConfig,
    SamplingSettings,
)
from scratchlm.generation.engine import Engine
from scratchlm.generation.generate import generate_ids
from scratchlm.generation.generated import GeneratedText, generated, generated_together
from scratchlm.generation.grammar import Grammars
from scratchlm.generation.requests import NO_EXTRAS, Extras, Request, wanting
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import adapted, answers_alike, use_adapter, with_own_modules
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.chat import ChatTemplate, Conversation, as_conversation
from scratchlm.weights.checkpoint import GENERATION_FILE, SavedModel, find_model, join_adapter, load_model

SETTINGS = [field.name for field in dataclasses.fields(SamplingConfig)]


class Alternative(NamedTuple):
    """A token of an answer, and what else might have stood there."""

    text: str
    probability: float
    likeliest: list[tuple[str, float]]
    """The likeliest tokens there and their probabilities, falling."""


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

    def _repr_html_(self) -> str:
        shape = self.decoder.config
        rows = {
            "shape": f"{shape.layers} layers of {shape.width}, {shape.attention.heads} heads",
            "parameters": f"{self.decoder.parameter_count():,}",
            "vocabulary": f"{self.tokenizer.vocabulary_size:,} ids",
            "context": f"{shape.context:,} tokens",
            "origin": ", ".join(f"{name}: {_named(value)}" for name, value in self.saved.provenance.items() if value),
        }
        return html_table(rows)

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

    @names_settings_of(SamplingConfig, SamplingSettings)
    def settings(self, **settings: Unpack[SamplingSettings]) -> SamplingConfig:
        """Return the model's own sampling settings with changes, for example `temperature=0`.

        Raises `UserError` for a setting that is unknown or has a wrong value.
        """
        for name in settings:
            if name not in SETTINGS:
                raise UserError(f"unknown sampling setting {name!r}: {nearest(name, SETTINGS)}")
        return from_dict(SamplingConfig, accepted(SamplingConfig, settings), "", sampling_from(self.saved.generation))

    def use(self, adapter: str | None) -> LanguageModel:
        """Choose the adapter that answers from now on, None for the model below, and return the model.

        Many adapters stand on one model and cost little: `model.use("poet").generate(...)`. Raises `UserError` for an
        unknown name.
        """
        with self._lock:
            use_adapter(self.decoder, adapter)
            self.saved.template = self._templates.get(adapter or "") or self._own
        return self

    @overload
    def generate(
        self, prompt: str, *, logprobs: bool = False, top_logprobs: int = 5, cached: bool = True,
        extras: Extras | None = None, **settings: Unpack[SamplingSettings],
    ) -> GeneratedText: ...  # fmt: skip

    @overload
    def generate(
        self, prompt: list[str] | tuple[str, ...], *, logprobs: bool = False, top_logprobs: int = 5,
        cached: bool = True, extras: Extras | None = None, **settings: Unpack[SamplingSettings],
    ) -> list[GeneratedText]: ...  # fmt: skip

    @names_settings_of(SamplingConfig, SamplingSettings)
    def generate(
        self, prompt: str | list[str] | tuple[str, ...], *, logprobs: bool = False, top_logprobs: int = 5,
        cached: bool = True, extras: Extras | None = None, **settings: Unpack[SamplingSettings],
    ) -> GeneratedText | list[GeneratedText]:  # fmt: skip
        """Return the text that follows a prompt; for a list of prompts, the list of texts, computed together.

        A text is a `str`. With `logprobs` it holds the log-probability of each of its tokens and of the `top_logprobs`
        likeliest. The text of prompt i of a list is the one that the prompt alone has with the seed `seed + i`.
        `cached=False` takes the plain path, which gives the same text. `extras` may hold a grammar of `grammars()` or a
        drafter of `speculative.py`. A setting that is left out is as the model was saved, else as shown here. Raises
        `UserError` for a wrong setting and for a prompt that exceeds the context.
        """
        texts, config = _texts(prompt), self.settings(**settings)
        if not cached and (logprobs or extras):
            raise UserError("cached=False: the plain path has no logprobs and no extras; leave out one of the two")
        decoder, template = self.answering()
        ends, wanted = self.end_ids(template), wanting(extras, logprobs, top_logprobs)
        requests = [
            Request(self.prompt_ids(text), dataclasses.replace(config, seed=config.seed + place), ends, extras=wanted)
            for place, text in enumerate(texts)
        ]
        if not cached:
            generations = [generated(each, _plain_ids(decoder, each), self.tokenizer) for each in requests]
            return generations[0] if isinstance(prompt, str) else generations
        return self._generated(decoder, requests[0]) if isinstance(prompt, str) else self._together(decoder, requests)

    @names_settings_of(SamplingConfig, SamplingSettings)
    def stream_generate(
        self, prompt: str, *, extras: Extras | None = None, **settings: Unpack[SamplingSettings]
    ) -> Iterator[str]:
        """Yield the text that follows `prompt` piece by piece; joined, the pieces are what `generate` returns."""
        return self.write(self.request(prompt, extras=extras, **settings))

    @names_settings_of(SamplingConfig, SamplingSettings)
    def request(self, prompt: str, *, extras: Extras | None = None, **settings: Unpack[SamplingSettings]) -> Request:
        """Return a request to continue a text, for `write`; afterwards it knows how many guesses were right."""
        _, template = self.answering()
        return Request(
            self.prompt_ids(prompt), self.settings(**settings), self.end_ids(template), extras=extras or NO_EXTRAS
        )

    def write(self, request: Request) -> Iterator[str]:
        """Yield the text of a request piece by piece."""
        decoder, _ = self.answering()
        return assemble(self._written(decoder, request), self.tokenizer, request.config.stop)

    @names_settings_of(SamplingConfig, SamplingSettings)
    def beams(
        self,
        prompt: str,
        beams: int = 4,
        *,
        after: Callable[[int], None] | None = None,
        **settings: Unpack[SamplingSettings],
    ) -> list[tuple[str, float]]:
        """Return the continuations that a beam search finds, with the mean log-probability of a token, best first.

        The search takes `max_tokens` and `stop_ids` of the settings. Raises `UserError` as `beam_search` does.
        """
        config, (decoder, template) = self.settings(**settings), self.answering()
        ends = self.end_ids(template).union(config.stop_ids)
        hypotheses = beam_search(self._engine(decoder), self.prompt_ids(prompt), beams, config.max_tokens, ends, after)
        return [(self.tokenizer.decode(each.ids), each.score) for each in hypotheses]

    def grammars(self) -> Grammars:
        """Return what makes grammars for this model's tokens: `model.grammars().regex("[0-9]+")`."""
        _, template = self.answering()
        ends = self.end_ids(template).union(self.settings().stop_ids)
        return Grammars(self.tokenizer, self.decoder.config.vocabulary_size, ends)

    @names_settings_of(SamplingConfig, SamplingSettings)
    def reply(
        self, messages: str | Conversation, *, logprobs: bool = False, top_logprobs: int = 5,
        extras: Extras | None = None, **settings: Unpack[SamplingSettings],
    ) -> GeneratedText:  # fmt: skip
        """Return the assistant's next message: to what a user says, or to a list of messages with role and content.

        It is a text as `generate` returns. Raises `UserError` when the model has learned no conversations, for a wrong
        setting or message, and for a conversation that exceeds the context.
        """
        wanted = wanting(extras, logprobs, top_logprobs)
        decoder, request = self._asked(messages, self.settings(**settings), wanted)
        return self._generated(decoder, request)

    @names_settings_of(SamplingConfig, SamplingSettings)
    def stream_reply(
        self, messages: str | Conversation, *, extras: Extras | None = None, **settings: Unpack[SamplingSettings]
    ) -> Iterator[str]:
        """Yield the assistant's next message piece by piece; joined, the pieces are what `reply` returns."""
        decoder, request = self._asked(messages, self.settings(**settings), extras or NO_EXTRAS)
        return assemble(self._written(decoder, request), self.tokenizer, request.config.stop)

    @names_settings_of(SamplingConfig, SamplingSettings)
    def replies(
        self, conversations: Sequence[str | Conversation], *, logprobs: bool = False, top_logprobs: int = 5,
        extras: Extras | None = None, **settings: Unpack[SamplingSettings],
    ) -> list[GeneratedText]:  # fmt: skip
        """Return the assistant's next message to each of many conversations, computed together.

        The message of conversation i is the one that `reply` gives with the seed `seed + i`. Raises `UserError` as
        `reply` does.
        """
        config, wanted = self.settings(**settings), wanting(extras, logprobs, top_logprobs)
        configs = [dataclasses.replace(config, seed=config.seed + place) for place in range(len(conversations))]
        decoder, _ = self._conversing()
        requests = [self._asked(*pair, wanted)[1] for pair in zip(conversations, configs, strict=True)]
        return self._together(decoder, requests)

    def end_ids(self, template: ChatTemplate | None) -> frozenset[int]:
        """Return the ids that end a text: of a document, and of a turn where the model has learned conversations."""
        ends = frozenset() if template is None else template.stop_ids
        return ends if self.tokenizer.end_of_text is None else ends | {self.tokenizer.end_of_text}

    @torch.no_grad()
    def alternatives(self, conversation: Conversation, answer: str, count: int = 5) -> list[Alternative]:
        """Return of each token of an answer its probability and the likeliest tokens in its place."""
        decoder, template = self.answering()
        before = self.prompt_ids(conversation[-1]["content"]) if template is None else (
            template.render(conversation, reply=True).ids
        )  # fmt: skip
        ids = self.tokenizer.encode(answer)
        self.check_length(len(before) + len(ids), "conversation")
        decoder.eval()
        table = torch.tensor([[*before, *ids]], device=decoder.device)
        rows = decoder.logits(decoder.hidden(table)[0, len(before) - 1 : -1]).float().softmax(-1).cpu()
        choices = []
        for id, row in zip(ids, rows, strict=True):
            likeliest = row.topk(min(count, len(row)))
            pairs = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
            texts = [(self.tokenizer.decode([each]), share) for each, share in pairs]
            choices.append(Alternative(self.tokenizer.decode([id]), float(row[id]), texts))
        return choices

    def look(self, text: str, *views: str) -> Any:
        """Look inside: why the model goes on with a text as it does. Shows itself as a page in a notebook.

        The result is a `Look` (`inspection/look.py`), whose `panels` hold the numbers of each view; without names it
        has those of `scratchlm inspect`. Raises `UserError` as `look` does.
        """
        look = import_module("scratchlm.inspection.look")  # it is above this module, and is loaded when it is asked for
        return look.look(self, text, views) if views else look.look(self, text)

    def answering(self) -> tuple[Decoder, ChatTemplate | None]:
        """Return the decoder and the template that answer now, which a later `use` does not change."""
        with self._lock:
            if not adapted(self.decoder):
                return self.decoder, self.saved.template
            if not answers_alike(self._view, self.decoder) or self._view is self.decoder:
                self._view = with_own_modules(self.decoder)
            return self._view, self.saved.template

    def _conversing(self) -> tuple[Decoder, ChatTemplate]:
        decoder, template = self.answering()
        if template is None:
            raise UserError("this model has learned no conversations; fine-tune it first, or use scratchlm generate")
        return decoder, template

    def _engine(self, decoder: Decoder) -> Engine:
        """Return the engine of a decoder."""
        with self._lock:
            engine = self._engines.get(id(decoder))
            if engine is None:
                self._engines = {key: each for key, each in self._engines.items() if each.busy}
                engine = self._engines[id(decoder)] = Engine(decoder, compiled=worth_compiling(decoder))
            return engine

    def _asked(self, messages: str | Conversation, config: SamplingConfig, extras: Extras) -> tuple[Decoder, Request]:
        """Return who answers messages, and the request for the answer."""
        decoder, template = self._conversing()
        prompt = template.render(as_conversation(messages), reply=True).ids
        if not prompt:
            raise UserError("chat template: produces no text; use the template that came with the model")
        self.check_length(len(prompt), "conversation")
        return decoder, Request(prompt, config, template.stop_ids, extras=extras)

    def _generated(self, decoder: Decoder, request: Request) -> GeneratedText:
        return generated(request, self._written(decoder, request), self.tokenizer)

    def _together(self, decoder: Decoder, requests: Sequence[Request]) -> list[GeneratedText]:
        """Return the texts of many requests, by an engine with room for all of them."""
        return generated_together(engine_of(decoder, requests), requests, self.tokenizer) if requests else []

    def _written(self, decoder: Decoder, request: Request) -> Iterator[int]:
        """Yield new ids through the engine of a decoder."""
        yield from self._engine(decoder).stream(request)

    def prompt_ids(self, prompt: str) -> list[int]:
        """Encode a prompt after what begins a text; an empty one becomes the end of the document before."""
        begin = self.tokenizer.begin_of_text
        ids = [*([] if begin is None else [begin]), *self.tokenizer.encode(prompt)]
        if not ids:
            if self.tokenizer.end_of_text is None:
                raise UserError("prompt: is empty, and this tokenizer has no end-of-text token; give some text")
            ids = [self.tokenizer.end_of_text]
        self.check_length(len(ids), "prompt")
        return ids

    def check_length(self, length: int, what: str) -> None:
        """Raise `UserError` for a text that exceeds the context."""
        context = self.decoder.config.context
        if length > context:
            raise UserError(f"{what}: {length} tokens exceed the model's context of {context}; shorten it")


def _texts(prompt: Any) -> list[str]:
    texts = [prompt] if isinstance(prompt, str) else list(prompt) if isinstance(prompt, list | tuple) else None
    if texts is None or not all(isinstance(each, str) for each in texts):
        raise UserError(f"prompt: is {shortened(prompt)}; give a text or a list of texts")
    return texts


def _named(value: Any) -> str:
    """Return a value of a model's origin for a reader; of a list of sources their names."""
    return ", ".join(str(each.get("name")) for each in value) if isinstance(value, list) else str(value)


def _plain_ids(decoder: Decoder, request: Request) -> Iterator[int]:
    """Yield what the plain path writes for a request, and let the request take note of it."""
    for id in generate_ids(decoder, request.prompt, request.config, request.stop_ids):
        request.accept(id)
        yield id


def sampling_from(stored: Mapping[str, Any]) -> SamplingConfig:
    """Return the settings of a model's generation.json; what is not ours in it is passed over."""
    return from_dict(SamplingConfig, {name: stored[name] for name in stored if name in SETTINGS}, "generation.json")


def sampling_of(config: GenerateConfig | ChatConfig) -> SamplingConfig:
    """Return how a config chooses tokens; what it leaves open is as its model was saved to."""
    if config.sampling is not None:
        return config.sampling
    if isinstance(config, ChatConfig) and config.url is not None:  # the model's files are elsewhere
        return SamplingConfig()
    path = find_model(config.model) / GENERATION_FILE
    return sampling_from(require_table(read_json(path), str(path)))


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
