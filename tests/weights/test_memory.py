"""Loading needs one copy of the weights: the peak memory of a process that only loads, against the file's size."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from marks import slow
from memory import measured
from scratchlm.model.config import DecoderConfig
from scratchlm.model.counting import sizes_of
from scratchlm.weights.families.known import FAMILIES as KNOWN
from scratchlm.weights.mapping import shapes, to_theirs
from weights.families import FAMILIES

MEASURE = """
import torch
from scratchlm.weights.huggingface import read_weights
before = peak()
kept = read_weights(Path(sys.argv[1]))
print(peak() - before)
"""


def large(name: str) -> tuple[str, DecoderConfig]:
    kind, config = FAMILIES[name]
    config = dataclasses.replace(config, vocabulary_size=16_000, width=1024, layers=6)
    return kind, dataclasses.replace(
        config,
        attention=dataclasses.replace(config.attention, head_dim=1024 // config.attention.heads, global_layers=()),
        feed_forward=dataclasses.replace(config.feed_forward, hidden=3072),
    )


@pytest.mark.parametrize("name", [slow("gpt2"), "llama", slow("phi3")])
def test_the_peak_stays_below_a_third_over_the_file(name: str, tmp_path: Path) -> None:
    kind, config = large(name)
    family = next(family for family in KNOWN if family.model_type == kind)
    assert sizes_of(config).parameters > 60_000_000
    ours = {key: torch.full(shape, 0.5, dtype=torch.bfloat16) for key, shape in shapes(config).items()}
    save_file(dict(to_theirs(ours, family.rules, config)), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(family.fields(config)))
    size = (tmp_path / "model.safetensors").stat().st_size
    (taken,) = measured(MEASURE, tmp_path)
    assert size < taken < 1.3 * size, f"{taken:,.0f} bytes for a file of {size:,}"
