"""Toy models and tokenizers for tests: every preset's shape in miniature, every tensor random."""

from __future__ import annotations

import dataclasses

import torch

from scratchlm.model import presets
from scratchlm.model.config import DecoderConfig, LatentAttentionConfig, MLPConfig, SwiGLUConfig
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.base import DEFAULT_SPECIALS, number_specials
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.tokens.patterns import QWEN2
from scratchlm.tokens.vocabulary import trained_vocabulary

VOCABULARY = 61
CONTEXT = 24


def toy_config(name: str, **changes: object) -> DecoderConfig:
    """Return the preset's shape at width 32 with 2 layers, a vocabulary of 61 and a context of 24."""
    match name:
        case "tiny":
            config = dataclasses.replace(presets.tiny(VOCABULARY), width=32, feed_forward=SwiGLUConfig(hidden=48))
        case "default":
            config = presets.qwen3_shaped(VOCABULARY, width=32, layers=2, context=CONTEXT, head_dim=8)
        case "speedrun":
            config = dataclasses.replace(
                presets.speedrun(VOCABULARY),
                width=32,
                layers=2,
                attention=dataclasses.replace(presets.speedrun().attention, heads=2, kv_heads=2, head_dim=16),
                feed_forward=MLPConfig(hidden=48, activation="relu_squared"),
            )
        case "gpt2":
            config = presets.gpt2(VOCABULARY, width=32, layers=2, heads=4)
        case "latent":
            latent = LatentAttentionConfig(latent_dim=12, query_rank=10, nope_dim=6, rope_dim=4, value_dim=8)
            config = dataclasses.replace(toy_config("default"), attention=latent)
        case _:
            raise AssertionError(name)
    return dataclasses.replace(config, **{"context": CONTEXT, **changes})  # type: ignore[arg-type]


TOYS = ("tiny", "default", "speedrun", "gpt2")


def randomise(decoder: Decoder, seed: int = 0) -> Decoder:
    """Make every tensor random, biases and norms too, so large that logits spread by more than 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() < 2:
                parameter.copy_(noise * 0.3 + (1.0 if name.endswith("norm.weight") else 0.0))
            elif "embedding" in name or name == "head.weight":
                parameter.copy_(noise * 0.5)
            else:
                parameter.copy_(noise * 1.5 / parameter.size(1) ** 0.5)
    return decoder


def random_decoder(config: DecoderConfig, seed: int = 0) -> Decoder:
    """Build a decoder in which every tensor is random, in evaluation mode."""
    return randomise(Decoder(config), seed).eval()


def random_ids(rows: int, length: int, vocabulary: int = VOCABULARY, seed: int = 1) -> torch.Tensor:
    """Draw ids `(rows, length)`."""
    return torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))


def byte_tokenizer() -> ReadableBPE:
    """Return a tokenizer of the 256 bytes and the special tokens, without merges."""
    return ReadableBPE(trained_vocabulary([], QWEN2, DEFAULT_SPECIALS))


BYTE_VOCABULARY = 256 + len(number_specials(256))
