"""Who answers in a chat: a model of this machine, or one behind an address that speaks OpenAI's API."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from scratchlm.base.endpoint import Endpoint
from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.language_model import Alternative, LanguageModel

Turns = list[dict[str, str]]


@runtime_checkable
class Speaker(Protocol):
    """Answers the messages of a conversation."""

    note: str
    """What its users must know; empty: nothing."""

    def answer(self, turns: Turns, sampling: SamplingConfig) -> Iterator[str]:
        """Yield the next message piece by piece. Raises `UserError` where there can be none."""

    def count(self, answer: str) -> int:
        """Return how many tokens an answer has."""

    def forget(self, turns: Turns) -> bool:
        """Drop the oldest turns that no longer fit, and return whether any were."""

    def alternatives(self, turns: Turns, answer: str, count: int) -> list[Alternative]:
        """Return what else might have been written at each token of an answer. Raises `UserError` where unknown."""


class LocalSpeaker:
    """A model of this machine. One that has learned no conversations continues each message as text."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.learned = model.saved.template is not None
        self.note = "" if self.learned else "it has learned no conversations, so it continues your words as text"

    def wake(self) -> None:
        """Write two tokens and forget them: what a first answer loads or compiles is there before it is waited for."""
        with contextlib.suppress(UserError):
            list(self.answer([{"role": "user", "content": "."}], SamplingConfig(max_tokens=2)))

    def answer(self, turns: Turns, sampling: SamplingConfig) -> Iterator[str]:
        """Yield the next message piece by piece."""
        settings = dataclasses.asdict(sampling)
        if not self.learned:
            return self.model.stream_generate(turns[-1]["content"], **settings)
        return self.model.stream_reply(turns, **settings)

    def count(self, answer: str) -> int:
        """Return how many tokens an answer has."""
        return len(self.model.tokenizer.encode(answer))

    def forget(self, turns: Turns) -> bool:
        """Drop the oldest turns until the conversation leaves a quarter of the context for the answer."""
        template, context = self.model.saved.template, self.model.decoder.config.context
        first = 1 if turns and turns[0]["role"] == "system" else 0
        before = len(turns)
        if template is not None:
            while len(turns) > first + 2 and len(template.render(turns, reply=True).ids) > 3 * context // 4:
                del turns[first : first + 2]
        return len(turns) < before

    def alternatives(self, turns: Turns, answer: str, count: int) -> list[Alternative]:
        """Return what else might have been written at each token of an answer."""
        return self.model.alternatives(turns, answer, count)


def _beyond(sampling: SamplingConfig) -> dict[str, float]:
    """Return the settings that OpenAI's API does not know, where they do something: many servers take them."""
    usual, names = SamplingConfig(), ("top_k", "min_p", "repetition_penalty")
    return {name: getattr(sampling, name) for name in names if getattr(sampling, name) != getattr(usual, name)}


class RemoteSpeaker:
    """A model behind an address."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.note = ""
        self._pieces = 0

    def answer(self, turns: Turns, sampling: SamplingConfig) -> Iterator[str]:
        """Yield the next message piece by piece."""
        self._pieces = 0
        stop = list(sampling.stop) or None
        for piece in self.endpoint.stream(
            turns, temperature=sampling.temperature, max_tokens=sampling.max_tokens, top_p=sampling.top_p,
            seed=sampling.seed, stop=stop, extra_body=_beyond(sampling),
        ):  # fmt: skip
            self._pieces += 1
            yield piece

    def count(self, answer: str) -> int:
        """Return in how many pieces the answer came: servers send one a token."""
        return self._pieces

    def forget(self, turns: Turns) -> bool:
        """Drop nothing: the server knows what fits."""
        return False

    def alternatives(self, turns: Turns, answer: str, count: int) -> list[Alternative]:
        """Refuse: only a model that is here can be looked into."""
        raise UserError("/alternatives: needs a model of this machine; start the chat without --url")
