"""Group-relative policy optimization: several answers to each question, those better than their group made likelier.

GRPO (Shao et al. 2024, arXiv 2402.03300) on the policy itself: answers are drawn by the weights that the next step
changes, so the ratio of the two is 1 and nothing is clipped. The loss is summed over the tokens of all answers and
divided by their number, so that long and short answers weigh by their tokens (Yu et al. 2025, arXiv 2503.14476).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.data.batches import IGNORED, Batch, Order, State, masked_batch, pad_of
from scratchlm.finetuning.config import ReinforceTrainingConfig
from scratchlm.finetuning.rewards import RewardItem, Task
from scratchlm.generation.batch import continue_batch
from scratchlm.generation.config import SamplingConfig
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.chat import Rendered
from scratchlm.training.loss import Loss, kl_estimate, token_log_probabilities
from scratchlm.weights.checkpoint import SavedModel

Reference = Callable[[Batch], Float[Tensor, "B T"]]
"""Log-probability of each target under the reference model; 0 where nothing is predicted."""


@dataclass(frozen=True)
class RolloutBatch(Batch):
    """Answers with what they were worth beside the others of their group."""

    advantages: Float[Tensor, " B"] | None = None
    reference: Float[Tensor, "B T"] | None = None

    def split(self, rows: int | None) -> list[Batch]:
        """Cut into micro-batches of at most `rows` rows."""
        if rows is None or rows >= len(self.ids):
            return [self]
        tensors = {name: each for name, each in vars(self).items() if each is not None}
        parts = [slice(start, start + rows) for start in range(0, len(self.ids), rows)]
        return [replace(self, **{name: each[part] for name, each in tensors.items()}) for part in parts]

    def to(self, device: torch.device) -> RolloutBatch:
        """Move to a device."""
        return replace(self, **{name: each.to(device) for name, each in vars(self).items() if each is not None})


@dataclass
class RolloutStats:
    """What the answers of the latest step were like."""

    reward: float = 0.0
    """Mean over all answers."""
    spread: float = 0.0
    """Mean over groups of the standard deviation within."""
    zero_spread: float = 0.0
    """Fraction of groups whose answers were all worth the same, from which nothing is learned."""
    kl: float | None = None
    """Estimated KL divergence from the reference model, nats a token; None where there is none to compare with."""
    length: float = 0.0
    """Mean tokens of an answer, its end included."""
    sample: str = ""
    """One question with an answer."""


def advantages(rewards: Float[np.ndarray, "P G"], scaled: bool = True) -> Float[np.ndarray, "P G"]:
    """Return by how much each answer is better than its group's mean, in the group's standard deviations if `scaled`.

    A group whose answers are all worth the same gets zeros.

    >>> advantages(np.array([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])).tolist()
    [[1.0, -1.0, -1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    centred = rewards - rewards.mean(1, keepdims=True)
    deviation = rewards.std(1, keepdims=True)
    if not scaled:
        return centred
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-8)


@dataclass
class Rollouts:
    """A source of batches that draws answers with the decoder as it is when a batch is asked for."""

    model: SavedModel
    task: Task
    config: ReinforceTrainingConfig
    reference: Reference | None = None
    stats: RolloutStats = field(default_factory=RolloutStats)

    def __call__(self, state: Mapping[str, int] | None = None) -> Iterator[tuple[Batch, State]]:
        """Yield batches without end, each with the state from which the next one follows."""
        seed, items = self.config.seed, self.task.train
        order = Order(lambda epoch: np.random.default_rng([seed, epoch]).permutation(len(items)), state)
        step = 0 if state is None else state["step"]
        while True:
            chosen = [items[index] for index in order.take(self.config.questions)]
            step += 1
            yield self._draw(chosen, step), {**order.state(), "step": step}

    def _draw(self, items: Sequence[RewardItem], step: int) -> RolloutBatch:
        """Answer each question several times and judge the answers."""
        config, model, size = self.config, self.model, self.config.group_size
        assert model.template is not None
        asked = [model.template.render([{"role": "user", "content": item.question}], reply=True).ids for item in items]
        prompts = [ids for ids in asked for _ in range(size)]
        seed = config.seed * 1_000_003 + step * len(prompts)
        sampling = SamplingConfig(max_tokens=config.reply_tokens, temperature=config.temperature, seed=seed)
        stop = model.stop_ids
        drawn = continue_batch(model.decoder, prompts, sampling, stop, keep_stop=True)  # its end is learned with it
        texts = [model.tokenizer.decode([id for id in ids if id not in stop]) for ids in drawn]
        judged = [self._judge(items[index // size], text) for index, text in enumerate(texts)]
        worth = np.array(judged, np.float64).reshape(len(items), size)
        rows = [
            Rendered([*prompt, *ids], [False] * len(prompt) + [True] * len(ids))
            for prompt, ids in zip(prompts, drawn, strict=True)
        ]
        batch = masked_batch(rows, max(len(row.ids) for row in rows), pad_of(model.tokenizer))
        gains = torch.from_numpy(advantages(worth, config.scaled).reshape(-1)).float()
        reference = None if self.reference is None else self.reference(batch)
        self.stats = RolloutStats(
            reward=float(worth.mean()),
            spread=float(worth.std(1).mean()),
            zero_spread=float((worth.std(1) < 1e-8).mean()),
            kl=self.stats.kl,
            length=float(np.mean([sum(row.mask) for row in rows])),
            sample=f"{items[0].question} -> {texts[0]}",
        )
        return RolloutBatch(batch.ids, batch.targets, None, gains, reference)

    def _judge(self, item: RewardItem, answer: str) -> float:
        """Ask the reward; what it raises or returns that is no number is the user's to fix."""
        try:
            value = float(self.task.reward(item, answer))
        except Exception as error:
            raise UserError(
                f"reward: raised {type(error).__name__} ({error}) for the answer {answer!r} to {item.question!r}"
            ) from error
        if not math.isfinite(value):
            raise UserError(
                f"reward: is {value} for the answer {answer!r} to {item.question!r}; return a finite number"
            )
        return value


def reinforce_loss(kl_weight: float, stats: Callable[[], RolloutStats] | None = None, temperature: float = 1.0) -> Loss:
    """Return minus the advantage-weighted likelihood, plus `kl_weight` times the distance from the reference model.

    The gradient of `exp(now - now.detach())` is that of the log-probability, so the value of the first term is minus
    the advantages' sum.
    """

    def loss(decoder: Decoder, batch: Batch) -> Float[Tensor, ""]:
        rollout = cast(RolloutBatch, batch)
        assert rollout.advantages is not None
        now = token_log_probabilities(decoder, batch, temperature)
        wanted: Int[Tensor, "B T"] = (batch.targets != IGNORED).int()
        ratio = torch.exp(now - now.detach())
        total = -(ratio * rollout.advantages[:, None] * wanted).sum()
        if rollout.reference is None:
            return total
        distance = (kl_estimate(rollout.reference, now) * wanted).sum()
        if stats is not None:
            stats().kl = float(distance.detach() / wanted.sum().clamp(min=1))
        return total + kl_weight * distance if kl_weight else total

    return loss
