"""Both networks are tuned alike, and the experiments that use the search read the tokens that they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scratchlm.classic.recurrent import RecurrentDecoder
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared import language_tuning
from scratchlm.lab.shared.booktext import BookText
from scratchlm.lab.shared.language_tuning import (
    KINDS,
    Choice,
    GridPoint,
    best_order,
    build,
    cut,
    grid,
    read_on,
    train,
    try_lower_rates,
    tune,
    tune_orders,
)
from scratchlm.training.config import AdamWConfig, MuonConfig
from scratchlm.training.loop import Loop
from toys import byte_tokenizer

TOKENIZER = byte_tokenizer()
assert TOKENIZER.end_of_text is not None
END = TOKENIZER.end_of_text


def toy_text(sentence: str = "the cat sat on the mat. ") -> BookText:
    books = [[*TOKENIZER.encode(sentence * 20), END] for _ in range(6)]
    ids = np.array([id for book in books for id in book])
    return BookText(TOKENIZER, END, ids, ids[: 2 * len(books[0])], 2 * (len(books[0]) - 1))


def test_the_grid_has_each_optimizer_with_each_rate_and_shape_once() -> None:
    settings = grid((3, 4))
    assert len(settings) == len({each.key for each in settings}) == 16
    assert {each.optimizer for each in settings} == {"AdamW", "Muon"}
    muon, adamw = (GridPoint(name, 0.02, 4).config for name in ("Muon", "AdamW"))
    assert isinstance(muon, MuonConfig)
    assert muon.learning_rate == 0.02
    assert isinstance(adamw, AdamWConfig)
    assert adamw.learning_rate == 0.02


def test_the_validation_text_is_the_end_of_the_training_text() -> None:
    text = toy_text()
    shorter, validation = cut(text)
    assert np.concatenate([shorter.train, validation]).tolist() == text.train.tolist()
    assert shorter.held_out is text.held_out
    assert len(validation) == len(text.train) // 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_trains_on_as_many_tokens_as_it_is_given(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    whole = Loop.train_step

    def counted(loop: Loop, batch):  # type: ignore[no-untyped-def]
        read.append(batch.ids.numel())
        return whole(loop, batch)

    monkeypatch.setattr(Loop, "train_step", counted)
    text = toy_text()
    size = {"lstm": 8, "transformer": 1}[kind]
    model = train(kind, GridPoint("Muon", 0.02, size), text, 8192, seed=0)
    assert sum(read) == 8192
    assert set(read) == {1024}
    assert isinstance(model, RecurrentDecoder) == (kind == "lstm")


def test_an_lstm_reads_a_book_on_and_a_transformer_in_overlapping_windows() -> None:
    text = toy_text()
    lstm, transformer = (
        build(kind, size, TOKENIZER.vocabulary_size, 0) for kind, size in (("lstm", 8), ("transformer", 1))
    )
    book = text.documents(text.held_out)[1]
    with torch.no_grad():
        ids = torch.from_numpy(book)[None]
        scores = lstm(ids[:, :-1])[0].log_softmax(-1)
        whole = -scores.gather(1, ids[0, 1:, None])[:, 0].numpy()
    np.testing.assert_allclose(read_on(lstm, text, text.held_out)[len(book) - 1 :], whole, rtol=1e-4, atol=1e-5)
    found = read_on(transformer, text, text.held_out)
    expected = token_nats(transformer, TOKENIZER, ArrayTokens(text.held_out), stride=128)
    assert found.tolist() == expected.tolist()
    assert len(found) == len(text.held_out)


def test_every_setting_is_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_tuning, "OPTIMIZERS", {"AdamW": (0.01, 1e-9)})
    text, validation = cut(toy_text())
    found = tune("lstm", (8,), text, validation, 1.0, Steps(tmp_path, "key"))
    assert [each.setting.rate for each in found] == [0.01, 1e-9]
    assert found[0].bits < found[1].bits - 0.2  # the second rate learns nothing
    assert found[0].flops == build("lstm", 8, TOKENIZER.vocabulary_size, 0).flops_per_token(256)
    assert tune("lstm", (8,), text, validation, 1.0, Steps(tmp_path, "key")) == found


def test_the_rate_of_the_best_setting_is_halved_in_full_training_until_that_helps_no_more() -> None:
    bits = {("Muon", 0.01, 3): 2.1, ("Muon", 0.04, 3): 2.0, ("Muon", 0.02, 4): 2.05}
    choices = [Choice(GridPoint(*key), value, seconds=1.0, flops=1.0) for key, value in bits.items()]

    def tried(full: dict[float, float]) -> list[GridPoint]:
        return [each.setting for each in try_lower_rates(choices, lambda each: {"validation": full[each.setting.rate]})]

    assert tried({0.04: 1.9, 0.02: 1.8, 0.01: 1.85}) == [GridPoint("Muon", rate, 3) for rate in (0.04, 0.02, 0.01)]
    assert tried({0.04: 1.9, 0.02: 1.9}) == [GridPoint("Muon", rate, 3) for rate in (0.04, 0.02)]
    rates = [0.04, 0.02, 0.01, 0.005]
    assert tried({rate: rate for rate in (*rates, 0.0025)}) == [GridPoint("Muon", rate, 3) for rate in rates]


def test_the_order_of_n_grams_is_that_with_the_fewest_bits(tmp_path: Path) -> None:
    found = tune_orders(*cut(toy_text()), Steps(tmp_path, "key"))
    assert list(found["kneser"]) == ["1", "2", "3", "4", "5", "6"]
    assert list(found["katz"]) == ["2", "3", "4", "5", "6"]
    assert found["kneser"]["1"] > found["kneser"]["2"] > found["kneser"]["3"]  # a text of one sentence
    assert best_order(found["kneser"]) >= 3
    assert best_order({"2": 1.5, "3": 1.4, "4": 1.6}) == 3
