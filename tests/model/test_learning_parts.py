"""Parts that learn faster: each adds what it says and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scratchlm.model.config import (
    DecoderConfig,
    MultiTokenPredictionConfig,
    NgramEmbeddingConfig,
    ValueEmbeddingConfig,
    X0ResidualConfig,
)
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.training.config import MuonConfig
from scratchlm.training.optimizer import Optimizers
from toys import CONTEXT, VOCABULARY, random_decoder, random_ids, toy_config

PLAIN = toy_config("default", layers=3)
X0_RESIDUAL = dataclasses.replace(PLAIN, x0_residual=X0ResidualConfig())
NGRAMS = dataclasses.replace(PLAIN, ngrams=NgramEmbeddingConfig(longest=3, rows=5000))
VALUES = dataclasses.replace(PLAIN, values=ValueEmbeddingConfig(gate_channels=8))
TWO_TOKENS = dataclasses.replace(PLAIN, multi_token_prediction=MultiTokenPredictionConfig(weight=0.4))


def pair(config: DecoderConfig) -> tuple[Decoder, Decoder]:
    """Build a decoder with a part, and one without it that shares all other weights."""
    with_part, plain = random_decoder(config), random_decoder(PLAIN)
    known = dict(plain.named_parameters())
    with torch.no_grad():
        for name, parameter in with_part.named_parameters():
            if name in known:
                parameter.copy_(known[name])
    return with_part, plain


@torch.no_grad()
def test_value_embeddings_of_zero_change_nothing_and_others_do() -> None:
    with_part, plain = pair(VALUES)
    ids = random_ids(2, CONTEXT)
    assert (with_part(ids) - plain(ids)).abs().max() > 0.1
    for block in with_part.blocks:
        if block.attention.value_embedding is not None:
            block.attention.value_embedding.table.weight.zero_()
    torch.testing.assert_close(with_part(ids), plain(ids))


@torch.no_grad()
def test_a_value_embedding_is_the_row_of_the_token_times_twice_the_sigmoid_of_the_gate() -> None:
    part = random_decoder(VALUES).blocks[2].attention.value_embedding
    x, ids = torch.randn(1, 2, VALUES.width), torch.tensor([[3, 5]])
    added = part(x, ids)
    for position, id in enumerate((3, 5)):
        for head in range(PLAIN.attention.kv_heads):
            gate = 2 / (1 + torch.exp(-(part.gate.weight[head] @ x[0, position, :8])))
            row = part.table.weight[id].view(PLAIN.attention.kv_heads, -1)[head]
            torch.testing.assert_close(added[0, position, head], gate * row)


@torch.no_grad()
def test_an_x0_residual_with_scales_one_and_zero_changes_nothing_but_the_embedding_s_length() -> None:
    with_part, plain = pair(X0_RESIDUAL)
    ids = random_ids(2, CONTEXT)
    for decoder in (with_part, plain):
        rows = decoder.embedding.weight
        rows.div_(rows.square().mean(-1, keepdim=True).sqrt())
    assert (with_part(ids) - plain(ids)).abs().max() > 0.1
    with_part.x0_residual.stream_scale.fill_(1.0)
    with_part.x0_residual.embedding_scale.zero_()
    torch.testing.assert_close(with_part(ids), plain(ids), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_n_gram_embeddings_of_zero_change_nothing_and_others_do() -> None:
    with_part, plain = pair(NGRAMS)
    ids = random_ids(2, CONTEXT)
    assert (with_part(ids) - plain(ids)).abs().max() > 0.1
    for table in with_part.ngrams.tables:
        table.weight.zero_()
    torch.testing.assert_close(with_part(ids), plain(ids))


@torch.no_grad()
def test_a_pair_has_a_row_of_its_own_and_a_triple_one_that_depends_on_its_three_tokens_alone() -> None:
    part = random_decoder(NGRAMS).ngrams
    ids = torch.tensor([[3, 5, 8, 3, 5, 8, 5]])
    pairs = part.rows(ids, 2, part.sizes[0])
    assert part.sizes == [(VOCABULARY + 1) ** 2, 5000]
    assert pairs[0, 1] == pairs[0, 4] != pairs[0, 6]
    every = torch.cartesian_prod(torch.arange(VOCABULARY), torch.arange(VOCABULARY))
    assert len(part.rows(every, 2, part.sizes[0])[:, 1].unique()) == VOCABULARY**2
    triples = part.rows(ids, 3, 5000)
    assert triples[0, 2] == triples[0, 5]
    assert len(triples.unique()) == 6
    assert triples.min() >= 0
    assert triples.max() < 5000
    many = part.rows(torch.randint(VOCABULARY, (500, 40)), 3, 5000)
    assert torch.bincount(many.flatten(), minlength=5000).max() < 30  # of four on average: the hash spreads
    expected = part.tables[0](pairs) + part.tables[1](triples)
    torch.testing.assert_close(part(ids), expected)


def test_parts_begin_neutral_and_are_counted() -> None:
    heads, head_dim = PLAIN.attention.kv_heads, PLAIN.attention.head_dim
    plain, residual, values = (build_decoder(config) for config in (PLAIN, X0_RESIDUAL, VALUES))
    assert residual.parameter_count() - plain.parameter_count() == 2 * 3
    assert values.parameter_count() - plain.parameter_count() == 2 * heads * (VOCABULARY * head_dim + 8)
    products = values.flops_per_token(CONTEXT) - plain.flops_per_token(CONTEXT)
    assert products == 6 * 2 * 8 * heads  # the gates; a look-up is no product
    assert residual.x0_residual.stream_scale.tolist() == [1.0] * 3
    assert torch.allclose(residual.x0_residual.embedding_scale, torch.tensor(0.1))
    assert [block.attention.value_embedding is not None for block in values.blocks] == [True, False, True]
    assert not values.blocks[0].attention.value_embedding.gate.weight.any()
    ngrams = build_decoder(NGRAMS)
    assert ngrams.parameter_count() - plain.parameter_count() == PLAIN.width * ((VOCABULARY + 1) ** 2 + 5000)
    assert ngrams.flops_per_token(CONTEXT) == plain.flops_per_token(CONTEXT)
    assert not any(table.weight.any() for table in ngrams.ngrams.tables)


@torch.no_grad()
def test_a_multi_token_head_changes_no_answer_and_is_counted() -> None:
    with_part, plain = pair(TWO_TOKENS)
    ids = random_ids(2, CONTEXT)
    assert torch.equal(with_part(ids), plain(ids))
    assert with_part.parameter_count() - plain.parameter_count() == VOCABULARY * PLAIN.width
    assert with_part.flops_per_token(CONTEXT) - plain.flops_per_token(CONTEXT) == 6 * VOCABULARY * PLAIN.width


def test_tables_are_left_to_adam() -> None:
    decoder = random_decoder(dataclasses.replace(VALUES, ngrams=NGRAMS.ngrams))
    muon, adam = Optimizers(decoder, MuonConfig()).members
    owned = [{id(p) for group in member.param_groups for p in group["params"]} for member in (muon, adam)]
    tables = {id(block.attention.value_embedding.table.weight) for block in (decoder.blocks[0], decoder.blocks[2])}
    tables |= {id(table.weight) for table in decoder.ngrams.tables}
    assert tables <= owned[1]
    assert not owned[0] & owned[1]
    assert len(owned[0] | owned[1]) == len(list(decoder.parameters()))


def test_flops_of_a_window_are_those_of_the_keys_that_tokens_see() -> None:
    window, length = 6, CONTEXT
    attention = dataclasses.replace(PLAIN.attention, window=window, global_layers=(1,))
    local, wide = build_decoder(dataclasses.replace(PLAIN, attention=attention)), build_decoder(PLAIN)

    def keys(window: int) -> float:  # a token before all others and itself, which counts half as in the usual L / 2
        return sum(min(at, window) for at in range(1, length + 1)) / length - 0.5

    channel = 12 * attention.heads * attention.head_dim
    whole = wide.flops_per_token(length)
    assert whole - 6.0 * wide.parameter_count() == pytest.approx(channel * 3 * keys(length))
    saved = whole - local.flops_per_token(length)  # two of three layers have the window
    assert saved / channel == pytest.approx(2 * (keys(length) - keys(window)), abs=2 * 0.5)
    assert local.flops_per_token(window) == wide.flops_per_token(window)
