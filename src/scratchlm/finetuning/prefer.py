"""`scratchlm finetune prefer`: pairs of answers in, a model that leans to the chosen kind, or a reward model."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from scratchlm.base.device import DTYPES, autocast, choose_device
from scratchlm.base.statistics import Interval, wilson_interval
from scratchlm.data.batches import pad_of
from scratchlm.finetuning.config import PreferTrainingConfig
from scratchlm.finetuning.conversations import question_of
from scratchlm.finetuning.driver import (
    FinetuneResult,
    KeepBest,
    Stage,
    finetune,
    open_model,
    with_split,
    within_context,
)
from scratchlm.finetuning.head import add_classes
from scratchlm.finetuning.lossconfig import DPOConfig, IPOConfig, KTOConfig, RewardConfig
from scratchlm.finetuning.preference_losses import (
    answer_log_probabilities,
    divergence,
    next_log_probabilities,
    preference_loss,
    rewards,
    sides,
)
from scratchlm.finetuning.preferences import (
    PairBatch,
    PairBatches,
    Preference,
    RenderedPair,
    pair_batch,
    read_preferences,
    render_pairs,
)
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import without_adapter
from scratchlm.reports.changes import judge_score
from scratchlm.text.records import read_records
from scratchlm.text.split import parse_split, split_of_rows, two_sides
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.training.loop import OnStep
from scratchlm.weights.checkpoint import Classes, SavedModel

REFERRING = (DPOConfig, IPOConfig, KTOConfig)
"""Losses that compare with the reference model."""


@dataclass(repr=False)
class PreferResult(FinetuneResult):
    """What came out, on the held-out pairs."""

    out: str
    method: str
    pairs: int
    held_out: int
    left_out: int
    """Pairs whose answers are equal or do not fit a row."""
    step: int
    steps: int
    chosen: bool
    accuracy_before: float
    """Fraction of pairs whose chosen answer the model found likelier, a token; of rewards, a coin's."""
    accuracy: float
    accuracy_interval: Interval
    led: float
    """Fraction of pairs whose chosen answer gained more on the reference model than the rejected one: half at first.
    The losses that compare with that model train it."""
    margin: float
    """Mean lead of the chosen answer over the reference model, in nats; of rewards, of the chosen answer."""
    kl: float | None
    """Mean KL divergence of the model from what it was before over the tokens of these answers, exact over the
    vocabulary, nats a token; None of rewards."""
    seconds: float

    def lines(self) -> list[str]:
        """Return what a terminal shows before the last line."""
        left = f"; {self.left_out:,} are equal or do not fit a row and were left out" if self.left_out else ""
        distance = "" if self.kl is None else f"; KL divergence from the reference model {self.kl:.4f} nats a token"
        low, high = self.accuracy_interval
        return [
            f"{self.method} on {self.pairs:,} pairs, {self.held_out:,} held out{left}",
            f"the chosen answer is preferred in {self.accuracy_before:.1%} before, {self.accuracy:.1%} after "
            f"({low:.1%} to {high:.1%})",
            f"it gained more than the other in {self.led:.1%}, by {self.margin:.2f} nats on average{distance}",
            self.kept(),
        ]


def finetune_prefer(config: PreferTrainingConfig, on_step: OnStep | None = None) -> PreferResult:
    """Train on preferences and write the run folder: the model with the lowest held-out loss, a result, a report.

    The reference model answers once, ahead of training, so that no second model is held; where the loss does not
    compare with it, only for the figures of held-out pairs. Raises `UserError` for data or a model that cannot be used,
    and `Interrupted` after Ctrl-C, with everything saved.
    """
    return finetune(config, PreferStage, _sides, on_step)


