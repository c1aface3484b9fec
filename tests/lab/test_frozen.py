"""Parts of a very small model trained alone, and changes of weights."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
import torch

from scratchlm.lab.experiments.ablations.measure import UNTRAINED, add_noise, counts_of, cut, cut_random
from scratchlm.lab.experiments.config import AblationsConfig
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.frozen import LARGER, PARTS, Frozen, optimizer_of, search_rates, shape_of
from scratchlm.lab.shared.small_model import prepare_text
from scratchlm.model.decoder import build_decoder
from scratchlm.training.config import AdamWConfig, MuonConfig


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    draw, folder = random.Random(0), tmp_path_factory.mktemp("frozen")
    words = ["fox", "river", "stone", "old", "sings", "walks", "under", "sees"]
    lines = [json.dumps({"text": " ".join(draw.choices(words, k=2000))}) for _ in range(40)]
    (folder / "books.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data = prepare_text(folder / "books.jsonl", 10**6, 280, Steps(folder / "run", "key"))
    return Frozen(data, 2000)


def test_the_best_rate_lies_between_two_others_unless_too_many_were_tried() -> None:
    found = search_rates(lambda rate: abs(math.log(rate / 0.3)), 0.02)
    best = min(found, key=lambda rate: found[rate])
    assert min(found) < best < max(found)
    assert best == pytest.approx(0.32)
    assert len(search_rates(lambda rate: -rate, 1.0)) == 7
    assert len(search_rates(lambda rate: rate, 1.0)) == 7
    assert len(search_rates(lambda rate: (rate - 1.0) ** 2, 1.0)) == 3


def test_the_parts_alone_are_the_model_without_overlap() -> None:
    names = [name for name, _ in build_decoder(shape_of(64)).named_parameters()]
    of = {key: {name for name in names if part.trained(name)} for key, part in PARTS.items()}
    alone = [of[key] for key in ("embedding", "feed-forward", "attention", "norms")]
    shared = {name for name in names if ".attention." in name and "norm" in name}  # norms of queries and keys
    assert set().union(*alone) == of["everything"] == set(names)
    assert sum(map(len, alone)) == len(names) + len(shared)
    assert of["all but the embedding"] == set(names) - of["embedding"]
    assert of["feed-forward, small embedding"] == of["feed-forward"]
    assert not any(part.trained(name) for part in UNTRAINED.values() for name in names)


def test_only_the_part_changes_and_the_frozen_embedding_is_larger(frozen: Frozen) -> None:
    part = PARTS["attention"]
    before = {name: p.clone() for name, p in frozen.build(part, 0).named_parameters()}
    after = frozen.train(part, optimizer_of("Muon", 0.02), 3, 0)
    assert {name for name, p in after.named_parameters() if not torch.equal(p, before[name])} == {
        name for name in before if part.trained(name)
    }
    small = frozen.build(PARTS["everything"], 0).embedding.weight
    torch.testing.assert_close(before["embedding.weight"], LARGER * small)


def test_a_search_finds_an_optimizer_and_a_rate_and_validates_on_other_text(frozen: Frozen) -> None:
    assert not np.array_equal(frozen.valid.ids[:100], frozen.test.ids[:100])
    found = frozen.search("embedding", 2, 0)
    assert (found["kind"], set(found["tried"])) == ("AdamW", {"AdamW"})
    losses = found["tried"]["AdamW"]
    assert losses[str(found["rate"])] == min(losses.values())
    assert np.mean(frozen.blocks(frozen.build(PARTS["everything"], 0))) == pytest.approx(math.log(280), abs=0.3)


def test_optimizers_by_name() -> None:
    adam, muon = optimizer_of("AdamW", 0.1), optimizer_of("Muon", 0.2)
    assert isinstance(adam, AdamWConfig)
    assert adam.learning_rate == 0.1
    assert isinstance(muon, MuonConfig)
    assert (muon.learning_rate, muon.adam.learning_rate) == (0.2, 0.2)


def test_steps_double_at_last() -> None:
    assert counts_of(AblationsConfig(frozen_steps=800)) == [12, 50, 200, 400, 800]
    assert counts_of(AblationsConfig(frozen_steps=12)) == [1, 3, 6, 12]


def test_changes_of_weights() -> None:
    weight = torch.arange(1.0, 11.0).reshape(2, 5)
    draw = torch.Generator().manual_seed(0)
    assert (cut(weight, 0.3, draw) == 0).nonzero().tolist() == [[0, 0], [0, 1], [0, 2]]
    gone = cut_random(weight, 0.3, draw) == 0
    assert int(gone.sum()) == 3
    assert not gone[0, :3].all()
    assert all(torch.equal(change(weight, 0.0, draw), weight) for change in (cut, cut_random, add_noise))
    large = torch.randn(200, 200, generator=draw)
    assert float((add_noise(large, 0.1, draw) - large).std()) == pytest.approx(0.1, rel=0.05)
