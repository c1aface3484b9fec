"""Losses of preferences, all from the same numbers: the log-probabilities of a chosen and of a rejected answer.

Each returns a sum over pairs; the loop divides it by the number of pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.data.batches import IGNORED, Batch
from scratchlm.finetuning.lossconfig import (
    DPOConfig,
    IPOConfig,
    KTOConfig,
    ORPOConfig,
    PreferenceLossConfig,
    RewardConfig,
    SimPOConfig,
)
from scratchlm.finetuning.preferences import PairBatch
from scratchlm.model.decoder import Decoder
from scratchlm.training.loss import Loss, token_log_probabilities


@dataclass(frozen=True)
class Sides:
    """What a model thinks of the answers of some pairs, each `(N,)`."""

    chosen: Float[Tensor, " N"]
    """Log-probability of each chosen answer, summed over its tokens."""
    rejected: Float[Tensor, " N"]
    chosen_tokens: Float[Tensor, " N"]
    rejected_tokens: Float[Tensor, " N"]
    reference_chosen: Float[Tensor, " N"]
    """The same under the reference model."""
    reference_rejected: Float[Tensor, " N"]

    @property
    def margin(self) -> Float[Tensor, " N"]:
        """By how much more than the reference model this one prefers the chosen answer."""
        return (self.chosen - self.reference_chosen) - (self.rejected - self.reference_rejected)


def answer_log_probabilities(decoder: Decoder, batch: Batch) -> tuple[Float[Tensor, " B"], Int[Tensor, " B"]]:
    """Return the log-probability of each row's targets, summed, and how many they are."""
    return token_log_probabilities(decoder, batch).sum(1), (batch.targets != IGNORED).sum(1)


def next_log_probabilities(decoder: Decoder, batch: Batch) -> Float[Tensor, "N V"]:
    """Return the log-probability of every token of the vocabulary at each of the batch's N targets, in fp32."""
    hidden = decoder.hidden(batch.ids)[batch.targets != IGNORED]
    return decoder.logits(hidden).float().log_softmax(-1)


def divergence(now: Float[Tensor, "N V"], before: Float[Tensor, "N V"]) -> Float[Tensor, " N"]:
    """Return KL(now || before) at each place from the log-probabilities of all tokens, in nats.

    Exact over the vocabulary, so at least 0 at each token and nothing cancels between tokens. The answers of preference
    data are drawn from neither model: estimates from the log ratios of their tokens alone (Schulman 2020,
    "Approximating KL divergence") would be those of another distribution, and grow without bound where a token became
    unlikely.
    """
    return (now.exp() * (now - before)).sum(-1)


def sides(decoder: Decoder, batch: PairBatch) -> Sides:
    """Score both answers of each pair."""
    sums, tokens = answer_log_probabilities(decoder, batch)
    assert batch.reference is not None
    counts = tokens.to(sums.dtype)
    return Sides(sums[::2], sums[1::2], counts[::2], counts[1::2], batch.reference[::2], batch.reference[1::2])


def dpo(s: Sides, config: DPOConfig) -> Float[Tensor, ""]:
    """Make the chosen answer likelier than before, beside the rejected one."""
    return -F.logsigmoid(config.beta * s.margin).sum()


def ipo(s: Sides, config: IPOConfig) -> Float[Tensor, ""]:
    """Draw the margin to a fixed size, so that it does not grow without end."""
    chosen = (s.chosen - s.reference_chosen) / s.chosen_tokens
    rejected = (s.rejected - s.reference_rejected) / s.rejected_tokens
    return (chosen - rejected - 1 / (2 * config.beta)).square().sum()


def kto(s: Sides, config: KTOConfig) -> Float[Tensor, ""]:
    """Make good answers better and bad ones worse than the batch's mean."""
    good, bad = s.chosen - s.reference_chosen, s.rejected - s.reference_rejected
    middle = torch.cat([good, bad]).mean().clamp(min=0).detach()
    gain = 1 - torch.sigmoid(config.beta * (good - middle))
    loss = 1 - torch.sigmoid(config.beta * (middle - bad))
    return (gain + config.rejected_weight * loss).sum()


def orpo(s: Sides, config: ORPOConfig) -> Float[Tensor, ""]:
    """Learn the chosen answer, and raise its odds beside the rejected one's."""
    chosen, rejected = s.chosen / s.chosen_tokens, s.rejected / s.rejected_tokens
    odds = (chosen - torch.log1p(-chosen.exp())) - (rejected - torch.log1p(-rejected.exp()))
    return (-chosen - config.weight * F.logsigmoid(odds)).sum()


def simpo(s: Sides, config: SimPOConfig) -> Float[Tensor, ""]:
    """Let the chosen answer's mean log-probability lead by a margin."""
    lead = s.chosen / s.chosen_tokens - s.rejected / s.rejected_tokens
    return -F.logsigmoid(config.beta * lead - config.margin).sum()


LOSS_OF: dict[type[PreferenceLossConfig], Callable[[Sides, Any], Float[Tensor, ""]]] = {
    DPOConfig: dpo, IPOConfig: ipo, KTOConfig: kto, ORPOConfig: orpo, SimPOConfig: simpo
}  # fmt: skip
"""Losses of the log-probabilities of both answers; a reward comes from a head instead."""


def rewards(decoder: Decoder, batch: Batch) -> Float[Tensor, " B"]:
    """Return the reward that a head of one class gives each row, at its last target."""
    places = torch.arange(batch.targets.size(1), device=batch.targets.device)
    last = ((batch.targets != IGNORED) * places).amax(1) + 1  # the end of the turn itself, one after its prediction
    return decoder.class_logits(decoder.hidden(batch.ids), last).squeeze(-1).float()


def preference_loss(config: PreferenceLossConfig) -> Loss:
    """Return the loss that a configuration names, on batches of pairs."""

    def loss(decoder: Decoder, batch: Batch) -> Float[Tensor, ""]:
        pairs = cast(PairBatch, batch)
        if isinstance(config, RewardConfig):
            scores = rewards(decoder, pairs)
            return -F.logsigmoid(scores[::2] - scores[1::2]).sum()
        return LOSS_OF[type(config)](sides(decoder, pairs), config)

    return loss
