"""Batches resume exactly, predict every token once, and keep documents separate."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.data.batches import (
    IGNORED,
    ArrayTokens,
    Batch,
    PackedBatches,
    StreamBatches,
    WindowBatches,
    overlapping_windows,
    whole_windows,
)
from scratchlm.tokens.chat import Rendered

PAD = 999


def places(count: int) -> ArrayTokens:
    """Tokens that are their own positions, so that a target shows where it stood."""
    return ArrayTokens(np.arange(count))


def samples() -> list[Rendered]:
    """Conversations of lengths 2 to 31 whose ids tell which they are; some longer than a row of 20."""
    lengths = [5, 9, 2, 31, 12, 7, 3, 20, 21, 4, 15]
    return [
        Rendered([100 * n + i for i in range(size)], [i >= 1 for i in range(size)]) for n, size in enumerate(lengths)
    ]


SOURCES = {
    "windows": WindowBatches(places(8 * 11 * 4 + 30), rows=4, length=8, seed=1),
    "windows, more rows than an epoch has": WindowBatches(places(40), rows=6, length=8, seed=1),
    "packed": PackedBatches(samples(), rows=3, length=20, seed=1, pad=PAD),
}


def same(one: Batch, other: Batch) -> bool:
    documents = (one.documents, other.documents)
    return (
        torch.equal(one.ids, other.ids)
        and torch.equal(one.targets, other.targets)
        and (documents == (None, None) or torch.equal(*documents))
    )


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_state_gives_exactly_the_next_batch_across_epochs(source) -> None:
    run = list(itertools.islice(source(None), 40))
    assert run[-1][1]["epoch"] >= 2
    for taken in range(39):
        resumed = itertools.islice(source(dict(run[taken][1])), 2)
        for (batch, state), (expected, expected_state) in zip(resumed, run[taken + 1 : taken + 3], strict=False):
            assert same(batch, expected)
            assert state == expected_state


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_epochs_differ_in_order_and_equal_seeds_do_not(source) -> None:
    first, again = (list(itertools.islice(source(None), 30)) for _ in range(2))
    assert all(same(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert len({batch.ids.numpy().tobytes() for batch, _ in first}) > 20  # the smallest corpus has few orders


def test_another_seed_gives_another_order() -> None:
    one, other = (next(WindowBatches(places(400), 4, 8, seed)())[0] for seed in (1, 2))
    assert not same(one, other)


def test_every_target_is_the_token_after_its_id() -> None:
    for batch, _ in itertools.islice(SOURCES["windows"](None), 30):
        assert batch.ids.shape == batch.targets.shape == (4, 8)
        assert torch.equal(batch.targets, batch.ids + 1)
        assert batch.target_count == 32


def test_an_epoch_predicts_every_token_once_but_fewer_than_two_windows_at_its_ends() -> None:
    total, length = 403, 8
    by_epoch: dict[int, Counter] = {}
    for batch, state in itertools.islice(WindowBatches(places(total), 1, length, 3)(), 300):
        by_epoch.setdefault(state["epoch"], Counter()).update(batch.targets.flatten().tolist())
    finished = list(by_epoch.values())[:-1]
    assert len(finished) > 4
    for counts in finished:
        assert set(counts.values()) == {1}
        assert total - 1 - 2 * length < len(counts) <= total - 1
    assert len({min(counts) for counts in finished}) > 1  # the offset changes, so every token is used in some epoch


@pytest.mark.parametrize("total", [9, 10, 11, 17])
def test_the_smallest_corpora_fill_a_window(total: int) -> None:
    batch, _ = next(WindowBatches(places(total), 2, 8, 0)())
    assert batch.targets.max() < total
    with pytest.raises(UserError, match="8 tokens are fewer than one window of 8"):
        WindowBatches(places(8), 2, 8, 0)


@pytest.mark.parametrize(("total", "length", "rows"), [(1, 8, 4), (32, 8, 4), (33, 8, 4), (100, 7, 3), (5, 100, 2)])
def test_whole_windows_predict_every_token_exactly_once_each_from_the_one_before(total, length, rows) -> None:
    ids = np.random.default_rng(0).integers(0, 50, total)
    targets, before = [], []
    for batch in whole_windows(ArrayTokens(ids), length, rows, first=77):
        assert batch.ids.shape[1] == length
        assert len(batch.ids) <= rows
        here = batch.targets != IGNORED
        targets += batch.targets[here].tolist()
        before += batch.ids[here].tolist()
    assert targets == ids.tolist()
    assert before == [77, *ids.tolist()[:-1]]


@pytest.mark.parametrize(
    ("total", "length", "stride", "rows"),
    [(1, 8, 4, 4), (8, 8, 4, 4), (9, 8, 4, 1), (100, 8, 3, 2), (101, 7, 7, 3), (100, 8, 1, 5), (5, 100, 50, 2)],
)
def test_overlapping_windows_predict_every_token_once_with_enough_context(total, length, stride, rows) -> None:
    targets = []
    for batch in overlapping_windows(places(total), length, stride, rows, first=777):
        assert batch.ids.shape[1] == length
        assert len(batch.ids) <= rows
        for ids, wanted in zip(batch.ids.tolist(), batch.targets.tolist(), strict=True):
            for at, target in enumerate(wanted):
                if target != IGNORED:
                    targets.append(target)
                    seen = range(target - at - 1, target)  # the tokens of the window up to the one before
                    assert ids[: at + 1] == [777 if place < 0 else place for place in seen]
                    assert at >= min(target, length - stride)
    assert targets == list(range(total))


def test_overlapping_windows_without_overlap_are_the_whole_windows() -> None:
    tokens = ArrayTokens(np.random.default_rng(0).integers(0, 50, 100))
    pairs = zip(overlapping_windows(tokens, 7, 7, 3, 77), whole_windows(tokens, 7, 3, 77), strict=True)
    for one, other in pairs:
        assert torch.equal(one.targets, other.targets)
        wanted = one.targets != IGNORED
        assert torch.equal(one.ids[wanted], other.ids[wanted])


@pytest.mark.parametrize(("total", "rows", "length"), [(400, 4, 8), (37, 3, 5), (9, 2, 8)])
def test_each_row_of_a_stream_goes_on_where_it_ended(total: int, rows: int, length: int) -> None:
    batches = [batch for batch, _ in itertools.islice(StreamBatches(places(total), rows, length, 5)(), 60)]
    for before, after in itertools.pairwise(batches):
        assert after.ids[:, 0].tolist() == before.targets[:, -1].tolist()
    for batch in batches:
        assert batch.ids.shape == batch.targets.shape == (rows, length)
        assert torch.equal(batch.targets, (batch.ids + 1) % total)  # the beginning follows the end
    once = batches[: total // (rows * length)]  # a pass over the text, except less than a batch
    assert len({token for batch in once for token in batch.ids.flatten().tolist()}) >= total - 2 * rows * length


def test_a_stream_resumes_at_its_next_batch_and_begins_where_its_seed_says() -> None:
    source = StreamBatches(places(400), 4, 8, 5)
    run = list(itertools.islice(source(), 6))
    resumed = next(source(dict(run[3][1])))
    assert same(resumed[0], run[4][0])
    assert resumed[1] == run[4][1]
    assert not same(next(StreamBatches(places(400), 4, 8, 6)())[0], run[0][0])
    with pytest.raises(UserError, match="8 tokens are fewer than one window of 8"):
        StreamBatches(places(8), 2, 8, 0)


def test_packed_rows_never_mix_documents_and_lose_no_target() -> None:
    data = samples()
    source = PackedBatches(data, rows=3, length=20, seed=1, pad=PAD)
    seen: Counter[int] = Counter()
    for batch, _ in itertools.islice(source(), 40):
        for ids, targets, documents in zip(batch.ids, batch.targets, batch.documents, strict=True):
            for number in documents.unique().tolist():
                inside = documents == number
                owners = set((ids[inside] // 100).tolist())
                assert len(owners) == 1
                if PAD in ids[inside].tolist():
                    assert (targets[inside] == IGNORED).all()
                    continue
                (owner,) = owners
                width = min(len(data[owner].ids) - 1, 20)
                assert ids[inside].tolist() == data[owner].ids[:width]
                assert targets[inside].tolist() == data[owner].ids[1 : width + 1]
                seen[owner] += 1
    assert set(seen) == set(range(len(data)))
    assert max(seen.values()) - min(seen.values()) <= 1  # once an epoch each


def test_only_masked_tokens_are_targets() -> None:
    sample = Rendered([1, 2, 3, 4, 5], [False, False, True, False, True])
    batch, _ = next(PackedBatches([sample], rows=1, length=6, seed=0, pad=PAD)())
    assert batch.ids.tolist() == [[1, 2, 3, 4, PAD, PAD]]
    assert batch.targets.tolist() == [[IGNORED, 3, IGNORED, 5, IGNORED, IGNORED]]
    assert batch.documents.tolist() == [[1, 1, 1, 1, 2, 2]]


def test_conversations_without_a_reply_within_a_row_are_refused() -> None:
    late = Rendered(list(range(30)), [False] * 25 + [True] * 5)
    with pytest.raises(UserError, match="none has an assistant's reply within 20 tokens"):
        PackedBatches([late], rows=1, length=20, seed=0, pad=PAD)
    with pytest.raises(UserError, match="none has an assistant's reply"):
        PackedBatches([], rows=1, length=20, seed=0, pad=PAD)


def test_a_batch_splits_into_micro_batches_that_concatenate_to_it() -> None:
    batch = next(SOURCES["packed"](None))[0]
    for rows in (1, 2, 3, None, 9):
        parts = batch.split(rows)
        assert all(len(part.ids) <= (rows or 3) for part in parts)
        joined = Batch(*(torch.cat([getattr(p, name) for p in parts]) for name in ("ids", "targets", "documents")))
        assert same(joined, batch)
        assert sum(part.target_count for part in parts) == batch.target_count
