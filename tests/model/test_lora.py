"""Adapters: they begin as nothing, answer as their merged product, and let the model below alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.model.lora import (
    adapters,
    add_adapter,
    freeze,
    merge_adapter,
    remove_adapter,
    use_adapter,
    without_adapter,
)
from scratchlm.model.loraconfig import LoRAConfig
from toys import TOYS, random_decoder, random_ids, toy_config

CONFIG = LoRAConfig(rank=3, alpha=6.0)


def learned(decoder, name: str, seed: int) -> None:
    """Fill an adapter as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for path, parameter in decoder.named_parameters():
            if ".lora_" in path and path.endswith(f".{name}"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


@pytest.mark.parametrize("name", TOYS)
@torch.no_grad()
def test_an_adapter_begins_as_nothing_and_equals_its_merged_product(name: str) -> None:
    decoder, ids = random_decoder(toy_config(name)), random_ids(2, 20)
    before = decoder(ids)
    add_adapter(decoder, "first", CONFIG)
    assert torch.equal(decoder(ids), before)
    learned(decoder, "first", 1)
    adapted = decoder(ids)
    assert (adapted - before).abs().max() > 0.1
    with without_adapter(decoder):
        assert torch.equal(decoder(ids), before)
    assert torch.equal(decoder(ids), adapted)
    merge_adapter(decoder, "first")
    assert (decoder(ids) - adapted).abs().max() < 1e-5 * adapted.abs().max().clamp(min=1)
    assert adapters(decoder) == []
    with pytest.raises(UserError, match="merged already"):
        merge_adapter(decoder, "first")


@torch.no_grad()
def test_many_adapters_stand_on_one_base_and_are_chosen_by_name() -> None:
    decoder, ids = random_decoder(toy_config("default")), random_ids(1, 12)
    before = decoder(ids)
    add_adapter(decoder, "poems", CONFIG)
    add_adapter(decoder, "laws", LoRAConfig(rank=2, targets=("query", "down")))
    learned(decoder, "poems", 1)
    learned(decoder, "laws", 2)
    answers = {}
    for name in ("poems", "laws"):
        use_adapter(decoder, name)
        answers[name] = decoder(ids)
    assert not torch.allclose(answers["poems"], answers["laws"])
    use_adapter(decoder, None)
    assert torch.equal(decoder(ids), before)
    remove_adapter(decoder, "laws")
    use_adapter(decoder, "poems")
    assert torch.equal(decoder(ids), answers["poems"])
    with pytest.raises(UserError, match="this model has poems"):
        use_adapter(decoder, "laws")
    with pytest.raises(UserError, match="no other adapter has"):
        add_adapter(decoder, "poems", CONFIG)


def test_matrices_that_are_not_square_are_adapted_by_hand_computed_products() -> None:
    decoder = random_decoder(toy_config("default"))
    add_adapter(decoder, "one", LoRAConfig(rank=2, alpha=4.0, targets=("up",)))
    learned(decoder, "one", 3)
    layer = decoder.blocks[0].feed_forward.up
    x = torch.randn(5, layer.in_features)
    expected = x @ (layer.weight + 2.0 * layer.lora_b["one"] @ layer.lora_a["one"]).T
    assert layer.in_features != layer.out_features
    assert torch.allclose(layer(x), expected, atol=1e-5)


@pytest.mark.parametrize("first", [0, 1])
def test_training_changes_the_adapter_alone(first: int) -> None:
    decoder, ids = random_decoder(toy_config("default")), random_ids(2, 10)
    add_adapter(decoder, "one", replace(CONFIG, first_layer=first))
    freeze(decoder, "one")
    decoder(ids).logsumexp(-1).sum().backward()
    touched = {name for name, parameter in decoder.named_parameters() if parameter.grad is not None}
    assert touched == {name for name, _ in decoder.named_parameters() if ".lora_" in name}
    assert any(name.startswith("blocks.0.") for name in touched) == (first == 0)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_frozen_beginning_gets_no_gradient(layers: int) -> None:
    decoder, ids = random_decoder(toy_config("gpt2")), random_ids(2, 10)
    freeze(decoder, layers=layers)
    frozen = {name for name, parameter in decoder.named_parameters() if not parameter.requires_grad}
    assert ("embedding.weight" in frozen) == (layers > 0)
    assert {name for name in frozen if name.startswith("blocks.")} == {
        name for name, _ in decoder.named_parameters() if name.startswith(tuple(f"blocks.{i}." for i in range(layers)))
    }
    assert "final_norm.weight" not in frozen
    decoder(ids).sum().backward()
    assert all((parameter.grad is None) == (name in frozen) for name, parameter in decoder.named_parameters())


def test_no_flops_are_counted_for_gradients_that_are_not_computed() -> None:
    decoders = [random_decoder(toy_config("default")) for _ in range(3)]
    full = decoders[0].flops_per_token(10)
    for first, decoder in enumerate(decoders[:2]):
        add_adapter(decoder, "one", LoRAConfig(rank=1, first_layer=first))
        freeze(decoder, "one")
    freeze(decoders[2], layers=1)
    all_layers, upper, unfrozen = [decoder.flops_per_token(10) for decoder in decoders]
    assert full / 3 < upper < all_layers < 0.75 * full  # adapters of a toy are no small part of it
    assert upper < unfrozen < full


def test_targets_that_no_layer_has_are_refused() -> None:
    with pytest.raises(UserError, match="no layer of this model has one of them"):
        add_adapter(random_decoder(toy_config("gpt2")), "one", LoRAConfig(targets=("gate",)))
    with pytest.raises(UserError, match=r"lora.first_layer is 2: the last layer is 1"):
        add_adapter(random_decoder(toy_config("gpt2")), "one", LoRAConfig(first_layer=2))
    with pytest.raises(UserError, match=r"lora.rank is 0: must be at least 1; lora.alpha is 0"):
        LoRAConfig(rank=0, alpha=0.0)
