"""The chunked head and loss against the plain one, and against a hand-made case."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scratchlm.base.device import autocast
from scratchlm.data.batches import IGNORED, Batch
from scratchlm.model.config import MultiTokenPredictionConfig
from scratchlm.model.decoder import Decoder
from scratchlm.training import loss as losses
from scratchlm.training.loss import Loss, cross_entropy_sum, next_token_loss, plain_next_token_loss
from toys import CONTEXT, TOYS, random_decoder, random_ids, toy_config

ROWS = 12  # 288 positions: three chunks of the smallest size


def batch_of(case: str) -> Batch:
    ids, targets = random_ids(ROWS, CONTEXT), random_ids(ROWS, CONTEXT, seed=2)
    if case == "some ignored":
        targets[torch.rand(targets.shape, generator=torch.Generator().manual_seed(3)) < 0.6] = IGNORED
    documents = torch.arange(CONTEXT).ge(9).long().expand(ROWS, -1) if case == "packed" else None
    return Batch(ids, targets, documents)


def graded(decoder: Decoder, loss: Loss, batch: Batch, dtype: torch.dtype) -> tuple[float, dict[str, torch.Tensor]]:
    decoder.zero_grad()
    with autocast(torch.device("cpu"), dtype):
        value = loss(decoder, batch)
    (value / 7.0).backward()  # an outer factor, as the loop's count is
    return value.item(), {name: p.grad.clone() for name, p in decoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("case", ["all", "some ignored", "packed"])
@pytest.mark.parametrize("toy", TOYS)
def test_the_chunked_loss_and_its_gradients_equal_the_plain_ones(
    toy: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_LOGITS", 300)
    monkeypatch.setattr(losses, "HELD_BYTES", 20_000)
    decoder, batch = random_decoder(toy_config(toy)), batch_of(case)
    value, expected = graded(decoder, plain_next_token_loss, batch, torch.float32)
    found, gradients = graded(decoder, next_token_loss, batch, torch.float32)
    assert found == pytest.approx(value, rel=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=2e-5)
    with torch.no_grad():
        assert float(next_token_loss(decoder, batch)) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("case", ["all", "some ignored", "packed"])
def test_predicting_two_tokens_adds_the_gradient_of_the_token_after_next_and_no_value(case: str) -> None:
    config = dataclasses.replace(
        toy_config("default"), multi_token_prediction=MultiTokenPredictionConfig(weight=0.4), logit_softcap=15.0
    )
    decoder, batch = random_decoder(config).train(), batch_of(case)

    def by_hand(decoder: Decoder, batch: Batch) -> torch.Tensor:
        total = torch.zeros(())
        hidden = decoder.hidden(batch.ids, documents=batch.documents)
        after_next = (15.0 * torch.tanh(hidden @ decoder.mtp_head.weight.T / 15.0)).log_softmax(-1)
        following = decoder(batch.ids, documents=batch.documents).log_softmax(-1)
        for row in range(ROWS):
            for at in range(CONTEXT):
                target = int(batch.targets[row, at])
                if target == IGNORED:
                    continue
                total = total - following[row, at, target]
                after = int(batch.targets[row, at + 1]) if at + 1 < CONTEXT else IGNORED
                crossing = batch.documents is not None and after != IGNORED and at + 1 == 9
                if after != IGNORED and not crossing:
                    total = total - 0.4 * after_next[row, at, after]
        return total

    _, expected = graded(decoder, by_hand, batch, torch.float32)
    for loss in (plain_next_token_loss, next_token_loss):
        found, gradients = graded(decoder, loss, batch, torch.float32)
        assert gradients.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=2e-5)
        decoder.eval()
        alone, without = graded(decoder, loss, batch, torch.float32)
        decoder.train()
        assert found == pytest.approx(alone, rel=1e-6)
        assert "mtp_head.weight" not in without


@pytest.mark.parametrize("toy", TOYS)
def test_in_bf16_the_chunked_gradient_is_no_further_from_fp32_than_the_plain_one(toy: str) -> None:
    decoder, batch = random_decoder(toy_config(toy)), batch_of("some ignored")
    _, exact = graded(decoder, plain_next_token_loss, batch, torch.float32)
    _, plain = graded(decoder, plain_next_token_loss, batch, torch.bfloat16)
    _, chunked = graded(decoder, next_token_loss, batch, torch.bfloat16)

    def distance(gradients: dict[str, torch.Tensor]) -> float:
        return sum(float((gradients[name] - exact[name]).square().sum()) for name in exact) ** 0.5

    assert distance(chunked) < 1.2 * distance(plain)


def test_a_frozen_head_gets_no_gradient_and_the_rest_the_same() -> None:
    decoder, batch = random_decoder(toy_config("default", tied=False)), batch_of("all")
    _, expected = graded(decoder, plain_next_token_loss, batch, torch.float32)
    decoder.head.weight.requires_grad_(False)
    decoder.head.weight.grad = None
    _, gradients = graded(decoder, next_token_loss, batch, torch.float32)
    assert expected.keys() - gradients.keys() == {"head.weight"}
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=2e-5)


def test_the_loss_is_the_sum_of_minus_log_probabilities_by_hand() -> None:
    logits = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [5.0, -5.0]]]).log_softmax(-1)
    targets = torch.tensor([[0, 1, IGNORED]])
    assert cross_entropy_sum(logits, targets).item() == pytest.approx(0.693147 + 1.313262, abs=1e-5)


@pytest.mark.parametrize("toy", TOYS)
def test_loss_and_gradient_of_packed_documents_are_the_sums_of_theirs(toy: str) -> None:
    decoder = random_decoder(toy_config(toy))
    ids, targets = random_ids(1, 14), random_ids(1, 14, seed=2)
    numbers = torch.tensor([[1] * 6 + [2] * 8])
    value, packed = graded(decoder, next_token_loss, Batch(ids, targets, numbers), torch.float32)
    parts = [Batch(ids[:, a:b], targets[:, a:b]) for a, b in ((0, 6), (6, 14))]
    values, gradients = zip(*(graded(decoder, next_token_loss, part, torch.float32) for part in parts), strict=True)
    assert value == pytest.approx(sum(values), rel=1e-6)
    norm = float(torch.nn.utils.get_total_norm(packed.values()))  # sums are rounded in another order
    for name, gradient in packed.items():
        assert (gradient - sum(each[name] for each in gradients)).abs().max() <= 1e-6 * norm, name
