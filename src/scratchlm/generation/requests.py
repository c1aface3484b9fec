"""A text that an engine continues, and where it stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig


class Request:
    """One text being continued: its tokens, its part of the cache, and the tokens that nobody has read yet."""

    def __init__(
        self, prompt: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int] = frozenset(),
        *, keep_stop: bool = False, most: int | None = None,
    ) -> None:  # fmt: skip
        """Take a prompt of at least one token.

        `keep_stop` makes the stop id that ends the text its last token. `most` bounds the tokens of prompt and answer
        together; without, the text may outgrow the model's context (see `window_start`).
        """
        self.prompt, self.config = list(prompt), config
        self.stop_ids, self.keep_stop = stop_ids.union(config.stop_ids), keep_stop
        self.room = config.max_tokens if most is None else min(config.max_tokens, most - len(self.prompt))
        self.ids = list(prompt)
        self.unread: deque[int] = deque()
        self.generator = torch.Generator().manual_seed(config.seed)
        self.finish_reason: str | None = "length" if self.room <= 0 else None
        """Why it ended: stop, length, cancelled or error; None while it goes on."""
        self.error: UserError | None = None
        """What its reader is told, where it ended by an error."""
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

    def fail(self, error: UserError) -> None:
        """End the text by an error, which its reader is told."""
        self.error, self.finish_reason = error, "error"

    def accept(self, token: int) -> None:
        """Take the next token; it may be the last."""
        if token in self.stop_ids:
            self.finish_reason = "stop"
            if not self.keep_stop:
                return
        self.ids.append(token)
        self.unread.append(token)
        if self.finish_reason is None and len(self.ids) - len(self.prompt) >= self.room:
            self.finish_reason = "length"
