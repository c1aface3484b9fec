"""Batches that a thread makes ahead are those of the stream, with their states, errors and end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.data.batches import ArrayTokens, Batch, State, WindowBatches
from scratchlm.training.prefetching import MadeAhead, for_device
from toys import random_ids

WAIT = 30.0


def unchanged(batch: Batch) -> Batch:
    return batch


def windows(state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
    return WindowBatches(ArrayTokens(random_ids(1, 300)[0].numpy()), rows=2, length=16, seed=1)(state)


def few(count: int) -> Iterator[tuple[Batch, State]]:
    for number in range(count):
        yield Batch(torch.full((1, 2), number), torch.full((1, 2), number)), {"index": number}


def test_batches_and_states_are_those_of_the_source_after_a_resume_too() -> None:
    ours, later = MadeAhead(windows, unchanged)(), None
    for (batch, state), (made, told), _ in zip(windows(), ours, range(40), strict=False):
        assert told == state
        assert torch.equal(made.ids, batch.ids)
        assert torch.equal(made.targets, batch.targets)
        assert made.starts is not None
        later = state
    first = next(MadeAhead(windows, unchanged)(later))[0]
    assert torch.equal(first.ids, next(windows(later))[0].ids)
    assert [state["index"] for _, state in MadeAhead(lambda _: few(5), unchanged)()] == [0, 1, 2, 3, 4]
    assert list(MadeAhead(lambda _: few(0), unchanged)()) == []


def test_only_a_gpu_has_its_batches_made_ahead() -> None:
    assert for_device(windows, torch.device("cpu")) is windows
    assert isinstance(for_device(windows, torch.device("cuda")), MadeAhead)


def test_the_next_batch_is_made_while_the_last_is_in_use_and_by_no_more_than_one() -> None:
    made, asked = threading.Semaphore(0), []

    def stream(_: object) -> Iterator[tuple[Batch, State]]:
        for each in few(10):
            asked.append(threading.current_thread())
            yield each
            made.release()  # it is asked for the one after

    given = MadeAhead(stream, unchanged)()
    next(given)
    assert made.acquire(timeout=WAIT)
    next(given)
    assert made.acquire(timeout=WAIT)
    given.close()
    assert len(asked) == 3
    assert threading.current_thread() not in asked


def test_batches_are_changed_in_the_thread_and_an_error_comes_in_its_place() -> None:
    def broken(_: object) -> Iterator[tuple[Batch, State]]:
        yield from few(2)
        raise UserError("shard 3: is gone")

    def plus_ten(batch: Batch) -> Batch:
        threads.append(threading.current_thread())
        return Batch(batch.ids + 10, batch.targets)

    threads: list[threading.Thread] = []
    given = MadeAhead(broken, plus_ten)()
    assert [next(given)[0].ids[0, 0].item() for _ in range(2)] == [10, 11]
    with pytest.raises(UserError, match="is gone"):
        next(given)
    assert threads
    assert threading.current_thread() not in threads
