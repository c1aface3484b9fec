"""Batches that a thread makes ahead are those of the stream, with their states, errors and end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.data.batches import ArrayTokens, Batch, State, WindowBatches
from scratchlm.training.prefetching import batches_on, made_ahead
from toys import random_ids

WAIT = 30.0


def unchanged(tensor: Tensor) -> Tensor:
    return tensor


def windows() -> Iterator[tuple[Batch, State]]:
    return WindowBatches(ArrayTokens(random_ids(1, 300)[0].numpy()), rows=2, length=16, seed=1)(None)


def few(count: int) -> Iterator[tuple[Batch, State]]:
    for number in range(count):
        yield Batch(torch.full((1, 2), number), torch.full((1, 2), number)), {"index": number}


@pytest.mark.parametrize("place", ["ahead", "cpu"])
def test_batches_and_states_are_those_of_the_stream(place: str) -> None:
    given = made_ahead(windows(), unchanged) if place == "ahead" else batches_on(torch.device("cpu"), windows())
    for (batch, state), (ours, told), _ in zip(windows(), given, range(40), strict=False):
        assert told == state
        assert torch.equal(ours.ids, batch.ids)
        assert torch.equal(ours.targets, batch.targets)
    assert [state["index"] for _, state in made_ahead(few(5), unchanged)] == [0, 1, 2, 3, 4]
    assert list(made_ahead(few(0), unchanged)) == []


def test_the_next_batch_is_made_while_the_last_is_in_use_and_by_no_more_than_one() -> None:
    made, asked = threading.Semaphore(0), []

    def stream() -> Iterator[tuple[Batch, State]]:
        for each in few(10):
            asked.append(threading.current_thread())
            yield each
            made.release()  # it is asked for the one after

    given = made_ahead(stream(), unchanged)
    next(given)
    assert made.acquire(timeout=WAIT)
    next(given)
    assert made.acquire(timeout=WAIT)
    given.close()
    assert len(asked) == 3
    assert threading.current_thread() not in asked


def test_tensors_are_changed_in_the_thread_and_an_error_comes_in_its_place() -> None:
    def broken() -> Iterator[tuple[Batch, State]]:
        yield from few(2)
        raise UserError("shard 3: is gone")

    given = made_ahead(broken(), lambda tensor: tensor + 10)
    assert [next(given)[0].ids[0, 0].item() for _ in range(2)] == [10, 11]
    with pytest.raises(UserError, match="is gone"):
        next(given)
