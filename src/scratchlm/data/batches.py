"""Batches for training: iterators of (batch, state) that resume at exactly the next batch.

Order is a pure function of the seed and the epoch, so the state is two numbers and no random generator is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import PAD, Tokenizer
from scratchlm.tokens.chat import Rendered

IGNORED = -100
"""Target of a position that carries no loss (torch's `ignore_index`)."""

State = dict[str, int]

GROUP = 16
"""Batches whose texts are sorted by length together."""


@runtime_checkable
class Tokens(Protocol):
    """A long row of token ids on disk or in memory."""

    def __len__(self) -> int:
        """Return how many ids there are."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return ids `start` to `stop`."""


@dataclass(frozen=True)
class ArrayTokens:
    """Token ids in memory behind the same protocol as shards."""

    ids: np.ndarray

    def __len__(self) -> int:
        """Return how many ids there are."""
        return len(self.ids)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return ids `start` to `stop`."""
        return self.ids[start:stop]


@dataclass(frozen=True)
class Batch:
    """Rows of ids with the id that should follow each; `IGNORED` where nothing is predicted."""

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"] | None = None
    """The document of each token of packed rows; None: each row is one stretch of text."""

    @property
    def target_count(self) -> int:
        """How many positions carry loss: what the summed loss is divided by."""
        return int((self.targets != IGNORED).sum())

    def split(self, rows: int | None) -> list[Batch]:
        """Cut into micro-batches of at most `rows` rows."""
        if rows is None or rows >= len(self.ids):
            return [self]
        return [
            Batch(
                self.ids[start : start + rows],
                self.targets[start : start + rows],
                None if self.documents is None else self.documents[start : start + rows],
            )
            for start in range(0, len(self.ids), rows)
        ]

    def to(self, device: torch.device) -> Batch:
        """Move to a device."""
        documents = None if self.documents is None else self.documents.to(device)
        return Batch(self.ids.to(device), self.targets.to(device), documents)


@dataclass(frozen=True)
class WindowBatches:
    """Windows of `length` ids from a row of tokens, in a new random order and phase each epoch.

    Every token but the last few of an epoch is predicted once in it. Calling with a state continues after it.
    """

    tokens: Tokens
    rows: int
    length: int
    seed: int

    def __post_init__(self) -> None:
        """Refuse a corpus that does not fill one window."""
        if len(self.tokens) < self.length + 1:
            raise UserError(
                f"training data: {len(self.tokens)} tokens are fewer than one window of {self.length} + 1; "
                "add text or lower training.sequence_length"
            )

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches without end, each with the state from which the next one follows."""
        order = Order(self._starts, state)
        while True:
            rows = [self.tokens.read(start, start + self.length + 1) for start in order.take(self.rows)]
            table = torch.from_numpy(np.stack(rows).astype(np.int64))
            yield Batch(table[:, :-1].contiguous(), table[:, 1:].contiguous()), order.state()

    def _starts(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, epoch])
        spare = len(self.tokens) - 1 - self.length
        phase = int(generator.integers(0, min(self.length, spare + 1)))
        return generator.permutation(np.arange(phase, spare + 1, self.length))


