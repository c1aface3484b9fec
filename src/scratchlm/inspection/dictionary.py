"""A sparse autoencoder: writes the vectors of a layer as sums of a few of many features, and says what they do.

Of all features, the k most active ones rebuild a vector; the rest are zero. Sources: Bricken et al. 2023, "Towards
Monosemanticity"; Gao et al. 2024, "Scaling and evaluating sparse autoencoders" (arXiv 2406.04093), whose TopK form,
initial weights and auxiliary loss for features that are never active are taken here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.base.errors import UserError
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.trace import trace
from scratchlm.model.decoder import Decoder

RATE, ROWS = 2e-3, 1_024
"""Learning rate, and vectors of a step."""
ENCODED = 2_048
"""Vectors whose features are computed together."""
DEAD_AFTER = 100
"""Steps without being active after which a feature is taken for dead."""
SHARE_OF_DEAD = 1 / 32
"""Weight of the loss by which dead features learn what the others leave."""


class SparseAutoencoder(nn.Module):
    """`decoder(topk(encoder(x - mean))) + mean`; rows of `decoder` have length 1."""

    def __init__(
        self, width: int, features: int, active: int, mean: Float[Tensor, " D"], scale: float, seed: int
    ) -> None:
        super().__init__()
        self.active = active
        self.mean, self.scale = nn.Parameter(mean.clone()), scale
        generator = torch.Generator().manual_seed(seed)
        directions = F.normalize(torch.randn(features, width, generator=generator), dim=-1)
        self.decoder = nn.Parameter(directions)
        self.encoder = nn.Parameter(directions.clone())
        self.bias = nn.Parameter(torch.zeros(features))

    def scores(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N F"]:
        """Return how much each feature is called for, before most are left out."""
        return F.relu((x - self.mean) / self.scale @ self.encoder.T + self.bias)

    def encode(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N F"]:
        """Return the activations: at most `active` of a row are above 0."""
        return _largest(self.scores(x), self.active)

    def decode(self, activations: Float[Tensor, "N F"]) -> Float[Tensor, "N D"]:
        """Return the vectors that activations stand for."""
        return activations @ self.decoder * self.scale + self.mean


def _largest(scores: Tensor, count: int) -> Tensor:
    best = scores.topk(min(count, scores.size(-1)), -1)
    return torch.zeros_like(scores).scatter(-1, best.indices, best.values)


class DictionaryQuality(NamedTuple):
    """How well features stand for the vectors of a layer, on text that they were not trained on."""

    explained: float
    """Share of the variance that they rebuild."""
    loss: float
    """The model's loss a token, in nats."""
    rebuilt: float
    """Its loss with the layer's vectors rebuilt."""
    ablated: float
    """Its loss with the mean in the place of every vector."""
    dead: float
    """Share of features that are never active."""


def layer_vectors(decoder: Decoder, ids: Int[Tensor, "N T"], name: str, rows: int = 16) -> Float[Tensor, "tokens D"]:
    """Return the vectors of one named value at all positions but the first of each text, which is unlike the others."""
    parts = [trace(decoder, ids[at : at + rows], [name])[name][:, 1:].flatten(0, 1) for at in range(0, len(ids), rows)]
    return torch.cat(parts).float()


def fit_dictionary(
    vectors: Float[Tensor, "tokens D"], features: int, active: int = 16, steps: int = 1_000, seed: int = 0,
    after: Callable[[int], None] = lambda step: None,
) -> SparseAutoencoder:  # fmt: skip
    """Train a sparse autoencoder on vectors. Raises `UserError` for fewer vectors than active features."""
    if len(vectors) <= active or features < active:
        raise UserError(f"dictionary: {len(vectors):,} vectors and {features:,} features for {active} active ones")
    mean = vectors.mean(0)
    scale = float((vectors - mean).square().mean().sqrt()) or 1.0
    network = SparseAutoencoder(vectors.size(1), features, active, mean, scale, seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.9, 0.999))
    draw, idle = torch.Generator().manual_seed(seed), torch.zeros(features, dtype=torch.long)
    for step in range(steps):
        x = vectors[torch.randint(len(vectors), (min(ROWS, len(vectors)),), generator=draw)]
        scores = network.scores(x)
        activations = _largest(scores, active)
        left = (x - network.decode(activations)) / scale
        loss = left.square().mean()
        idle = torch.where((activations > 0).any(0), 0, idle + 1)
        dead = idle > DEAD_AFTER
        if dead.any():  # they learn what the others leave
            own = _largest(((x - network.mean) / scale @ network.encoder.T + network.bias)[:, dead], 2 * active)
            loss = loss + SHARE_OF_DEAD * (left.detach() - own @ network.decoder[dead]).square().mean()
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, 5 * (1 - step / steps))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        with torch.no_grad():
            network.decoder.copy_(F.normalize(network.decoder, dim=-1))
        after(step + 1)
    return network.requires_grad_(False).eval()


