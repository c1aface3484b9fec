"""The engine: many texts continued together, each as if it were alone.

A step of the engine admits texts that wait, reads a part of one prompt, and writes the next token of every text whose
prompt has been read. Texts join and leave at any step. Equal to plain generation token for token in fp32.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.data.batches import padded
from scratchlm.generation.choosing import choose
from scratchlm.generation.compiling import compiled_form, is_hooked
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import window_start
from scratchlm.generation.paging import Content, Paged, Pool, contents
from scratchlm.generation.requests import Request
from scratchlm.generation.weights import Weights
from scratchlm.model.blocks import BLOCK, Blocks
from scratchlm.model.decoder import Decoder

if TYPE_CHECKING:
    from scratchlm.compiled.decoder import CompiledDecoder

PREFILL_CHUNK = 512
"""Most prompt tokens that one step reads: bounds how long the other texts wait, and the memory of the scores."""
SHORT = 64
"""Prompt tokens that compiled code reads in a step beside the newest tokens of other texts, so that each weight is read
once for all. More are read apart: by compiled code too where weights are integers, elsewhere by PyTorch."""
FIRST_BLOCKS = 32
"""Blocks that are held at first where the system does not give memory lazily."""
ROWS = 64
"""Most texts that are continued together."""


class Engine:
    """Continues texts with one decoder. All methods may be called from any thread."""

    def __init__(self, decoder: Decoder, rows: int = ROWS, blocks: int = 0, *, compiled: bool = False) -> None:
        """Hold at most `blocks` blocks of the cache, by default as many as two texts as long as the context need.

        With `compiled`, next tokens are computed by `compiled/`, where it has code for the decoder.
        """
        self.decoder = decoder
        self.context = decoder.config.context
        self.rows = rows
        self.reach = 1 if decoder.ngrams is None else 1 + decoder.ngrams.reach
        whole = -(-self.context // BLOCK)
        self.most = max(blocks or 2 * whole, whole)
        """Blocks that may be held."""
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.tokens_read = self.tokens_written = 0
        """Tokens of prompts that were computed, and tokens that were chosen."""
        self._lock = threading.RLock()
        self._stepping = self._plainly = False
        self._wanted = compiled
        self._renew()

    def _renew(self) -> None:
        """Begin with an empty cache, and with code for the tensors that the decoder has now."""
        for request in self.running:
            request.blocks, request.cached = [], 0
        dtype = self.decoder.dtype
        positions = self.most if self.decoder.device.type == "cpu" else min(self.most, FIRST_BLOCKS)
        self.blocks, self.pool = Blocks(self.decoder, positions, dtype), Pool(positions)
        self._weights = Weights(self.decoder)
        self._compiled = compiled_form(self.decoder, self.blocks) if self._wanted else None

    def add(self, *requests: Request) -> None:
        """Put texts behind those that wait. Raises `UserError` for an empty prompt and for ids of no token."""
        size = self.decoder.config.vocabulary_size
        for request in requests:
            if not request.prompt:
                raise UserError("prompt: is empty; give at least one token")
            if stray := [id for id in request.prompt if not 0 <= id < size]:
                raise UserError(f"prompt: holds the id {stray[0]}; this model's ids are 0 to {size - 1}")
        with self._lock:
            if not self._weights.unchanged(self.decoder):  # the cache holds another model's keys
                self._renew()
            self._plainly = is_hooked(self.decoder)
            self.decoder.eval()
            self.waiting += [request for request in requests if request.finish_reason is None]

    @property
    def busy(self) -> bool:
        """Whether a text is being continued or waits."""
        return bool(self.running or self.waiting)

    def cancel(self, request: Request) -> None:
        """End a text and free what it holds; within a step, at the step's end."""
        with self._lock:
            if request.finish_reason is None:
                request.finish_reason = "cancelled"
            if not self._stepping:
                self._sweep()

    def _sweep(self) -> None:
        """Let texts go that have ended."""
        self.waiting = deque(each for each in self.waiting if each.finish_reason is None)
        for request in [each for each in self.running if each.finish_reason is not None]:
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
            if request.error is not None and not request.unread:
                raise request.error
            return request.unread.popleft() if request.unread else None

    def finish(self, requests: Sequence[Request], after: Callable[[], None] | None = None) -> None:
        """Continue texts to their ends. Raises the error that ended one of them, when all have ended.

        `after` is called after each step; what it raises ends all texts.
        """
        self.add(*requests)
        try:
            for request in requests:
                while request.finish_reason is None:
                    with self._lock:
                        self.step()
                    if after is not None:
                        after()
        finally:
            for request in requests:
                if request.finish_reason is None:
                    self.cancel(request)
        failed = next((request.error for request in requests if request.error is not None), None)
        if failed is not None:
            raise failed

    @torch.no_grad()
    def step(self) -> None:
        """Move on: admit texts, read a part of some prompts, write the next token of each text that is ready for it."""
        with self._lock:
            self._stepping = True
            if self.decoder.training:  # asked first: `eval` walks all parts of the decoder
                self.decoder.eval()
            try:
                self._sweep()
                for request in self.running:
                    if request.pending == 0:  # a step was interrupted before its token was chosen
                        request.cached -= 1
                self._admit()
                if reading := self._readers():
                    self._read(reading)
                self._sweep()
                if ready := self._ready():
                    self._continue(ready)
            finally:
                self._stepping = False
                self._sweep()

    def _readers(self) -> list[Request]:
        """Return texts whose prompts are read together: the first that waits for it, and others that fit beside it."""
        chosen: list[Request] = []
        longest = furthest = 0
        for request in [each for each in self.running if each.pending > self._short]:
            if request not in self.running:  # it made room for one before it
                break
            size = self._part(request)
            wide, far = max(longest, size), max(furthest, request.cached)
            if chosen and (wide * (len(chosen) + 1) > PREFILL_CHUNK or far + wide > self.context):
                break
            self._make_room(request, size)
            if request in self.running:
                chosen.append(request)
                longest, furthest = wide, far
        return [each for each in chosen if each in self.running]

    @property
    def _short(self) -> int:
        """Tokens of a text that are few enough for the step that writes."""
        return SHORT if self._compiled is not None and not self._plainly else 1

    def _part(self, request: Request) -> int:
        """Return how many tokens of a prompt are read at once: all but the last where compiled code can read that."""
        return min(PREFILL_CHUNK, request.pending - (self._short > 1))

    def _ready(self) -> list[Request]:
        """Return texts whose next token can be written, with what is proposed for them and room for all of it."""
        chosen, left = set[Request](), SHORT
        for request in list(self.running):
            if request not in self.running or request.pending > self._short or request.pending - 1 > left:
                continue
            left -= request.pending - 1
            self._propose(request)
            self._make_room(request, request.pending + len(request.draft))
            chosen.add(request)
        return [each for each in self.running if each in chosen]

    def _admit(self) -> None:
        """Let texts begin, the first that came first, while there are rows and memory for their prompts."""
        while self.waiting and len(self.running) < self.rows:
            request = self.waiting[0]
            request.start = window_start(len(request.ids), self.context)
            if self.running and -(-len(request.seen) // BLOCK) > self.pool.available + self.most - self.blocks.count:
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
        cached = self.pool.alike(content)
        if cached is None:
            return
        source, same = cached
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
            if not self.pool.available and self.blocks.count < self.most:
                before, after = self.blocks.count, min(2 * self.blocks.count, self.most)
                self.blocks.grow(after)
                self.pool.extend(before, after)
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
        if begun and request.blocks and request.finish_reason != "error":
            *_, last = contents(request.seen[: request.cached])
            self.pool.know(request.blocks[request.cached // BLOCK], last)
        while request.blocks:
            self.pool.drop(request.blocks.pop())
        request.cached = 0

    def _read(self, requests: Sequence[Request]) -> None:
        """Read a part of some prompts. Where that was the last part of one, write its first token."""
        sizes = [self._part(request) for request in requests]
        parts = [request.seen[: request.cached + size] for request, size in zip(requests, sizes, strict=True)]
        if self._compiled is not None and self._compiled.reads_prompts and not self._plainly:
            self._step(self._compiled, requests, parts, sizes, [0] * len(requests))
            self._count_read(requests, sizes)  # the last token of each prompt is left to the step that writes
            return
        new, last = padded([part[-size:] for part, size in zip(parts, sizes, strict=True)])
        lengths = [request.cached for request in requests]
        cache = Paged(self.blocks, [request.blocks for request in requests], lengths, parts, sizes)
        hidden = self.decoder.hidden(new.to(self.decoder.device), cache)
        self._count_read(requests, sizes)
        rows = [row for row, request in enumerate(requests) if request.pending == 0]
        if rows:
            self._write([requests[row] for row in rows], self.decoder.logits(hidden[rows, last[rows]]))

    def _count_read(self, requests: Sequence[Request], sizes: Sequence[int]) -> None:
        """Note that some tokens of prompts were computed."""
        self.tokens_read += sum(sizes)
        for request, size in zip(requests, sizes, strict=True):
            self._stored(request, size)

    def _propose(self, request: Request) -> None:
        """Have the next tokens of a text guessed, where it has a drafter and there is memory for them."""
        request.draft, drafter = [], request.extras.drafter
        room = BLOCK * (len(request.blocks) + self.pool.available) - request.cached - 1
        most = min(request.left - 1, self.context - len(request.seen), room)
        if drafter is not None and most > 0 and request.pending == 1:
            guesses, size = drafter.propose(request.ids, most)[:most], self.decoder.config.vocabulary_size
            request.draft = list(itertools.takewhile(lambda id: id < size, guesses))

    def _continue(self, requests: Sequence[Request]) -> None:
        """Write the next token of each text, and further ones as long as those are what was proposed.

        Each token is chosen as if nothing had been proposed, so the output is the same. Source: Y. Leviathan et al.
        2023, "Fast Inference from Transformers via Speculative Decoding", arXiv 2211.17192, whose draws are others.
        """
        if self._compiled is None or self._plainly:  # the rows of a table are as long as the longest
            room = self.context - 1 - max(request.cached for request in requests)
            for request in requests:
                request.draft = request.draft[:room]
        drafts = [list(request.draft) for request in requests]
        for request in requests:
            request.proposed += len(request.draft)
        firsts = [0, *itertools.accumulate(1 + len(draft) for draft in drafts)]
        logits = self._next_logits(requests)
        going, depth = list(range(len(requests))), 0
        while going:
            for each in going:
                self.tokens_read += requests[each].pending - 1  # of a short prompt
                self._stored(requests[each], requests[each].pending)
            rows = [firsts[each] + depth for each in going]
            self._write([requests[each] for each in going], logits if len(rows) == len(logits) else logits[rows])
            going = [
                each for each in going
                if depth < len(drafts[each]) and requests[each].pending == 1 and requests[each].finish_reason is None
                and requests[each].ids[-1] == drafts[each][depth]
            ]  # fmt: skip
            for each in going:
                requests[each].agreed += 1
            depth += 1

    def _next_logits(self, requests: Sequence[Request]) -> Float[Tensor, "N V"]:
        """Return the logits after the newest token of each text and after each token of its draft, text by text."""
        tails = [
            each.ids[max(each.start, len(each.ids) - each.pending + 1 - self.reach) :] + each.draft for each in requests
        ]
        if self._compiled is None or self._plainly:
            sizes, lengths = [1 + len(request.draft) for request in requests], [request.cached for request in requests]
            if max(sizes) == 1:
                new = torch.tensor([tail[-1:] for tail in tails])
            else:
                new, _ = padded([tail[-size:] for tail, size in zip(tails, sizes, strict=True)])
            tables = [request.blocks for request in requests]
            hidden = self.decoder.hidden(new.to(self.decoder.device), Paged(self.blocks, tables, lengths, tails, sizes))
            rows = (
                hidden[:, 0]
                if max(sizes) == 1
                else torch.cat([row[:size] for row, size in zip(hidden, sizes, strict=True)])
            )
            return self.decoder.logits(rows)
        counts = [request.pending + len(request.draft) for request in requests]
        return self._step(self._compiled, requests, tails, counts, [1 + len(request.draft) for request in requests])

    def _step(
        self,
        compiled: CompiledDecoder,
        requests: Sequence[Request],
        tails: Sequence[list[int]],
        counts: Sequence[int],
        wanted: Sequence[int],
    ) -> Float[Tensor, "N V"]:
        """Compute the last `counts` tokens of `tails` by compiled code; return the logits of the last `wanted`."""
        texts, places = list[Sequence[int]](), list[int]()
        blocks, scored = list[Sequence[int]](), list[int]()
        for request, tail, count, last in zip(requests, tails, counts, wanted, strict=True):
            ends = range(len(tail) - count + 1, len(tail) + 1)
            texts += [tail[max(0, end - self.reach) : end] for end in ends]
            places += range(request.cached, request.cached + count)
            blocks += [request.blocks] * count
            scored += range(len(texts) - last, len(texts))
        return compiled.step(texts, places, blocks, scored)

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
        self.tokens_written += len(requests)
        for request in choose(requests, logits):  # what made their logits no numbers must not reach other texts
            for block in request.blocks:
                if self.pool.spoil(block):
                    self.blocks.clear(block)
        for request in requests:
            start = window_start(len(request.ids), self.context)
            if request.finish_reason is None and start != request.start:
                self._drop_blocks(request)
                request.start = start


def stream_ids(
    engine: Engine, prompt: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int] = frozenset()
) -> Iterator[int]:
    """Yield new ids after `prompt` (at least one id) until a stop id, which is not yielded, or `max_tokens`."""
    return engine.stream(Request(prompt, config, stop_ids))
