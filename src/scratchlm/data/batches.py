"""Batches for training: iterators of (batch, state) that resume exactly at the next batch.

The order is a pure function of seed and epoch, so the state is two numbers, without a random generator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.model.masks import SHARED
from scratchlm.tokens.base import PAD, Tokenizer
from scratchlm.tokens.chat import Rendered

IGNORED = -100
"""Target of a position without loss (torch's `ignore_index`)."""

State = dict[str, int]

GROUP = 16
"""Batches whose texts are sorted by length together."""

PART_ROWS = 8
"""Rows of a part of a batch: fewer save more padding and make smaller products."""


@runtime_checkable
class Tokens(Protocol):
    """A long sequence of token ids on disk or in memory."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return ids `start` to `stop`."""


@dataclass(frozen=True)
class ArrayTokens:
    """Token ids in memory, with the same interface as shards."""

    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return ids `start` to `stop`."""
        return self.ids[start:stop]


@dataclass(frozen=True)
class Batch:
    """Rows of ids with the target of each position, shape (B, T); `IGNORED` where there is no target."""

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"] | None = None
    """The document of each token of packed rows, which attention must not cross; None: each row is one text."""
    starts: Int[Tensor, " B"] | None = field(default=None, kw_only=True)
    """Where in the training text each row begins, so that what is wrong with one can be found; None: not known."""
    bidirectional: Bool[Tensor, " B"] | None = field(default=None, kw_only=True)
    """Rows whose positions see what is after them too; None: there is none."""

    @property
    def target_count(self) -> int:
        """Number of positions with loss, the divisor of the summed loss."""
        return int((self.targets != IGNORED).sum())

    def split(self, rows: int | None) -> list[Batch]:
        """Split into micro-batches of at most `rows` rows."""
        if rows is None or rows >= len(self.ids):
            return [self]
        return [self._each(itemgetter(slice(at, at + rows))) for at in range(0, len(self.ids), rows)]

    def select(self, wanted: Bool[Tensor, " B"]) -> Batch:
        """Return some of the rows."""
        return self._each(itemgetter(wanted))

    def parts_by_length(self) -> list[Batch]:
        """Split into parts of rows of similar length, `PART_ROWS` each, without the columns after their last targets.

        What a causal model says of a target does not depend on what comes after it, so the sum of the parts' losses is
        the loss of the batch, and little of what is computed is padding. Every row needs a target.
        """
        ends = self.targets.shape[1] - (self.targets != IGNORED).int().flip(1).argmax(1)
        order = ends.argsort(stable=True)
        parts = [order[at : at + PART_ROWS] for at in range(0, len(order), PART_ROWS)]
        return [self._each(itemgetter((part, slice(int(ends[part[-1]]))))) for part in parts]

    def to(self, device: torch.device) -> Batch:
        """Move to a device; from pinned memory without waiting for the copy."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=device.type == "cuda"))

    def pinned(self) -> Batch:
        """Copy into pinned memory, from which a GPU reads without making the processor wait."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        documents = None if self.documents is None else change(self.documents)
        starts = None if self.starts is None else change(self.starts)
        bidirectional = None if self.bidirectional is None else change(self.bidirectional)
        return Batch(change(self.ids), change(self.targets), documents, starts=starts, bidirectional=bidirectional)


class Order:
    """A resumable iterator over the epochs' orders; its position is (epoch, index)."""

    def __init__(self, order_of: Callable[[int], np.ndarray], state: Mapping[str, int] | None) -> None:
        self._order_of = order_of
        self._epoch, self._index = (0, 0) if state is None else (state["epoch"], state["index"])
        self._order = order_of(self._epoch)

    def peek(self) -> int:
        """Return the next element without advancing."""
        if self._index >= len(self._order):
            self._epoch, self._index = self._epoch + 1, 0
            self._order = self._order_of(self._epoch)
        return int(self._order[self._index])

    def take(self, count: int) -> list[int]:
        """Return the next elements, continuing with the next epoch at the end of one."""
        taken = []
        for _ in range(count):
            taken.append(self.peek())
            self._index += 1
        return taken

    def state(self) -> State:
        """Return the position."""
        return {"epoch": self._epoch, "index": self._index}


class Batches(ABC):
    """Batches without end, in a new order each epoch."""

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches forever, each with the state that resumes at the next one."""
        order = Order(self._order, state)
        while True:
            yield self._batch(order), order.state()

    @abstractmethod
    def _order(self, epoch: int) -> np.ndarray:
        """Return the order of an epoch: a pure function of seed and epoch."""

    @abstractmethod
    def _batch(self, order: Order) -> Batch:
        """Make a batch of the next elements of the order."""


@dataclass(frozen=True)
class WindowBatches(Batches):
    """Windows of `length` ids of a token sequence, in a new random order and with a new offset each epoch.

    Each epoch predicts every token once, except a few at its ends. Calling with a state continues after it. Without
    `offsets` windows are the same in all epochs.
    """

    tokens: Tokens
    rows: int
    length: int
    seed: int
    offsets: bool = True

    def __post_init__(self) -> None:
        """Refuse a corpus shorter than one window."""
        if len(self.tokens) < self.length + 1:
            raise UserError(
                f"training data: {len(self.tokens)} tokens are fewer than one window of {self.length} + 1; "
                "add text or lower training.sequence_length"
            )

    def _batch(self, order: Order) -> Batch:
        starts = order.take(self.rows)
        rows = [self.tokens.read(start, start + self.length + 1) for start in starts]
        table = torch.from_numpy(np.stack(rows).astype(np.int64))
        return Batch(table[:, :-1].contiguous(), table[:, 1:].contiguous(), starts=torch.tensor(starts))

    def _order(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, epoch])
        spare = len(self.tokens) - 1 - self.length
        phase = int(generator.integers(0, min(self.length, spare + 1))) if self.offsets else 0
        return generator.permutation(np.arange(phase, spare + 1, self.length))


@dataclass(frozen=True)
class StreamBatches:
    """Rows that go on where they ended in the last batch, for networks that carry a state from batch to batch.

    The rows begin at equal distances in the text, the first at a place that depends on the seed, and follow it in
    windows of `length`; its end is followed by its beginning. Calling with a state continues after it.
    """

    tokens: Tokens
    rows: int
    length: int
    seed: int

    def __post_init__(self) -> None:
        """Refuse a text shorter than one window."""
        if len(self.tokens) < self.length + 1:
            raise UserError(
                f"training data: {len(self.tokens)} tokens are fewer than one window of {self.length} + 1; "
                "add text or lower training.sequence_length"
            )

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches forever, each with the state that resumes at the next one."""
        total = len(self.tokens)
        first = int(np.random.default_rng(self.seed).integers(0, total))
        taken = 0 if state is None else state["taken"]
        while True:
            starts = [(first + row * total // self.rows + taken * self.length) % total for row in range(self.rows)]
            table = torch.from_numpy(np.stack([self._read(start) for start in starts]).astype(np.int64))
            taken += 1
            yield Batch(table[:, :-1].contiguous(), table[:, 1:].contiguous()), {"taken": taken}

    def _read(self, start: int) -> np.ndarray:
        """Return `length` + 1 ids from a place on, going on at the beginning after the end."""
        stop = start + self.length + 1
        over = stop - len(self.tokens)
        if over <= 0:
            return self.tokens.read(start, stop)
        return np.concatenate([self.tokens.read(start, len(self.tokens)), self.tokens.read(0, over)])


@dataclass(frozen=True)
class PackedBatches(Batches):
    """Conversations packed into rows of `length`, in a new random order each epoch.

    A conversation longer than a row is truncated; `documents` separates the conversations of a row, and the rest of a
    row that is too short for the next conversation is padding without loss.
    """

    samples: Sequence[Rendered]
    rows: int
    length: int
    seed: int
    pad: int
    shared: int = 0
    """Ids that all samples begin with and that have no loss, such as a system message: a row holds them once."""

    def __post_init__(self) -> None:
        """Refuse data without loss on any token within `length`."""
        if not any(any(sample.mask[: self.length + 1]) for sample in self.samples):
            raise UserError(
                f"conversations: none has an assistant's reply within {self.length} tokens; "
                "shorten the messages or raise training.sequence_length"
            )

    def _batch(self, order: Order) -> Batch:
        ids = np.full((self.rows, self.length), self.pad, dtype=np.int64)
        targets = np.full_like(ids, IGNORED)
        documents = np.zeros_like(ids)
        for row in range(self.rows):
            self._fill(order, ids[row], targets[row], documents[row])
        return Batch(*map(torch.from_numpy, (ids, targets, documents)))

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.samples))

    def _fill(self, order: Order, ids: np.ndarray, targets: np.ndarray, documents: np.ndarray) -> None:
        """Pack conversations into one row until the next does not fit."""
        used, number = self.shared, 1
        ids[:used], documents[:used] = self.samples[0].ids[:used], SHARED
        while used < self.length:
            sample = self.samples[order.peek()]
            first, last = self.shared, min(len(sample.ids) - 1, self.length)
            width = last - first
            if number > 1 and used + width > self.length:
                break
            order.take(1)
            if width < 1:
                continue
            following = np.array(sample.ids[first + 1 : last + 1])
            ids[used : used + width] = sample.ids[first:last]
            targets[used : used + width] = np.where(sample.mask[first + 1 : last + 1], following, IGNORED)
            documents[used : used + width] = number
            used, number = used + width, number + 1
        documents[used:] = number


@dataclass(frozen=True)
class LabelledBatches(Batches):
    """Whole texts with a class each, in a new random order each epoch; the target is at a text's last token.

    Texts of similar length do not share a batch: where length predicts the class, such batches hold mostly one class
    each. From 512 messages a small model learned worse so, in as many steps (`experiment label-efficiency`).
    """

    rows_of_ids: Sequence[Sequence[int]]
    labels: Sequence[int]
    rows: int
    seed: int
    pad: int

    def _batch(self, order: Order) -> Batch:
        chosen = order.take(self.rows)
        ids, last = padded([self.rows_of_ids[index] for index in chosen], self.pad)
        targets = torch.full_like(ids, IGNORED)
        targets[torch.arange(len(chosen)), last] = torch.tensor([self.labels[index] for index in chosen])
        return Batch(ids, targets)

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.rows_of_ids))


