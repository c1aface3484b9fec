"""A mixture reads each corpus by its weight, in an order of its own, and goes on exactly where it was in each."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.base.errors import UserError
from scratchlm.data.batches import WindowBatches
from scratchlm.data.mixture import Corpus, MixedBatches, Mixture, mixed, mixture_problems, windows
from scratchlm.data.shards import ShardSet, ShardWriter
from scratchlm.training.config import SizeWarmupConfig, TrainingConfig
from scratchlm.training.stages import corpora_read, training_batches
from toys import byte_tokenizer

SIZES = (900, 300, 120)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Corpus]:
    """Corpora of which each has ids of its own hundred."""
    place, tokenizer, found = tmp_path_factory.mktemp("corpora"), byte_tokenizer(), []
    for number, size in enumerate(SIZES):
        path = place / f"{number}.tokens"
        with ShardWriter(path, tokenizer.fingerprint, tokenizer.vocabulary_size) as writer:
            writer.add_document(np.arange(size) % 80 + 80 * number)
        found.append(Corpus("abc"[number], ShardSet.open(place, str(number))))
    return found


def of_rows(batch_ids: torch.Tensor) -> list[int]:
    """Return which corpus each row is of; a row of two would fail."""
    corpus = batch_ids // 80
    assert bool((corpus == corpus[:, :1]).all())
    return corpus[:, 0].tolist()


@settings(max_examples=30)
@given(st.lists(st.floats(0.01, 50), min_size=3, max_size=3), st.integers(1, 7))
def test_after_any_batch_no_corpus_is_much_more_than_a_row_from_its_share(
    corpora: list[Corpus], weights: list[float], rows: int
) -> None:
    batches = MixedBatches(Mixture(corpora, tuple(weights)), rows, 8, 0)
    counts, share = np.zeros(3), np.array(weights) / sum(weights)
    for batch, _ in islice(batches(None), 20):
        for number in of_rows(batch.ids):
            counts[number] += 1
        assert np.abs(counts - share * counts.sum()).max() < 1.2


def test_each_corpus_is_read_in_the_order_that_it_has_alone(corpora: list[Corpus]) -> None:
    mixture, read = Mixture(corpora, (2, 1, 1)), {0: [], 1: [], 2: []}
    for batch, _ in islice(MixedBatches(mixture, 4, 8, 3)(None), 40):
        for number, start in zip(of_rows(batch.ids), batch.starts.tolist(), strict=True):
            read[number].append(start - int(mixture.begins[number]))
    for number, corpus in enumerate(corpora):
        alone = WindowBatches(corpus.tokens, 1, 8, 3)
        assert read[number] == [int(b.starts[0]) for b, _ in islice(alone(None), len(read[number]))]
    assert len(read[2]) * 8 > SIZES[2]  # the smallest has begun again


@pytest.mark.parametrize("stop", [1, 7, 12, 13, 29])
def test_a_run_goes_on_from_any_state(corpora: list[Corpus], stop: int) -> None:
    mixture = mixed(corpora, "3,1,1", "12=1,1,8")
    warmup = SizeWarmupConfig(fraction=0.25, batch_size=3, sequence_length=4)
    config = TrainingConfig(steps=40, batch_size=5, sequence_length=8, size_warmup=warmup)
    batches = training_batches(mixture, config, 1)
    whole = list(islice(batches(None), 40))
    again = list(islice(batches(whole[stop - 1][1]), 40 - stop))
    for (one, state), (other, same) in zip(whole[stop:], again, strict=True):
        assert torch.equal(one.ids, other.ids)
        assert state == same


def test_weights_change_after_the_step_that_was_named(corpora: list[Corpus]) -> None:
    mixture = mixed(corpora[:2], "9,1", "30=1,9")
    config = TrainingConfig(
        steps=60, batch_size=10, sequence_length=8, size_warmup=SizeWarmupConfig(fraction=0.2, batch_size=10)
    )
    shares = [of_rows(batch.ids).count(1) for batch, _ in islice(training_batches(mixture, config, 0)(None), 60)]
    assert shares == [1] * 30 + [9] * 30


def test_what_is_read_of_each_corpus_is_counted(corpora: list[Corpus]) -> None:
    mixture = mixed(corpora, "", "")
    assert mixture.weights == pytest.approx(np.array(SIZES) / sum(SIZES))
    config = TrainingConfig(steps=33, batch_size=10, sequence_length=8)
    assert [each.epochs for each in corpora_read(mixture, config, 0)] == [2.0, 2.0, 2.0]
    changed = mixed(corpora[:2], "1,1", "11=1,3")
    read = [(each.name, each.tokens, each.epochs) for each in corpora_read(changed, config, 0)]
    assert read == [("a", 900, pytest.approx(0.978, abs=1e-3)), ("b", 300, pytest.approx(5.867, abs=1e-3))]
    assert corpora_read(corpora[0].tokens, config, 0) == []
    assert isinstance(windows(corpora[0].tokens, 2, 8, 0), WindowBatches)


def test_a_corpus_that_fills_no_window_is_named(corpora: list[Corpus]) -> None:
    with pytest.raises(UserError, match="c: training data: 120 tokens are fewer than one window of 200"):
        MixedBatches(Mixture(corpora, (1, 1, 1)), 2, 200, 0)


@pytest.mark.parametrize(
    ("corpora", "mix", "after", "told"),
    [
        (1, "3,1", "", "--mix 3,1: needs several corpora"),
        (2, "3", "", "--mix 3: is 1 of the 2 weights"),
        (2, "3,0", "", "every weight must be over 0"),
        (2, "3,-1", "", "every weight must be over 0"),
        (2, "nan,1", "", "every weight must be over 0"),
        (2, "a,b", "", "--mix a,b: weights are numbers"),
        (2, "", "5", "--mix-after 5: give a step and weights"),
        (2, "", "0=1,2", "--mix-after 0=1,2: give a step and weights"),
        (2, "", "²=1,2", "give a step and weights"),
        (2, "", "9=1", "--mix-after 9=1: is 1 of the 2 weights"),
        (2, "", "1000=1,2", "--mix-after 1000=1,2: the run has 1000 steps"),
    ],
)
def test_wrong_weights_are_one_line_each(corpora: int, mix: str, after: str, told: str) -> None:
    (problem,) = mixture_problems(corpora, mix, after, 1000)
    assert told in problem
    assert mixture_problems(2, "3,1", "900=0.5,1e3", 1000) == []


def test_no_mixture_is_made_of_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no token shards given"):
        Mixture([], ())
