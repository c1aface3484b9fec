"""From tokens to text as it comes: whole characters only, and nothing from where a stop text begins."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence

from scratchlm.tokens.base import Tokenizer


class TextWriter:
    """Takes tokens one by one and gives the text that is certain by then.

    Bytes that form no character become U+FFFD; a last character that was cut off, as by `max_tokens`, is left out.
    Text that might be the beginning of a stop text is held back until it is known. Ids that the vocabulary leaves
    unused have no text.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False
        """Whether a stop text came: nothing after it is written."""

    def feed(self, token: int) -> str:
        """Take the next token and return the text that is certain now, which may be empty."""
        if self.stopped:
            return ""
        table = self._tokenizer.table
        self._held += self._decoder.decode((table[token] if token < len(table) else None) or b"")
        end = min((self._held.index(text) for text in self._stop if text in self._held), default=None)
        if end is not None:
            self.stopped, self._held = True, self._held[:end]
            return self.rest()
        safe = len(self._held) - _possible_stop(self._held, self._stop)
        sure, self._held = self._held[:safe], self._held[safe:]
        return sure

    def rest(self) -> str:
        """Return what was held back: no more tokens come."""
        rest, self._held = self._held, ""
        return rest


def assemble(ids: Iterable[int], tokenizer: Tokenizer, stop: Sequence[str] = ()) -> Iterator[str]:
    """Turn ids into pieces of text that are not empty, up to a stop text."""
    writer = TextWriter(tokenizer, stop)
    for token in ids:
        if piece := writer.feed(token):
            yield piece
        if writer.stopped:
            return
    if piece := writer.rest():
        yield piece


def _possible_stop(text: str, stop: Sequence[str]) -> int:
    """Return the length of the longest end of `text` that begins a stop text."""
    return max((_overlap(text, each) for each in stop), default=0)


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` begin `stop`."""
    start = max(0, len(text) - len(stop) + 1)
    while (start := text.find(stop[0], start)) >= 0:
        if stop.startswith(text[start:]):
            return len(text) - start
        start += 1
    return 0
