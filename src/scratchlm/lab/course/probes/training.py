"""Probes of chapter 5: the loss, a step of the optimizer, the learning rate, sampling."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor, nn

from scratchlm.lab.course.probing import Outputs, differentiated, numbers


class TableModel(nn.Module):
    """A model whose logits are rows of a table, by the last id read."""

    def __init__(self, vocabulary: int, context: int, scale: float = 1.0) -> None:
        super().__init__()
        self.table = nn.Parameter(numbers(vocabulary, vocabulary, seed=2, scale=scale))
        self.position_embedding = nn.Embedding(context, 1)

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits: (B, T) to (B, T, V). Raises `IndexError` for a text longer than the context."""
        if ids.size(1) > self.position_embedding.num_embeddings:
            raise IndexError(f"{ids.size(1)} ids, and a context of {self.position_embedding.num_embeddings}")
        return self.table[ids] + 0.5 * self.table[ids[:, :1]]  # the first id that is read counts too


def loss_of(mine: ModuleType) -> Outputs:
    """Losses of a usual model, and of one so sure that probabilities vanish in fp32."""
    rows = torch.tensor([[1, 4, 2, 0, 3], [3, 3, 1, 2, 0]])
    for scale in (1.0, 100.0):
        model = TableModel(5, 8, scale)
        table = model.table.detach()

        def loss(table: Tensor, scale: float = scale) -> Tensor:
            other = TableModel(5, 8, scale)
            return mine.loss_of(lambda ids: table[ids] + 0.5 * table[ids[:, :1]] + 0 * other.table.sum(), rows)

        yield from differentiated(f"rows of (2, 5), logits up to {table.abs().max():.0f}", loss, [table], ["logits"])


def adamw(mine: ModuleType) -> Outputs:
    """Four steps of a matrix and of a vector; the gradient of one number is nearly 0."""
    for shape in ((3, 2), (4,)):
        weight, mean, square = numbers(*shape), torch.zeros(shape), torch.zeros(shape)
        for step in range(1, 5):
            gradient = numbers(*shape, seed=step)
            gradient.view(-1)[0] *= 1e-8
            mine.adamw(weight, mean, square, gradient, step, 0.05)
            label = f"a weight of {tuple(shape)} after step {step}"
            yield label, weight.clone()
            yield f"{label}: the running mean", mean.clone()
            yield f"{label}: the running square", square.clone()


def learning_rate(mine: ModuleType) -> Outputs:
    """The first step, one in the middle, the last."""
    for step, steps in ((1, 10), (4, 10), (10, 10), (1, 1)):
        yield f"learning_rate({step}, {steps})", float(mine.learning_rate(step, steps))
    yield "learning_rate(2, 4, 0.5)", float(mine.learning_rate(2, 4, 0.5))


def sample(mine: ModuleType) -> Outputs:
    """The likeliest tokens, also past the context; and whose probabilities the draws at two temperatures follow.

    Draws are not compared one by one: a right solution may use other random numbers.
    """
    model = TableModel(6, 4)
    for ids, count in (([2], 5), ([1, 5, 3, 0, 2], 3), ([4], 0)):
        copy = list(ids)
        yield f"sample(model, {ids}, {count}, 0.0)", mine.sample(model, copy, count, 0.0)
        yield f"sample(model, {ids}, {count}, 0.0): inputs that were changed", [] if copy == ids else ["ids"]
    logits = model(torch.tensor([[3]]))[0, -1].detach()
    expected = {f"temperature {each}": (logits / each).softmax(-1) for each in (0.3, 1.0, 1 / 0.3)}
    expected["temperature 0"] = nn.functional.one_hot(logits.argmax(), 6).float()
    for temperature in (0.3, 1 / 0.3):
        drawn = [mine.sample(model, [3], 1, temperature)[-1] for _ in range(1000)]
        shares = torch.bincount(torch.tensor(drawn), minlength=6) / len(drawn)
        distances = {name: (shares - each).abs().sum().item() for name, each in expected.items()}
        yield f"1,000 draws at temperature {temperature} look like", min(distances, key=distances.__getitem__)


PROBES = {"loss_of": loss_of, "adamw": adamw, "learning_rate": learning_rate, "sample": sample}
