"""The loss of a pretraining: that of its text, or a teacher's too."""

from __future__ import annotations

import sys

from scratchlm.base.device import choose_device
from scratchlm.base.errors import UserError, raise_all
from scratchlm.runs.config import ResolvedPretrainConfig
from scratchlm.training.distilling import distillation_loss
from scratchlm.training.loss import Loss, next_token_loss
from scratchlm.training.ranks import Ranks
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.ensemble import load_network


def loss_of(config: ResolvedPretrainConfig, saved: SavedModel, ranks: Ranks) -> Loss:
    """Return the loss that trains a model; raises `UserError`, on the first rank, where a teacher cannot teach it."""
    if config.teacher is None:
        return next_token_loss
    ranks.from_first(lambda: _require_teacher(config, saved))
    teacher, _, _ = load_network(config.teacher)
    return distillation_loss(teacher.to(choose_device(config.device)), config.distillation)


def _require_teacher(config: ResolvedPretrainConfig, saved: SavedModel) -> None:
    """Say who teaches, or raise `UserError`."""
    assert config.teacher is not None
    try:
        teacher, tokenizer, models = load_network(config.teacher)
    except UserError as error:
        raise UserError(f"--teacher {error}") from error
    given, problems = f"--teacher {config.teacher}", []
    if tokenizer.fingerprint != saved.tokenizer.fingerprint:
        problems.append(
            f"{given}: its tokenizer ({tokenizer.fingerprint[:12]}) is not that of --data {config.data} "
            f"({saved.tokenizer.fingerprint[:12]}); take a teacher that learned with the same"
        )
    sizes = teacher.config.vocabulary_size, saved.decoder.config.vocabulary_size
    if sizes[0] != sizes[1]:
        problems.append(f"{given}: scores {sizes[0]:,} ids, the student {sizes[1]:,}; take one that scores as many")
    if teacher.config.context < config.training.sequence_length:
        problems.append(
            f"training.sequence_length {config.training.sequence_length}: exceeds the context of --teacher, "
            f"{teacher.config.context}; lower it"
        )
    if saved.decoder.mtp_head is not None:
        problems.append("--teacher: teaches no model.multi_token_prediction; leave one of them out")
    raise_all(problems)
    if len(models) > 1:
        print(f"{given}: {len(models)} models teach as one", file=sys.stderr)
