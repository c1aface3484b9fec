"""`scratchlm finetune prefer`: pairs of answers in, a model that leans to the chosen kind, or a model of rewards."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from scratchlm.base.device import DTYPES, autocast, choose_device
from scratchlm.base.result import Result
from scratchlm.base.runlog import LOG_FILE, read_log
from scratchlm.base.statistics import Interval, wilson_interval
from scratchlm.data.batches import pad_of
from scratchlm.finetuning.classify import add_classes
from scratchlm.finetuning.config import PreferTrainingConfig, ResolvedPreferTrainingConfig, resolve_loss
from scratchlm.finetuning.conversations import question_of
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
from scratchlm.runs.finetuning import KeepBest, begin, equip, kept_line, open_model, resolved, train, within_context
from scratchlm.runs.reports.run import Page
from scratchlm.runs.runs import end_run, holds_run, write_run_result
from scratchlm.text.records import read_records
from scratchlm.text.split import parse_split, two_sides
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.weights.checkpoint import Classes, SavedModel

REFERRING = (DPOConfig, IPOConfig, KTOConfig)
"""Losses that compare with the reference model."""


@dataclass(repr=False)
class PreferResult(Result):
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
    """Whether they were chosen by their held-out loss; else they are the last."""
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
    """Mean KL divergence of the model from the one of before over the tokens of these answers, exact over the
    vocabulary, nats a token; None of rewards."""
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {"format": 1, **dataclasses.asdict(self)}

    def __rich__(self) -> str:
        left = f"; {self.left_out:,} are equal or do not fit a row and were left out" if self.left_out else ""
        distance = "" if self.kl is None else f"; KL divergence from the reference model {self.kl:.4f} nats a token"
        low, high = self.accuracy_interval
        return "\n".join(
            [
                f"{self.method} on {self.pairs:,} pairs, {self.held_out:,} held out{left}",
                f"the chosen answer is preferred in {self.accuracy_before:.1%} before, {self.accuracy:.1%} after "
                f"({low:.1%} to {high:.1%})",
                f"it gained more than the other in {self.led:.1%}, by {self.margin:.2f} nats on average{distance}",
                kept_line(self.step, self.steps, self.chosen, "loss was the lowest"),
                f"{self.seconds:.0f} s; model in {self.out}/model, report in {self.out}/report.html",
            ]
        )


@holds_run
def finetune_prefer(config: PreferTrainingConfig) -> PreferResult:
    """Train on preferences and write the run folder: the model with the lowest held-out loss, a result, a report.

    The reference model answers once, ahead of training, so that no second model is held; where the loss does not
    compare with it, only for the figures of held-out pairs. Raises `UserError` for data or a model that cannot be used,
    and `Interrupted` after Ctrl-C, with everything saved.
    """
    return _prefer(resolved(resolve_loss(config), usual=[resolve_loss(PreferTrainingConfig())]))


def _prefer(config: ResolvedPreferTrainingConfig) -> PreferResult:
    started = time.perf_counter()
    model = open_model(config)
    config = within_context(config, model)
    model.template = model.template or ChatTemplate.suited_to(model.tokenizer)
    model.decoder.to(choose_device(config.device))
    train_side, held_side, equal = _sides(config)
    length, pad = config.training.sequence_length, pad_of(model.tokenizer)
    pairs, left = render_pairs(model.template, train_side, length)
    held, left_held = render_pairs(model.template, held_side, length)
    rewarded = isinstance(config.loss, RewardConfig)
    if rewarded:
        add_classes(model.decoder, ("reward",), "last", config.seed)
        model.classes = Classes(("reward",))
    else:
        pairs = _referred(model, pairs, config) if isinstance(config.loss, REFERRING) else pairs
        held = _referred(model, held, config)
    equip(model, config)
    batches = PairBatches(pairs, config.training.batch_size, length, config.seed, pad)
    loss = preference_loss(config.loss)
    count = math.ceil(len(pairs) / max(1, config.training.batch_size // 2))
    config = begin(config, model, batches, count, loss)
    chunks = _held_batches(held, config, pad)
    before = _measure(model.decoder, chunks, config)
    best = KeepBest(model, config, lambda decoder: _measure(decoder, chunks, config), "loss", higher=False)
    kept = train("prefer", config, model, batches, loss, best)
    after = _measure(kept.decoder, chunks, config)
    result = PreferResult(
        out=str(config.out),
        method=config.loss.type,
        pairs=len(pairs),
        held_out=len(held),
        left_out=equal + left + left_held,
        step=best.step,
        steps=config.training.steps,
        chosen=config.keep == "best",
        accuracy_before=before["accuracy"],
        accuracy=after["accuracy"],
        accuracy_interval=wilson_interval(round(after["accuracy"] * len(held)), len(held)),
        led=after["led"],
        margin=after["margin"],
        kl=_divergence(kept, chunks, config),
        seconds=time.perf_counter() - started,
    )
    _finish(config, result)
    return result


def _sides(config: ResolvedPreferTrainingConfig) -> tuple[list[Preference], list[Preference], int]:
    """Read the pairs, hold some out by the hash of the question or from the end, and count those that tell nothing."""
    assert config.data is not None
    found, equal = read_preferences(read_records(config.data))
    if config.held_out is not None:
        held_out, more = read_preferences(read_records(config.held_out))
        return found, held_out, equal + more
    return *two_sides(found, parse_split(config.split), lambda each: question_of(each.chosen)), equal


@torch.no_grad()
def _referred(
    model: SavedModel, pairs: Sequence[RenderedPair], config: ResolvedPreferTrainingConfig
) -> list[RenderedPair]:
    """Note what the model thinks of every answer before it learns; in fp32, as a resumed run must find the same."""
    model.decoder.eval()
    device, rows = model.decoder.embedding.weight.device, max(1, config.training.batch_size // 2)
    found: list[RenderedPair] = []
    for start in range(0, len(pairs), rows):
        chunk = pairs[start : start + rows]
        batch = pair_batch(chunk, config.training.sequence_length, pad_of(model.tokenizer)).to(device)
        sums = answer_log_probabilities(model.decoder, batch)[0].tolist()
        found += [dataclasses.replace(pair, reference=(sums[2 * i], sums[2 * i + 1])) for i, pair in enumerate(chunk)]
    return found


def _held_batches(held: Sequence[RenderedPair], config: ResolvedPreferTrainingConfig, pad: int) -> list[PairBatch]:
    rows = max(1, config.training.batch_size // 2)
    ordered = sorted(held, key=lambda pair: len(pair.chosen.ids))
    length = config.training.sequence_length
    return [pair_batch(ordered[start : start + rows], length, pad) for start in range(0, len(ordered), rows)]


@torch.no_grad()
def _measure(decoder: Decoder, held: Sequence[PairBatch], config: ResolvedPreferTrainingConfig) -> dict[str, float]:
    """Return loss, accuracy and margin on the held-out pairs."""
    decoder.eval()
    device = decoder.embedding.weight.device
    loss = preference_loss(config.loss)
    count = sum(batch.target_count for batch in held)
    total = {"loss": 0.0, "accuracy": 0.0, "led": 0.0, "margin": 0.0}
    for each in held:
        batch = each.to(device)
        with autocast(device, DTYPES[config.dtype]):
            total["loss"] += float(loss(decoder, batch))
            if isinstance(config.loss, RewardConfig):
                given = rewards(decoder, batch)
                lead = given[::2] - given[1::2]
                total["accuracy"] += _positive(lead)
                total["led"] += _positive(lead)
                total["margin"] += float(lead.sum())
                continue
            s = sides(decoder, batch)
        total["accuracy"] += float((s.chosen / s.chosen_tokens > s.rejected / s.rejected_tokens).sum())
        total["led"] += _positive(s.margin)
        total["margin"] += float(s.margin.sum())
    return {name: value / count for name, value in total.items()}


@torch.no_grad()
def _divergence(kept: SavedModel, held: Sequence[PairBatch], config: PreferTrainingConfig) -> float | None:
    """Return the mean of KL(kept || before) over the tokens of the held-out answers; a model of rewards has none.

    The reference model is the one below the adapter, or is loaded again: a second model is held only now, when the
    optimizer's state is gone.
    """
    if isinstance(config.loss, RewardConfig):
        return None
    device = kept.decoder.embedding.weight.device
    before = kept.decoder if config.lora else open_model(config).decoder.to(device)
    kept.decoder.eval(), before.eval()
    total, tokens = 0.0, 0
    for part in (part for each in held for part in each.to(device).split(2)):
        with autocast(device, DTYPES[config.dtype]):
            now = next_log_probabilities(kept.decoder, part)
            with without_adapter(before):
                each_token = divergence(now, next_log_probabilities(before, part))
        total, tokens = total + float(each_token.sum()), tokens + len(each_token)
    return total / tokens


def _positive(lead: torch.Tensor) -> float:
    """Count what is above 0; what is 0 counts half."""
    return float((lead > 0).sum() + 0.5 * (lead == 0).sum())


def _finish(config: ResolvedPreferTrainingConfig, result: PreferResult) -> None:
    """Write result and report."""
    assert config.out is not None
    write_run_result(config.out, result.as_dict())
    page = Page(f"Preferences: {config.out.name}")
    told = dataclasses.replace(result, out=config.out.absolute().name)
    for line in told.__rich__().splitlines():
        page.text(line)
    records = list(read_log(config.out / LOG_FILE))
    scored = [record for record in records if record["kind"] == "evaluation"]
    steps = [record["step"] for record in scored]
    units = {"loss": "nats a pair", "accuracy": "fraction", "led": "fraction", "margin": "nats"}
    for name, unit in units.items():
        page.plot(f"Held-out {name}", "step", unit, {name: (steps, [record[name] for record in scored])})
    page.write(config.out / "report.html")
    end_run(config.out)
