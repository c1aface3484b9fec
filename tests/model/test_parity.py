"""The presets against the implementations that everyone else runs, at toy size with every tensor random."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.model.config import DecoderConfig, RopeConfig
from scratchlm.model.decoder import Decoder
from scratchlm.weights.mapping import GPT2, QWEN3, Rule, shapes, to_ours, to_theirs
from toys import random_decoder, random_ids, toy_config

FAMILIES = ("qwen3 tied", "qwen3 untied", "gpt2")
TOLERANCE = 1e-4


def family(name: str) -> tuple[DecoderConfig, Sequence[Rule]]:
    if name == "gpt2":
        return toy_config("gpt2"), GPT2
    # A theta that is nobody's default, so that one which is not passed on shows.
    return toy_config("default", tied=name == "qwen3 tied", positions=RopeConfig(theta=500.0)), QWEN3


def reference(config: DecoderConfig, rules: Sequence[Rule]) -> torch.nn.Module:
    """Build transformers' model of the same shape."""
    import transformers

    attention = config.attention
    if rules is GPT2:
        return transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=config.vocabulary_size,
                n_positions=config.context,
                n_embd=config.width,
                n_layer=config.layers,
                n_head=attention.heads,
                n_inner=config.feed_forward.hidden,
                layer_norm_epsilon=config.norm.eps,
            )
        ).eval()
    assert isinstance(config.positions, RopeConfig)
    theta = config.positions.theta
    return transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            vocab_size=config.vocabulary_size,
            hidden_size=config.width,
            intermediate_size=config.feed_forward.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=attention.heads,
            num_key_value_heads=attention.kv_heads,
            head_dim=attention.head_dim,
            max_position_embeddings=config.context,
            rms_norm_eps=config.norm.eps,
            tie_word_embeddings=config.tied,
            rope_theta=theta,
            rope_parameters={"rope_type": "default", "rope_theta": theta},
        )
    ).eval()


def load_theirs(model: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load all weights into their model; only the tied head may be left out."""
    result = model.load_state_dict(tensors, strict=False)
    assert not result.unexpected_keys
    assert set(result.missing_keys) <= {"lm_head.weight"}


@torch.no_grad()
def logits_of_ours(config: DecoderConfig, tensors: dict[str, Tensor], ids: Tensor) -> Tensor:
    decoder = Decoder(config).eval()
    for name, parameter in decoder.named_parameters():
        parameter.copy_(tensors[name])
    return decoder(ids)


@pytest.fixture(params=FAMILIES)
def pair(request: pytest.FixtureRequest) -> tuple[DecoderConfig, Sequence[Rule], dict[str, Tensor], Tensor, Tensor]:
    """Give a family's config, table, its model's random tensors (as theirs), ids, and the reference's logits."""
    config, rules = family(request.param)
    ours = {name: p.detach() for name, p in random_decoder(config).named_parameters()}
    theirs = to_theirs(ours, rules, config)
    model = reference(config, rules)
    load_theirs(model, theirs)
    ids = random_ids(2, config.context)
    with torch.no_grad():
        return config, rules, theirs, ids, model(ids).logits


def test_the_model_equals_the_reference_with_every_tensor_random(pair) -> None:
    config, rules, theirs, ids, expected = pair
    logits = logits_of_ours(config, to_ours(theirs, rules, config), ids)
    assert expected.std() > 1
    assert (logits - expected).abs().max() < TOLERANCE


def test_altering_any_one_tensor_of_theirs_breaks_the_parity(pair) -> None:
    config, rules, theirs, ids, expected = pair
    unnoticed = []
    for name, tensor in theirs.items():
        noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7))
        altered = to_ours({**theirs, name: tensor + 0.05 * noise}, rules, config)
        if (logits_of_ours(config, altered, ids) - expected).abs().max() < 20 * TOLERANCE:
            unnoticed.append(name)
    assert len(theirs) > 20
    assert unnoticed == []


def test_altering_any_one_tensor_of_ours_breaks_the_parity_save_key_biases_which_softmax_cancels(pair) -> None:
    config, rules, theirs, ids, expected = pair
    ours = to_ours(theirs, rules, config)
    unnoticed = []
    for name, tensor in ours.items():
        noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7))
        logits = logits_of_ours(config, {**ours, name: tensor + 0.05 * noise}, ids)
        if (logits - expected).abs().max() < 20 * TOLERANCE:
            unnoticed.append(name)
    # A key bias adds the same number to all of a query's scores; only the round trip below can tell it.
    assert [name for name in unnoticed if not name.endswith("key.bias")] == []


def test_no_two_tensors_of_a_layer_can_be_swapped_unnoticed(pair) -> None:
    config, rules, theirs, ids, expected = pair
    ours = to_ours(theirs, rules, config)
    names = [name for name in ours if name.startswith("blocks.") and not name.endswith("key.bias")]
    swaps = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if ours[a].shape == ours[b].shape]
    assert len(swaps) > 5
    for a, b in swaps:
        logits = logits_of_ours(config, {**ours, a: ours[b], b: ours[a]}, ids)
        assert (logits - expected).abs().max() > 20 * TOLERANCE, (a, b)


def test_the_mapping_there_and_back_gives_every_byte_again(pair) -> None:
    config, rules, theirs, _, _ = pair
    ours = to_ours(theirs, rules, config)
    assert {name: tensor.shape for name, tensor in ours.items()} == shapes(config)
    again = to_theirs(ours, rules, config)
    assert again.keys() == theirs.keys()
    assert all(torch.equal(again[name], theirs[name]) for name in theirs)
    twice = to_ours(again, rules, config)
    assert all(torch.equal(twice[name], ours[name]) for name in ours)


def test_a_tied_head_that_the_other_side_stores_anyway_is_accepted() -> None:
    config, rules = family("qwen3 tied")
    model = reference(config, rules)
    assert "lm_head.weight" in model.state_dict()
    assert "head.weight" not in to_ours(model.state_dict(), rules, config)


def test_missing_unknown_and_misshapen_tensors_are_reported_together(pair) -> None:
    config, rules, theirs, _, _ = pair
    first, second, *_ = theirs
    broken = {name: tensor for name, tensor in theirs.items() if name != first}
    broken[second] = torch.zeros(3, 3)
    broken["visual.patches"] = torch.zeros(2)
    with pytest.raises(UserError) as caught:
        to_ours(broken, rules, config)
    message = str(caught.value)
    assert f"{first}: missing" in message
    assert f"{second}: (3, 3)" in message
    assert "visual.patches: unknown" in message


def test_a_model_that_the_family_cannot_express_is_refused() -> None:
    config, rules = family("qwen3 tied")
    biased = dataclasses.replace(config, attention=dataclasses.replace(config.attention, bias=True))
    ours = {name: p.detach() for name, p in Decoder(biased).named_parameters()}
    with pytest.raises(UserError, match="bias: this family has no place for it"):
        to_theirs(ours, rules, biased)
    with pytest.raises(UserError, match="bias: this family's table has no source for it"):
        to_ours(to_theirs({n: t for n, t in ours.items() if "bias" not in n}, rules, biased), rules, biased)
