"""The engine: many texts continued together, each as if it were alone.

A step of the engine admits texts that wait, reads a part of one prompt, and writes the next token of every text whose
prompt has been read. Texts join and leave at any step. Equal to plain generation token for token in fp32.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.data.batches import padded
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import window_start
from scratchlm.generation.paging import Content, Paged, Pool, contents
from scratchlm.generation.requests import Request
from scratchlm.generation.sampling import next_token
from scratchlm.generation.weights import Weights
from scratchlm.model.blocks import BLOCK, Blocks
from scratchlm.model.decoder import Decoder

if TYPE_CHECKING:
    from scratchlm.compiled.decoder import CompiledDecoder

PREFILL_CHUNK = 512
"""Most prompt tokens that one step reads: bounds how long the other texts wait, and the memory of the scores."""
ROWS = 64
"""Most texts that are continued together."""


class Engine:
    """Continues texts with one decoder. All methods may be called from any thread."""

    def __init__(self, decoder: Decoder, rows: int = ROWS, blocks: int = 0, *, compiled: bool = False) -> None:
        """Hold memory for `blocks` blocks of the cache; never less than two texts as long as the context need.

        With `compiled`, next tokens are computed by `compiled/`, where it has code for the decoder.
        """
        self.decoder = decoder.eval()
        self.context = decoder.config.context
        self.rows = rows
        self.reach = 1 if decoder.ngrams is None else 1 + decoder.ngrams.reach
        self.blocks = Blocks(decoder, max(blocks, 2 * -(-self.context // BLOCK)))
        self.pool = Pool(self.blocks.count)
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self._lock = threading.RLock()
        self._weights = Weights(decoder)
        self._compiled = _compiled(decoder, self.blocks) if compiled else None

    def add(self, request: Request) -> Request:
        """Put a text behind those that wait. Raises `UserError` for an empty prompt."""
        if not request.prompt:
            raise UserError("prompt: is empty; give at least one token")
        with self._lock:
            if not (self.running or self.waiting) and not self._weights.unchanged(self.decoder):
                self.pool.forget_all()  # the cache holds another model's keys
                self._weights = Weights(self.decoder)
            if request.finish_reason is None:
                self.waiting.append(request)
        return request

    @property
    def busy(self) -> bool:
        """Whether a text is being continued or waits."""
        return bool(self.running or self.waiting)

    def cancel(self, request: Request) -> None:
        """End a text now and free what it holds."""
        with self._lock:
            if request.finish_reason is None:
                request.finish_reason = "cancelled"
            if request in self.waiting:
                self.waiting.remove(request)
            self._leave(request)

    def stream(self, request: Request) -> Iterator[int]:
        """Add a text and yield its new tokens. Each step moves all texts on; a reader who leaves ends its own text."""
        self.add(request)
        try:
            while (token := self._next(request)) is not None:
                yield token
        finally:
            self.cancel(request)

    def _next(self, request: Request) -> int | None:
        with self._lock:
            while not request.unread and request.finish_reason is None:
                self.step()
            return request.unread.popleft() if request.unread else None

    def finish(self, requests: Sequence[Request]) -> None:
        """Continue texts to their ends."""
        with self._lock:
            for request in requests:
                self.add(request)
            while any(request.finish_reason is None for request in requests):
                self.step()

    @torch.no_grad()
    def step(self) -> None:
        """Move on: admit texts, read a part of one prompt, write the next token of each text that is ready for it."""
        with self._lock:
            self._admit()
            reading = self._readers()
            if reading:
                self._read(reading)
            for request in list(self.running):
                if request.pending == 1 and request in self.running:
                    self._make_room(request, 1)
            ready = [each for each in self.running if each.pending == 1]
            if ready:
                self._write(ready, self._next_logits(ready))

    def _readers(self) -> list[Request]:
        """Return texts whose prompts are read together: the first that waits for it, and others that fit beside it."""
        chosen: list[Request] = []
        longest = furthest = 0
        for request in [each for each in self.running if each.pending > 1]:
            if request not in self.running:  # it made room for one before it
                break
            size = min(PREFILL_CHUNK, request.pending)
            wide, far = max(longest, size), max(furthest, request.cached)
            if chosen and (wide * (len(chosen) + 1) > PREFILL_CHUNK or far + wide > self.context):
                break
            self._make_room(request, size)
            if request in self.running:
                chosen.append(request)
                longest, furthest = wide, far
        return [each for each in chosen if each in self.running]

    def _admit(self) -> None:
        """Let texts begin, the first that came first, while there are rows and memory for their prompts."""
        while self.waiting and len(self.running) < self.rows:
            request = self.waiting[0]
            request.start = window_start(len(request.ids), self.context)
            if self.running and -(-len(request.seen) // BLOCK) > self.pool.available:
                return
            self.running.append(self.waiting.popleft())
            self._find_beginning(request)

    def _find_beginning(self, request: Request) -> None:
        """Give a text what is known of its beginning; at least one token is left to compute."""
        for content in contents(request.seen[:-1]):
            block = self.pool.find(content)
            if block is None:
                self._copy_beginning(request, content)
                return
            request.blocks.append(block)
            request.cached += BLOCK

    def _copy_beginning(self, request: Request, content: Content) -> None:
        """Give a text a copy of the beginning of a block that differs further on."""
        found = self.pool.alike(content)
        if found is None:
            return
        source, same = found
        self.pool.use(source)  # or its memory might be taken for the copy
        block = self.pool.take()
        if block is not None:
            self.blocks.copy(source, block, same)
            request.blocks.append(block)
            request.cached += same
        self.pool.drop(source)

    def _make_room(self, request: Request, new: int) -> None:
        """Take blocks for new positions; where none is left, the text that came last waits again."""
        while len(request.blocks) * BLOCK < request.cached + new:
            block = self.pool.take()
            if block is not None:
                request.blocks.append(block)
                continue
            last = self.running[-1]
            self._leave(last)
            self.waiting.appendleft(last)
            if last is request:
                return

    def _leave(self, request: Request) -> None:
        """Take a text from those that run and free its blocks; what it computed stays known."""
        if request in self.running:
            self.running.remove(request)
        self._drop_blocks(request)

    def _drop_blocks(self, request: Request) -> None:
        """Free the blocks of a text; what was computed last stays known too."""
        begun = request.cached % BLOCK
        if begun and request.blocks:
            *_, last = contents(request.seen[: request.cached])
            self.pool.know(request.blocks[request.cached // BLOCK], last)
        for block in reversed(request.blocks):
            self.pool.drop(block)
        request.blocks, request.cached = [], 0

    def _read(self, requests: Sequence[Request]) -> None:
        """Read a part of some prompts; after the last part of one, write its first token."""
        sizes = [min(PREFILL_CHUNK, request.pending) for request in requests]
        parts = [request.seen[: request.cached + size] for request, size in zip(requests, sizes, strict=True)]
        new, last = padded([part[-size:] for part, size in zip(parts, sizes, strict=True)])
        lengths = [request.cached for request in requests]
        cache = Paged(self.blocks, [request.blocks for request in requests], lengths, parts, sizes)
        hidden = self.decoder.hidden(new.to(self.decoder.device), cache)
        for request, size in zip(requests, sizes, strict=True):
            self._stored(request, size)
        rows = [row for row, request in enumerate(requests) if request.pending == 0]
        if rows:
            self._write([requests[row] for row in rows], self.decoder.logits(hidden[rows, last[rows]]))

    def _next_logits(self, requests: Sequence[Request]) -> Float[Tensor, "B V"]:
        """Return the logits after the newest token of each text."""
        tables = [request.blocks for request in requests]
        texts = [request.ids[max(request.start, len(request.ids) - self.reach) :] for request in requests]
        lengths = [request.cached for request in requests]
        if self._compiled is not None:
            logits = self._compiled.step(texts, lengths, tables)
        else:
            ids = torch.tensor([[text[-1]] for text in texts], device=self.decoder.device)
            logits = self.decoder.logits(self.decoder.hidden(ids, Paged(self.blocks, tables, lengths, texts))[:, -1])
        for request in requests:
            self._stored(request, 1)
        return logits

    def _stored(self, request: Request, new: int) -> None:
        """Note that positions were computed, and make the blocks that they filled known."""
        before, request.cached = request.cached, request.cached + new
        filled = request.cached // BLOCK
        if before // BLOCK < filled:
            known = list(contents(request.seen[: filled * BLOCK]))
            for number in range(before // BLOCK, filled):
                self.pool.know(request.blocks[number], known[number])

    def _write(self, requests: Sequence[Request], logits: Float[Tensor, "B V"]) -> None:
        """Choose the next token of each text."""
        for request, row in zip(requests, logits, strict=True):
            request.accept(next_token(row, request.ids, request.config, request.generator))
            if request.finish_reason is not None:
                self._leave(request)
            elif (start := window_start(len(request.ids), self.context)) != request.start:
                self._drop_blocks(request)
                request.start = start


def _compiled(decoder: Decoder, blocks: Blocks) -> CompiledDecoder | None:
    """Return the compiled form of a decoder, or None where there is none."""
    from scratchlm.compiled.decoder import CompiledDecoder, unsupported

    return None if unsupported(decoder) else CompiledDecoder(decoder, blocks, torch.get_num_threads())


def stream_ids(
    engine: Engine, prompt: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int] = frozenset()
) -> Iterator[int]:
    """Yield new ids after `prompt` (at least one id) until a stop id, which is not yielded, or `max_tokens`."""
    return engine.stream(Request(prompt, config, stop_ids))
