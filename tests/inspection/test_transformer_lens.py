"""The values of a trace are those of TransformerLens, by the same names, on the exported model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import scratchlm as slm
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.trace import trace
from scratchlm.weights.checkpoint import SavedModel, save_model
from toys import random_decoder, random_ids
from transfer import tokenizer
from weights.families import FAMILIES

bridge = pytest.importorskip("transformer_lens.model_bridge")
THEIRS = {"logits": "unembed.hook_out"}
COMPUTED = "attn.hook_result"
"""Not kept there by default."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "mistral"])
def test_values_and_an_ablation_are_those_of_transformer_lens(name: str, tmp_path: Path) -> None:
    words = tokenizer()
    decoder = random_decoder(dataclasses.replace(FAMILIES[name][1], vocabulary_size=words.vocabulary_size))
    save_model(tmp_path / "ours", SavedModel(decoder, words))
    slm.export_model(tmp_path / "ours", to="hf", out=tmp_path / "hf")
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", attn_implementation="eager").eval()
    lens = bridge.TransformerBridge.boot_transformers(str(tmp_path / "hf"), hf_model=network)
    ids = random_ids(2, 40)
    ours = trace(decoder, ids, ["*"])
    with torch.no_grad():
        _, theirs = lens.run_with_cache(ids)
    compared = [each for each in ours if not each.endswith(COMPUTED)]
    for each in compared:
        expected, value = theirs[THEIRS.get(each, each)], ours[each]
        seen = torch.isfinite(value)  # what a query may not see has another number there
        torch.testing.assert_close(value[seen], expected.expand_as(value)[seen], rtol=1e-3, atol=1e-3, msg=each)
    assert len(compared) > 30

    def silence(z: torch.Tensor, hook: object) -> torch.Tensor:
        return z.index_fill(2, torch.tensor([1]), 0.0)

    point = "blocks.1.attn.hook_z"
    with torch.no_grad():
        expected = lens.run_with_hooks(ids, fwd_hooks=[(point, silence)])
    without = trace(decoder, ids, edit=Edit.zero(point, heads=[1])).logits
    assert not torch.allclose(without, ours.logits, atol=1e-2)
    torch.testing.assert_close(without, expected, rtol=1e-3, atol=1e-3)
