"""Losses: summed over targets here, divided once by the global count in the loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scratchlm.data.batches import IGNORED, Batch
from scratchlm.model.config import MultiTokenPredictionConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.network import SequenceModel

Loss = Callable[[Any, Batch], Tensor]
"""Of the network that the loop was handed: a sum over the batch's targets, as a scalar tensor, which the loop divides
by `Batch.target_count`."""

L = TypeVar("L")
JUDGING = "judges_rows"
"""Attribute of a loss that also takes a `judge`, by which rows are left out."""

Judge = Callable[[Float[Tensor, " B"]], Bool[Tensor, " B"]]
"""Takes the mean loss of each row, in nats, NaN where it is not judged; returns which rows are left out."""


def judging(loss: L) -> L:
    """Mark a loss as one that also takes a `judge`."""
    setattr(loss, JUDGING, True)
    return loss


def judges_rows(loss: Any) -> bool:
    """Return whether a loss takes a `judge`."""
    return getattr(loss, JUDGING, False)


CHUNK_LOGITS = 1 << 20
"""Logits that are worked on at once in fp32, about: few enough to stay near the processor between the passes."""

HELD_BYTES = 1 << 28
"""Bytes of logits, in the products' dtype, that are held at once: many rows make large products."""


def cross_entropy_sum(logits: Float[Tensor, "*batch V"], targets: Int[Tensor, "*batch"]) -> Float[Tensor, ""]:
    """Return the sum over targets of minus the natural log of the probability given to each, in fp32.

    Ignored targets add nothing, so a batch without targets has loss 0 and gradient 0.
    """
    logits = logits.flatten(0, -2).float()
    return F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum")


def hidden_states(network: SequenceModel, batch: Batch) -> Float[Tensor, "B T D"]:
    """Return what the head reads, of rows that are read forwards and of those that are read both ways."""
    if batch.bidirectional is None or not bool(batch.bidirectional.any()):
        return network.hidden(batch.ids, documents=batch.documents)
    assert isinstance(network, Decoder), "a network that can read both ways"
    forwards, both = batch.select(~batch.bidirectional), batch.select(batch.bidirectional)
    states = network.hidden(both.ids, documents=both.documents, bidirectional=True)
    if not len(forwards.ids):
        return states
    order = torch.cat([(~batch.bidirectional).nonzero(), batch.bidirectional.nonzero()]).flatten().argsort()
    return torch.cat([network.hidden(forwards.ids, documents=forwards.documents), states])[order]


