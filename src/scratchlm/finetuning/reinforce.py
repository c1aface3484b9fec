"""`scratchlm finetune reinforce`: questions with checkable answers in, a model trained on its own answers out."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from scratchlm.base.device import choose_device
from scratchlm.base.errors import UserError
from scratchlm.base.runfolder import LOG_FILE, Evaluation, Record, Rollout, read_log
from scratchlm.base.statistics import Interval, bootstrap_interval
from scratchlm.data.batches import Batch
from scratchlm.finetuning.config import ReinforceTrainingConfig
from scratchlm.finetuning.driver import FinetuneResult, KeepBest, Stage, finetune
from scratchlm.finetuning.grpo import Reference, Rollouts, RolloutStats, reinforce_loss
from scratchlm.finetuning.rewards import TASKS, RewardItem, RewardVerdict, Task, hacked
from scratchlm.generation.batch import greedy_batch
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import without_adapter
from scratchlm.reports.changes import BeforeAndAfter, first_changed, judge_score
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.training.loop import OnStep
from scratchlm.training.loss import token_log_probabilities
from scratchlm.weights.checkpoint import SavedModel

R = TypeVar("R", bound=Record)
SHOWN = 12
"""Held-out questions whose answers before and after the report shows."""


@dataclass(repr=False)
class ReinforceResult(FinetuneResult):
    """What came out, on the held-out questions."""

    why: ClassVar[str] = "held-out score was the best"
    out: str
    task: str
    held_out: int
    step: int
    steps: int
    chosen: bool
    score_before: float
    score: float
    score_interval: Interval
    verdict: RewardVerdict
    exchanges: list[tuple[str, str, str, str]]
    """Question, right answer, the model's before and after."""
    seconds: float

    def lines(self) -> list[str]:
        """Return what a terminal shows before the last line."""
        low, high = self.score_interval
        return [
            f"{self.task}: true score on {self.held_out:,} held-out questions {self.score_before:.1%} before, "
            f"{self.score:.1%} after ({low:.1%} to {high:.1%})",
            str(self.verdict),
            self.kept(),
            *(f"asked: {q}  right: {a}  before: {b}  after: {c}" for q, a, b, c in self.exchanges[:3]),
        ]


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


def finetune_reinforce(
    config: ReinforceTrainingConfig, task: Task | None = None, on_step: OnStep | None = None
) -> ReinforceResult:
    """Train on the rewards of a model's own answers and write the run folder.

    `task` gives questions and rewards of your own, and the run records it as own; without, `config.task` names a
    built-in one. A resumed run must be given the same. Raises `UserError` for a model that cannot be used and for
    rewards that raise or are no number, and `Interrupted` after Ctrl-C, with everything saved.
    """
    if task is not None and not (task.train and task.held_out):
        raise UserError("task: has no question on one side; give some to train on and some to hold out")
    return finetune(config, lambda config, model: ReinforceStage(config, model, task), on_step=on_step)


