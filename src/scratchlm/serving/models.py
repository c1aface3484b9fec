"""The models that a server offers, each under a name: a decoder, its tokenizer and template, and its engine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.base.terminal import say
from scratchlm.generation.classifier import Classifier, LinearClassifier, classifier_of
from scratchlm.generation.compiling import worth_compiling
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine
from scratchlm.generation.grammar import Grammars
from scratchlm.generation.language_model import LanguageModel, load
from scratchlm.generation.requests import Request
from scratchlm.model.blocks import BLOCK
from scratchlm.model.decoder import Decoder
from scratchlm.serving.config import ServeConfig, split_name
from scratchlm.serving.errors import ApiError
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.chat import ChatTemplate


@dataclass(frozen=True, eq=False)
class Served:
    """A model, or a model with an adapter, as clients see it."""

    name: str
    engine: Engine
    tokenizer: Tokenizer
    template: ChatTemplate | None
    sampling: SamplingConfig
    """The settings it was saved with."""
    text_ends: frozenset[int]
    """Ids that end a text that is continued."""
    grammars: Grammars
    opening: list[int]
    """What begins every text."""
    longest: int
    """Bytes of the longest token."""
    classifier: Classifier | LinearClassifier | None = None
    """What answers with labels, of a model that has learned classes."""
    created: int = field(default_factory=lambda: int(time.time()))
    """When it was loaded, in seconds since 1970."""

    @property
    def context(self) -> int:
        """Most tokens of a text."""
        return self.engine.context

    @property
    def vocabulary(self) -> int:
        """Number of its logits."""
        return self.engine.decoder.config.vocabulary_size

    def wake(self) -> None:
        """Write two tokens and forget them: what a first answer loads or compiles is there before it is asked for."""
        self.engine.finish([Request(self.opening or [0], SamplingConfig(max_tokens=2))])
        self.engine.tokens_read = self.engine.tokens_written = 0

    def ids(self, text: str | list[int]) -> list[int]:
        """Return the ids of a text, after what begins a text; ids are taken as they are."""
        if not isinstance(text, str):
            return list(text)
        if len(text) > self.context * self.longest:  # refused before the text is encoded, which takes long
            raise ApiError(
                400, f"a text of {len(text):,} characters has more tokens than the model's context of {self.context:,}",
                "context_length_exceeded",
            )  # fmt: skip
        return [*self.opening, *self.tokenizer.encode(text)]

    def require_template(self) -> ChatTemplate:
        """Return its template. Raises `ApiError` where it has learned no conversations."""
        if self.template is None:
            raise ApiError(400, f"model {self.name!r}: has learned no conversations; use /v1/completions")
        return self.template

    def require_room(self, ids: list[int], what: str) -> list[int]:
        """Return a prompt that leaves room for an answer. Raises `ApiError` for others."""
        if not ids:
            raise ApiError(400, f"{what}: is empty; give some text", param=what)
        if len(ids) >= self.context:
            raise ApiError(
                400, f"{what}: {len(ids):,} tokens; must be under the model's context of {self.context:,}; shorten it",
                "context_length_exceeded", what,
            )  # fmt: skip
        stray = [id for id in ids if id >= self.vocabulary]
        if stray:
            raise ApiError(400, f"{what}: id {stray[0]}; this model's ids are 0 to {self.vocabulary - 1}", param=what)
        return ids


def load_served(config: ServeConfig) -> dict[str, Served]:
    """Load the models of a server. Raises `UserError` for one that cannot be loaded, and for adapters of others."""
    served: dict[str, Served] = {}
    for number, text in enumerate(config.models):
        name, place = split_name(text)
        adapters: Mapping[str, Path] = dict(map(split_name, config.adapters)) if number == 0 else {}
        model = load(place, config.device, adapters)
        for each in (None, *adapters):
            served[each or name] = _served(each or name, model.use(each), config)
        classifier, said = classifier_of(model.saved, config.use)
        served[name] = replace(served[name], classifier=classifier)
        if said:
            say(f"{name}: {said}")
    return served


def _served(name: str, model: LanguageModel, config: ServeConfig) -> Served:
    """Return what answers now by a name."""
    decoder, template = model.answering()
    ends = model.end_ids(template)
    begin = model.tokenizer.begin_of_text
    return Served(
        name=name,
        engine=Engine(decoder, config.rows, _blocks(decoder, config), compiled=worth_compiling(decoder)),
        tokenizer=model.tokenizer,
        template=template,
        sampling=model.settings(),
        text_ends=ends,
        grammars=Grammars(model.tokenizer, decoder.config.vocabulary_size, ends.union(model.settings().stop_ids)),
        opening=[] if begin is None else [begin],
        longest=max(len(each or b"") for each in model.tokenizer.table),
    )


def _blocks(decoder: Decoder, config: ServeConfig) -> int:
    """Return how many blocks of the cache are held: as many as all rows could use, within the memory allowed."""
    size = sum(attention.cache_numbers for attention in decoder.attentions) * BLOCK * decoder.dtype.itemsize
    blocks = -(-decoder.config.context // BLOCK)
    return max(blocks, min(config.rows * blocks, (config.cache_mib << 20) // size))


def find(models: Mapping[str, Served], name: str) -> Served:
    """Return a model by its name. Raises `ApiError` where it is not served."""
    if name not in models:
        known = ", ".join(models)
        raise ApiError(404, f"model {name[:100]!r}: is not served; known: {known}", "model_not_found", "model")
    return models[name]


def require_models(models: Mapping[str, Served]) -> None:
    """Refuse to serve nothing."""
    if not models:
        raise UserError("serve: no model is named; give at least one model folder")
