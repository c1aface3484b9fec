"""The logit lens: what a model would say if it ended after each layer; and the tuned lens, which translates first.

Sources: nostalgebraist 2020, "interpreting GPT: the logit lens"; Belrose et al. 2023, "Eliciting latent predictions
from transformers with the tuned lens" (arXiv 2303.08112).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.inspection.prediction import Prediction
from scratchlm.inspection.trace import layer_states
from scratchlm.model.decoder import Decoder

RATE = 5e-3
"""Learning rate of translators."""
AT_A_TIME = 2**20
"""Scores, one for each position and token, that a step of their training computes for each layer, at most."""


@dataclass(frozen=True)
class Lens:
    """What the stream before the first layer and after each one says: L + 1 rows, the last of which is the model's."""

    ids: Int[Tensor, "L T K"]
    """The likeliest tokens, best first."""
    probabilities: Float[Tensor, "L T K"]
    target: Float[Tensor, " L"]
    """Probability of the token in question after the text."""
    divergence: Float[Tensor, "L T"]
    """How far each is from the model's own answer: the KL divergence in nats."""


class TunedLens(nn.Module):
    """An affine map for each layer, from its stream to what the last layer's would be; begins as the logit lens."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, states: Float[Tensor, "*batch D"], layer: int) -> Float[Tensor, "*batch D"]:
        """Translate the stream before a layer; after the last one there is nothing to translate."""
        if layer == len(self.maps):
            return states
        states = states.float()
        translated: Tensor = states + self.maps[layer](states)
        return translated


def lens_logits(
    decoder: Decoder, states: Float[Tensor, "*batch D"], head: Float[Tensor, "V D"] | None = None
) -> Float[Tensor, "*batch V"]:
    """Return what the head says of a stream, as if the model ended there.

    Give the weights of the head for gradients: a product with quantized ones rounds its inputs, which passes none on.
    """
    normed = decoder.final_norm(states.to(decoder.dtype))
    if head is not None:
        return decoder.capped(nn.functional.linear(normed, head)).float()
    return decoder.logits(normed).float()


@torch.no_grad()
def logit_lens(prediction: Prediction, top: int = 5, tuned: TunedLens | None = None) -> Lens:
    """Return what each layer's stream says at every position; with `tuned`, of the translated streams.

    Needs memory for T * V numbers at a time.
    """
    decoder = prediction.decoder
    states = layer_states(prediction.model, prediction.ids)
    own = torch.log_softmax(lens_logits(decoder, states[-1][0]), -1)
    ids, probabilities, target, divergence = [], [], [], []
    for layer, state in enumerate(states):
        stream = state[0] if tuned is None else tuned(state[0], layer)
        logs = torch.log_softmax(lens_logits(decoder, stream), -1)
        best = logs.topk(min(top, logs.size(-1)), -1)
        ids.append(best.indices)
        probabilities.append(best.values.exp())
        target.append(logs[-1, prediction.target].exp())
        divergence.append((own.exp() * (own - logs)).sum(-1))
    return Lens(torch.stack(ids), torch.stack(probabilities), torch.stack(target), torch.stack(divergence))


def fit_tuned_lens(
    decoder: Decoder, ids: Int[Tensor, "N T"], steps: int = 200, rows: int = 4, seed: int = 0,
    after: Callable[[int], None] = lambda step: None,
) -> TunedLens:  # fmt: skip
    """Train translators by the KL divergence of what they say from what the model says, on texts of `ids`.

    A step reads `rows` texts and meets each layer once, so it costs about L passes through the head. Where these would
    have more than `AT_A_TIME` scores, it reads as many texts, and at as many positions, as have no more. The model is
    unchanged.
    """
    lens = TunedLens(decoder.config.layers, decoder.config.width).to(decoder.device)
    optimizer = torch.optim.AdamW(lens.parameters(), lr=RATE, weight_decay=0.0)
    draw = torch.Generator().manual_seed(seed)
    head = decoder.head_weight.detach().to(decoder.dtype)  # once: of quantized weights it is computed
    most, length = max(1, AT_A_TIME // decoder.config.vocabulary_size), ids.size(1)
    rows = min(rows, len(ids), -(-most // length))
    for step in range(steps):
        chosen = torch.randint(len(ids), (rows,), generator=draw)
        states = [state.flatten(0, 1) for state in layer_states(decoder, ids[chosen])]
        if rows * length > most:
            places = torch.randperm(rows * length, generator=draw)[:most].to(decoder.device)
            states = [state[places] for state in states]
        with torch.no_grad():
            own = torch.log_softmax(lens_logits(decoder, states[-1]), -1)
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        optimizer.zero_grad()
        for layer, state in enumerate(states[:-1]):
            logs = torch.log_softmax(lens_logits(decoder, lens(state, layer), head), -1)
            loss = (own.exp() * (own - logs)).sum(-1).mean()
            parameters = list(lens.maps[layer].parameters())
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.grad = gradient
        optimizer.step()
        after(step + 1)
    return lens.requires_grad_(False)
