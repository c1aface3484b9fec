"""Networks that translate: equal weights, a grid that prefers what learns, and scores of translations."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu import CHRF, corpus_bleu

from scratchlm.lab.shared.translation_scores import bleu, bleu_gain, scored
from scratchlm.lab.shared.translators import (
    best_of,
    build,
    held_out_loss,
    ids_of,
    optimizers,
    rate_at_edge,
    train,
    tune,
    width_of,
    writer,
)
from scratchlm.training.config import MuonConfig

WRITTEN = ["das ist ein Haus .", "ich sehe einen alten Hund im Garten", "nein"]
REFERENCES = [["das ist ein Haus."], ["ich sehe einen Hund im Garten", "ich sehe den alten Hund im Garten"], ["ja"]]
PAIRS = [(f"{a} see {b} {n}.", f"{c} sehe {d} {n}.") for n in range(12) for a, c in (("I", "ich"), ("you", "du"))
         for b, d in (("dogs", "Hunde"), ("cats", "Katzen"))]  # fmt: skip
KINDS = ("recurrent", "attention", "transformer", "decoder")


def test_scores_are_those_of_sacrebleu() -> None:
    found = scored(WRITTEN, REFERENCES)
    lists = [[refs[min(at, len(refs) - 1)] for refs in REFERENCES] for at in (0, 1)]
    assert found["bleu"] == pytest.approx(corpus_bleu(WRITTEN, lists).score)
    each = [CHRF().sentence_score(text, refs).score for text, refs in zip(WRITTEN, REFERENCES, strict=True)]
    assert found["each"] == pytest.approx(each)
    assert found["chrf"] == pytest.approx(np.mean(each))
    value = bleu(np.array(found["counts"]), [0, 1, 2])
    assert value.value == pytest.approx(found["bleu"])
    assert value.ends[0] < value.value < value.ends[1]


def test_copies_of_a_cluster_do_not_narrow_the_interval_of_bleu() -> None:
    counts = np.array(scored(WRITTEN, REFERENCES)["counts"])
    once = bleu(counts, [0, 1, 2])
    again = bleu(np.concatenate([counts, counts]), [0, 1, 2, 0, 1, 2])
    apart = bleu(np.concatenate([counts, counts]), range(6))
    assert again.ends == pytest.approx(once.ends)
    assert apart.ends[0] > once.ends[0]


def test_a_gain_in_bleu_is_paired() -> None:
    counts = np.array(scored(WRITTEN, REFERENCES)["counts"])
    assert bleu_gain(counts, counts, [0, 1, 2])[:2] == (0.0, (0.0, 0.0))
    perfect = np.array(scored([refs[0] for refs in REFERENCES], REFERENCES)["counts"])
    found = bleu_gain(counts, perfect, [0, 1, 2])
    assert found.difference == pytest.approx(bleu(perfect, [0, 1, 2]).value - bleu(counts, [0, 1, 2]).value)


def test_networks_have_at_least_as_many_weights_as_the_transformer_and_hardly_more() -> None:
    wanted = build("transformer", 300, 32, 0).parameter_count()
    for kind in KINDS:
        width = width_of(kind, 300, 32)
        assert wanted <= build(kind, 300, width, 0).parameter_count() < 1.2 * wanted


def test_the_grid_prefers_the_optimizer_that_learns_most() -> None:
    losses = {"transformer": {"AdamW 0.003": 3.0, "Muon 0.04": 2.0, "Muon 0.01": 2.5}, "attention": {"AdamW 0.01": 1.0}}
    best = best_of(losses, "transformer")
    assert isinstance(optimizers()[best], MuonConfig)
    assert optimizers()[best].learning_rate == 0.04
    assert best_of(losses, "decoder") == best == "Muon 0.04"
    assert optimizers()[best_of(losses, "attention")].learning_rate == 0.01
    assert [rate_at_edge(name) for name in ("Muon 0.08", "Muon 0.02", "AdamW 0.001", "AdamW 0.01")] == [True, False] * 2
    found = tune(PAIRS, 280, 32, 30, 0)
    assert {kind: set(tried) for kind, tried in found.items()} == {
        kind: set(optimizers()) for kind in ("recurrent", "attention", "transformer")
    }


def test_the_loss_of_held_out_pairs_falls_with_training_and_all_networks_write() -> None:
    learned = ids_of(PAIRS, 280)
    for kind in KINDS:
        few, many = (train(kind, learned, 32, optimizers()["AdamW 0.01"], epochs, 0) for epochs in (1, 20))
        assert held_out_loss(many, learned.rows, learned) < held_out_loss(few, learned.rows, learned) - 0.3
        written = writer(many, learned)([source for source, _ in learned.rows[:8]])
        assert len(written) == 8
        assert any(written)
    transformer = train("transformer", learned, 32, optimizers()["AdamW 0.01"], 20, 0)
    sources = [source for source, _ in learned.rows]
    greedy, searched = (writer(transformer, learned, beam)(sources) for beam in (1, 3))
    right = [sum(a == b for a, (_, b) in zip(found, learned.rows, strict=True)) for found in (greedy, searched)]
    assert right[1] >= right[0]
