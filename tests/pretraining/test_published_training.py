"""What training published models took, and where a plan lies beside it."""

from __future__ import annotations

import pytest

from commands import run
from scratchlm.pretraining.published_training import beside_reference, published_training, ratio, reference_training


def test_flops_as_published_are_six_for_each_active_parameter_and_token() -> None:
    compared = 0
    for model in published_training():
        if model.flops is not None:
            assert model.estimated_flops == pytest.approx(model.flops, rel=0.03)
            compared += 1
    assert compared >= 3


def test_every_model_has_a_source_and_what_was_not_published_is_left_out() -> None:
    models = {model.name: model for model in published_training()}
    assert all(model.source for model in models.values())
    assert models["GPT-2 1.5B"].tokens is None
    assert models["GPT-2 1.5B"].estimated_flops is None
    assert models["Llama 3.1 8B"].at_least
    assert models["DeepSeek-V3"].weight_bytes == 2 * 671 * 10**9
    assert models["DeepSeek-V3"].estimated_flops == 6 * 37e9 * 14.8e12
    cost, hours = models["DeepSeek-V3"].dollars, models["DeepSeek-V3"].gpu_hours
    assert cost is not None
    assert hours is not None
    assert cost / hours == pytest.approx(2)
    assert [model.year for model in models.values()] == sorted(model.year for model in models.values())


def test_ratios_are_fractions_below_one_and_multiples_above() -> None:
    assert [ratio(part) for part in (1 / 1234.4, 0.5, 1, 12.34, 0)] == [
        "1/1,230",
        "1/2",
        "1 times",
        "12.3 times",
        "none",
    ]
    other = reference_training()
    assert other.tokens is not None
    assert other.flops is not None
    told = beside_reference(other.parameters // 1000, other.tokens * 2, other.flops / 1e6)
    assert told == "1/1,000 of the parameters, 2 times the tokens, 1/1,000,000 of the training FLOPs of GPT-3 175B"


def test_a_plan_says_where_it_lies_beside_gpt_3(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plan", "tiny", "--no-probe")
    assert code == 0
    (line,) = (line for line in out.splitlines() if "scale" in line)
    assert "of the parameters, 1/" in line
    assert "of the training FLOPs of GPT-3 175B" in " ".join(out.split())
    code, out, _ = run(capsys, "plan", "llama-3.1-405b", "--tokens", "15.6e12")
    told = " ".join(out.replace("│", " ").split())
    assert "2.32 times the parameters, 52 times the tokens" in told
