"""A text that an engine continues, what it asks for, and where it stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig


@runtime_checkable
class Grammar(Protocol):
    """What an output must match, token by token."""

    def restrict(self, logits: Float[Tensor, " V"]) -> None:
        """Set the logits of all tokens that cannot come next to minus infinity. Raises `UserError` where it fails."""

    def accept(self, token: int) -> bool:
        """Take the next token; return whether the output may go on after it. Raises `UserError` where it fails."""


@runtime_checkable
class Drafter(Protocol):
    """Guesses how a text goes on, so that the model checks several tokens in one step."""

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """Return up to `most` tokens that may follow a text."""


class Logprobs(NamedTuple):
    """What the model thought of one new token, before temperature, filters, bias and grammar."""

    logprob: float
    top: list[tuple[int, float]]
    """The likeliest tokens and their log-probabilities, falling."""


@dataclass(frozen=True)
class Extras:
    """What a request may ask for beside its sampling settings."""

    logprobs: int | None = None
    """Keep the log-probabilities of each new token and of this many likeliest ones; None keeps none."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Numbers that are added to the logits of tokens."""
    presence_penalty: float = 0.0
    """Taken from the logits of tokens that the output holds."""
    frequency_penalty: float = 0.0
    """Taken from the logit of a token once for each time that the output holds it."""
    grammar: Grammar | None = None
    """What the output must match."""
    drafter: Drafter | None = None
    """Proposes tokens for speculative decoding, which changes how fast an output comes and nothing else."""


NO_EXTRAS = Extras()


def wanting(extras: Extras | None, logprobs: bool, top_logprobs: int) -> Extras:
    """Return what a request asks for, with log-probabilities where they are wanted.

    Raises `UserError` for a negative number of likeliest tokens.
    """
    if top_logprobs < 0:
        raise UserError(f"top_logprobs is {top_logprobs}: must be 0 or more; 0 keeps those of the chosen tokens alone")
    extras = extras or NO_EXTRAS
    return replace(extras, logprobs=top_logprobs) if logprobs else extras


class Request:
    """One text being continued: its tokens, its part of the cache, and the tokens that nobody has read yet."""

    def __init__(
        self, prompt: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int] = frozenset(),
        *, keep_stop: bool = False, most: int | None = None, extras: Extras = NO_EXTRAS,
    ) -> None:  # fmt: skip
        """Take a prompt of at least one token.

        `keep_stop` makes the stop id that ends the text its last token. `most` bounds the tokens of prompt and answer
        together; without, the text may outgrow the model's context (see `window_start`).
        """
        self.prompt, self.config, self.extras = list(prompt), config, extras
        self.stop_ids, self.keep_stop = stop_ids.union(config.stop_ids), keep_stop
        self.room = config.max_tokens if most is None else min(config.max_tokens, most - len(self.prompt))
        self.ids = list(prompt)
        self.unread: deque[int] = deque()
        self.generator = torch.Generator().manual_seed(config.seed)
        self.finish_reason: str | None = "length" if self.room <= 0 else None
        """Why it ended: stop, length, cancelled or error; None while it goes on."""
        self.error: UserError | None = None
        """What its reader gets to read, where it ended by an error."""
        self.logprobs: list[Logprobs] = []
        """Of each new token, where the request asks for them."""
        self.draft: list[int] = []
        """Tokens that are checked in the coming step."""
        self.proposed = self.agreed = 0
        """Tokens that were proposed, and those of them that the model chose too."""
        self.blocks: list[int] = []
        self.start = 0
        """The first position of the text that the model sees."""
        self.cached = 0
        """Positions from `start` on that the cache holds."""

    @property
    def new(self) -> list[int]:
        """The tokens that were written."""
        return self.ids[len(self.prompt) :]

    @property
    def seen(self) -> list[int]:
        """The tokens that the model sees."""
        return self.ids[self.start :]

    @property
    def pending(self) -> int:
        """Tokens that the cache does not hold yet."""
        return len(self.ids) - self.start - self.cached

    @property
    def left(self) -> int:
        """Tokens that it may still write."""
        return self.room - (len(self.ids) - len(self.prompt))

    def fail(self, error: UserError) -> None:
        """End the text by an error, which its reader gets."""
        self.error, self.finish_reason = error, "error"

    def accept(self, token: int, logprobs: Logprobs | None = None) -> None:
        """Take the next token; it may be the last."""
        if token in self.stop_ids:
            self.finish_reason = "stop"
            if not self.keep_stop:
                return
        self.ids.append(token)
        if logprobs is not None:
            self.logprobs.append(logprobs)
        grammar = self.extras.grammar
        try:
            if grammar is not None and self.finish_reason is None and not grammar.accept(token):
                self.finish_reason = "stop"
        except UserError as error:
            self.fail(error)
        if self.finish_reason is None and self.left <= 0:
            self.finish_reason = "length"
        self.unread.append(token)
