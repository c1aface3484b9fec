"""A model that was trained between two calls writes with its new weights alone."""

from __future__ import annotations

import pytest
import torch

from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine, stream_ids
from scratchlm.generation.generate import generate_ids
from scratchlm.model.decoder import build_decoder
from scratchlm.model.presets import tiny
from scratchlm.training.config import AdamWConfig, MuonConfig, OptimizerConfig
from scratchlm.training.optimizer import Optimizers


@pytest.mark.parametrize("config", [MuonConfig(), AdamWConfig(), AdamWConfig(implementation="plain")])
def test_a_cache_from_before_training_is_not_used_after_it(config: OptimizerConfig) -> None:
    decoder = build_decoder(tiny())
    engine, prompt = Engine(decoder), list(range(40, 70))
    settings = SamplingConfig(max_tokens=5, temperature=0.0, repetition_penalty=1.3)
    list(stream_ids(engine, prompt, settings))
    cache = engine.blocks
    optimizers = Optimizers(decoder, config)
    decoder(torch.tensor([prompt])).square().sum().backward()
    optimizers.step()
    assert list(stream_ids(engine, prompt, settings)) == list(generate_ids(decoder, prompt, settings))
    assert engine.blocks is not cache