def plain_next_token_loss(decoder: SequenceModel, batch: Batch) -> Float[Tensor, ""]:
    """Return the summed cross-entropy of the next token: the whole objective of a language model.

    In training, a decoder with `MultiTokenPredictionConfig` gets the gradient of that loss too, never its value.
    """
    hidden = hidden_states(decoder, batch)

    def of_head(weight: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy_sum(decoder.capped(F.linear(hidden, weight)), targets)

    return _with_second_gradient(decoder, batch, of_head(decoder.head_weight, batch.targets), of_head)


def kl_estimate(reference: Float[Tensor, "*B"], now: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """Estimate the KL divergence from a reference model, in nats, from log-probabilities of tokens the model drew.

    The k3 estimator, `exp(d) - d - 1` of the log ratio d: unbiased and never negative (Schulman 2020, "Approximating KL
    divergence").
    """
    log_ratio = reference - now
    return log_ratio.exp() - log_ratio - 1


def token_log_probabilities(decoder: Decoder, batch: Batch, temperature: float = 1.0) -> Float[Tensor, "B T"]:
    """Return the log-probability of each target as it is drawn at a temperature, 0 where nothing is predicted."""
    wanted = batch.targets != IGNORED
    hidden = hidden_states(decoder, batch)[wanted]
    losses = F.cross_entropy(decoder.logits(hidden).float() / temperature, batch.targets[wanted], reduction="none")
    return torch.zeros(batch.targets.shape, device=losses.device).masked_scatter(wanted, -losses)


@torch.no_grad()
def token_losses(model: Any, batch: Batch) -> Float[Tensor, "B T"]:
    """Return the loss of each target, in nats, 0 where nothing is predicted; a row at a time, to need little memory."""
    training = model.training
    model.eval()
    rows = [-token_log_probabilities(model, row) for row in batch.split(1)]
    model.train(training)
    return torch.cat(rows)


@judging
def next_token_loss(decoder: SequenceModel, batch: Batch, judge: Judge | None = None) -> Float[Tensor, ""]:
    """Return what `plain_next_token_loss` returns, with the gradient of the head computed a chunk of rows at a time.

    The logits, by far the largest tensor of a small model, are never in memory as a whole, and positions without a
    target never reach the head. With a `judge`, rows that it leaves out are taken away again, as if they had no target.
    """
    states = hidden_states(decoder, batch).flatten(0, 1)

    def of_head(weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        of = targets.flatten()
        wanted = of != IGNORED
        rows, of = (states, of) if bool(wanted.all()) else (states[wanted], of[wanted])
        return linear_losses(rows, of, weight, decoder.config.logit_softcap)

    loss, losses = of_head(decoder.head_weight, batch.targets)
    if judge is not None and bool((bad := judge(judged_losses(losses, batch))).any()):
        loss = loss - of_head(decoder.head_weight, batch.targets.masked_fill(~bad[:, None], IGNORED))[0]
        batch = replace(batch, targets=batch.targets.masked_fill(bad[:, None], IGNORED))
    return _with_second_gradient(decoder, batch, loss, lambda weight, targets: of_head(weight, targets)[0])


def row_means(losses: Float[Tensor, " N"], targets: Int[Tensor, "B T"]) -> Float[Tensor, " B"]:
    """Return the mean of each row's losses, given one after the other for all targets; 0 for a row without any."""
    wanted = targets != IGNORED
    table = torch.zeros(targets.shape, device=losses.device).masked_scatter(wanted, losses)
    return table.sum(1) / wanted.sum(1).clamp(min=1)


def judged_losses(losses: Float[Tensor, " N"], batch: Batch) -> Float[Tensor, " B"]:
    """Return the mean loss of each row, NaN for those read both ways: few targets each, which say little of a row."""
    means = row_means(losses, batch.targets)
    return means if batch.bidirectional is None else means.masked_fill(batch.bidirectional, math.nan)


def second_targets(batch: Batch) -> Int[Tensor, "B T"]:
    """Return the token after the next of each position, where both are targets and of one document."""
    second = torch.full_like(batch.targets, IGNORED)
    second[:, :-1] = batch.targets[:, 1:]
    second[batch.targets == IGNORED] = IGNORED
    if batch.documents is not None:
        second[:, :-1][batch.documents[:, :-1] != batch.documents[:, 1:]] = IGNORED
    return second


def _with_second_gradient(
    decoder: SequenceModel, batch: Batch, loss: Tensor, of_head: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return the head's loss; in training, with a second head, its gradient is that of `loss + weight * second`."""
    prediction = decoder.config.multi_token_prediction
    if decoder.mtp_head is None or not decoder.training:
        return loss
    assert isinstance(prediction, MultiTokenPredictionConfig)
    second = of_head(decoder.mtp_head.weight, second_targets(batch))
    return loss + prediction.weight * (second - second.detach())


def class_loss(weights: Float[Tensor, " C"] | None = None) -> Loss:
    """Return what `plain_class_loss` returns, computed on parts of the batch of similar length, with less padding."""
    plain = plain_class_loss(weights)

    def loss(decoder: SequenceModel, batch: Batch) -> Float[Tensor, ""]:
        return torch.stack([plain(decoder, part) for part in batch.parts_by_length()]).sum()

    return loss


def plain_class_loss(weights: Float[Tensor, " C"] | None = None) -> Loss:
    """Return the summed cross-entropy of the classes, each text's multiplied by the weight of its class."""

    def loss(decoder: SequenceModel, batch: Batch) -> Float[Tensor, ""]:
        last = (batch.targets != IGNORED).int().argmax(1)
        logits = decoder.class_logits(decoder.hidden(batch.ids), last).float()
        labels = batch.targets.gather(1, last[:, None]).squeeze(1)
        heavy = None if weights is None else weights.to(logits.device)
        return F.cross_entropy(logits, labels, heavy, reduction="sum")

    return loss


def linear_cross_entropy(
    hidden: Float[Tensor, "N D"], targets: Int[Tensor, " N"], weight: Float[Tensor, "V D"], softcap: float | None = None
) -> Float[Tensor, ""]:
    """Return the summed cross-entropy of `hidden @ weight.T`, capped, without storing it; every row has a target.

    Under autocast the products run in its dtype, all else in fp32.
    """
    return linear_losses(hidden, targets, weight, softcap)[0]


def linear_losses(
    hidden: Float[Tensor, "N D"], targets: Int[Tensor, " N"], weight: Float[Tensor, "V D"], softcap: float | None = None
) -> tuple[Float[Tensor, ""], Float[Tensor, " N"]]:
    """Return what `linear_cross_entropy` returns, and the loss of each row, which has no gradient."""
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    losses: tuple[Tensor, Tensor] = _LinearCrossEntropy.apply(hidden, weight, targets, softcap, dtype)  # type: ignore[no-untyped-call]
    return losses


def held_rows(vocabulary_size: int, dtype: torch.dtype) -> int:
    """Return how many rows of logits are held at once."""
    return max(HELD_BYTES // (vocabulary_size * dtype.itemsize), 1)


class _LinearCrossEntropy(torch.autograd.Function):
    """Knows its own gradient: probabilities minus one at the target, computed while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        wanted = ctx.needs_input_grad[:2]
        rows, head = hidden.detach().to(dtype), weight.detach().to(dtype)
        total = torch.zeros((), device=hidden.device, dtype=torch.float32)
        losses = torch.empty(len(rows), device=hidden.device, dtype=torch.float32)
        for_hidden = torch.empty_like(hidden) if wanted[0] else None
        for_weight = torch.zeros_like(weight) if wanted[1] and not len(rows) else None
        size = held_rows(len(weight), dtype)
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            logits = rows[part] @ head.T
            total += _replace_by_gradient(logits, targets[part, None], softcap, any(wanted), losses[part])
            if for_hidden is not None:
                for_hidden[part] = logits @ head
            if wanted[1]:
                product = logits.T @ rows[part]
                for_weight = product.to(weight.dtype) if for_weight is None else for_weight.add_(product)
        ctx.save_for_backward(for_hidden, for_weight)
        ctx.mark_non_differentiable(losses)
        return total, losses

    @staticmethod
    def backward(ctx: Any, outer: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        for_hidden, for_weight = (None if each is None else each * outer for each in ctx.saved_tensors)
        return for_hidden, for_weight, None, None, None


def _replace_by_gradient(
    logits: Tensor, targets: Tensor, softcap: float | None, wanted: bool, losses: Tensor
) -> Tensor:
    """Return the summed loss of rows of logits, and set that of each; where `wanted`, put the gradient in place."""
    size = max(CHUNK_LOGITS // logits.size(1), 1)
    total = torch.zeros((), device=logits.device, dtype=torch.float32)
    for start in range(0, len(logits), size):
        part = slice(start, start + size)
        losses[part], gradient = _chunk(logits[part].float(), targets[part], softcap, wanted)
        total += losses[part].sum()
        if wanted:
            logits[part] = gradient
    return total


def _chunk(logits: Tensor, targets: Tensor, softcap: float | None, with_gradient: bool) -> tuple[Tensor, Tensor]:
    """Return the loss of each of some rows of logits and its gradient by them, which overwrites them."""
    slope = None
    if softcap is not None:
        capped = logits.div_(softcap).tanh_()
        slope = 1.0 - capped.square() if with_gradient else None
        logits = capped.mul_(softcap)
    of_target = logits.gather(1, targets)
    largest = logits.amax(1, keepdim=True)
    powers = logits.sub_(largest).exp_()
    sums = powers.sum(1, keepdim=True)
    loss = (sums.log() + largest - of_target).squeeze(1)
    if not with_gradient:
        return loss, powers
    gradient = powers.div_(sums)
    gradient.scatter_add_(1, targets, torch.full_like(of_target, -1.0))
    return loss, gradient if slope is None else gradient.mul_(slope)
