"""Gated DeltaNet: chunks equal single steps, and its memory goes on where a text was left."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.lab.shared.delta import DeltaMemory, GatedDeltaNet, delta_rule, delta_rule_in_chunks
from scratchlm.model.attention.base import AttentionContext
from scratchlm.model.cache import KVCache
from scratchlm.model.decoder import Block, Decoder
from toys import VOCABULARY, randomise, toy_config

IDS = torch.randint(0, VOCABULARY, (2, 20), generator=torch.Generator().manual_seed(0))


def decoder() -> Decoder:
    own = Decoder(dataclasses.replace(toy_config("default")))
    for block in own.blocks:
        assert isinstance(block, Block)
        block.attention = GatedDeltaNet(32, 2, 8, 6)
    return randomise(own)


@given(st.integers(1, 40), st.integers(1, 16), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_chunks_equal_single_steps(length: int, chunk: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(2, 3, length, size, generator=draw, dtype=torch.float64) for size in (5, 5, 4))
    k = torch.nn.functional.normalize(k, dim=-1)
    fading, writing = (
        -torch.rand(2, 3, length, generator=draw).double(),
        torch.rand(2, 3, length, generator=draw).double(),
    )
    memory = torch.randn(2, 3, 5, 4, generator=draw, dtype=torch.float64)
    for one, other in zip(
        delta_rule(q, k, v, -fading, writing, memory),
        delta_rule_in_chunks(q, k, v, -fading, writing, memory, chunk), strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(one, other)


def test_a_value_that_is_written_is_read_again_and_replaced() -> None:
    k = torch.nn.functional.one_hot(torch.tensor([0, 1, 0]), 4).float()[None, None]
    v = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])[None, None]
    read, memory = delta_rule(k, k, v, torch.zeros(1, 1, 3), torch.ones(1, 1, 3), torch.zeros(1, 1, 4, 2))
    torch.testing.assert_close(read, v)
    torch.testing.assert_close(memory[0, 0, :2], torch.tensor([[5.0, 6.0], [3.0, 4.0]]))


@torch.no_grad()
def test_a_cache_continues_a_text_in_memory_that_does_not_grow() -> None:
    own = decoder()
    expected = own(IDS)
    cache = KVCache(IDS.size(1))
    first = own(IDS[:, :7], cache)
    attention = own.attentions[0]
    taken = cache.of(attention, DeltaMemory).nbytes
    rest = [own(IDS[:, at : at + 1], cache) for at in range(7, IDS.size(1))]
    torch.testing.assert_close(torch.cat([first, *rest], 1), expected, rtol=1e-4, atol=1e-4)
    assert cache.of(attention, DeltaMemory).nbytes == taken == 4 * 2 * (2 * 8 * 6 + 3 * 2 * (2 * 8 + 6))


@pytest.mark.parametrize("place", [3, 12])
@torch.no_grad()
def test_no_token_sees_a_later_one(place: int) -> None:
    own, other = decoder(), IDS.clone()
    other[:, place] = (other[:, place] + 1) % VOCABULARY
    torch.testing.assert_close(own(IDS)[:, :place], own(other)[:, :place])
    assert not torch.allclose(own(IDS)[:, -1], own(other)[:, -1])


def test_it_begins_as_a_memory_of_several_lengths() -> None:
    layer = GatedDeltaNet(16, 4, 4, 4)
    layer.begin()
    assert layer(torch.zeros(1, 5, 16), AttentionContext()).isfinite().all()
    lasting = 1 / torch.nn.functional.softplus(layer.shift)
    torch.testing.assert_close(lasting, torch.tensor([16.0, 16 * 2 ** (4 / 3), 16 * 2 ** (8 / 3), 256.0]))