@dataclass(frozen=True)
class PackedBatches:
    """Conversations laid end to end into rows of `length`, in a new random order each epoch.

    A conversation longer than a row is cut to it; `documents` keeps neighbours apart, and the rest of a row that the
    next conversation does not fit is padding without loss.
    """

    samples: Sequence[Rendered]
    rows: int
    length: int
    seed: int
    pad: int

    def __post_init__(self) -> None:
        """Refuse data in which no token within `length` carries loss."""
        if not any(any(sample.mask[: self.length + 1]) for sample in self.samples):
            raise UserError(
                f"conversations: none has an assistant's reply within {self.length} tokens; "
                "shorten the messages or raise training.sequence_length"
            )

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches without end, each with the state from which the next one follows."""
        order = Order(self._epoch_order, state)
        while True:
            ids = np.full((self.rows, self.length), self.pad, dtype=np.int64)
            targets = np.full((self.rows, self.length), IGNORED, dtype=np.int64)
            documents = np.zeros((self.rows, self.length), dtype=np.int64)
            for row in range(self.rows):
                self._fill(order, ids[row], targets[row], documents[row])
            yield Batch(*map(torch.from_numpy, (ids, targets, documents))), order.state()

    def _epoch_order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.samples))

    def _fill(self, order: Order, ids: np.ndarray, targets: np.ndarray, documents: np.ndarray) -> None:
        """Lay conversations into one row until the next does not fit."""
        used, number = 0, 1
        while used < self.length:
            sample = self.samples[order.peek()]
            width = min(len(sample.ids) - 1, self.length)
            if used and used + width > self.length:
                break
            order.take(1)
            if width < 1:
                continue
            following = np.array(sample.ids[1 : width + 1])
            ids[used : used + width] = sample.ids[:width]
            targets[used : used + width] = np.where(sample.mask[1 : width + 1], following, IGNORED)
            documents[used : used + width] = number
            used, number = used + width, number + 1
        documents[used:] = number


@dataclass(frozen=True)
class LabelledBatches:
    """Whole texts with a class each; the target stands at a text's last token, so padding behind it has no part.

    Texts of like length share a batch, see `length_bucketed_order`.
    """

    rows_of_ids: Sequence[Sequence[int]]
    labels: Sequence[int]
    rows: int
    seed: int
    pad: int

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches without end, each with the state from which the next one follows."""
        order = Order(self._epoch_order, state)
        while True:
            chosen = order.take(self.rows)
            ids, last = padded([self.rows_of_ids[index] for index in chosen], self.pad)
            targets = torch.full_like(ids, IGNORED)
            targets[torch.arange(len(chosen)), last] = torch.tensor([self.labels[index] for index in chosen])
            yield Batch(ids, targets), order.state()

    def _epoch_order(self, epoch: int) -> np.ndarray:
        return length_bucketed_order([len(row) for row in self.rows_of_ids], self.rows, self.seed, epoch)


def length_bucketed_order(lengths: Sequence[int], rows: int, seed: int, epoch: int) -> np.ndarray:
    """Return an epoch's order of texts in which those of like length stand together, so that little is padded.

    Random groups of `GROUP` batches are sorted by length, then their batches are mixed; every epoch is mixed anew.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    size, batches = rows * GROUP, []
    for start in range(0, len(order), size):
        group = sorted(order[start : start + size], key=lambda index: lengths[index])
        batches += [group[at : at + rows] for at in range(0, len(group), rows)]
    return np.array([index for batch in generator.permutation(len(batches)) for index in batches[batch]])


def masked_batch(samples: Sequence[Rendered], length: int, pad: int) -> Batch:
    """Lay conversations one to a row, each cut to `length`; what carries no loss in them is no target."""
    rows = [sample.ids[: length + 1] for sample in samples]
    table, _ = padded(rows, pad)
    mask, _ = padded([[int(wanted) for wanted in sample.mask[: length + 1]] for sample in samples])
    targets = torch.where(mask[:, 1:].bool(), table[:, 1:], IGNORED)
    return Batch(table[:, :-1].contiguous(), targets)


def pad_of(tokenizer: Tokenizer) -> int:
    """Return the id that fills rows up; nothing is learned of it, and nothing sees it."""
    return tokenizer.specials.get(PAD, tokenizer.end_of_text or 0)


def padded(rows: Sequence[Sequence[int]], pad: int = 0) -> tuple[Int[Tensor, "B T"], Int[Tensor, " B"]]:
    """Lay rows of at least one id into a table, filled up behind; return it with the place of each row's last id."""
    table = torch.full((len(rows), max(len(row) for row in rows)), pad, dtype=torch.int64)
    for index, row in enumerate(rows):
        table[index, : len(row)] = torch.tensor(row)
    return table, torch.tensor([len(row) - 1 for row in rows])


class Order:
    """A walk through the epochs' orders whose place is (epoch, index)."""

    def __init__(self, order_of: Callable[[int], np.ndarray], state: Mapping[str, int] | None) -> None:
        self._order_of = order_of
        self._epoch = 0 if state is None else state["epoch"]
        self._index = 0 if state is None else state["index"]
        self._order = order_of(self._epoch)

    def peek(self) -> int:
        """Return the next place without taking it."""
        if self._index >= len(self._order):
            self._epoch, self._index = self._epoch + 1, 0
            self._order = self._order_of(self._epoch)
        return int(self._order[self._index])

    def take(self, count: int) -> list[int]:
        """Return the next places, going on to the next epoch where one ends."""
        taken = []
        for _ in range(count):
            taken.append(self.peek())
            self._index += 1
        return taken

    def state(self) -> State:
        """Return where the walk stands."""
        return {"epoch": self._epoch, "index": self._index}


def whole_windows(tokens: Tokens, length: int, rows: int, first: int) -> Iterator[Batch]:
    """Yield batches in which every id of `tokens` is a target exactly once, for evaluation.

    The id `first` (the end of the document before) stands before the first one, so that it is predicted too.
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
