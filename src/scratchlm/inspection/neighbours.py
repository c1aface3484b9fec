"""What is near to what: tokens to tokens, the words that a neuron calls for, and a map of the embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.inspection.attribution import output_matrix, without_divisor
from scratchlm.inspection.points import points
from scratchlm.model.decoder import Block, Decoder


@torch.no_grad()
def token_vectors(decoder: Decoder) -> Float[Tensor, "V D"]:
    """Return the embedding of every token."""
    return decoder.embedding(torch.arange(decoder.config.vocabulary_size, device=decoder.device)).float()


def nearest_tokens(decoder: Decoder, token: int, count: int = 10) -> list[tuple[int, float]]:
    """Return the tokens whose embeddings point most in the same direction, with the cosine; itself left out."""
    vectors = torch.nn.functional.normalize(token_vectors(decoder), dim=-1)
    cosines = vectors @ vectors[token]
    cosines[token] = -torch.inf
    best = cosines.topk(min(count, len(cosines) - 1))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


@dataclass(frozen=True)
class NeuronTokens:
    """What a neuron's output says: tokens whose scores it raises and lowers when it is active, with the amounts."""

    raised: list[tuple[int, float]]
    lowered: list[tuple[int, float]]


@torch.no_grad()
def neuron_vectors(decoder: Decoder, layer: int) -> Float[Tensor, "N D"]:
    """Return what each neuron of a layer adds to the stream when it is 1. Raises `UserError` where there are none."""
    layers = len(decoder.blocks)
    if not 0 <= layer < layers:
        raise UserError(f"layer {layer}: is missing; this model has layers 0 to {layers - 1}")
    if f"blocks.{layer}.mlp.hook_post" not in points(decoder):
        raise UserError(f"layer {layer}: its feed-forward has no single set of neurons")
    block = decoder.blocks[layer]
    assert isinstance(block, Block)
    return output_matrix(block).T


def _require_neuron(vectors: Tensor, neuron: int) -> None:
    if not 0 <= neuron < len(vectors):
        raise UserError(f"neuron {neuron}: is missing; this layer has 0 to {len(vectors) - 1:,}")


@torch.no_grad()
def neuron_tokens(decoder: Decoder, layer: int, neuron: int, count: int = 10) -> NeuronTokens:
    """Return the tokens that a neuron speaks for and against, by the head alone: later layers are passed over.

    A score is compared with the mean of all tokens; what norms divide by is left out. Source: Geva et al. 2022,
    "Transformer feed-forward layers build predictions by promoting concepts in the vocabulary space" (arXiv
    2203.14680).
    """
    vectors = neuron_vectors(decoder, layer)
    _require_neuron(vectors, neuron)
    block = decoder.blocks[layer]
    assert isinstance(block, Block)
    vector = without_divisor(decoder.final_norm)(without_divisor(block.feed_forward_out_norm)(vectors[neuron]))
    scores = decoder.head_weight.float() @ vector
    scores -= scores.mean()
    best, worst = scores.topk(min(count, len(scores))), (-scores).topk(min(count, len(scores)))
    raised = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return NeuronTokens(raised, list(zip(worst.indices.tolist(), (-worst.values).tolist(), strict=True)))


def nearest_neurons(decoder: Decoder, layer: int, neuron: int, count: int = 10) -> list[tuple[int, int, float]]:
    """Return the neurons of all layers that add most nearly the same: layer, neuron, cosine; itself left out."""
    _require_neuron(neuron_vectors(decoder, layer), neuron)
    every = [
        torch.nn.functional.normalize(neuron_vectors(decoder, each), dim=-1) for each in range(len(decoder.blocks))
    ]
    cosines = torch.stack([vectors @ every[layer][neuron] for vectors in every])  # (L, N)
    cosines[layer, neuron] = -torch.inf
    best = cosines.flatten().topk(min(count, cosines.numel() - 1))
    size = cosines.size(1)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [(place // size, place % size, cosine) for place, cosine in pairs]


@torch.no_grad()
def embedding_map(decoder: Decoder, tokens: Sequence[int] | Int[Tensor, " N"]) -> tuple[Float[Tensor, "N 2"], float]:
    """Return the two main components of some tokens' embeddings, and the share of their variance that these show."""
    chosen = torch.as_tensor(tokens, device=decoder.device)
    if len(chosen) < 3:
        raise UserError(f"{len(chosen)} different tokens: a map needs three or more; give a longer text")
    vectors = token_vectors(decoder)[chosen]
    vectors = vectors - vectors.mean(0)
    left, sizes, _ = torch.linalg.svd(vectors, full_matrices=False)
    share = float(sizes[:2].square().sum() / sizes.square().sum().clamp_min(1e-30))
    return left[:, :2] * sizes[:2], share
