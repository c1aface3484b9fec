"""Each filter's defining property, on random logits."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.base.errors import UserError
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.sampling import (
    keep_min_p,
    keep_top_k,
    keep_top_p,
    next_probabilities,
    next_token,
    next_tokens,
    penalise_repetition,
)

ROWS = [torch.randn(50, generator=torch.Generator().manual_seed(seed)) * scale for seed in range(8) for scale in (1, 4)]


def kept(logits: torch.Tensor) -> set[int]:
    return set(torch.nonzero(logits > float("-inf")).flatten().tolist())


@pytest.mark.parametrize("k", [1, 3, 49])
def test_top_k_keeps_exactly_the_k_likeliest(k: int) -> None:
    for row in ROWS:
        assert kept(keep_top_k(row, k)) == set(row.topk(k).indices.tolist())


def test_top_k_of_zero_or_of_the_whole_vocabulary_keeps_all() -> None:
    for k in (0, 50, 900):
        assert torch.equal(keep_top_k(ROWS[0], k), ROWS[0])


@pytest.mark.parametrize("p", [1e-6, 0.3, 0.9, 0.999])
def test_top_p_keeps_the_fewest_likeliest_that_reach_p(p: float) -> None:
    for row in ROWS:
        stays = kept(keep_top_p(row, p))
        probabilities = row.softmax(0)
        assert stays == set(row.topk(len(stays)).indices.tolist())
        inside = sorted(probabilities[list(stays)].tolist())
        assert sum(inside) >= p - 1e-5
        assert sum(inside[1:]) < p + 1e-5  # without the least likely of them it is not reached


@pytest.mark.parametrize("p", [0.01, 0.3, 1.0])
def test_min_p_keeps_what_is_at_least_that_share_of_the_likeliest(p: float) -> None:
    for row in ROWS:
        probabilities = row.softmax(0)
        expected = {i for i, q in enumerate(probabilities.tolist()) if q >= p * probabilities.max().item()}
        assert kept(keep_min_p(row, p)) == expected
        assert int(row.argmax()) in expected


@pytest.mark.parametrize("penalty", [1.3, 0.7])
def test_the_penalty_divides_positive_and_multiplies_negative_logits_of_tokens_already_there(penalty: float) -> None:
    row = torch.tensor([2.0, -2.0, 0.5, -0.5])
    result = penalise_repetition(row, [0, 1, 1, 0], penalty)
    torch.testing.assert_close(result, torch.tensor([2.0 / penalty, -2.0 * penalty, 0.5, -0.5]))
    assert torch.equal(row, torch.tensor([2.0, -2.0, 0.5, -0.5]))
    assert torch.equal(penalise_repetition(row, [], penalty), row)
    assert torch.equal(penalise_repetition(row, [0], 1.0), row)


@pytest.mark.parametrize(
    "changes",
    [
        *({"temperature": 0.0}, {"temperature": 1e-3}, {"temperature": 100.0}, {"top_k": 1}, {"top_p": 1e-9}),
        *({"min_p": 1.0}, {"temperature": 2.0, "top_k": 5, "top_p": 0.5, "min_p": 0.3, "repetition_penalty": 2.0}),
    ],
    ids=str,
)
def test_probabilities_add_up_to_one_and_none_is_nan(changes: dict) -> None:
    for row in ROWS:
        config = SamplingConfig(**changes)
        probabilities = next_probabilities(penalise_repetition(row, [1, 2, 3], config.repetition_penalty), config)
        assert probabilities.sum().item() == pytest.approx(1.0, abs=1e-5)
        assert probabilities.min() >= 0


def test_without_filters_the_probabilities_are_the_softmax_of_logits_over_temperature() -> None:
    probabilities = next_probabilities(ROWS[0], SamplingConfig(temperature=0.5))
    torch.testing.assert_close(probabilities, (ROWS[0] / 0.5).softmax(0))


def test_temperature_zero_takes_the_likeliest_after_the_penalty() -> None:
    row = torch.tensor([3.0, 2.9, 0.0])
    generator = torch.Generator()
    assert next_token(row, [], SamplingConfig(temperature=0.0), generator) == 0
    assert next_token(row, [0], SamplingConfig(temperature=0.0, repetition_penalty=1.5), generator) == 1


def test_draws_follow_the_probabilities() -> None:
    row = torch.tensor([0.6, 0.3, 0.1]).log()
    generator = torch.Generator().manual_seed(0)
    draws = [next_token(row, [], SamplingConfig(temperature=1.0), generator) for _ in range(3000)]
    assert [draws.count(token) / 3000 for token in range(3)] == pytest.approx([0.6, 0.3, 0.1], abs=0.04)


def test_a_token_that_a_filter_rules_out_is_never_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    config = SamplingConfig(temperature=5.0, top_k=3)
    best = set(ROWS[0].topk(3).indices.tolist())
    assert {next_token(ROWS[0], [], config, generator) for _ in range(200)} == best


def test_all_problems_of_the_settings_are_reported_at_once() -> None:
    with pytest.raises(UserError) as caught:
        SamplingConfig(
            max_tokens=0, temperature=-1.0, top_k=-1, top_p=0.0, min_p=1.5, repetition_penalty=0.0, stop=("",)
        )
    flags = ("max-tokens", "temperature", "top-k", "top-p", "min-p", "repetition-penalty", "stop")
    assert all(f"--{flag}" in str(caught.value) for flag in flags)
    with pytest.raises(UserError, match="--temperature nan"):
        SamplingConfig(temperature=float("nan"))


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_rows_chosen_together_are_those_chosen_alone(seed: int) -> None:
    chance = random.Random(seed)
    rows = chance.randrange(1, 6)
    logits = torch.randn(rows, 40, generator=torch.Generator().manual_seed(seed)) * 3
    texts = [[chance.randrange(40) for _ in range(chance.randrange(1, 9))] for _ in range(rows)]
    configs = [
        SamplingConfig(
            temperature=chance.choice([0.0, 0.7, 1.3]),
            top_k=chance.choice([0, 1, 5, 40, 99]),
            top_p=chance.choice([1.0, 0.9, 0.3]),
            min_p=chance.choice([0.0, 0.05, 0.5]),
            repetition_penalty=chance.choice([1.0, 1.3]),
        )
        for _ in range(rows)
    ]

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed + row) for row in range(rows)]

    alone = [
        next_token(row, text, config, generator)
        for row, text, config, generator in zip(logits.clone(), texts, configs, generators(), strict=True)
    ]
    assert next_tokens(logits, texts, configs, generators()) == alone


def test_a_filter_of_many_rows_is_that_of_each() -> None:
    table = torch.stack(ROWS)
    for each in (lambda x: keep_top_k(x, 7), lambda x: keep_top_p(x, 0.6), lambda x: keep_min_p(x, 0.2)):
        assert torch.equal(each(table), torch.stack([each(row) for row in ROWS]))
    config = SamplingConfig(temperature=0.7, top_k=9, top_p=0.8, min_p=0.1)
    alone = torch.stack([next_probabilities(row, config) for row in ROWS])
    torch.testing.assert_close(next_probabilities(table, config), alone)


def test_a_row_without_numbers_spoils_no_other() -> None:
    logits = torch.randn(3, 9, generator=torch.Generator().manual_seed(0))
    logits[1] = torch.nan
    drawn = SamplingConfig(temperature=1.0)
    found = next_tokens(logits, [[1]] * 3, [drawn] * 3, [torch.Generator().manual_seed(row) for row in range(3)])
    assert [each is None for each in found] == [False, True, False]
