"""Every fast form against the plain one it stands for: values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from commands import fails
from scratchlm.base.device import autocast
from scratchlm.base.memory import keep_freed_memory
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.model.attention.scaled_dot_product import fused_attention, naive_attention
from scratchlm.model.dropout import Dropout
from scratchlm.model.feedforward import relu_squared
from scratchlm.model.kernels import blocked_attention
from scratchlm.model.norms import plain_rms_norm, rms_norm
from scratchlm.model.positions import plain_rotate, rope_table, rotate
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop
from toys import CONTEXT, VOCABULARY, random_decoder, random_ids, toy_config


def values(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def graded(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Return the value and the gradient by each input, of a sum weighted at random."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = function(*leaves)
    (value * values(*value.shape, seed=9).to(value.dtype)).sum().backward()
    return [value.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize(("kv_heads", "length", "block"), [(4, 12, 5), (2, 12, 12), (1, 7, 3), (4, 1, 4)])
def test_blocked_attention_equals_the_naive_one(kv_heads: int, length: int, block: int) -> None:
    inputs = [values(2, heads, length, 6, seed=i) for i, heads in enumerate((4, kv_heads, kv_heads))]
    expected = graded(lambda q, k, v: naive_attention(q, k, v, None, causal=True), *inputs)
    for found, wanted in zip(graded(lambda q, k, v: blocked_attention(q, k, v, block), *inputs), expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_blocked_attention_in_bf16_is_about_as_near_to_the_truth_as_torchs() -> None:
    inputs = [values(2, 2, 64, 16, seed=i) for i in range(3)]
    exact = graded(lambda q, k, v: fused_attention(q, k, v, None, causal=True), *inputs)
    rounded = [x.bfloat16() for x in inputs]
    torchs = graded(lambda q, k, v: fused_attention(q, k, v, None, causal=True), *rounded)
    ours = graded(lambda q, k, v: blocked_attention(q, k, v, 16), *rounded)
    for mine, other, truth in zip(ours, torchs, exact, strict=True):
        assert (mine - truth).norm() < 3 * (other - truth).norm()
        assert (mine - truth).norm() < 0.02 * truth.norm()


@pytest.mark.parametrize("eps", [1e-6, 0.3])
def test_rms_norm_equals_the_plain_one(eps: float) -> None:
    x = values(3, 5, 8) * 3
    expected = graded(lambda x: plain_rms_norm(x, eps), x)
    torch.testing.assert_close(graded(lambda x: rms_norm(x, eps), x), expected)


@pytest.mark.parametrize("own_rows", [False, True])
def test_rotate_equals_the_plain_one(own_rows: bool) -> None:
    x, (cos, sin) = values(2, 3, 7, 8), rope_table(20, 8, 100.0)
    places = torch.stack([torch.arange(7), torch.arange(7) + 9])[:, None] if own_rows else torch.arange(3, 10)
    rotation = (cos[places], sin[places])
    expected = graded(lambda x: plain_rotate(x, rotation), x)
    torch.testing.assert_close(graded(lambda x: rotate(x, rotation), x), expected)
    strided = values(2, 7, 3, 8).transpose(1, 2)
    torch.testing.assert_close(rotate(strided, rotation), plain_rotate(strided, rotation))


def test_relu_squared_equals_its_formula() -> None:
    x = values(4, 9)
    torch.testing.assert_close(graded(relu_squared, x), graded(lambda x: torch.relu(x) ** 2, x))


def test_in_bf16_a_model_uses_blocks_and_stays_near_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def spy(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        calls.append(1)
        return blocked_attention(q, k, v, 8)

    monkeypatch.setattr("scratchlm.model.attention.base.blocked_attention", spy)
    decoder, ids = random_decoder(toy_config("default")), random_ids(2, CONTEXT)
    with torch.no_grad():
        exact = decoder(ids)
        with autocast(torch.device("cpu"), torch.bfloat16):
            rounded = decoder(ids)
    assert len(calls) == 2  # once for each layer, and never in fp32
    assert (rounded - exact).norm() < 0.05 * exact.norm()


def test_commands_that_train_keep_freed_memory_and_fit_leaves_the_process_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int]] = []

    class Library:
        def __init__(self, name: None) -> None: ...

        def mallopt(self, setting: int, value: int) -> int:
            told.append((setting, value))
            return 1

    monkeypatch.setattr("scratchlm.base.memory.ctypes.CDLL", Library)
    tokens = ArrayTokens(np.arange(200) % VOCABULARY)
    fit(Loop(random_decoder(toy_config("default")), WindowBatches(tokens, 2, 8, 0), TrainingConfig(steps=1)))
    assert told == []
    for verb in (("pretrain", "tiny"), ("finetune", "classify"), ("finetune", "prefer")):
        fails(capsys, *verb, code=2)  # --data is missing; the process is made ready before that is found
        assert len(told) == 3, verb
        told.clear()


def test_kept_memory_is_an_answer_not_an_error() -> None:
    assert keep_freed_memory() in (True, False)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout_drops_its_share_keeps_the_expectation_and_grades_what_it_kept(share: float) -> None:
    torch.manual_seed(0)
    part, x = Dropout(share), torch.ones(100, 999, requires_grad=True)
    dropped = part(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())
    assert abs((dropped == 0).float().mean().item() - share) < 0.01
    assert abs(dropped.mean().item() - 1) < 0.01
    assert len(dropped.unique()) == 2
    torch.manual_seed(0)
    assert torch.equal(part(x), dropped)
    assert not torch.equal(part(x), dropped)
    assert part.eval()(x) is x
