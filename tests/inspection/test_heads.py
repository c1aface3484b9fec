"""Attention maps, and ablation of heads."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.generation.compiling import compiled_form
from scratchlm.inspection.heads import ablated, all_heads, induction_scores
from scratchlm.inspection.trace import attention_maps, layer_states, trace
from scratchlm.model.attention.base import AttentionContext
from scratchlm.model.attention.grouped import GroupedQueryAttention
from scratchlm.model.blocks import Blocks
from scratchlm.model.decoder import Decoder
from toys import CONTEXT, VOCABULARY, randomise, toy_config


def toy(**changes: object) -> Decoder:
    return randomise(Decoder(dataclasses.replace(toy_config("default"), **changes)))  # type: ignore[arg-type]


IDS = torch.randint(0, VOCABULARY, (2, 12), generator=torch.Generator().manual_seed(0))


def test_rows_sum_to_one_and_later_positions_get_no_attention() -> None:
    maps = attention_maps(toy(), IDS)
    assert [tuple(each.shape) for each in maps] == [(2, 4, 12, 12)] * 2
    for each in maps:
        torch.testing.assert_close(each.sum(-1), torch.ones(2, 4, 12))
        assert each.triu(1).abs().max() == 0


def test_an_attention_of_your_own_is_asked_for_its_weights() -> None:
    class Halved(GroupedQueryAttention):
        def attend(self, q: Tensor, k: Tensor, v: Tensor, context: AttentionContext) -> Tensor:
            return 0.5 * super().attend(q, k, v, context)

    decoder = toy()
    plain = attention_maps(decoder, IDS)
    for layer, block in enumerate(decoder.blocks):
        own = Halved(decoder.config, layer)
        own.load_state_dict(block.attention.state_dict())
        block.attention = own
    halved = attention_maps(decoder, IDS)
    torch.testing.assert_close(halved[0], 0.5 * plain[0])  # later layers read another stream
    torch.testing.assert_close(halved[1].sum(-1), torch.full((2, 4, 12), 0.5))
    assert compiled_form(decoder, Blocks(decoder, 4, torch.float32)) is None  # it would compute the plain one


def test_maps_of_a_model_with_a_softcap_are_those_of_its_attention() -> None:
    attention = dataclasses.replace(toy_config("default").attention, softcap=0.1)
    maps = attention_maps(toy(attention=attention), IDS)
    torch.testing.assert_close(maps[0].sum(-1), torch.ones(2, 4, 12))
    assert maps[0].triu(1).abs().max() == 0
    last = maps[0][:, :, -1]  # scores lie between -0.1 and 0.1
    assert (last.amax(-1) / last.amin(-1)).max() <= math.exp(0.2) + 1e-4


def test_attention_maps_leave_the_decoder_unchanged() -> None:
    decoder = toy()
    before = decoder(IDS)
    attention_maps(decoder, IDS)
    torch.testing.assert_close(decoder(IDS), before, rtol=0, atol=0)
    with pytest.raises(UserError, match="vocabulary"):
        attention_maps(decoder, IDS + VOCABULARY)  # no such tokens
    torch.testing.assert_close(decoder(IDS), before, rtol=0, atol=0)


def test_a_concurrent_forward_pass_does_not_interfere() -> None:
    decoder, between = toy(), []
    expected, maps, states = decoder(IDS), attention_maps(decoder, IDS), layer_states(decoder, IDS)
    silenced = trace(decoder, IDS, edit=ablated(all_heads(decoder))).logits
    assert torch.equal(decoder(IDS), expected)
    assert not torch.allclose(silenced, expected)

    def forward_too(*_: object) -> None:  # stands for another thread
        if not between:
            between.append(None)
            between.append(decoder(IDS))

    decoder.blocks[1].register_forward_pre_hook(forward_too)
    for found, wanted in ((attention_maps, maps), (layer_states, states)):
        between.clear()
        again = found(decoder, IDS)
        assert torch.equal(between[1], expected)
        assert len(again) == len(wanted)
        assert all(torch.equal(one, other) for one, other in zip(again, wanted, strict=True))


def test_values_weighted_by_the_map_are_the_output_of_attention() -> None:
    decoder = toy()
    attention = decoder.blocks[0].attention
    mixed = []
    attention.output.register_forward_pre_hook(lambda module, inputs: mixed.append(inputs[0]))
    values = []
    attention.value.register_forward_hook(lambda module, inputs, output: values.append(output))
    weights = attention_maps(decoder, IDS)[0]
    v = values[0].view(2, 12, decoder.config.attention.kv_heads, -1).transpose(1, 2)
    v = v.repeat_interleave(weights.size(1) // v.size(1), dim=1)
    torch.testing.assert_close((weights @ v).transpose(1, 2).flatten(2), mixed[0], rtol=1e-4, atol=1e-5)


def test_an_ablated_head_adds_nothing_and_the_decoder_is_unchanged() -> None:
    decoder = toy()
    before = decoder(IDS)
    silenced = copy.deepcopy(decoder)
    width = decoder.config.attention.head_dim
    with torch.no_grad():
        for layer, head in ((1, 0), (0, 2), (0, 3)):
            silenced.blocks[layer].attention.output.weight[:, head * width : (head + 1) * width] = 0.0
    torch.testing.assert_close(trace(decoder, IDS, edit=ablated([(1, 0), (0, 2), (0, 3)])).logits, silenced(IDS))
    assert not torch.allclose(silenced(IDS), before)
    torch.testing.assert_close(decoder(IDS), before, rtol=0, atol=0)


def test_without_any_head_a_token_depends_on_itself_alone() -> None:
    decoder = toy()
    other = IDS.clone()
    other[:, :6] = (other[:, :6] + 1) % VOCABULARY
    one, two = (trace(decoder, ids, edit=ablated(all_heads(decoder))).logits for ids in (IDS, other))
    torch.testing.assert_close(one[:, 6:], two[:, 6:])
    assert not torch.allclose(decoder(IDS)[:, 6:], decoder(other)[:, 6:])


def test_induction_is_the_attention_to_what_followed_the_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = toy()
    period, length = 4, 12
    perfect = torch.zeros(1, 4, length, length)
    for t in range(length):
        perfect[0, 0, t, max(t - period + 1, 0)] = 1.0  # attends to the token after the last occurrence
        perfect[0, 1, t, t] = 1.0
    monkeypatch.setattr("scratchlm.inspection.heads.attention_maps", lambda *_: [perfect, torch.zeros_like(perfect)])
    ids = torch.arange(period).repeat(3)[None]
    scores = induction_scores(decoder, ids, period)
    assert {head for head, score in scores.items() if score == 1.0} == {(0, 0)}
    assert sum(scores.values()) == 1.0
    assert ids.size(1) <= CONTEXT
