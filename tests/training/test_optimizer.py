"""The optimizers against torch's own, and against what their papers promise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.model.decoder import build_decoder
from scratchlm.training.checkpoints import TrainingState
from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig
from scratchlm.training.loop import Loop
from scratchlm.training.optimizer import GroupOptimizer, Muon, Optimizers, PlainAdamW, newton_schulz
from toys import random_decoder, toy_config


def random_gradients(parameters: list[nn.Parameter], step: int) -> None:
    """Give every parameter the gradient of `step`, over six orders of magnitude."""
    generator = torch.Generator().manual_seed(step)
    for parameter in parameters:
        size = 10.0 ** (torch.rand((), generator=generator) * 6 - 5)
        parameter.grad = torch.randn(parameter.shape, generator=generator) * size


def twins(*shapes: tuple[int, ...]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    return [nn.Parameter(v.clone()) for v in values], [nn.Parameter(v.clone()) for v in values]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_plain_adamw_equals_torchs_over_three_hundred_steps_with_a_moving_rate(decay: float, fused: bool) -> None:
    ours, theirs = twins((5, 7), (3,), (2, 2))
    config = AdamWConfig(learning_rate=0.02, beta1=0.8, beta2=0.97, eps=1e-6, weight_decay=decay)
    groups = [[ours[:2], theirs[:2], decay], [ours[2:], theirs[2:], 0.0]]
    plain = PlainAdamW([{"params": g[0], "weight_decay": g[2]} for g in groups], config)
    torchs = torch.optim.AdamW(
        [{"params": g[1], "weight_decay": g[2]} for g in groups], lr=0.02, betas=(0.8, 0.97), eps=1e-6, fused=fused
    )
    for step in range(300):
        for optimizer in (plain, torchs):
            for group in optimizer.param_groups:
                group["lr"] = 0.02 * (1 - step / 300)
        random_gradients(ours, step)
        random_gradients(theirs, step)
        plain.step()
        torchs.step()
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other, rtol=2e-5, atol=2e-6)


def test_the_two_implementations_of_the_configuration_train_a_model_alike() -> None:
    ends = []
    for implementation in ("plain", "fused"):
        decoder = random_decoder(toy_config("gpt2"))
        parameters = list(decoder.parameters())
        optimizers = Optimizers(decoder, AdamWConfig(implementation=implementation, weight_decay=0.5))
        for step in range(20):
            random_gradients(parameters, step)
            optimizers.step()
        ends.append(parameters)
    for plain, fused in zip(*ends, strict=True):
        torch.testing.assert_close(plain, fused, rtol=1e-5, atol=1e-6)


def test_decay_shrinks_matrices_and_leaves_vectors_alone() -> None:
    decoder = random_decoder(toy_config("gpt2"))
    before = {name: p.detach().clone() for name, p in decoder.named_parameters()}
    optimizers = Optimizers(decoder, AdamWConfig(learning_rate=0.1, weight_decay=0.5))
    for parameter in decoder.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.step()
    for name, parameter in decoder.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] * (0.95 if parameter.dim() > 1 else 1.0))


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8), (64, 32), (1, 5)])
def test_orthogonalising_brings_every_singular_value_near_one_and_keeps_directions(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(6, *shape, generator=generator) * 10.0 ** torch.arange(-3, 3).view(6, 1, 1)
    result = newton_schulz(matrices, 5)
    values = torch.linalg.svdvals(result[:, :, :])
    strong = torch.linalg.svdvals(matrices) > 0.02 * matrices.norm(dim=(1, 2))[:, None]
    assert values[strong].min() > 0.5
    assert values.max() < 1.3
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    aligned = u.mT @ result @ vh.mT  # in the input's own singular directions the result is diagonal
    off = aligned - torch.diag_embed(aligned.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 2e-3


def test_muon_on_a_batch_of_matrices_equals_each_alone() -> None:
    shapes = [(8, 12), (8, 12), (12, 8), (8, 12), (6, 6), (12, 8)]
    together, alone = twins(*shapes)
    config = MuonConfig(learning_rate=0.05, weight_decay=0.1)
    batched = Muon([{"params": together}], config)
    singles = [Muon([{"params": [parameter]}], config) for parameter in alone]
    start = [parameter.detach().clone() for parameter in together]
    for step in range(15):
        random_gradients(together, step)
        random_gradients(alone, step)
        batched.step()
        for single in singles:
            single.step()
    for one, other, before in zip(together, alone, start, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        assert (one - before).abs().max() > 0.05


def test_cautious_decay_touches_only_what_the_step_brings_nearer_to_zero() -> None:
    ends = {}
    for decay, cautious in [(0.0, False), (0.5, False), (0.5, True)]:
        (matrix,), _ = twins((6, 9))
        before = matrix.detach().clone()
        random_gradients([matrix], 3)
        Muon([{"params": [matrix]}], MuonConfig(learning_rate=0.1, weight_decay=decay, cautious=cautious)).step()
        ends[decay, cautious] = matrix.detach()
    nearer = (ends[0.0, False] - before) * before < 0
    assert 0.2 < nearer.float().mean() < 0.8
    torch.testing.assert_close(ends[0.5, True], torch.where(nearer, ends[0.5, False], ends[0.0, False]))


def test_muon_in_bf16_steps_nearly_as_in_fp32() -> None:
    exact, rounded = twins((16, 40), (16, 16))
    for parameters, dtype in ((exact, torch.float32), (rounded, torch.bfloat16)):
        random_gradients(parameters, 1)
        before = [p.detach().clone() for p in parameters]
        Muon([{"params": parameters}], MuonConfig(learning_rate=1.0), dtype).step()
    for one, other, start in zip(exact, rounded, before, strict=True):
        assert other.dtype == torch.float32
        assert (one - other).norm() < 0.1 * (one - start).norm()


def test_muons_step_does_not_depend_on_the_gradients_scale() -> None:
    small, large = twins((8, 12))
    for parameters, scale in ((small, 1e-4), (large, 1e3)):
        muon = Muon([{"params": parameters}], MuonConfig())
        parameters[0].grad = torch.randn(8, 12, generator=torch.Generator().manual_seed(3)) * scale
        muon.step()
    torch.testing.assert_close(small[0], large[0], rtol=1e-3, atol=2e-5)


def test_muon_takes_the_matrices_inside_blocks_and_adamw_everything_else() -> None:
    decoder = random_decoder(toy_config("default", tied=False))
    optimizers = Optimizers(decoder, MuonConfig())
    muon, adam = (
        {optimizers.names[p] for group in member.param_groups for p in group["params"]} for member in optimizers.members
    )
    assert muon | adam == {name for name, _ in decoder.named_parameters()}
    assert not muon & adam
    assert {"embedding.weight", "head.weight", "final_norm.weight"} <= adam
    assert all(name.startswith("blocks.") and "norm" not in name for name in muon)
    assert len(muon) == 2 * 7


def test_the_rate_of_every_group_follows_the_schedule() -> None:
    config = MuonConfig(learning_rate=0.04, adam=AdamWConfig(learning_rate=0.006))
    optimizers = Optimizers(random_decoder(toy_config("default")), config)
    for share in (0.5, 0.25, 1.0):  # a share of the peak, not of the rate before
        optimizers.scale_lr(share)
        rates = {group["lr"] for member in optimizers.members for group in member.param_groups}
        assert rates == {0.04 * share, 0.006 * share}


@pytest.mark.parametrize(
    "config", [MuonConfig(), AdamWConfig(), AdamWConfig(implementation="plain")], ids=["muon", "fused", "plain"]
)
def test_an_optimizer_restored_from_its_tensors_goes_on_bit_for_bit(config) -> None:
    decoders = [random_decoder(toy_config("gpt2")) for _ in range(2)]
    first = Optimizers(decoders[0], config)
    for step in range(5):
        random_gradients(list(decoders[0].parameters()), step)
        first.step()
    decoders[1].load_state_dict(decoders[0].state_dict())
    second = Optimizers(decoders[1], config)
    saved = first.tensors()
    second.load_tensors(saved)
    for step in range(5, 10):
        for decoder, optimizers in zip(decoders, (first, second), strict=True):
            random_gradients(list(decoder.parameters()), step)
            optimizers.step()
    assert all(torch.equal(a, b) for a, b in zip(*(d.parameters() for d in decoders), strict=True))
    again = second.tensors()
    assert again.keys() == first.tensors().keys()
    assert all(torch.equal(again[name], value) for name, value in first.tensors().items())


def test_decay_falls_with_the_rate_only_where_it_is_told_to() -> None:
    optimizers = Optimizers(random_decoder(toy_config("default")), MuonConfig(weight_decay=0.4))
    optimizers.scale_lr(0.5)
    assert optimizers.members[0].param_groups[0]["weight_decay"] == 0.4
    optimizers.scale_lr(0.5, 0.5)
    assert optimizers.members[0].param_groups[0]["weight_decay"] == 0.2


def test_a_frozen_parameter_is_in_no_optimizer() -> None:
    decoder = random_decoder(toy_config("default"))
    decoder.embedding.weight.requires_grad_(False)
    for config in (MuonConfig(), AdamWConfig()):
        assert "embedding.weight" not in Optimizers(decoder, config).names.values()


def test_muon_needs_no_parameters_of_either_kind() -> None:
    for inside in (True, False):
        model = random_decoder(toy_config("default"))
        for name, parameter in model.named_parameters():
            parameter.requires_grad_((parameter.dim() == 2 and "blocks." in name) == inside)
        optimizers = Optimizers(model, MuonConfig())
        assert [isinstance(member, Muon) for member in optimizers.members] == ([True] if inside else [False])


def test_the_defaults_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        AdamWConfig().learning_rate = 1.0  # type: ignore[misc]


class Lion(GroupOptimizer):
    """Chen et al. 2023, arXiv 2302.06675, algorithm 2: the sign of a mean of gradients."""

    def step_group(self, parameters: list[torch.Tensor], rate: float, decay: float) -> None:
        for parameter in parameters:
            mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
            parameter.mul_(1 - rate * decay).sub_(rate * torch.sign(0.9 * mean + 0.1 * parameter.grad))
            mean.lerp_(parameter.grad, 0.01)


def test_an_optimizer_of_ones_own_is_one_class_and_goes_on_bit_for_bit() -> None:
    source = WindowBatches(ArrayTokens(np.arange(400) % 7), 4, 8, 0)
    config = TrainingConfig(steps=40, optimizer=AdamWConfig(learning_rate=2e-3))

    def loop() -> Loop:
        decoder = build_decoder(toy_config("default"))
        return Loop(decoder, source, config, build_optimizer=lambda groups: Lion(groups, config.optimizer))

    whole, first, second = loop(), loop(), loop()
    losses = [record.loss for record in whole.steps()]
    assert losses[-1] < 0.5 * losses[0]
    (group, vectors) = whole.optimizers.members[0].param_groups
    assert (group["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    for _ in zip(range(25), first.steps(), strict=False):
        pass
    second.decoder.load_state_dict(first.decoder.state_dict())
    second.restore(first.tensors(), TrainingState(first.step, 0, first.batch_state, {}, {}, 0))
    assert [record.loss for record in second.steps()] == losses[25:]
