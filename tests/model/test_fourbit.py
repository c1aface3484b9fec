"""Weights in four bits: NF4's levels, what is lost, and adapters trained beside them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scratchlm.model.fourbit import BLOCK, levels, pack, product
from scratchlm.model.lora import adapted, add_adapter, merge_adapter, pack_base, unpack_base
from scratchlm.model.loraconfig import LoRAConfig
from toys import TOYS, random_decoder, random_ids, toy_config

PUBLISHED = [-1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0,
             0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0]  # fmt: skip
"""Appendix E of the paper, to four digits."""


def test_the_levels_are_those_of_the_paper() -> None:
    assert levels() == pytest.approx(PUBLISHED, abs=1e-4)


@pytest.mark.parametrize("shape", [(8, 64), (5, 13), (3, 200)])
def test_every_weight_becomes_the_nearest_level_of_its_block(shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    packed = pack(weight)
    blocks = F.pad(weight.flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(1, keepdim=True).bfloat16().float()
    near = (blocks[..., None] - torch.tensor(levels()) * scales[..., None]).abs().argmin(-1)
    expected = (torch.tensor(levels())[near] * scales).flatten()[: weight.numel()].view(shape)
    assert torch.equal(packed.unpacked(torch.float32), expected)
    assert packed.nbytes == len(blocks) * (BLOCK // 2 + 2)


def test_a_matrix_of_zeros_stays_one() -> None:
    assert torch.equal(pack(torch.zeros(4, 64)).unpacked(torch.float32), torch.zeros(4, 64))


def test_the_product_and_its_gradient_are_those_of_the_unpacked_matrix() -> None:
    packed = pack(torch.randn(6, 32, generator=torch.Generator().manual_seed(0)))
    plain = packed.unpacked(torch.float32)
    inputs = [torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)]
    ours, theirs = product(inputs[0], packed), F.linear(inputs[1], plain)
    assert torch.equal(ours, theirs)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    with torch.autocast("cpu", torch.bfloat16):
        low = product(inputs[0], packed)
    assert low.dtype == torch.bfloat16
    low.float().sum().backward()
    assert inputs[0].grad is not None
    assert inputs[0].grad.dtype == torch.float32


@pytest.mark.parametrize("name", TOYS)
def test_an_adapter_is_trained_beside_four_bits_and_merged(name: str) -> None:
    decoder = random_decoder(toy_config(name))
    add_adapter(decoder, "a", LoRAConfig(rank=2))
    count = decoder.parameter_count()
    pack_base(decoder)
    pack_base(decoder)  # a second time changes nothing
    assert decoder.parameter_count() == count
    decoder.to("cpu", torch.float32)
    ids = random_ids(2, 7)
    decoder(ids).square().mean().backward()
    for layer in adapted(decoder).values():
        assert layer.weight.grad is None
        gradient = layer.lora_b["a"].grad
        assert gradient is not None
        assert gradient.abs().sum() > 0
        with torch.no_grad():
            layer.lora_b["a"] -= 0.1 * gradient
    with torch.no_grad():
        expected = decoder(ids)
        unpack_base(decoder)
        torch.testing.assert_close(decoder(ids), expected, atol=1e-5, rtol=1e-5)
        pack_base(decoder)  # levels stay levels
        torch.testing.assert_close(decoder(ids), expected, atol=1e-5, rtol=1e-5)
        merge_adapter(decoder, "a")
        torch.testing.assert_close(decoder(ids), expected, atol=1e-5, rtol=1e-5)
