"""What each view says of a model, held against the model itself."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.generation.language_model import LanguageModel
from scratchlm.inspection import lens
from scratchlm.inspection.ablation import ablate, patch, patch_path
from scratchlm.inspection.attribution import attribute, attribute_neurons
from scratchlm.inspection.dictionary import (
    feature_effect,
    fit_dictionary,
    layer_vectors,
    quality,
    top_examples,
)  # fmt: skip
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.lens import fit_tuned_lens, logit_lens
from scratchlm.inspection.neighbours import embedding_map, nearest_neurons, nearest_tokens, neuron_tokens
from scratchlm.inspection.prediction import Prediction, predict
from scratchlm.inspection.saliency import token_gradients, token_losses
from scratchlm.inspection.spectra import spectra
from scratchlm.inspection.trace import trace
from scratchlm.model.config import ExpertsConfig
from scratchlm.weights.checkpoint import SavedModel
from toys import random_decoder, random_ids, toy_config
from transfer import tokenizer

WORDS = tokenizer()
FAMILIES = ("tiny", "default", "speedrun", "gpt2", "latent", "both norms", "experts")


def model(kind: str = "default") -> LanguageModel:
    shape = {"both norms": "default", "experts": "default"}.get(kind, kind)
    config = toy_config(shape, vocabulary_size=WORDS.vocabulary_size)
    if kind == "both norms":
        config = dataclasses.replace(config, norm_places="both")
    if kind == "experts":
        config = dataclasses.replace(config, feed_forward=ExpertsConfig(hidden=16, experts=4, chosen=2))
    return LanguageModel(SavedModel(random_decoder(config), WORDS))


def prediction(kind: str = "default", text: str = "the fox saw a") -> Prediction:
    return predict(model(kind), text)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_lens_at_the_last_layer_is_the_model(kind: str) -> None:
    seen = prediction(kind)
    lens = logit_lens(seen, top=3)
    assert lens.ids.shape == (seen.decoder.config.layers + 1, seen.ids.size(1), 3)
    assert [int(each) for each in lens.ids[-1, -1]] == [id for id, _ in seen.likeliest(3)]
    torch.testing.assert_close(lens.target[-1], torch.tensor(seen.probability))
    assert lens.divergence[-1].abs().max() < 1e-5
    assert (lens.divergence[:-1] > 1e-3).all()


@pytest.mark.parametrize("kind", FAMILIES)
def test_attributions_sum_to_the_logit(kind: str) -> None:
    seen = prediction(kind)
    shares = attribute(seen)
    assert shares.total == pytest.approx(shares.logit, abs=1e-4)
    cap = seen.decoder.config.logit_softcap
    logit = shares.logit if cap is None else cap * float(torch.tanh(torch.tensor(shares.logit / cap)))
    assert logit == pytest.approx(float(seen.logits[seen.target]), abs=1e-4)
    other = (seen.target + 1) % WORDS.vocabulary_size
    between, alone = attribute(seen, other), attribute(dataclasses.replace(seen, target=other))
    assert between.total == pytest.approx(shares.total - alone.total, abs=1e-3)
    if kind != "experts":
        neurons = attribute_neurons(seen)
        bias = seen.decoder.blocks[0].feed_forward.down.bias
        if bias is None:
            torch.testing.assert_close(neurons.sum(-1), shares.feed_forward, rtol=1e-3, atol=1e-4)
    else:
        with pytest.raises(UserError, match="no single set of neurons"):
            attribute_neurons(seen)


@pytest.mark.parametrize("kind", ["default", "speedrun", "gpt2", "latent"])
@pytest.mark.parametrize("way", ["zero", "mean"])
def test_an_ablation_is_a_pass_without_the_part(kind: str, way: str) -> None:
    seen = prediction(kind)
    without = ablate(seen, way)  # type: ignore[arg-type]
    assert without.whole == seen.probability
    for layer, head in ((0, 1), (1, 0)):
        edit = Edit(f"blocks.{layer}.attn.hook_z", way, heads=[head])  # type: ignore[arg-type]
        alone = trace(seen.model, seen.ids, edit=edit).logits[0, -1].softmax(-1)[seen.target]
        torch.testing.assert_close(without.heads[layer, head], alone, rtol=1e-3, atol=1e-5)
    alone = trace(seen.model, seen.ids, edit=Edit("blocks.1.hook_mlp_out", way)).logits[0, -1].softmax(-1)[seen.target]  # type: ignore[arg-type]
    torch.testing.assert_close(without.feed_forward[1], alone, rtol=1e-3, atol=1e-5)


def pair(kind: str = "default") -> tuple[Prediction, Prediction]:
    there = model(kind)
    draw = random_ids(8, 9) % WORDS.vocabulary_size
    predictions = [predict(there, row[None]) for row in draw]
    first = predictions[0]
    return first, next(each for each in predictions[1:] if each.target != first.target)


def test_patching_the_last_stream_brings_the_whole_answer_and_the_first_token_is_where_texts_differ() -> None:
    seen, source = pair()
    patches = patch(seen, source)
    assert patches.stream.shape == (2, 9)
    assert patches.heads.shape == (2, 4)
    whole = trace(source.model, source.ids, ["blocks.1.hook_resid_pre"])
    everywhere = Edit.patch(whole, "blocks.1.hook_resid_pre")
    torch.testing.assert_close(trace(seen.model, seen.ids, edit=everywhere).logits[0, -1], source.logits)
    own = trace(seen.model, seen.ids, ["blocks.0.attn.hook_z"])
    edited = trace(seen.model, seen.ids, edit=Edit.patch(own, "blocks.0.attn.hook_z"))
    torch.testing.assert_close(edited.logits[0, -1], seen.logits)


def test_a_path_is_patched_alone() -> None:
    seen, source = pair()
    for reads in ("q", "k", "v"):
        effects = [patch_path(seen, source, (0, head), (1, 2), reads) for head in range(4)]  # type: ignore[arg-type]
        assert any(abs(effect) > 1e-4 for effect in effects)
    with pytest.raises(UserError, match="a path goes upwards"):
        patch_path(seen, source, (1, 0), (1, 2))


def test_texts_that_cannot_be_patched_are_refused() -> None:
    there = model()
    short, long = predict(there, "the fox"), predict(there, "the fox saw a hat")
    with pytest.raises(UserError, match="tokens; give two with as many"):
        patch(short, long)
    with pytest.raises(UserError, match="the two texts are the same"):
        patch(short, short)


def test_losses_and_gradients_are_those_of_the_model() -> None:
    seen = prediction(text="the fox saw a fox")
    losses = token_losses(seen)
    assert losses[0].isnan()
    whole = torch.nn.functional.cross_entropy(seen.decoder(seen.ids)[0, :-1], seen.ids[0, 1:])
    torch.testing.assert_close(losses[1:].mean(), whole.detach())
    lengths, products = token_gradients(seen)
    embed = trace(seen.model, seen.ids, ["hook_embed"])["hook_embed"]
    place, step = int(products.abs().argmax()), 1e-3
    longer = Edit.scale("hook_embed", 1 + step, positions=[place])
    moved = trace(seen.model, seen.ids, edit=longer).logits[0, -1].log_softmax(-1)[seen.target]
    change = float(seen.logits.log_softmax(-1)[seen.target] - moved)
    assert change == pytest.approx(step * float(products[place]), rel=0.05, abs=1e-6)
    assert lengths.shape == (embed.size(1),)


def test_a_prompt_of_one_token_has_every_view() -> None:
    seen = prediction(text="t")
    assert seen.ids.size(1) == 1
    assert attribute(seen).total == pytest.approx(attribute(seen).logit, abs=1e-4)
    assert ablate(seen, "mean").heads.shape == (2, 4)
    assert token_losses(seen).isnan().all()
    assert logit_lens(seen).ids.size(1) == 1


def test_neighbours_are_the_nearest() -> None:
    decoder = model().decoder
    with torch.no_grad():
        decoder.embedding.weight[7] = 2 * decoder.embedding.weight[5]
        decoder.blocks[1].feed_forward.down.weight[:, 3] = 3 * decoder.blocks[0].feed_forward.down.weight[:, 2]
    assert nearest_tokens(decoder, 5, 3)[0] == (7, pytest.approx(1.0, abs=1e-5))
    assert nearest_neurons(decoder, 0, 2, 3)[0] == (1, 3, pytest.approx(1.0, abs=1e-5))
    said = neuron_tokens(decoder, 0, 2, 4)
    assert [amount for _, amount in said.raised] == sorted((amount for _, amount in said.raised), reverse=True)
    assert said.lowered[0][1] < 0 < said.raised[0][1]
    for wrong, words in (((2, 0), "layer 2: is missing"), ((0, 999), "neuron 999: is missing")):
        with pytest.raises(UserError, match=words):
            neuron_tokens(decoder, *wrong)


def test_the_map_keeps_what_it_says_of_the_variance() -> None:
    decoder = model().decoder
    places, share = embedding_map(decoder, range(20))
    vectors = decoder.embedding.weight[:20].detach()
    vectors = vectors - vectors.mean(0)
    assert share == pytest.approx(float(places.square().sum() / vectors.square().sum()), rel=1e-4)
    with pytest.raises(UserError, match="three or more"):
        embedding_map(decoder, [1, 2])


def test_spectra_are_those_of_the_matrices() -> None:
    decoder = model().decoder
    found = {each.name: each for each in spectra(decoder)}
    query = found["blocks.0.attention.query"]
    weight = decoder.blocks[0].attention.query.weight.detach()
    assert query.largest == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)), rel=1e-4)
    assert query.norm == pytest.approx(float(weight.square().mean().sqrt()), rel=1e-5)
    assert 1 <= query.stable_rank <= min(weight.shape)


def test_a_tuned_lens_comes_closer_to_the_model_on_other_texts() -> None:
    seen = prediction()
    ids = random_ids(64, 16) % WORDS.vocabulary_size
    tuned = fit_tuned_lens(seen.decoder, ids[:60], steps=150)
    other = predict(seen.model, ids[60:61])
    plain, better = logit_lens(other), logit_lens(other, tuned=tuned)
    assert (better.divergence[:-1].mean(1) < 0.9 * plain.divergence[:-1].mean(1)).all()
    torch.testing.assert_close(better.divergence[-1], plain.divergence[-1])


def test_a_tuned_lens_of_a_large_vocabulary_learns_from_a_part_of_the_positions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, read = prediction(), []
    monkeypatch.setattr(lens, "AT_A_TIME", 10 * seen.decoder.config.vocabulary_size)  # ten positions of sixteen
    scored = lens.lens_logits
    monkeypatch.setattr(lens, "lens_logits", lambda *given: read.append(given[1].shape[0]) or scored(*given))
    ids = random_ids(64, 16) % WORDS.vocabulary_size
    tuned = fit_tuned_lens(seen.decoder, ids[:60], steps=150)
    assert set(read) == {10}
    monkeypatch.undo()
    other = predict(seen.model, ids[60:61])
    plain, better = logit_lens(other), logit_lens(other, tuned=tuned)
    assert (better.divergence[:-1].mean(1) < 0.9 * plain.divergence[:-1].mean(1)).all()


def test_a_dictionary_finds_planted_features_and_what_they_do() -> None:
    generator = torch.Generator().manual_seed(0)
    planted = torch.nn.functional.normalize(torch.randn(12, 32, generator=generator), dim=-1)
    amounts = torch.rand(4_000, 12, generator=generator) * (torch.rand(4_000, 12, generator=generator) < 0.15)
    network = fit_dictionary(amounts @ planted, features=24, active=4, steps=600)
    cosines = planted @ network.decoder.T
    assert (cosines.max(1).values > 0.95).sum() >= 10  # twelve were planted
    activations = network.encode(amounts[:50] @ planted)
    assert ((activations > 0).sum(1) <= 4).all()


def test_features_of_a_model_have_examples_and_effects() -> None:
    decoder = model().decoder
    ids = random_ids(40, 12) % WORDS.vocabulary_size
    name = "blocks.0.hook_resid_post"
    vectors = layer_vectors(decoder, ids[:32], name)
    network = fit_dictionary(vectors, features=64, active=8, steps=300)
    held_out = quality(decoder, network, name, ids[32:])
    assert 0.3 < held_out.explained <= 1
    assert held_out.loss < held_out.rebuilt < held_out.ablated or held_out.rebuilt < held_out.ablated
    feature = int(network.encode(vectors).sum(0).argmax())
    examples = top_examples(network, vectors, 12, feature, 5)
    assert [each.activation for each in examples] == sorted((each.activation for each in examples), reverse=True)
    best = examples[0]
    value = trace(decoder, ids[best.row : best.row + 1], [name])[name][0, best.position]
    assert float(network.encode(value[None])[0, feature]) == pytest.approx(best.activation, rel=1e-3)
    effect = feature_effect(decoder, network, name, ids[:32], feature, examples)
    assert effect.moved > 0
    assert len(effect.tokens) == 8
    with pytest.raises(UserError, match="never active"):
        feature_effect(decoder, network, name, ids, feature, [])
