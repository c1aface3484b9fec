"""`scratchlm finetune reinforce`: questions with checkable answers in, a model trained on its own answers out."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scratchlm.base.device import choose_device
from scratchlm.base.errors import UserError
from scratchlm.base.result import Result
from scratchlm.base.runfolder import LOG_FILE, Evaluation, Rollout, read_log
from scratchlm.base.statistics import Interval, bootstrap_interval
from scratchlm.data.batches import Batch, pad_of
from scratchlm.finetuning.config import ReinforceTrainingConfig
from scratchlm.finetuning.reinforce import Reference, Rollouts, RolloutStats, reinforce_loss
from scratchlm.finetuning.rewards import TASKS, Item, Reward, Task, Verdict, hacked
from scratchlm.generation.batch import greedy_batch
from scratchlm.generation.config import SamplingConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import without_adapter
from scratchlm.runs.finetuning import KeepBest, begin, equip, kept_line, open_model, resolved, train
from scratchlm.runs.reports.page import write_report
from scratchlm.runs.runs import end_run, holds_run, write_run_result
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.training.loss import token_log_probabilities
from scratchlm.weights.checkpoint import SavedModel

SHOWN = 12
"""Held-out questions whose answers before and after the report shows."""


@dataclass(repr=False)
class ReinforceResult(Result):
    """What came out, on the held-out questions."""

    out: str
    task: str
    held_out: int
    step: int
    steps: int
    chosen: bool
    score_before: float
    score: float
    score_interval: Interval
    verdict: Verdict
    exchanges: list[tuple[str, str, str, str]]
    """Question, right answer, the model's before and after."""
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {"format": 1, **dataclasses.asdict(self)}

    def __rich__(self) -> str:
        low, high = self.score_interval
        lines = [
            f"{self.task}: true score on {self.held_out:,} held-out questions {self.score_before:.1%} before, "
            f"{self.score:.1%} after ({low:.1%} to {high:.1%})",
            str(self.verdict),
            kept_line(self.step, self.steps, self.chosen, "score was the best"),
            *(f"asked: {q}  right: {a}  before: {b}  after: {c}" for q, a, b, c in self.exchanges[:3]),
        ]
        return "\n".join([*lines, f"{self.seconds:.0f} s; model in {self.out}/model, report in {self.out}/report.html"])