def length_bucketed_order(lengths: Sequence[int], rows: int, seed: int, epoch: int) -> np.ndarray:
    """Return an epoch's order of texts with length bucketing: neighbours are of similar length, to reduce padding.

    Random groups of `GROUP` batches are sorted by length, then the batches are shuffled; every epoch has a new order.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    size, batches = rows * GROUP, []
    for start in range(0, len(order), size):
        group = sorted(order[start : start + size], key=lambda index: lengths[index])
        batches += [group[at : at + rows] for at in range(0, len(group), rows)]
    return np.array([index for batch in generator.permutation(len(batches)) for index in batches[batch]])


def masked_batch(samples: Sequence[Rendered], length: int, pad: int) -> Batch:
    """Make a batch of one conversation a row, each truncated to `length`; only tokens with loss are targets."""
    rows = [sample.ids[: length + 1] for sample in samples]
    table, _ = padded(rows, pad)
    mask, _ = padded([[int(wanted) for wanted in sample.mask[: length + 1]] for sample in samples])
    targets = torch.where(mask[:, 1:].bool(), table[:, 1:], IGNORED)
    return Batch(table[:, :-1].contiguous(), targets)


def pad_of(tokenizer: Tokenizer) -> int:
    """Return the padding id; it has no loss, and no other position attends to it."""
    return tokenizer.specials.get(PAD, tokenizer.end_of_text or 0)


def padded(rows: Sequence[Sequence[int]], pad: int = 0) -> tuple[Int[Tensor, "B T"], Int[Tensor, " B"]]:
    """Right-pad rows of at least one id to a table (B, T); return it with the index of each row's last id."""
    table = torch.full((len(rows), max(len(row) for row in rows)), pad, dtype=torch.int64)
    for index, row in enumerate(rows):
        table[index, : len(row)] = torch.tensor(row)
    return table, torch.tensor([len(row) - 1 for row in rows])