class ReinforceStage(Stage[ReinforceTrainingConfig, ReinforceResult]):
    """Answers that the model draws itself, the loss that makes the better ones likelier, and the true score."""

    kind, key, higher = "reinforce", "score", True

    def __init__(self, config: ReinforceTrainingConfig, model: SavedModel, task: Task | None) -> None:
        training = dataclasses.replace(config.training, batch_size=config.questions * config.group_size)
        config = dataclasses.replace(config, training=training, task=config.task if task is None else "own")
        self.config, self.model, self.task = config, model, task or built_in(config.task)
        model.decoder.to(choose_device(config.device))  # a copy of it is the reference model
        self.template = model.template = model.template or ChatTemplate.suited_to(model.tokenizer)
        longest = max(len(self._prompt(item)) for item in self.task.train)
        if longest + config.reply_tokens > model.decoder.config.context:
            raise UserError(
                f"--reply-tokens {config.reply_tokens}: with a question of {longest} tokens exceeds the model's "
                f"context of {model.decoder.config.context}; lower it"
            )
        self.batches = rollouts = Rollouts(model, self.task, config, _reference(model.decoder, config))
        self.an_epoch = math.ceil(len(self.task.train) / config.questions)
        self.loss = reinforce_loss(config.kl_weight, lambda: rollouts.stats, config.temperature)
        self.hooks = [RolloutLog(rollouts, config.training.log_every)]

    def begin(self, model: SavedModel) -> None:
        """Answer the held-out questions."""
        self.before = self._answers(model)

    def measure(self, decoder: Decoder) -> dict[str, float]:
        """Return the mean true score of the held-out questions."""
        return {"score": _mean(self._scores(self._answers(self.model)))}

    def result(self, kept: SavedModel, best: KeepBest, common: dict[str, Any]) -> ReinforceResult:
        """Answer again, and compare the course of reward and true score in the log."""
        after, held_out = self._answers(kept), self.task.held_out
        rewards = [record.reward for record in self._log(Rollout) if record.step]
        scores = [record.score for record in self._log(Evaluation) if record.score is not None]
        return ReinforceResult(
            task=self.config.task,
            held_out=len(held_out),
            score_before=_mean(self._scores(self.before)),
            score=_mean(self._scores(after)),
            score_interval=bootstrap_interval(self._scores(after)),
            verdict=hacked(rewards, scores),
            exchanges=[
                (item.question, item.answer, one, other)
                for item, one, other in zip(held_out[:SHOWN], self.before, after, strict=False)
            ],
            **common,
        )

    def shown(self, result: ReinforceResult) -> dict[str, Any]:
        """Return the verdict, some of the exchanges, and the records of drawn answers."""
        verdict = judge_score(
            "True score", result.score_before, result.score, result.score_interval, self.config.epochs
        )
        first = first_changed([BeforeAndAfter(*each) for each in result.exchanges])
        return {"drawn": [each for each in self._log(Rollout) if each.step], "verdict": verdict, "first": first}

    def _log(self, kind: type[R]) -> list[R]:
        assert self.config.out is not None
        return [record for record in read_log(self.config.out / LOG_FILE) if isinstance(record, kind)]

    def _prompt(self, item: RewardItem) -> list[int]:
        """Return a question as the model hears it."""
        return self.template.render([{"role": "user", "content": item.question}], reply=True).ids

    def _answers(self, model: SavedModel) -> list[str]:
        """Answer the held-out questions by the likeliest tokens."""
        prompts = [self._prompt(item) for item in self.task.held_out]
        written = greedy_batch(model.decoder, prompts, self.config.reply_tokens, model.stop_ids)
        return [model.tokenizer.decode(ids) for ids in written]

    def _scores(self, answers: Sequence[str]) -> list[float]:
        return [self.task.score(item, answer) for item, answer in zip(self.task.held_out, answers, strict=True)]


def built_in(name: str) -> Task:
    """Return a task that the package carries. Raises `UserError` for one that only Python can give."""
    if name not in TASKS:
        raise UserError(
            f"--task {name}: its questions and rewards come from Python: finetune_reinforce(..., task=TASK)"
        )
    return TASKS[name]()


def _reference(decoder: Decoder, config: ReinforceTrainingConfig) -> Reference | None:
    """Return what asks the reference model: the one below the adapter, or a copy that stays as it is.

    None where its answer would have no weight: neither its memory nor a pass through it at each step is spent then.
    """
    if config.kl_weight == 0:
        return None
    frozen = decoder if config.lora else copy.deepcopy(decoder).requires_grad_(False)

    @torch.no_grad()
    def ask(batch: Batch) -> Tensor:
        there = batch.to(frozen.device)
        frozen.eval()
        if not config.lora:
            return token_log_probabilities(frozen, there, config.temperature)
        with without_adapter(decoder):
            return token_log_probabilities(decoder, there, config.temperature)

    return ask


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)
