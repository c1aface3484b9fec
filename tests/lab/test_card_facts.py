"""Facts that cards of the notes cite as evidence, each on a network small enough to see."""

from __future__ import annotations

import torch
from torch import Tensor

from scratchlm.model.minimal import GPT, adamw, loss_of


def counting_rows(count: int) -> Tensor:
    """Rows of 17 ids below 16: seven of ten times the next id is one more, else it is random."""
    ids = [torch.randint(16, (count,))]
    for _ in range(16):
        ids.append(torch.where(torch.rand(count) < 0.7, (ids[-1] + 1) % 16, torch.randint(16, (count,))))
    return torch.stack(ids, 1)


def test_training_on_few_rows_lowers_their_loss_and_raises_that_of_others() -> None:
    torch.manual_seed(0)
    model = GPT(vocabulary=16, context=16, width=32, layers=1, heads=2)
    rows, others = counting_rows(16), counting_rows(64)
    states = [(weight, torch.zeros_like(weight), torch.zeros_like(weight)) for weight in model.parameters()]
    training, held_out = [], []
    for step in range(1, 61):
        with torch.no_grad():
            held_out.append(loss_of(model, others).item())
        loss = loss_of(model, rows)
        for state, gradient in zip(states, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            adamw(*state, gradient, step, lr=0.01)
        training.append(loss.item())
    best = min(held_out)
    assert held_out[0] > best + 0.5  # it learns to count
    assert held_out[-1] > best + 0.5  # then it learns the random ids by heart
    assert training[-1] < 0.3 < training[held_out.index(best)]


def test_only_differences_between_scores_count() -> None:
    scores = torch.tensor([4.0, 0.0, 1.0])
    weights = scores.softmax(0)
    assert (scores + 10).softmax(0).allclose(weights)
    assert (scores * 2).softmax(0).max() > weights.max() > (scores / 2).softmax(0).max()


def test_dropout_on_attention_keeps_the_mean_and_is_off_in_evaluation() -> None:
    torch.manual_seed(0)
    weights, dropout = torch.full((100_000,), 0.25), torch.nn.Dropout(0.2)
    dropped = dropout(weights)
    assert sorted({round(each, 6) for each in dropped.tolist()}) == [0.0, 0.3125]
    assert abs(dropped.mean() - 0.25) < 0.005
    assert dropout.eval()(weights).equal(weights)


def test_only_rows_of_tokens_that_occur_have_a_gradient() -> None:
    table = torch.nn.Embedding(50, 4)
    table(torch.tensor([3, 7, 3])).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [3, 7]
    assert table.weight.grad[3].tolist() == [2.0] * 4  # it occurs twice
