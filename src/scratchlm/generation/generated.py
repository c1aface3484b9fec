"""What a model writes: a text that also knows why it ended and how likely its tokens were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from scratchlm.base.result import as_html
from scratchlm.generation.assembling import TextWriter
from scratchlm.generation.engine import Engine
from scratchlm.generation.requests import Logprobs, Request
from scratchlm.tokens.base import Tokenizer


class TopLogprob(NamedTuple):
    """One of the likeliest tokens at a place."""

    token: str
    logprob: float
    id: int


class TokenLogprob(NamedTuple):
    """A token that was written, and what the model thought of its place, before temperature and filters.

    Names are those of OpenAI's API. A token that holds a part of a character has U+FFFD in its text.
    """

    token: str
    logprob: float
    """Natural logarithm of the token's probability."""
    id: int
    top_logprobs: list[TopLogprob]
    """The likeliest tokens there, falling."""


class GeneratedText(str):
    """A text that a model wrote. It is a `str`; beside that it knows how it came about."""

    ids: list[int]
    """The tokens that were written, up to the one that ended a stop text."""
    finish_reason: Literal["stop", "length"]
    """Why it ended: stop at the end of a text or turn or at a stop text, length after `max_tokens`."""
    logprobs: list[TokenLogprob] | None
    """Of each token, where they were asked for."""

    def __new__(
        cls,
        text: str = "",
        ids: Sequence[int] = (),
        finish_reason: Literal["stop", "length"] = "stop",
        logprobs: list[TokenLogprob] | None = None,
    ) -> GeneratedText:
        """Make a text of its parts."""
        made = super().__new__(cls, text)
        made.ids, made.finish_reason, made.logprobs = list(ids), finish_reason, logprobs
        return made

    def _repr_html_(self) -> str:
        return as_html(self)


class Writer:
    """Takes the tokens of one request as they come, up to a stop text, and makes a `GeneratedText` of them."""

    def __init__(self, request: Request, tokenizer: Tokenizer) -> None:
        self._request, self._tokenizer = request, tokenizer
        self._writer = TextWriter(tokenizer, request.config.stop)
        self._text, self._count = "", 0

    def feed(self, token: int) -> bool:
        """Take the next token; return whether the text goes on after it."""
        self._text += self._writer.feed(token)
        self._count += 1
        return not self._writer.stopped

    def text(self) -> GeneratedText:
        """Return the text: no more tokens come."""
        request, stopped = self._request, self._writer.stopped
        text = self._text if stopped else self._text + self._writer.rest()
        ids, logprobs = request.new[: self._count], None
        if request.extras.logprobs is not None:
            pairs = zip(ids, request.logprobs[: self._count], strict=True)
            logprobs = [_named(self._tokenizer, *pair) for pair in pairs]
        cut_off = request.finish_reason == "length" and not stopped
        return GeneratedText(text, ids, "length" if cut_off else "stop", logprobs)


def _named(tokenizer: Tokenizer, id: int, logprobs: Logprobs) -> TokenLogprob:
    top = [TopLogprob(_text(tokenizer, each), logprob, each) for each, logprob in logprobs.top]
    return TokenLogprob(_text(tokenizer, id), logprobs.logprob, id, top)


def _text(tokenizer: Tokenizer, id: int) -> str:
    table = tokenizer.table
    return ((table[id] if id < len(table) else None) or b"").decode("utf-8", errors="replace")


def generated(request: Request, ids: Iterable[int], tokenizer: Tokenizer) -> GeneratedText:
    """Return the text of a request whose tokens come one by one; where a stop text ends it, no more are taken."""
    writer = Writer(request, tokenizer)
    for id in ids:
        if not writer.feed(id):
            break
    return writer.text()


def generated_together(engine: Engine, requests: Sequence[Request], tokenizer: Tokenizer) -> list[GeneratedText]:
    """Return the texts of requests that an engine continues together, each to its own end.

    Raises the error that ended one of them.
    """
    engine.add(*requests)
    writers = {request: Writer(request, tokenizer) for request in requests}
    while engine.busy:
        engine.step()
        for request, writer in writers.items():
            if request.error is not None:
                raise request.error
            while request.unread:
                if not writer.feed(request.unread.popleft()):
                    request.unread.clear()
                    engine.cancel(request)
    return [writer.text() for writer in writers.values()]