class PreferStage(Stage[PreferTrainingConfig, PreferResult]):
    """Pairs of answers, the loss that is chosen, and how often the chosen answer leads."""

    kind = "prefer"

    def __init__(
        self,
        config: PreferTrainingConfig,
        model: SavedModel,
        data: tuple[list[Preference], list[Preference], int],
    ) -> None:
        self.config = config = within_context(config, model)
        model.decoder.to(choose_device(config.device))  # the reference model answers here
        model.template = model.template or ChatTemplate.suited_to(model.tokenizer)
        train_side, held_side, equal = data
        self.config = config = with_split(config, len(train_side) + len(held_side))
        length, self.pad = config.training.sequence_length, pad_of(model.tokenizer)
        pairs, left = render_pairs(model.template, train_side, length)
        held_pairs, left_held = render_pairs(model.template, held_side, length)
        self.at_once = max(1, config.training.batch_size // 2)  # pairs of a batch
        if isinstance(config.loss, RewardConfig):
            add_classes(model.decoder, ("reward",), "last", config.seed)
            model.classes = Classes(("reward",))
        else:
            pairs = self._referred(model.decoder, pairs) if isinstance(config.loss, REFERRING) else pairs
            held_pairs = self._referred(model.decoder, held_pairs)
        self.left_out = equal + left + left_held
        self.pairs = pairs
        self.batches = PairBatches(pairs, config.training.batch_size, length, config.seed, self.pad)
        self.an_epoch = math.ceil(len(pairs) / self.at_once)
        self.loss = preference_loss(config.loss)
        self.held = sorted(held_pairs, key=lambda pair: len(pair.chosen.ids))
        self.rows = list(self._laid(self.held))

    def begin(self, model: SavedModel) -> None:
        """Measure the model before it learns."""
        self.before = self.measure(model.decoder)

    @torch.no_grad()
    def measure(self, decoder: Decoder) -> dict[str, float]:
        """Return loss, accuracy and margin on the held-out pairs."""
        decoder.eval()
        device = decoder.device
        total = {"loss": 0.0, "accuracy": 0.0, "led": 0.0, "margin": 0.0}
        for each in self.rows:
            batch = each.to(device)
            with autocast(device, DTYPES[self.config.dtype]):
                total["loss"] += float(self.loss(decoder, batch))
                if isinstance(self.config.loss, RewardConfig):
                    scores = rewards(decoder, batch)
                    lead = scores[::2] - scores[1::2]
                    total["accuracy"] += _positive(lead)
                else:
                    s = sides(decoder, batch)
                    lead = s.margin
                    total["accuracy"] += float((s.chosen / s.chosen_tokens > s.rejected / s.rejected_tokens).sum())
            total["led"] += _positive(lead)
            total["margin"] += float(lead.sum())
        return {name: value / len(self.held) for name, value in total.items()}

    def result(self, kept: SavedModel, best: KeepBest, common: dict[str, Any]) -> PreferResult:
        """Measure the kept model, and how far it moved from the reference model."""
        after, held_out = self.measure(kept.decoder), len(self.held)
        return PreferResult(
            method=self.config.loss.type,
            pairs=len(self.pairs),
            held_out=held_out,
            left_out=self.left_out,
            accuracy_before=self.before["accuracy"],
            accuracy=after["accuracy"],
            accuracy_interval=wilson_interval(round(after["accuracy"] * held_out), held_out),
            led=after["led"],
            margin=after["margin"],
            kl=self._divergence(kept),
            **common,
        )

    def shown(self, result: PreferResult) -> dict[str, Any]:
        """Return the verdict."""
        now, interval = result.accuracy, result.accuracy_interval
        return {"verdict": judge_score("Preferred answers", result.accuracy_before, now, interval, self.config.epochs)}

    def _laid(self, pairs: Sequence[RenderedPair]) -> Iterator[PairBatch]:
        """Lay pairs into batches in their order."""
        for start in range(0, len(pairs), self.at_once):
            rows = pairs[start : start + self.at_once]
            yield pair_batch(rows, self.config.training.sequence_length, self.pad)

    @torch.no_grad()
    def _referred(self, decoder: Decoder, pairs: Sequence[RenderedPair]) -> list[RenderedPair]:
        """Note what the model thinks of every answer before it learns; in fp32, as a resumed run must find the same."""
        decoder.eval()
        device = decoder.device
        sums = [answer_log_probabilities(decoder, batch.to(device))[0].tolist() for batch in self._laid(pairs)]
        both = [(rows[i], rows[i + 1]) for rows in sums for i in range(0, len(rows), 2)]
        return [dataclasses.replace(pair, reference=reference) for pair, reference in zip(pairs, both, strict=True)]

    @torch.no_grad()
    def _divergence(self, kept: SavedModel) -> float | None:
        """Return the mean of KL(kept || before) over the tokens of the held-out answers; a reward model has none.

        The reference model is the one below the adapter, or is loaded again: a second model is held only now, when the
        optimizer's state is gone.
        """
        if isinstance(self.config.loss, RewardConfig):
            return None
        device = kept.decoder.device
        before = kept.decoder if self.config.lora else open_model(self.config).decoder.to(device)
        kept.decoder.eval(), before.eval()
        total, tokens = 0.0, 0
        for part in (part for each in self.rows for part in each.to(device).split(2)):
            with autocast(device, DTYPES[self.config.dtype]):
                now = next_log_probabilities(kept.decoder, part)
                with without_adapter(before) if self.config.lora else contextlib.nullcontext():
                    each_token = divergence(now, next_log_probabilities(before, part))
            total, tokens = total + float(each_token.sum()), tokens + len(each_token)
        return total / tokens


def _sides(config: PreferTrainingConfig) -> tuple[list[Preference], list[Preference], int]:
    """Read the pairs, hold some out by the hash of the question or from the end, and count those that teach nothing."""
    assert config.data is not None
    preferences, equal = read_preferences(read_records(config.data))
    if config.held_out is not None:
        held_out, more = read_preferences(read_records(config.held_out))
        return preferences, held_out, equal + more
    split = parse_split(split_of_rows(config.split, len(preferences)))
    return *two_sides(preferences, split, lambda each: question_of(each.chosen)), equal


def _positive(lead: torch.Tensor) -> float:
    """Count what is above 0; what is 0 counts half."""
    return float((lead > 0).sum() + 0.5 * (lead == 0).sum())
