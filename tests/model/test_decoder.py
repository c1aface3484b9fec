"""What must hold of every decoder, whatever its parts."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.model import presets
from scratchlm.model.attention.base import AttentionContext
from scratchlm.model.attention.grouped import GroupedQueryAttention
from scratchlm.model.cache import KVCache
from scratchlm.model.config import (
    AttentionConfig,
    DecoderConfig,
    LearnedPositionsConfig,
    MLPConfig,
    NgramEmbeddingConfig,
    NoPositionsConfig,
    RopeConfig,
    ValueEmbeddingConfig,
    X0ResidualConfig,
)
from scratchlm.model.decoder import Decoder, build_decoder
from toys import CONTEXT, TOYS, VOCABULARY, random_decoder, random_ids, toy_config

CLOSE = {"atol": 2e-5, "rtol": 1e-5}


def varied(name: str) -> DecoderConfig:
    """Name a toy, or a toy with one part exchanged."""
    base, _, change = name.partition(" with ")
    config = toy_config(base)
    attention = config.attention
    match change:
        case "":
            return config
        case "a window":
            return dataclasses.replace(config, attention=dataclasses.replace(attention, window=5))
        case "capped scores":
            return dataclasses.replace(config, attention=dataclasses.replace(attention, softcap=3.0))
        case "naive attention":
            return dataclasses.replace(config, attention=dataclasses.replace(attention, implementation="naive"))
        case "no positions":
            return dataclasses.replace(config, positions=NoPositionsConfig())
        case "learned positions":
            return dataclasses.replace(config, positions=LearnedPositionsConfig())
        case "exact gelu":
            return dataclasses.replace(config, feed_forward=MLPConfig(hidden=48, activation="gelu"))
        case "an x0 residual":
            return dataclasses.replace(config, x0_residual=X0ResidualConfig())
        case "value embeddings":
            return dataclasses.replace(config, values=ValueEmbeddingConfig(gate_channels=8))
        case "pairs and triples":
            return dataclasses.replace(config, ngrams=NgramEmbeddingConfig(longest=3, rows=5000))
    raise AssertionError(name)


VARIED = (
    *TOYS,
    *("default with a window", "gpt2 with a window", "default with capped scores", "default with naive attention"),
    *("default with no positions", "default with learned positions", "default with exact gelu"),
    *("default with an x0 residual", "default with value embeddings", "gpt2 with value embeddings"),
    *("default with pairs and triples", "latent", "latent with naive attention", "latent with learned positions"),
)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", VARIED)
def test_changing_a_token_changes_its_own_logits_and_never_earlier_ones(name: str) -> None:
    decoder = random_decoder(varied(name))
    ids = random_ids(2, CONTEXT)
    before = decoder(ids)
    assert before.std() > 1
    for t in range(CONTEXT):
        changed = ids.clone()
        changed[:, t] = (changed[:, t] + 1) % VOCABULARY
        after = decoder(changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], **CLOSE)
        assert (after[:, t] - before[:, t]).abs().max() > 1e-2


@pytest.mark.parametrize("name", TOYS)
def test_a_later_position_sees_every_earlier_token(name: str) -> None:
    decoder = random_decoder(varied(name))
    ids = random_ids(1, CONTEXT)
    before = decoder(ids)[:, -1]
    for t in range(CONTEXT):
        changed = ids.clone()
        changed[:, t] = (changed[:, t] + 1) % VOCABULARY
        assert (decoder(changed)[:, -1] - before).abs().max() > 1e-4, t


def test_a_window_of_five_in_two_layers_reaches_back_eight_positions_and_no_further() -> None:
    decoder = random_decoder(varied("default with a window"))
    ids = random_ids(1, CONTEXT)
    before = decoder(ids)[:, -1]
    for back in range(CONTEXT):
        changed = ids.clone()
        changed[:, -1 - back] = (changed[:, -1 - back] + 1) % VOCABULARY
        difference = (decoder(changed)[:, -1] - before).abs().max()
        assert (difference > 1e-5) == (back <= 8), back  # each layer looks 4 further back


@pytest.mark.parametrize("chunks", [[1] * CONTEXT, [CONTEXT], [7, 1, 1, 10, 5], [3, 3, 3, 3, 3, 3, 3, 3]], ids=str)
@pytest.mark.parametrize("name", VARIED)
def test_cached_equals_plain_however_the_text_is_cut(name: str, chunks: list[int]) -> None:
    decoder = random_decoder(varied(name))
    ids = random_ids(2, CONTEXT)
    cache = KVCache(CONTEXT)
    pieces = [decoder(part, cache) for part in ids.split(chunks, dim=1)]
    assert cache.length == CONTEXT
    torch.testing.assert_close(torch.cat(pieces, dim=1), decoder(ids), **CLOSE)


class RunningSum:
    """One vector a row, whatever the length of the text."""

    def __init__(self, cache: KVCache) -> None:
        self.total: torch.Tensor | float = 0.0

    def keep(self, rows: torch.Tensor) -> None:
        if isinstance(self.total, torch.Tensor):
            self.total = self.total[rows]


class MeanOfEarlier(GroupedQueryAttention):
    """Another kind of attention: each position gets the mean of all up to it."""

    def forward(self, x: torch.Tensor, context: AttentionContext) -> torch.Tensor:
        start, total = 0, x.cumsum(1)
        if context.cache is not None:
            kept = context.cache.of(self, RunningSum)
            start, total = context.cache.length, total + kept.total
            kept.total = total[:, -1:]
        return total / torch.arange(start + 1, start + 1 + x.size(1))[:, None]


def test_another_kind_of_attention_keeps_a_state_of_its_own_in_the_cache() -> None:
    decoder, ids, cache = random_decoder(varied("default")), random_ids(2, CONTEXT), KVCache(CONTEXT)
    decoder.blocks[1].attention = MeanOfEarlier(decoder.config, 1)
    first, last = decoder(ids[:, :7], cache), torch.tensor([1])
    cache.keep(last)
    pieces = [first[last], *(decoder(part, cache) for part in ids[last, 7:].split(5, dim=1))]
    torch.testing.assert_close(torch.cat(pieces, dim=1), decoder(ids[last]), **CLOSE)


@pytest.mark.parametrize("name", [name for name in VARIED if "capped" not in name and "naive" not in name])
@pytest.mark.parametrize("packed", [False, True])
def test_naive_equals_fused(name: str, packed: bool) -> None:
    fused = random_decoder(varied(name))
    config = fused.config
    attention = dataclasses.replace(config.attention, implementation="naive")
    naive = random_decoder(dataclasses.replace(config, attention=attention))
    ids = random_ids(2, CONTEXT)
    documents = torch.arange(CONTEXT).div(7, rounding_mode="floor").expand(2, -1) if packed else None
    torch.testing.assert_close(naive(ids, documents=documents), fused(ids, documents=documents), **CLOSE)


@pytest.mark.parametrize("name", VARIED)
def test_documents_packed_in_a_row_equal_each_on_its_own(name: str) -> None:
    decoder = random_decoder(varied(name))
    lengths = [9, 1, 6, 8]
    ids = random_ids(2, CONTEXT)
    numbers = torch.repeat_interleave(torch.tensor([4, 2, 7, 1]), torch.tensor(lengths)).expand(2, -1)
    packed = decoder(ids, documents=numbers)
    alone = torch.cat([decoder(part) for part in ids.split(lengths, dim=1)], dim=1)
    torch.testing.assert_close(packed, alone, **CLOSE)
    assert (packed - decoder(ids)).abs().max() > 1e-2  # without numbers they do see each other


def test_rows_of_a_batch_do_not_touch_each_other() -> None:
    decoder = random_decoder(varied("default"))
    ids = random_ids(3, CONTEXT)
    torch.testing.assert_close(decoder(ids)[1:2], decoder(ids[1:2]), **CLOSE)


def test_capped_logits_stay_within_the_cap() -> None:
    config = toy_config("speedrun", logit_softcap=0.5)
    logits = random_decoder(config)(random_ids(2, CONTEXT))
    assert 0.45 < logits.abs().max() <= 0.5


def test_a_text_beyond_the_context_or_the_cache_is_our_own_bug() -> None:
    decoder = random_decoder(varied("default"))
    with pytest.raises(AssertionError, match="25 positions in a context of 24"):
        decoder(random_ids(1, CONTEXT + 1))
    with pytest.raises(AssertionError, match="cache of 4 positions asked to hold 5"):
        decoder(random_ids(1, 5), KVCache(4))


@pytest.mark.parametrize(
    ("name", "count"),
    [("gpt2", 124_439_808), ("gpt2-medium", 354_823_168), ("gpt2-large", 774_030_080), ("gpt2-xl", 1_557_611_200)],
)
def test_gpt2_presets_have_the_published_numbers_of_parameters(name: str, count: int) -> None:
    with torch.device("meta"):
        assert Decoder(presets.preset(name)).parameter_count() == count


def test_an_untied_head_adds_one_table() -> None:
    tied, untied = (Decoder(toy_config("default", tied=tied)) for tied in (True, False))
    assert untied.parameter_count() - tied.parameter_count() == VOCABULARY * 32


def test_equal_seeds_build_equal_models_and_other_seeds_others() -> None:
    one, two, other = (build_decoder(toy_config("default"), seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.embedding.weight, other.embedding.weight)


def test_zero_initialised_outputs_make_every_block_start_as_the_identity() -> None:
    decoder = build_decoder(toy_config("default", zero_init_outputs=True)).eval()
    ids = random_ids(1, CONTEXT)
    torch.testing.assert_close(decoder.hidden(ids), decoder.final_norm(decoder.embedding(ids)))
    ordinary = build_decoder(toy_config("default", zero_init_outputs=False)).eval()
    assert (ordinary.hidden(ids) - ordinary.final_norm(ordinary.embedding(ids))).abs().max() > 1e-3


def test_dropout_acts_in_training_only() -> None:
    decoder = random_decoder(toy_config("default", dropout=0.3))
    ids = random_ids(1, CONTEXT)
    assert torch.equal(decoder(ids), decoder(ids))
    decoder.train()
    assert not torch.equal(decoder(ids), decoder(ids))


def test_all_problems_of_a_shape_are_reported_at_once() -> None:
    with pytest.raises(UserError) as caught:
        DecoderConfig(
            width=0,
            layers=-1,
            dropout=1.0,
            positions=RopeConfig(),
            attention=AttentionConfig(heads=5, kv_heads=2, head_dim=7, window=0),
        )
    message = str(caught.value)
    for part in (
        *("model.width is 0", "model.layers is -1", "model.attention.window is 0", "heads is 5 and kv_heads is 2"),
        *("head_dim is 7", "dropout is 1: must be under 1"),
    ):
        assert part in message


def test_an_unknown_preset_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'gpt2-medium'"):
        presets.preset("gpt2-medum")