def whole_windows(tokens: Tokens, length: int, rows: int, first: int) -> Iterator[Batch]:
    """Yield batches in which every id of `tokens` is a target exactly once, for evaluation.

    The id `first` (the end of a document) precedes the first one, so that it is predicted too.
    """
    total = len(tokens)
    for block in range(0, total, length * rows):
        end = min(block + length * rows, total)
        before = tokens.read(block - 1, block) if block else np.array([first])
        stretch = np.concatenate([before, tokens.read(block, end)]).astype(np.int64)
        count = -(-(end - block) // length)
        ids = np.full(count * length, first, dtype=np.int64)
        targets = np.full(count * length, IGNORED, dtype=np.int64)
        ids[: end - block], targets[: end - block] = stretch[:-1], stretch[1:]
        yield Batch(torch.from_numpy(ids.reshape(count, length)), torch.from_numpy(targets.reshape(count, length)))


def overlapping_windows(tokens: Tokens, length: int, stride: int, rows: int, first: int) -> Iterator[Batch]:
    """Yield batches as `whole_windows` does, of windows that begin `stride` tokens apart and so overlap.

    Each id is the target of the first window that holds it: all of the first window's, and the last `stride` of each
    other. So every target has at least `length - stride` tokens before it, except at the beginning.
    """
    total = len(tokens)
    starts = range(0, max(total - length + stride, 1), stride)
    for at in range(0, len(starts), rows):
        chosen = starts[at : at + rows]
        ids = np.full((len(chosen), length), first, dtype=np.int64)
        targets = np.full((len(chosen), length), IGNORED, dtype=np.int64)
        for row, start in enumerate(chosen):
            stretch = tokens.read(start, min(start + length, total)).astype(np.int64)
            if start:
                ids[row, 0] = tokens.read(start - 1, start)[0]
            ids[row, 1 : len(stretch)] = stretch[:-1]
            fresh = length - stride if start else 0
            targets[row, fresh : len(stretch)] = stretch[fresh:]
        yield Batch(torch.from_numpy(ids), torch.from_numpy(targets))
