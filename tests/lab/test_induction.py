"""The experiment on induction heads: its text, its test rows, and how it measures a bump."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scratchlm.data.batches import ArrayTokens
from scratchlm.inspection.heads import induction_scores
from scratchlm.lab.experiments.induction import measure
from scratchlm.lab.shared.copying import name
from scratchlm.model.decoder import build_decoder
from scratchlm.model.presets import qwen3_shaped


def test_every_phrase_stands_twice_and_nothing_is_lost() -> None:
    ids = np.arange(1000)
    text = measure.said_twice(ids, 3)
    assert len(text) == 2 * len(ids)
    firsts, at = [], 0
    while at < len(text):
        back = np.flatnonzero(text[at + 1 :] == text[at])[0] + 1  # ids are unique, so the phrase ends before its echo
        assert measure.SHORTEST <= back <= measure.LONGEST or at + 2 * back == len(text)
        assert np.array_equal(text[at : at + back], text[at + back : at + 2 * back])
        firsts.append(text[at : at + back])
        at += 2 * back
    assert np.array_equal(np.concatenate(firsts), ids)
    assert not np.array_equal(text, measure.said_twice(ids, 4))


def test_rows_repeat_tokens_of_the_training_text_alone() -> None:
    train, held_out = ArrayTokens(np.array([3, 9, 27, 81] * 20)), ArrayTokens(np.arange(100, 300))
    probes = measure.probes_of(train, held_out, 5)
    for ids, period in zip(probes, [measure.PERIOD] * 3 + [measure.FAR], strict=True):
        assert ids.shape == (5, 2 * period)
        assert torch.equal(ids[:, :period], ids[:, period:])
    assert set(torch.cat([probes.choosing, probes.testing]).unique().tolist()) == {3, 9, 27, 81}
    assert not torch.equal(probes.choosing, probes.testing)
    assert probes.phrases[0, 0] == 100
    assert probes.phrases[-1, -1] == 300 - 1


def test_a_bump_is_measured_where_the_score_rises_most() -> None:
    scores, losses = [0, 0, 0.1, 0.1, 0.2, 0.5, 0.8, 0.8, 0.8], [7, 5, 4.5, 4.4, 4.0, 2.0, 1.0, 0.9, 0.9]
    own = [{"step": at, "score": score, "phrases.first": 8.0, "phrases.second": loss}
           for at, (score, loss) in enumerate(zip(scores, losses, strict=True))]  # fmt: skip
    other = [
        {"step": at, "score": 0.0, "phrases.first": 8 - at / 20, "phrases.second": 5 - at / 10}
        for at in range(len(own))
    ]
    fall, beside, at = measure.bump(own, other)
    assert (fall, beside, at) == (pytest.approx(3.4), pytest.approx(0.15), 3)
    assert measure.tokens_needed(own) == 5 * measure.ROWS * measure.LENGTH / 1e6
    assert measure.tokens_needed(other) is None


def test_each_head_is_tested_and_the_best_is_chosen_on_other_rows() -> None:
    decoder = build_decoder(qwen3_shaped(40, width=32, layers=2, context=measure.LENGTH, head_dim=16), 0).eval()
    draw = np.random.default_rng(0)
    probes = measure.probes_of(ArrayTokens(draw.integers(0, 36, 500)), ArrayTokens(draw.integers(0, 36, 200)), 4)
    results = measure.measured(decoder, probes)
    assert list(results["without"]) == list(results["scores"]) == ["1.1", "1.2", "2.1", "2.2"]
    scores = induction_scores(decoder, probes.choosing, measure.PERIOD)
    assert results["best"] == name(max(scores, key=lambda head: scores[head]))
    assert all(len(rows) == 4 for rows in results["without"].values())