@torch.no_grad()
def quality(
    decoder: Decoder, network: SparseAutoencoder, name: str, ids: Int[Tensor, "N T"], rows: int = 16
) -> DictionaryQuality:
    """Return how well the features stand for a value, on texts that they were not trained on."""
    vectors = layer_vectors(decoder, ids, name)
    parts = [network.encode(part) for part in torch.split(vectors, ENCODED)]
    rebuilt = torch.cat([network.decode(part) for part in parts])
    active = torch.stack([(part > 0).any(0) for part in parts]).any(0)
    variance = (vectors - vectors.mean(0)).square().sum()
    explained = 1 - float((vectors - rebuilt).square().sum() / variance)

    def loss(value: Tensor | None) -> float:
        total, length = 0.0, ids.size(1) - 1
        for at in range(0, len(ids), rows):
            part = ids[at : at + rows]
            places = list(range(1, ids.size(1)))
            kept = None if value is None else value[at * length : (at + len(part)) * length].view(len(part), length, -1)
            edit = () if kept is None else Edit.replace(name, F.pad(kept, (0, 0, 1, 0)), positions=places)
            logits = trace(decoder, part, edit=edit).logits[:, :-1].float()
            total += float(F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum"))
        return total / (len(ids) * length)

    dead = float((~active).float().mean())
    return DictionaryQuality(explained, loss(None), loss(rebuilt), loss(vectors.mean(0).expand_as(vectors)), dead)


@dataclass(frozen=True)
class FeatureExample:
    """A place where a feature is active."""

    row: int
    position: int
    activation: float


@torch.no_grad()
def top_examples(
    network: SparseAutoencoder, vectors: Float[Tensor, "tokens D"], length: int, feature: int, count: int = 8
) -> list[FeatureExample]:
    """Return the places where a feature is most active; `length` are positions of a text, the first included."""
    activations = torch.cat([network.encode(part)[:, feature] for part in torch.split(vectors, ENCODED)])
    best = activations.topk(min(count, len(activations)))
    return [
        FeatureExample(place // (length - 1), place % (length - 1) + 1, value)
        for place, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        if value > 0
    ]


class FeatureEffect(NamedTuple):
    """What a feature does: tokens by how much their log-probability falls without it, and the same for a control."""

    tokens: list[tuple[int, float]]
    """Those that fall most, with the mean fall in nats."""
    moved: float
    """KL divergence between the answers with the feature and without, in nats, mean over its examples."""
    control: float
    """The same for a random direction of the same length."""


@torch.no_grad()
def feature_effect(
    decoder: Decoder, network: SparseAutoencoder, name: str, ids: Int[Tensor, "N T"], feature: int,
    examples: Sequence[FeatureExample], seed: int = 0,
) -> FeatureEffect:  # fmt: skip
    """Take a feature out of the stream at its examples, and see what the model no longer says: the causal check."""
    if not examples:
        raise UserError(f"feature {feature}: is never active on these texts")
    direction = network.decoder[feature] * network.scale
    chance = torch.randn(direction.shape, generator=torch.Generator().manual_seed(seed))
    chance *= direction.norm() / chance.norm()
    falls = list[Tensor]()
    moved, control = list[float](), list[float]()
    for example in examples:
        row = ids[example.row : example.row + 1, : example.position + 1]
        seen = trace(decoder, row, [name, "logits"])
        plain = torch.log_softmax(seen.logits[0, -1].float(), -1)
        for away, kept in ((direction, moved), (chance, control)):
            edit = Edit.replace(name, seen[name] - example.activation * away, positions=[example.position])
            without = torch.log_softmax(trace(decoder, row, edit=edit).logits[0, -1].float(), -1)
            kept.append(float((plain.exp() * (plain - without)).sum()))
            if kept is moved:
                falls.append(plain - without)
    mean = torch.stack(falls).mean(0)
    best = mean.topk(min(8, len(mean)))
    tokens = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return FeatureEffect(tokens, sum(moved) / len(moved), sum(control) / len(control))
