"""Preferences: two answers to one question, of which one was chosen; read, rendered, and laid into batches of pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError, raise_first
from scratchlm.data.batches import Batch, Order, State, masked_batch
from scratchlm.finetuning.conversations import Messages, exchange, problem_of
from scratchlm.text.columns import listed
from scratchlm.text.records import TableRow
from scratchlm.tokens.chat import ChatTemplate, Rendered


@dataclass(frozen=True)
class Preference:
    """A question, the answer that was chosen, and the one that was not; both are whole conversations."""

    chosen: Messages
    rejected: Messages


def read_preferences(records: Sequence[TableRow]) -> tuple[list[Preference], int]:
    """Take pairs out of rows: chosen and rejected as messages, or as texts beside prompt or instruction (and input).

    Pairs whose answers are equal teach nothing: they are left out, and counted. Raises `UserError` with every row that
    is no pair, and where all answers are equal.
    """
    preferences, problems, equal = [], [], 0
    for record in records:
        try:
            pair = _pair(record.values)
            problem = problem_of(pair.chosen) or problem_of(pair.rejected)
            if problem is None and _spoken(pair.chosen) == _spoken(pair.rejected):
                equal += 1
                continue
        except (KeyError, TypeError, ValueError, AttributeError):
            problem = (
                f"no pair; columns: {listed(record.values)}; wanted: chosen and rejected, with prompt or instruction"
            )
        if problem is None:
            preferences.append(pair)
        else:
            problems.append(f"{record.place}: {problem}")
    raise_first(problems, "rows")
    if not preferences:
        raise UserError(f"{records[0].place}: chosen and rejected are equal in every row, so nothing is preferred")
    return preferences, equal


def _pair(values: Mapping[str, Any]) -> Preference:
    chosen, rejected = values["chosen"], values["rejected"]
    if isinstance(chosen, list):
        return Preference([dict(each) for each in chosen], [dict(each) for each in rejected])
    asked = values["prompt"] if "prompt" in values else values["instruction"]
    return Preference(*(exchange(asked, answer, values.get("input")) for answer in (chosen, rejected)))


def _spoken(messages: Messages) -> list[str]:
    return [message["content"].strip() for message in messages]


@dataclass(frozen=True)
class RenderedPair:
    """Both conversations as ids, and what the reference model thought of each."""

    chosen: Rendered
    rejected: Rendered
    reference: tuple[float, float] = (0.0, 0.0)
    """Log-probabilities of the two answers under the reference model, summed over their tokens."""


def render_pairs(
    template: ChatTemplate, preferences: Sequence[Preference], length: int
) -> tuple[list[RenderedPair], int]:
    """Render pairs; those of which an answer does not fit `length` tokens are left out, and counted.

    Only the last turn of the assistant is compared. Raises `UserError` where no pair is left.
    """
    kept = []
    for each in preferences:
        pair = RenderedPair(_last_turn(template, each.chosen), _last_turn(template, each.rejected))
        if not any(pair.chosen.mask) or not any(pair.rejected.mask):
            raise UserError("preferences: the chat template writes no answer to compare; use a model with another one")
        if max(len(pair.chosen.ids), len(pair.rejected.ids)) <= length:
            kept.append(pair)
    if not kept:
        raise UserError(
            f"preferences: no pair fits {length} tokens; raise training.sequence_length or shorten the texts"
        )
    return kept, len(preferences) - len(kept)


def _last_turn(template: ChatTemplate, messages: Messages) -> Rendered:
    """Render a conversation in which the last turn alone is a target."""
    rendered = template.render(messages)
    asked = len(template.render(messages[:-1], reply=True).ids)
    return Rendered(rendered.ids, [wanted and place >= asked for place, wanted in enumerate(rendered.mask)])


@dataclass(frozen=True)
class PairBatch(Batch):
    """Rows in twos: a chosen answer, then its rejected twin. The summed loss is divided by the number of pairs."""

    reference: Float[Tensor, " B"] | None = None
    """Log-probability of each row's answer under the reference model."""

    @property
    def target_count(self) -> int:
        """How many pairs there are."""
        return len(self.ids) // 2

    def split(self, rows: int | None) -> list[Batch]:
        """Cut into micro-batches of at most `rows` rows, never between the two of a pair."""
        if rows is None or rows >= len(self.ids):
            return [self]
        size, tensors = max(2, rows - rows % 2), {name: each for name, each in vars(self).items() if each is not None}
        parts = [slice(start, start + size) for start in range(0, len(self.ids), size)]
        return [replace(self, **{name: each[part] for name, each in tensors.items()}) for part in parts]

    def to(self, device: torch.device) -> PairBatch:
        """Move to a device."""
        return replace(self, **{name: each.to(device) for name, each in vars(self).items() if each is not None})


def pair_batch(pairs: Sequence[RenderedPair], length: int, pad: int) -> PairBatch:
    """Lay pairs into one batch."""
    both = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    rows = [Rendered([*side.ids, pad], [*side.mask, False]) for side in both]  # so that no row's end is cut off
    batch = masked_batch(rows, length, pad)
    reference = torch.tensor([value for pair in pairs for value in pair.reference])
    return PairBatch(batch.ids, batch.targets, None, reference)


@dataclass(frozen=True)
class PairBatches:
    """Batches of `pairs` in a new random order each epoch; `rows` counts single answers."""

    pairs: Sequence[RenderedPair]
    rows: int
    length: int
    seed: int
    pad: int

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches without end, each with the state from which the next one follows."""
        order = Order(lambda epoch: np.random.default_rng([self.seed, epoch]).permutation(len(self.pairs)), state)
        while True:
            chosen = [self.pairs[index] for index in order.take(max(1, self.rows // 2))]
            yield pair_batch(chosen, self.length, self.pad), order.state()
