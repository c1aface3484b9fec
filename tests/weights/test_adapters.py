"""Adapters in PEFT's format: exported ones give the same outputs in PEFT, and round-trip."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json
from scratchlm.generation.language_model import load
from scratchlm.model.lora import add_adapter, without_adapter
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.checkpoint import SavedModel, base_of, find_model, load_model, save_model
from toys import random_decoder, random_ids
from weights.families import FAMILIES

# PEFT asks transformers by a name that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
SHAPES = ("gpt2", "llama tied", "qwen2", "qwen3", "gemma3", "olmo2", "phi3")


def adapted(folder: Path, name: str, config: LoRAConfig) -> SavedModel:
    """Save a base model and a model with a trained adapter on it."""
    tokenizer = FastBPE.train([], 256)
    shape = dataclasses.replace(FAMILIES[name][1], vocabulary_size=tokenizer.vocabulary_size)
    model = SavedModel(random_decoder(shape), tokenizer)
    save_model(folder / "base", model)
    add_adapter(model.decoder, "default", config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for path, parameter in model.decoder.named_parameters():
            if ".lora_" in path:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.adapters = {"default": config}
    own = frozenset(path for path, _ in model.decoder.named_parameters() if ".lora_" in path)
    model.base = base_of(folder / "base", own)
    save_model(folder / "adapted", model)
    return model


@pytest.mark.parametrize(("name", "first"), [*((name, 0) for name in SHAPES), ("gpt2", 1), ("llama tied", 1)])
@torch.no_grad()
def test_peft_computes_the_same_and_the_adapter_round_trips(name: str, first: int, tmp_path: Path, capsys) -> None:
    import peft
    import transformers

    kinds = ("query", "value", "up", "down") if name == "gpt2" else ("query", "key", "output", "gate", "up", "down")
    model = adapted(tmp_path, name, LoRAConfig(3, 7.0, kinds, first))  # type: ignore[arg-type]
    for source, to in [("base", "hf"), ("adapted", "peft")]:
        assert run(capsys, "export", tmp_path / source, "--to", to, "--out", tmp_path / to)[0] == 0
    below = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    theirs = peft.PeftModel.from_pretrained(below, tmp_path / "peft").eval()
    assert not any(".0." in path for path, _ in theirs.named_parameters() if first and "lora_" in path)
    ids = random_ids(2, 40, 250)
    expected = model.decoder(ids)
    assert (theirs(ids).logits - expected).abs().max() < 1e-4
    with without_adapter(model.decoder):
        assert (model.decoder(ids) - expected).abs().max() > 0.1
    back = tmp_path / "back"
    assert run(capsys, "import", tmp_path / "peft", "--base", tmp_path / "base", "--out", back)[0] == 0
    again = load_model(back)
    assert (again.decoder(ids) - expected).abs().max() < 1e-5
    assert again.adapters["default"].first_layer == first
    assert set(load_file(back / "model.safetensors")) == again.base.own  # type: ignore[union-attr]
    assert run(capsys, "export", back, "--to", "hf", "--out", tmp_path / "merged")[0] == 0
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert (merged(ids).logits - expected).abs().max() < 1e-4


@pytest.mark.parametrize("layers", [None, [1]])
@torch.no_grad()
def test_an_adapter_from_peft_is_read(layers: list[int] | None, tmp_path: Path, capsys) -> None:
    import peft
    import transformers

    adapted(tmp_path, "llama tied", LoRAConfig())
    assert run(capsys, "export", tmp_path / "base", "--to", "hf", "--out", tmp_path / "hf")[0] == 0
    below = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    told = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["q_proj", "down_proj"],
        rank_pattern={"down_proj": 2},
        init_lora_weights=False,
        layers_to_transform=layers,
    )
    theirs = peft.get_peft_model(below, told).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    found = tmp_path / "ours"
    assert run(capsys, "import", tmp_path / "theirs", "--base", tmp_path / "base", "--out", found)[0] == 0
    ids = random_ids(2, 40, 250)
    assert (load_model(find_model(found)).decoder(ids) - theirs(ids).logits).abs().max() < 1e-4


def test_adapters_that_do_not_fit_are_refused(tmp_path: Path, capsys) -> None:
    adapted(tmp_path, "llama tied", LoRAConfig(rank=2))
    peft = tmp_path / "peft"
    assert run(capsys, "export", tmp_path / "adapted", "--to", "peft", "--out", peft)[0] == 0
    out = ("--base", tmp_path / "base", "--out", tmp_path / "out")
    assert "--base: is missing" in fails(capsys, "import", peft, "--out", tmp_path / "out")
    assert "has no adapter" in fails(capsys, "export", tmp_path / "base", "--to", "peft", "--out", tmp_path / "x")
    assert "has an adapter itself" in fails(
        capsys, "import", peft, "--base", tmp_path / "adapted", "--out", tmp_path / "out"
    )
    tensors = load_file(peft / "adapter_model.safetensors")
    first = min(tensors)
    stray = {"base_model.model.lm_tail.lora_A.weight": tensors[first]}
    changed = {**tensors, first: tensors[first][:, :-1].contiguous(), **stray}
    save_file(changed, peft / "adapter_model.safetensors")
    line = fails(capsys, "import", peft, *out)
    assert "lm_tail.lora_A.weight: no such matrix" in line
    assert f"{first}: " in line
    save_file(tensors, peft / "adapter_model.safetensors")
    write_json(peft / "adapter_config.json", {**read_json(peft / "adapter_config.json"), "use_dora": True})
    assert "use_dora is True" in fails(capsys, "import", peft, *out)
    assert not (tmp_path / "out").exists()


def test_many_adapters_share_one_base_model_and_are_chosen_by_request(tmp_path: Path) -> None:
    shape = dataclasses.replace(FAMILIES["llama tied"][1], vocabulary_size=FastBPE.train([], 256).vocabulary_size)
    names = ("one", "two")
    for seed, name in enumerate(names):
        adapted(tmp_path / name, "llama tied", LoRAConfig(rank=2 + seed, alpha=9.0 + seed))
    assert shape.vocabulary_size == load_model(tmp_path / "one" / "base").decoder.config.vocabulary_size
    asked: dict[str, object] = {"temperature": 0.0, "max_tokens": 12}
    alone = {name: load(tmp_path / name / "adapted").generate("ab", **asked) for name in names}
    runs = {name: tmp_path / name / "adapted" for name in names}
    model = load(tmp_path / "one" / "base", adapters=runs)
    plain = model.generate("ab", **asked)
    assert len({plain, *alone.values()}) == 3
    for name in ("one", "two", "one"):  # the cache of one is never another's
        assert model.use(name).generate("ab", **asked) == alone[name]
    assert model.use(None).generate("ab", **asked) == plain
    with pytest.raises(UserError, match="this model has one, two"):
        model.use("three")
    with pytest.raises(UserError, match="has no adapter"):
        load(tmp_path / "one" / "base", adapters={"x": tmp_path / "two" / "base"})
    other = random_decoder(dataclasses.replace(shape, layers=1), seed=9)
    save_model(tmp_path / "other", SavedModel(other, FastBPE.train([], 256)))
    with pytest.raises(UserError, match="was trained on other weights"):
        load(tmp_path / "other", adapters=runs)
