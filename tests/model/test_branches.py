"""The encoder-decoder and the encoder: what sees what, cached and plain, and that they learn in the one loop."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from marks import slow
from scratchlm.base.errors import UserError
from scratchlm.classic.recurrent import RecurrentDecoder
from scratchlm.classic.translator import RecurrentTranslator, build_translator
from scratchlm.data.batches import IGNORED
from scratchlm.data.pairs import SourceTargetBatches, source_target_batch
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.generation.writing import search_targets, until, write_targets
from scratchlm.model.attention.grouped import GroupedQueryAttention
from scratchlm.model.cache import KVCache
from scratchlm.model.config import (
    ClassesConfig,
    DecoderConfig,
    LearnedPositionsConfig,
    MultiTokenPredictionConfig,
    NgramEmbeddingConfig,
    NoPositionsConfig,
    PositionsConfig,
    RopeConfig,
    X0ResidualConfig,
)
from scratchlm.model.decoder import Decoder
from scratchlm.model.encoderdecoder import EncoderDecoder, build_encoder_decoder
from scratchlm.model.network import CausalLM, SequenceModel
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop
from scratchlm.training.loss import next_token_loss
from toys import VOCABULARY, randomise, toy_config

END, PAD = VOCABULARY - 2, VOCABULARY - 1
PAIRS = [([5, 6, 7], [8, 9]), ([4, 3], [2, 1, 9, 8]), ([1, 2, 3, 4, 5], [6])]


def shape(**changes: object) -> DecoderConfig:
    return dataclasses.replace(toy_config("default"), **changes)  # type: ignore[arg-type]


def bidirectional() -> EncoderDecoder:
    model = EncoderDecoder(shape())
    randomise(model)
    return model.eval()


def writers() -> list[SequenceModel]:
    with_attention, without = (build_translator(shape(), attention=attends).eval() for attends in (True, False))
    return [bidirectional(), with_attention, without]


@pytest.mark.parametrize("model", writers(), ids=["transformer", "attention", "no attention"])
def test_a_target_sees_its_whole_source_and_what_it_has_written_so_far(model: SequenceModel) -> None:
    batch = source_target_batch(PAIRS[1:2], END, PAD)
    before = model(batch.ids, documents=batch.documents)
    for place in range(2):  # any word of the source changes every prediction
        ids = batch.ids.clone()
        ids[0, place] = 30
        changed = (model(ids, documents=batch.documents) - before).abs().sum(-1)[0]
        assert (changed[2:] > 0).all()
    ids = batch.ids.clone()
    ids[0, 4] = 30  # the second word of the target
    changed = (model(ids, documents=batch.documents) - before).abs().sum(-1)[0]
    assert changed[:4].max() < 1e-5
    assert (changed[4:] > 0).all()


@pytest.mark.parametrize("model", writers(), ids=["transformer", "attention", "no attention"])
def test_rows_of_a_batch_and_what_fills_them_up_do_not_touch_each_other(model: SequenceModel) -> None:
    together = source_target_batch(PAIRS, END, PAD)
    found = model(together.ids, documents=together.documents)
    for row, pair in enumerate(PAIRS):
        alone = source_target_batch([pair], END, PAD)
        places = alone.documents[0] == 1
        expected = model(alone.ids, documents=alone.documents)[0, places]
        torch.testing.assert_close(found[row, : len(places)][places], expected, rtol=1e-4, atol=1e-4)


def test_cached_writing_equals_plain_writing() -> None:
    model = bidirectional()
    batch = source_target_batch(PAIRS[:1], END, PAD)
    real = torch.ones(1, 3, dtype=torch.bool)
    memory = model.encode(batch.ids[:, :3], real)
    target = torch.tensor([[END, 8, 9, 4, 4, 7]])
    plain = model.decode(target, memory)
    cache = KVCache(model.config.context)
    steps = [model.decode(target[:, t : t + 1], memory, cache) for t in range(6)]
    torch.testing.assert_close(torch.cat(steps, 1), plain, rtol=1e-4, atol=1e-5)
    cache = KVCache(model.config.context)
    first = model.decode(target[:, :4], memory, cache)
    rest = [model.decode(target[:, t : t + 1], memory, cache) for t in (4, 5)]
    torch.testing.assert_close(torch.cat([first, *rest], 1), plain, rtol=1e-4, atol=1e-5)
    rows = model.hidden(batch.ids, documents=batch.documents)
    torch.testing.assert_close(rows[:, 3:6], model.decode(torch.tensor([[END, 8, 9]]), memory), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["transformer", slow("attention"), slow("no attention")])
def test_each_learns_to_turn_a_text_round(kind: str) -> None:
    small = shape(width=32, layers=1, vocabulary_size=12, init_std=0.1)
    model: SequenceModel = build_encoder_decoder(small) if kind == "transformer" else build_translator(
        small, attention=kind == "attention"
    )  # fmt: skip
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(0, 10, (3,), generator=draw).tolist() for _ in range(120)]
    batches = SourceTargetBatches([(text, text[::-1]) for text in texts], 16, 0, end=10, pad=11)
    batch, _ = next(batches(None))
    before = next_token_loss(model, batch).item() / batch.target_count
    training = TrainingConfig(steps=150, optimizer=AdamWConfig(learning_rate=0.01), schedule=ScheduleConfig("linear"))
    fit(Loop(model, batches, training))
    after = next_token_loss(model, batch).item() / batch.target_count
    assert after < 0.5 * before


@pytest.mark.parametrize("cached", [True, False])
def test_targets_are_written_alike_with_a_cache_and_without_and_in_any_company(cached: bool) -> None:
    model = bidirectional()
    sources = [source for source, _ in PAIRS]
    together = write_targets(model, sources, END, 7, cached=cached)
    assert together == [write_targets(model, [source], END, 7, cached=not cached)[0] for source in sources]
    assert any(together)
    assert until([4, END, 5, END], END) == [4]


def test_a_beam_of_one_is_greedy_and_a_wide_one_finds_the_most_probable_target() -> None:
    model = bidirectional()
    sources = [source for source, _ in PAIRS]
    greedy = write_targets(model, sources, END, 7)
    assert search_targets(model, sources, END, 7, beam=1) == greedy
    assert search_targets(model, sources, END, 7, beam=3)[1:2] == search_targets(model, sources[1:2], END, 7, beam=3)
    scores: dict[tuple[int, ...], float] = {}
    with torch.no_grad():
        memory = model.encode(torch.tensor(sources[:1]), torch.ones(1, len(sources[0]), dtype=torch.bool))
        for first in range(VOCABULARY):
            each = model.logits(model.decode(torch.tensor([[END, first]]), memory))[0].log_softmax(-1)
            if first == END:
                scores[()] = float(each[0, END])
                continue
            for second in range(VOCABULARY):  # both the second token and the end that follows the first
                target = (first,) if second == END else (first, second)
                scores[target] = float(each[0, first] + each[1, second]) / 2
    found = search_targets(model, sources[:1], END, 2, beam=VOCABULARY)[0]
    assert tuple(found) == max(scores, key=lambda target: scores[target])


def test_rows_hold_source_and_target_with_the_token_between_them() -> None:
    batch = source_target_batch([([5, 6], [7]), ([1], [2, 3])], 90, 99)
    assert batch.ids.tolist() == [[5, 6, 90, 7], [1, 90, 2, 3]]
    assert batch.targets.tolist() == [[IGNORED, IGNORED, 7, 90], [IGNORED, 2, 3, 90]]
    assert batch.documents is not None
    assert batch.documents.tolist() == [[0, 0, 1, 1], [0, 1, 1, 1]]


def test_what_is_no_causal_decoder_is_none_by_type() -> None:
    for kind in (EncoderDecoder, RecurrentTranslator):
        assert not issubclass(kind, CausalLM)
    assert issubclass(RecurrentDecoder, CausalLM)
    assert not issubclass(RecurrentDecoder, Decoder)
    with pytest.raises(Exception, match="decoder"):
        list(generate_ids(build_encoder_decoder(shape()), [1, 2], SamplingConfig(max_tokens=1)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "positions", [RopeConfig(), RopeConfig(partial_rotary_factor=0.5), LearnedPositionsConfig(), NoPositionsConfig()]
)
def test_an_encoder_decoder_works_with_every_kind_of_positions(positions: PositionsConfig) -> None:
    model = EncoderDecoder(shape(positions=positions, embedding_scale=3.0, embedding_norm=True))
    randomise(model)
    model.eval()
    sources = [source for source, _ in PAIRS]
    assert write_targets(model, sources, END, 7) == write_targets(model, sources, END, 7, cached=False)
    real = torch.ones(1, 4, dtype=torch.bool)
    there, moved = (model.encode(torch.tensor([ids]), real).layers[0][0] for ids in ([5, 6, 7, 8], [5, 7, 6, 8]))
    changed = (there[0, :, 0] - moved[0, :, 0]).abs().max() > 1e-4
    assert bool(changed) == (not isinstance(positions, NoPositionsConfig))


def test_settings_have_an_effect_or_are_refused_all_together() -> None:
    ids, documents = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[0, 0, 1, 1]])
    logits = []
    for changes in ({}, {"embedding_scale": 3.0}, {"embedding_norm": True}, {"logit_softcap": 5.0}, {"tied": False}):
        torch.manual_seed(0)
        model = EncoderDecoder(shape(**changes))
        randomise(model)
        logits.append(model.eval()(ids, documents=documents)[:, 2:])
    assert all(not torch.allclose(one, logits[0]) for one in logits[1:])
    window = dataclasses.replace(shape().attention, window=3)
    other = shape(
        norm_places="both",
        attention=window,
        classes=ClassesConfig(),
        multi_token_prediction=MultiTokenPredictionConfig(),
        x0_residual=X0ResidualConfig(),
        ngrams=NgramEmbeddingConfig(),
    )
    with pytest.raises(UserError) as refused:
        EncoderDecoder(other)
    for name in ("norm_places", "attention.window", "classes", "multi_token_prediction", "x0_residual", "ngrams"):
        assert f"model.{name}" in str(refused.value)


def test_no_layer_is_built_to_be_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    kind, built = GroupedQueryAttention, []
    build = kind.__init__
    monkeypatch.setattr(kind, "__init__", lambda self, *given: (built.append(self), build(self, *given))[1])
    model = EncoderDecoder(shape(layers=3))
    assert len(built) == 6
    assert {id(part) for part in model.modules() if isinstance(part, kind)} == set(map(id, built))
