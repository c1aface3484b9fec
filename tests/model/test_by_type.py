"""Which weights Muon steps, which begin at zero, which an adapter stands beside: decided by type, not by a name.

The rules by name that the package once had are written out here, and hold for every shape that there is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from scratchlm.classic.recurrent import build_recurrent
from scratchlm.classic.translator import build_translator
from scratchlm.model.config import (
    ClassesConfig,
    DecoderConfig,
    ExpertsConfig,
    MultiTokenPredictionConfig,
    NgramEmbeddingConfig,
    RMSNormConfig,
    ValueEmbeddingConfig,
    X0ResidualConfig,
)
from scratchlm.model.decoder import Block, Decoder, build_decoder, outline
from scratchlm.model.encoderdecoder import build_encoder_decoder
from scratchlm.model.lora import add_adapter, freeze
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.model.presets import PRESETS, qwen3_shaped
from scratchlm.training.optimizer import matrices_of
from toys import TOYS, toy_config

PARTS = toy_config(
    "default",
    x0_residual=X0ResidualConfig(),
    values=ValueEmbeddingConfig(),
    ngrams=NgramEmbeddingConfig(rows=50),
    multi_token_prediction=MultiTokenPredictionConfig(),
    classes=ClassesConfig(),
    tied=False,
    zero_init_outputs=False,
    norm=RMSNormConfig(unit_offset=True),
    norm_places="both",
)
MIXTURE = toy_config("default", feed_forward=ExpertsConfig(hidden=16, experts=3, chosen=2), zero_init_outputs=False)
SHAPES = {**{name: toy_config(name) for name in TOYS}, "parts": PARTS, "mixture": MIXTURE}
OUTPUTS = ("attention.output.weight", "cross.output.weight", "feed_forward.down.weight", "feed_forward.down")


def muon_by_name(model: nn.Module) -> list[str]:
    tables = {part.weight for part in model.modules() if isinstance(part, nn.Embedding)}
    return [n for n, p in model.named_parameters() if p.dim() == 2 and "blocks." in n and p not in tables]


def muon_by_type(model: nn.Module) -> list[str]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[matrix] for matrix in matrices_of(model)]


@pytest.mark.parametrize("name", [*PRESETS, *SHAPES])
def test_muon_steps_the_same_matrices_in_the_same_order_as_by_their_names(name: str) -> None:
    decoder = outline(PRESETS[name]() if name in PRESETS else SHAPES[name])
    assert muon_by_type(decoder) == muon_by_name(decoder)
    assert muon_by_type(decoder)


def test_a_name_decides_nothing() -> None:
    block = Block(toy_config("tiny"), 0)
    assert matrices_of(nn.ModuleDict({"blocks": nn.Linear(4, 4)})) == []
    assert len(matrices_of(nn.ModuleDict({"layers": nn.ModuleList([block])}))) == 7


def test_muon_steps_the_matrices_of_recurrent_layers_and_no_table() -> None:
    network = build_recurrent(DecoderConfig(vocabulary_size=50, width=8, layers=2, context=16))
    assert muon_by_type(network) == [f"layers.{layer}.weight_{part}_l0" for layer in (0, 1) for part in ("ih", "hh")]
    shape = replace(qwen3_shaped(50, width=32, layers=1, context=16), init_std=0.05)
    translator = build_translator(shape, attention=True, seed=0)
    cells = [f"{name}.weight_{part}" for name, each in translator.named_modules() if isinstance(each, nn.GRUCell)
             for part in ("ih", "hh")]  # fmt: skip
    assert cells
    assert set(cells) < set(muon_by_type(translator))


def weights_by_name(decoder: Decoder, seed: int) -> dict[str, torch.Tensor]:
    """Draw weights by the ends of their names, as `initialise` once did."""
    config, generator = decoder.config, torch.Generator().manual_seed(seed)
    offset = isinstance(config.norm, RMSNormConfig) and config.norm.unit_offset
    drawn = {}
    for name, parameter in decoder.named_parameters():
        if parameter.dim() < 2:
            one = name.endswith(("stream_scale",) if offset else ("norm.weight", "stream_scale"))
            drawn[name] = torch.full(parameter.shape, 1.0 if one else 0.0)
            if name == "x0_residual.embedding_scale":
                assert isinstance(config.x0_residual, X0ResidualConfig)
                drawn[name].fill_(config.x0_residual.initial)
            continue
        std = config.init_std
        if name.endswith(OUTPUTS):
            std = 0.0 if config.zero_init_outputs else std / math.sqrt(2 * config.layers)
        elif name.endswith("value_embedding.table.weight"):
            std *= math.sqrt(config.width)
        elif name.endswith("value_embedding.gate.weight") or name.startswith("ngrams."):
            std = 0.0
        drawn[name] = torch.zeros(parameter.shape)
        if std:
            drawn[name].normal_(0.0, std, generator=generator)
    return drawn


CASES = [(build_decoder, name) for name in SHAPES]
CASES += [(build_encoder_decoder, name) for name in ("tiny", "default", "gpt2")]  # others have parts that it refuses


@pytest.mark.parametrize(("build", "name"), CASES)
def test_new_weights_are_those_that_were_drawn_by_name(
    build: Callable[[DecoderConfig, int], Decoder], name: str
) -> None:
    decoder = build(SHAPES[name], 3)
    expected = weights_by_name(decoder, 3)
    assert all(torch.equal(parameter, expected[name]) for name, parameter in decoder.named_parameters())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_adapters_stand_beside_the_layers_that_had_them_by_name(shape: DecoderConfig) -> None:
    decoder, config = outline(shape), LoRAConfig(targets=("query", "gate", "down"))
    wanted = [
        f"{path}.{side}.a"
        for path, part in decoder.named_modules()
        if path.startswith("blocks.") and path.rpartition(".")[2] in config.targets and isinstance(part, nn.Linear)
        for side in ("lora_a", "lora_b")
    ]
    add_adapter(decoder, "a", config)
    found = [name for name, _ in decoder.named_parameters() if ".lora_" in name]
    assert found == wanted


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_is_frozen_is_what_was_frozen_by_name(shape: DecoderConfig, layers: int) -> None:
    decoder = outline(dataclasses.replace(shape, classes=ClassesConfig()))
    freeze(decoder, layers=layers)

    def trained(name: str) -> bool:
        if name.startswith("blocks."):
            return int(name.split(".")[1]) >= layers
        return layers == 0 or name.startswith(("classifier.", "final_norm.", "head."))

    assert all(p.requires_grad == trained(name) for name, p in decoder.named_parameters())
    add_adapter(decoder, "one", LoRAConfig())
    add_adapter(decoder, "two", LoRAConfig())
    freeze(decoder, "two")
    names = {name for name, p in decoder.named_parameters() if p.requires_grad}
    assert names == {n for n, _ in decoder.named_parameters() if n.endswith(".two") or n.startswith("classifier.")}
