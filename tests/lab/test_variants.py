"""Variants of small models: each lacks what its name says, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from scratchlm.lab.experiments.attention_kinds.measure import KINDS, TEXTS, cache_bytes
from scratchlm.lab.experiments.twins.measure import TWINS
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.small_model import prepare_text
from scratchlm.lab.shared.variants import Variant, VariantText, search_factor, train_variant
from scratchlm.model.cache import KVCache
from scratchlm.model.decoder import Block, Decoder

VOCABULARY = 300
IDS = torch.randint(0, VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> VariantText:
    folder = tmp_path_factory.mktemp("text")
    books = folder / "books.jsonl"
    pieces = [f"The fox of day {day} saw {day * 7 % 13} hats and sat down. " * 40 for day in range(60)]
    books.write_text("".join(json.dumps({"text": piece}) + "\n" for piece in pieces), encoding="utf-8")
    return VariantText(prepare_text(books, 100_000, 270, Steps(folder / "steps", "key")), 512, 128)


def blocks(decoder: Decoder) -> list[Block]:
    return [block for block in decoder.blocks if isinstance(block, Block)]


@torch.no_grad()
def test_a_twin_without_residuals_hands_on_what_its_branches_make() -> None:
    full, twin = (TWINS[key].make(VOCABULARY, 0) for key in ("whole", "residual"))
    assert all(torch.equal(one, other) for one, other in zip(full.parameters(), twin.parameters(), strict=True))
    streams: list[torch.Tensor] = []
    for block in (*blocks(full), *blocks(twin)):
        block.attention.register_forward_hook(lambda part, inputs, output: streams.append(output))
        block.feed_forward.register_forward_hook(lambda part, inputs, output: streams.append(output))
        block.register_forward_hook(lambda part, inputs, output: streams.append(output))
    full(IDS)
    attended, added, end = streams[:3]
    torch.testing.assert_close(end, full.embedding(IDS) + attended + added)
    streams.clear()
    twin(IDS)
    assert torch.equal(streams[2], streams[1])


def test_twins_lack_their_part_alone() -> None:
    made = {key: twin.make(VOCABULARY, 0) for key, twin in TWINS.items()}
    kinds = {key: {type(part) for part in decoder.modules()} for key, decoder in made.items()}
    assert isinstance(made["norm"].final_norm, nn.Identity)
    assert all(isinstance(block.attention_norm, nn.Identity) for block in blocks(made["norm"]))
    assert all(float(block.feed_forward(torch.ones(1, 96)).abs().max()) == 0 for block in blocks(made["feed-forward"]))
    assert kinds["positions"] == kinds["warm-up"] == kinds["whole"]
    sizes = {key: decoder.parameter_count() for key, decoder in made.items()}
    assert sizes["whole"] == sizes["residual"] == sizes["positions"] == sizes["warm-up"]
    assert 0 <= sizes["more-attention"] - sizes["whole"] < 0.01 * sizes["whole"]
    assert sizes["feed-forward"] < 0.5 * sizes["whole"]


def test_a_search_finds_a_rate_between_others_and_a_run_that_diverges_counts_as_guessing(text: VariantText) -> None:
    searched = search_factor(TWINS["whole"], text, 8, 6, 0)
    assert searched["tried"][str(searched["factor"])] == min(searched["tried"].values())
    decoder, seen = train_variant(TWINS["whole"], text, 8, 12, searched["factor"], 0)
    assert seen[-1]["loss"] < seen[0]["loss"]

    def make(vocabulary_size: int, seed: int) -> Decoder:
        broken = TWINS["whole"].make(vocabulary_size, seed)
        broken.final_norm.register_forward_hook(
            lambda part, inputs, output: output * torch.nan if part.training else output
        )
        return broken

    left, _ = train_variant(Variant("broken", make), text, 8, 4, 1.0, 0)
    fresh = TWINS["whole"].make(text.tokenizer.vocabulary_size, 0)
    assert all(torch.equal(one, other) for one, other in zip(left.parameters(), fresh.parameters(), strict=True))
    assert len(text.blocks(decoder)) == 2


@pytest.mark.parametrize("key", KINDS)
@torch.no_grad()
def test_a_cache_takes_the_bytes_that_are_reported(key: str, tmp_path: Path) -> None:
    decoder = KINDS[key].make(VOCABULARY, 0)
    for parameter in decoder.parameters():
        if parameter.dim() == 2:
            parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
    cache = KVCache(256)
    expected = decoder(IDS)
    split = torch.cat([decoder(IDS[:, :20], cache), decoder(IDS[:, 20:], cache)], 1)
    torch.testing.assert_close(split, expected, rtol=1e-4, atol=1e-4)
    one = cache_bytes(decoder, 1)
    grows = {length: cache_bytes(decoder, length) for length in (8, 32, *TEXTS)}
    if key == "delta":
        assert set(grows.values()) == {one}
    else:
        assert grows[8] == 8 * one
        assert grows[256] == (32 if key == "windowed" else 256) * one
