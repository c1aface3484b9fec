"""The residual stream between layers."""

from __future__ import annotations

import torch

from scratchlm.inspection.trace import layer_states
from toys import CONTEXT, VOCABULARY, random_decoder, toy_config

IDS = torch.randint(0, VOCABULARY, (2, CONTEXT), generator=torch.Generator().manual_seed(0))


def test_the_first_state_is_the_embedding_and_the_last_becomes_the_logits() -> None:
    decoder = random_decoder(toy_config("default")).eval()
    states = layer_states(decoder, IDS)
    assert [tuple(state.shape) for state in states] == [(2, CONTEXT, 32)] * 3
    torch.testing.assert_close(states[0], decoder.embedding(IDS), rtol=0, atol=0)
    torch.testing.assert_close(decoder.logits(decoder.final_norm(states[-1])), decoder(IDS), rtol=0, atol=0)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in decoder.blocks)


def test_a_state_of_a_layer_is_what_its_block_adds_to() -> None:
    decoder = random_decoder(toy_config("default")).eval()
    states = layer_states(decoder, IDS)
    # Changing a later token changes no earlier state, at any layer.
    other = IDS.clone()
    other[:, -1] = (other[:, -1] + 1) % VOCABULARY
    for one, two in zip(states, layer_states(decoder, other), strict=True):
        torch.testing.assert_close(one[:, :-1], two[:, :-1])
        assert not torch.equal(one[:, -1], two[:, -1])
