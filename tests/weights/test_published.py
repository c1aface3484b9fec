"""Parameter counts of published architectures equal the published totals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import fails, run


@pytest.mark.parametrize(
    ("name", "billions", "active"),
    [
        ("gpt3-175b", 174.6, 174.6),
        ("gpt2-xl", 1.558, 1.558),
        ("smollm2-135m", 0.1345, 0.1345),
        ("qwen3-0.6b", 0.596, 0.596),
        ("llama-3.1-8b", 8.030, 8.030),
        ("llama-3.1-70b", 70.55, 70.55),
        ("llama-3.1-405b", 405.9, 405.9),
        ("deepseek-v3", 671.0, 37.5),
    ],
)
def test_the_count_is_the_published_one(name: str, billions: float, active: float, capsys) -> None:
    code, out, _ = run(capsys, "plan", name, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["parameters"] == pytest.approx(1e9 * billions, rel=1e-3)
    assert told["active"] == pytest.approx(1e9 * active, rel=1e-2)
    assert sum(told["parts"].values()) == told["parameters"]
    assert told["weight_bytes"]["bf16"] == 2 * told["parameters"]


def test_the_cache_of_deepseek_is_small_and_that_of_llama_large(capsys) -> None:
    kept = {
        name: json.loads(run(capsys, "plan", name, "--json")[1])["cache_bytes_per_token"]
        for name in ("deepseek-v3", "llama-3.1-405b")
    }
    assert kept == {"deepseek-v3": 2 * 61 * 576, "llama-3.1-405b": 2 * 2 * 126 * 8 * 128}


def test_training_flops_are_about_six_a_parameter_and_token(capsys) -> None:
    told = json.loads(run(capsys, "plan", "llama-3.1-8b", "--tokens", "15e12", "--json")[1])
    assert 6 * 7.5e9 * 15e12 < told["training_flops"] < 1.6 * 6 * 8.03e9 * 15e12


def test_any_config_file_is_counted_and_strange_ones_are_refused(tmp_path: Path, capsys) -> None:
    shape = {"model_type": "qwen2", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 128}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(shape))
    code, out, _ = run(capsys, "plan", path)
    assert code == 0
    assert "parameters" in out
    path.write_text(json.dumps({**shape, "model_type": "mamba"}))
    assert "mamba" in fails(capsys, "plan", path)
    path.write_text(json.dumps({key: value for key, value in shape.items() if key != "hidden_size"}))
    assert "hidden_size is missing" in fails(capsys, "plan", path)
    assert "no such file" in fails(capsys, "plan", tmp_path / "none.json")
