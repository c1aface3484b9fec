"""An ensemble is the mean of its members' probabilities, and a position that reads both ways sees later ones."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scratchlm.model.ensemble import Ensemble
from toys import CONTEXT, TOYS, random_decoder, random_ids, toy_config


def test_the_probabilities_are_the_mean_of_the_members() -> None:
    members = [random_decoder(toy_config(name), seed) for seed, name in enumerate(TOYS)]
    ids = random_ids(3, 10)
    expected = torch.stack([member(ids).softmax(-1) for member in members]).mean(0)
    torch.testing.assert_close(Ensemble(members)(ids).softmax(-1), expected, rtol=1e-4, atol=1e-6)


def test_an_ensemble_reads_no_more_than_its_members() -> None:
    short = random_decoder(toy_config("default", context=CONTEXT // 2))
    assert Ensemble([random_decoder(toy_config("default")), short]).config.context == CONTEXT // 2


@pytest.mark.parametrize("name", TOYS)
def test_read_both_ways_each_position_sees_those_after_it(name: str) -> None:
    decoder, ids = random_decoder(toy_config(name)), random_ids(1, 12)
    changed = ids.clone()
    changed[0, 9] = (ids[0, 9] + 1) % 61
    forwards = (decoder.hidden(ids) - decoder.hidden(changed)).abs().amax((0, 2))
    both = (decoder.hidden(ids, bidirectional=True) - decoder.hidden(changed, bidirectional=True)).abs().amax((0, 2))
    assert forwards[:9].max() == 0.0
    assert both.min() > 1e-4


def test_read_both_ways_windows_and_documents_hold() -> None:
    config = toy_config("default", layers=1)
    config = dataclasses.replace(config, attention=dataclasses.replace(config.attention, window=3))
    decoder, ids = random_decoder(config), random_ids(1, 12)
    documents = torch.tensor([[1] * 7 + [2] * 5])
    changed = ids.clone()
    changed[0, 5] = (ids[0, 5] + 1) % 61
    one, other = (decoder.hidden(each, documents=documents, bidirectional=True) for each in (ids, changed))
    assert (one - other).abs().amax((0, 2)).nonzero().flatten().tolist() == [3, 4, 5, 6]  # 7 is near, and another's
