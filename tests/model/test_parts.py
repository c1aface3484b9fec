"""Each part against torch's own, or against what its paper says."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from scratchlm.model.attention.scaled_dot_product import fused_attention, naive_attention
from scratchlm.model.config import LayerNormConfig, MLPConfig, RMSNormConfig, SwiGLUConfig
from scratchlm.model.feedforward import MLP, SwiGLU
from scratchlm.model.masks import causal_mask
from scratchlm.model.norms import LayerNorm, RMSNorm
from scratchlm.model.positions import positions_within, rope_table, rotate


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def test_rms_norm_equals_torchs_and_the_papers_formula() -> None:
    x = torch.randn(2, 5, 16) * 3
    ours, theirs = RMSNorm(16, RMSNormConfig(eps=1e-3)), torch.nn.RMSNorm(16, eps=1e-3)
    ours.weight.normal_()
    theirs.weight.copy_(ours.weight)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x), x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt() * ours.weight)


def test_rms_norm_without_weight_leaves_rows_of_unit_mean_square() -> None:
    norm = RMSNorm(16, RMSNormConfig(weight=False))
    assert list(norm.parameters()) == []
    torch.testing.assert_close(norm(torch.randn(4, 16) * 9).square().mean(-1), torch.ones(4))


def test_layer_norm_equals_torchs_and_the_papers_formula() -> None:
    x = torch.randn(2, 5, 16) * 3 + 1
    ours, theirs = LayerNorm(16, LayerNormConfig(eps=1e-3)), torch.nn.LayerNorm(16, eps=1e-3)
    ours.weight.normal_()
    ours.bias.normal_()
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(ours(x), scaled * ours.weight + ours.bias)


def test_swiglu_equals_its_formula_with_torchs_silu() -> None:
    layer, x = SwiGLU(8, SwiGLUConfig(hidden=12)), torch.randn(2, 3, 8)
    gate, up = x @ layer.gate.weight.T, x @ layer.up.weight.T
    torch.testing.assert_close(layer(x), (torch.nn.SiLU()(gate) * up) @ layer.down.weight.T)


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("gelu", torch.nn.GELU()),
        ("gelu_tanh", torch.nn.GELU(approximate="tanh")),
        ("relu_squared", lambda x: torch.nn.ReLU()(x) ** 2),
    ],
)
def test_each_activation_equals_torchs(name, activation) -> None:
    layer, x = MLP(8, MLPConfig(hidden=12, activation=name, bias=True)), torch.randn(2, 3, 8) * 3
    theirs = torch.nn.Sequential(layer.up, torch.nn.Identity(), layer.down)
    torch.testing.assert_close(layer(x), theirs[2](activation(theirs[0](x))))


def test_the_two_gelus_differ() -> None:
    exact, approximate = (MLP(1, MLPConfig(hidden=1, activation=name)) for name in ("gelu", "gelu_tanh"))
    approximate.load_state_dict(exact.state_dict())
    x = torch.linspace(-4, 4, 101).view(1, -1, 1)
    assert not torch.equal(exact(x), approximate(x))


def test_rotation_keeps_the_norm_of_every_pair() -> None:
    x = torch.randn(2, 3, 40, 16)
    turned = rotate(x, rope_table(40, 16, 10_000.0))

    def pairs(t: torch.Tensor) -> torch.Tensor:
        return torch.stack(t.chunk(2, dim=-1)).norm(dim=0)

    torch.testing.assert_close(pairs(turned), pairs(x))
    assert (turned[:, :, 1:] - x[:, :, 1:]).abs().max() > 0.1
    torch.testing.assert_close(turned[:, :, 0], x[:, :, 0])


def test_rotation_turns_pair_i_by_position_times_its_frequency() -> None:
    cos, sin = rope_table(30, 8, 100.0)
    for position, pair in [(0, 0), (7, 0), (7, 2), (29, 3)]:
        angle = position * 100.0 ** (-2 * pair / 8)
        assert cos[position, pair].item() == pytest.approx(math.cos(angle), abs=1e-5)
        assert sin[position, pair].item() == pytest.approx(math.sin(angle), abs=1e-5)


def test_scores_of_rotated_vectors_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(16), torch.randn(16)
    table = rope_table(50, 16, 10_000.0)
    turned_q, turned_k = (rotate(v.expand(1, 1, 50, 16), table)[0, 0] for v in (q, k))
    near = [(turned_q[i + 3] @ turned_k[i]).item() for i in range(47)]
    assert max(near) - min(near) < 1e-4
    assert abs(near[0] - (turned_q[20] @ turned_k[0]).item()) > 1e-2


def test_positions_start_anew_with_every_document() -> None:
    documents = torch.tensor([[5, 5, 5, 2, 2, 9], [1, 2, 1, 1, 1, 1]])
    assert positions_within(documents).tolist() == [[0, 1, 2, 0, 1, 0], [0, 0, 0, 1, 2, 3]]


def test_the_mask_is_the_hand_drawn_one() -> None:
    device = torch.device("cpu")
    assert causal_mask(2, 4, 2, None, device).tolist() == [[False, True, True, False], [False, False, True, True]]
    documents = torch.tensor([[1, 1, 2]])
    expected = [[[True, False, False], [True, True, False], [False, False, True]]]
    assert causal_mask(3, 3, None, documents, device)[:, 0].tolist() == expected


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_naive_attention_equals_torchs_with_fewer_key_value_heads(kv_heads: int) -> None:
    q, k, v = torch.randn(2, 6, 10, 8), torch.randn(2, kv_heads, 10, 8), torch.randn(2, kv_heads, 10, 8)
    expanded = (t.repeat_interleave(6 // kv_heads, dim=1) for t in (k, v))
    theirs = F.scaled_dot_product_attention(q, *expanded, is_causal=True)
    torch.testing.assert_close(naive_attention(q, k, v, None, causal=True), theirs)
    torch.testing.assert_close(fused_attention(q, k, v, None, causal=True), theirs)


def test_a_single_query_sees_all_keys() -> None:
    q, k, v = torch.randn(1, 2, 1, 8), torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8)
    expected = torch.softmax(q @ k.mT / math.sqrt(8), -1) @ v
    torch.testing.assert_close(naive_attention(q, k, v, None, causal=False), expected)
    torch.testing.assert_close(fused_attention(q, k, v, None, causal=False), expected)


def test_capped_scores_equal_the_formula_and_differ_from_uncapped() -> None:
    q, k, v = (torch.randn(1, 1, 4, 8) * 3 for _ in range(3))
    mask = torch.ones(4, 4, dtype=torch.bool)
    scores = 2.0 * torch.tanh(q @ k.mT / math.sqrt(8) / 2.0)
    capped = naive_attention(q, k, v, mask, causal=True, softcap=2.0)
    torch.testing.assert_close(capped, torch.softmax(scores, -1) @ v)
    assert (capped - naive_attention(q, k, v, mask, causal=True)).abs().max() > 1e-2
