"""A folder written when parts and settings had earlier names is read as the same model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scratchlm.base.files import sha256_of
from scratchlm.model.config import MultiTokenPredictionConfig, RopeConfig, X0ResidualConfig
from scratchlm.weights.checkpoint import SavedModel, load_model, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, random_ids, toy_config


def test_a_folder_with_earlier_names_is_the_same_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = toy_config(
        "default",
        vocabulary_size=BYTE_VOCABULARY,
        multi_token_prediction=MultiTokenPredictionConfig(weight=0.2),
        x0_residual=X0ResidualConfig(initial=0.3),
        positions=RopeConfig(partial_rotary_factor=0.5),
    )
    decoder, folder = random_decoder(config), tmp_path / "model"
    save_model(folder, SavedModel(decoder, byte_tokenizer()))
    tensors = load_file(folder / "model.safetensors")
    renamed = {
        name.replace("mtp_head.", "ahead.").replace("x0_residual.", "shortcut."): t for name, t in tensors.items()
    }
    assert renamed.keys() != tensors.keys()
    save_file(renamed, folder / "model.safetensors")
    stored = json.loads((folder / "config.json").read_text())
    model = stored["decoder"]
    model["ahead"], model["shortcut"] = model.pop("multi_token_prediction"), model.pop("x0_residual")
    model["ahead"]["share"], model["shortcut"]["share"] = model["ahead"].pop("weight"), model["shortcut"].pop("initial")
    model["positions"]["share"] = model["positions"].pop("partial_rotary_factor")
    stored["four_bit"] = stored.pop("nf4", False)
    (folder / "config.json").write_text(json.dumps(stored))
    names = ("config.json", "model.safetensors")
    hashes = json.loads((folder / "files.json").read_text()) | {name: sha256_of(folder / name) for name in names}
    (folder / "files.json").write_text(json.dumps(hashes))
    read = load_model(folder)
    assert read.decoder.config == config
    ids = random_ids(2, 9)
    assert torch.equal(read.decoder.eval()(ids), decoder(ids))
    assert "model.ahead is called" not in capsys.readouterr().out