class RolloutLog:
    """A hook that logs what the latest answers were like."""

    name = "rollout"

    def __init__(self, rollouts: Rollouts, every: int) -> None:
        self._rollouts, self.every = rollouts, every

    def __call__(self, step: int, decoder: Decoder) -> Rollout:
        """Return reward, spread, fraction without spread, distance where it has a weight, length, and a sample."""
        return Rollout(step=step, **dataclasses.asdict(self._rollouts.stats))

    def state(self) -> dict[str, Any]:
        """Return what the latest answers were like: a resumed run logs the step again that it goes on from."""
        return dataclasses.asdict(self._rollouts.stats)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned."""
        self._rollouts.stats = RolloutStats(**state)


@holds_run
def finetune_reinforce(config: ReinforceTrainingConfig, task: Task | None = None) -> ReinforceResult:
    """Train on the rewards of a model's own answers and write the run folder.

    `task` gives questions and rewards of your own, and the run records it as own; without, `config.task` names a
    built-in one. A resumed run must be given the same. Raises `UserError` for a model that cannot be used and for
    rewards that raise or are no number, and `Interrupted` after Ctrl-C, with everything saved.
    """
    started = time.perf_counter()
    config = resolved(config)
    if task is not None:
        config = dataclasses.replace(config, task="own")
    task = task or built_in(config.task)
    if not task.train or not task.held_out:
        raise UserError("task: has no question on one side; give some to train on and some to hold out")
    model = open_model(config)
    model.template = model.template or ChatTemplate.suited_to(model.tokenizer)
    model.decoder.to(choose_device(config.device))
    equip(model, config)
    config = dataclasses.replace(
        config, training=dataclasses.replace(config.training, batch_size=config.questions * config.group_size)
    )
    rollouts = _rollouts(config, model, task)
    loss = reinforce_loss(config.kl_weight, lambda: rollouts.stats, config.temperature)
    before = _answers(model, task.held_out, config)
    config = begin(config, model, rollouts, math.ceil(len(task.train) / config.questions), loss)

    def measure(decoder: Decoder) -> dict[str, float]:
        return {"score": _mean(task.score, task.held_out, _answers(model, task.held_out, config))}

    best = KeepBest(model, config, measure, "score", higher=True)
    log = RolloutLog(rollouts, config.training.log_every)
    kept = train("reinforce", config, model, rollouts, loss, best, hooks=[log])
    after = _answers(kept, task.held_out, config)
    score = _mean(task.score, task.held_out, after)
    result = ReinforceResult(
        out=str(config.out),
        task=config.task,
        held_out=len(task.held_out),
        step=best.step,
        steps=config.training.steps,
        chosen=config.keep == "best",
        score_before=_mean(task.score, task.held_out, before),
        score=score,
        score_interval=bootstrap_interval(_each(task.score, task.held_out, after)),
        verdict=_verdict(config),
        exchanges=[
            (item.question, item.answer, one, other)
            for item, one, other in zip(task.held_out[:SHOWN], before, after, strict=False)
        ],
        seconds=time.perf_counter() - started,
    )
    _finish(config, result)
    return result


def built_in(name: str) -> Task:
    """Return a task that the package carries. Raises `UserError` for one that only Python can give."""
    if name not in TASKS:
        raise UserError(
            f"--task {name}: its questions and rewards come from Python: finetune_reinforce(..., task=TASK)"
        )
    return TASKS[name]()


def _rollouts(config: ReinforceTrainingConfig, model: SavedModel, task: Task) -> Rollouts:
    """Prepare the source of answers, with the reference model to compare with."""
    assert model.template is not None
    longest = max(len(_prompt(model.template, item)) for item in task.train)
    if longest + config.reply_tokens > model.decoder.config.context:
        raise UserError(
            f"--reply-tokens {config.reply_tokens}: with a question of {longest} tokens exceeds the model's context of "
            f"{model.decoder.config.context}; lower it"
        )
    return Rollouts(
        decoder=model.decoder,
        tokenizer=model.tokenizer,
        template=model.template,
        items=task.train,
        reward=task.reward,
        questions=config.questions,
        group_size=config.group_size,
        sampling=SamplingConfig(max_tokens=config.reply_tokens, temperature=config.temperature),
        stop=model.stop_ids,
        seed=config.seed,
        pad=pad_of(model.tokenizer),
        scaled=config.scaled,
        reference=_reference(model.decoder, config),
    )


def _reference(decoder: Decoder, config: ReinforceTrainingConfig) -> Reference | None:
    """Return what asks the reference model: the one below the adapter, or a copy that stays as it is.

    None where its answer would have no weight: neither its memory nor a pass through it at each step is spent then.
    """
    if config.kl_weight == 0:
        return None
    frozen = decoder if config.lora else copy.deepcopy(decoder).requires_grad_(False)

    @torch.no_grad()
    def ask(batch: Batch) -> Tensor:
        there = batch.to(frozen.embedding.weight.device)
        frozen.eval()
        if not config.lora:
            return token_log_probabilities(frozen, there, config.temperature)
        with without_adapter(decoder):
            return token_log_probabilities(decoder, there, config.temperature)

    return ask


def _prompt(template: ChatTemplate, item: Item) -> list[int]:
    """Return a question as the model hears it."""
    return template.render([{"role": "user", "content": item.question}], reply=True).ids


def _answers(model: SavedModel, items: Sequence[Item], config: ReinforceTrainingConfig) -> list[str]:
    """Answer questions by the likeliest tokens."""
    assert model.template is not None
    prompts = [_prompt(model.template, item) for item in items]
    written = greedy_batch(model.decoder, prompts, config.reply_tokens, model.stop_ids)
    return [model.tokenizer.decode(ids) for ids in written]


def _each(score: Reward, items: Sequence[Item], answers: Sequence[str]) -> list[float]:
    return [score(item, answer) for item, answer in zip(items, answers, strict=True)]


def _mean(score: Reward, items: Sequence[Item], answers: Sequence[str]) -> float:
    return sum(_each(score, items, answers)) / len(items)


def _verdict(config: ReinforceTrainingConfig) -> Verdict:
    """Compare the course of reward and true score that the log tells."""
    assert config.out is not None
    records = list(read_log(config.out / LOG_FILE))
    rewards = [record.reward for record in records if isinstance(record, Rollout) and record.step]
    scores = [record.score for record in records if isinstance(record, Evaluation)]
    return hacked(rewards, [score for score in scores if score is not None])


def _finish(config: ReinforceTrainingConfig, result: ReinforceResult) -> None:
    """Write result and report."""
    assert config.out is not None
    write_run_result(config.out, result.as_dict())
    kept = kept_line(result.step, result.steps, result.chosen, "score was the best")
    drawn = [record for record in read_log(config.out / LOG_FILE) if isinstance(record, Rollout) and record.step]
    write_report(config.out, "reinforce.jinja", result=result, kept=kept, drawn=drawn)
    end_run(config.out)
