"""Distillation: a student learns the probabilities of a teacher beside the text (Hinton et al. 2015, arXiv 1503.02531).

Where text is short, a teacher may be an ensemble of models that learned the same text from other seeds (Kim et al.
2025, arXiv 2509.14786): the student keeps much of what they know together.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.terminal import say
from scratchlm.data.batches import IGNORED, Batch
from scratchlm.model.network import CausalLM
from scratchlm.training.loss import Judge, Loss, hidden_states, judged_losses, judging
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.ensemble import load_network


def distillation_loss(teacher: CausalLM, weight: float) -> Loss:
    """Return a loss whose value is that of `next_token_loss` and whose gradient is a mixture.

    It is `1 - weight` of the cross-entropy with the next token, and `weight` of that with the teacher's probabilities;
    in rows that are read both ways the text alone teaches. Holds the logits of a micro-batch about five times.
    """
    teacher.eval().requires_grad_(False)

    @judging
    def loss(student: CausalLM, batch: Batch, judge: Judge | None = None) -> Float[Tensor, ""]:
        wanted = batch.targets != IGNORED
        scores = student.logits(hidden_states(student, batch)[wanted]).float().log_softmax(-1)
        losses = F.nll_loss(scores, batch.targets[wanted], reduction="none")
        with torch.no_grad():
            taught = teacher.logits(teacher.hidden(batch.ids, documents=batch.documents)[wanted]).float().softmax(-1)
        forwards = (
            torch.ones_like(wanted) if batch.bidirectional is None else ~batch.bidirectional[:, None].expand_as(wanted)
        )
        share = weight * forwards[wanted]
        mixed = (1.0 - share) * losses - share * (taught * scores).sum(-1)
        if judge is not None:
            bad = judge(judged_losses(losses.detach(), batch))
            kept = ~bad[:, None].expand_as(wanted)[wanted]
            losses, mixed = losses[kept], mixed[kept]
        total = mixed.sum()
        return losses.detach().sum() + total - total.detach()

    return loss


def load_teacher(place: Path, student: SavedModel, length: int) -> CausalLM:
    """Load the model or the ensemble at `place`, to teach a student on rows of `length`, and say who teaches.

    Raises `UserError` with all that keeps it from teaching.
    """
    try:
        teacher, tokenizer, models = load_network(place)
    except UserError as error:
        raise UserError(f"--teacher {error}") from error
    name, problems = f"--teacher {place}", []
    if tokenizer.fingerprint != student.tokenizer.fingerprint:
        problems.append(
            f"{name}: its tokenizer ({tokenizer.fingerprint[:12]}) is not that of --data "
            f"({student.tokenizer.fingerprint[:12]}); take a teacher that learned with the same"
        )
    sizes = teacher.config.vocabulary_size, student.decoder.config.vocabulary_size
    if sizes[0] != sizes[1]:
        problems.append(f"{name}: scores {sizes[0]:,} ids, the student {sizes[1]:,}; take one that scores as many")
    if teacher.config.context < length:
        problems.append(
            f"training.sequence_length {length}: exceeds the context of --teacher, {teacher.config.context}; lower it"
        )
    if student.decoder.mtp_head is not None:
        problems.append("--teacher: teaches no model.multi_token_prediction; leave one of them out")
    raise_all(problems)
    if len(models) > 1:
        say(f"{name}: {len(models)} models teach as one")
    return teacher
