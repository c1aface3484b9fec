"""Untrusted model files: their claims are checked before memory is allocated for them."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from commands import fails
from scratchlm.base.errors import UserError
from scratchlm.model.decoder import outline
from scratchlm.weights.checkpoint import Classes, SavedModel, load_model, save_model
from scratchlm.weights.ggufs.file import GGUFFile
from scratchlm.weights.ggufs.writing import write_gguf
from scratchlm.weights.huggingface import read_folder, write_folder
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config


def model() -> SavedModel:
    return SavedModel(random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY)), byte_tokenizer())


def rehashed(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    hashes = json.loads((folder / "files.json").read_text())
    (folder / "files.json").write_text(json.dumps({**hashes, name: hashlib.sha256(data).hexdigest()}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", model())
    return tmp_path / "model"


def with_fields(folder: Path, **changes: object) -> Path:
    stored = json.loads((folder / "config.json").read_text())
    stored["decoder"] |= changes
    return rehashed(folder, "config.json", json.dumps(stored).encode())


@pytest.mark.parametrize("changes", [
    {"layers": 10**9}, {"width": 10**9}, {"layers": "many"}, {"positions": {"type": "rope", "share": 10**30}},
    {"positions": {"type": "rope", "share": 2.0}}, {"norm": None}, {"attention": [1]}, {"context": 10**12},
], ids=str)  # fmt: skip
def test_an_impossible_config_is_refused_before_memory_is_allocated(folder: Path, changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"config\.json: "):
        load_model(with_fields(folder, **changes))


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", "..", "c\\d"])
def test_only_files_of_the_folder_may_be_named_in_its_list(folder: Path, name: str) -> None:
    hashes = json.loads((folder / "files.json").read_text())
    (folder / "files.json").write_text(json.dumps({**hashes, name: "0" * 64}))
    with pytest.raises(UserError, match=r"files\.json: names .*no file of its folder"):
        load_model(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes with names")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "files.json"])
def test_a_pipe_in_a_model_folder_is_refused_without_waiting(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match="pipe or a device"):
        load_model(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_infinite_or_nan_is_named_with_its_file(tmp_path: Path, value: float) -> None:
    broken = model()
    broken.decoder.blocks[1].attention.query.weight.data[3, 5] = value
    save_model(tmp_path / "ours", broken)
    with pytest.raises(UserError, match=r"model\.safetensors: blocks\.1\.attention\.query\.weight has numbers"):
        load_model(tmp_path / "ours")
    write_folder(tmp_path / "hf", broken)
    with pytest.raises(UserError, match=r"hf: model\.layers\.1\.self_attn\.q_proj\.weight has numbers"):
        read_folder(tmp_path / "hf")
    write_gguf(tmp_path / "m.gguf", broken, "f32")
    with pytest.raises(UserError, match=r"m\.gguf: blk\.1\.attn_q\.weight has numbers"):
        dict(GGUFFile(tmp_path / "m.gguf"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_largest_numbers_of_a_precision_are_numbers(tmp_path: Path, dtype: torch.dtype) -> None:
    broken = model()
    broken.decoder.final_norm.weight.data = torch.full_like(broken.decoder.final_norm.weight, torch.finfo(dtype).max)
    save_model(tmp_path / "large", SavedModel(broken.decoder.to(dtype), broken.tokenizer))
    assert load_model(tmp_path / "large", dtype=None).decoder.final_norm.weight.dtype == dtype


def test_a_safetensors_header_larger_than_its_file_is_refused(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    for length in (1 << 60, 1 << 40, len(data)):
        with pytest.raises(UserError, match=r"model\.safetensors: cannot be read"):
            load_model(rehashed(folder, "model.safetensors", struct.pack("<Q", length) + data[8:]))


def gguf_string(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def gguf_file(tensors: int, fields: int, body: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, fields) + body + bytes(64)


NESTED = struct.pack("<IQ", 9, 1) * 40
GGUFS = {
    "tensors": gguf_file(1 << 60, 0, b""),
    "fields": gguf_file(0, 1 << 60, b""),
    "key": gguf_file(0, 1, gguf_string(b"a", 1 << 50)),
    "text": gguf_file(0, 1, gguf_string(b"a") + struct.pack("<I", 8) + gguf_string(b"", 1 << 50)),
    "array": gguf_file(0, 1, gguf_string(b"a") + struct.pack("<IIQ", 9, 4, 1 << 60)),
    "texts": gguf_file(0, 1, gguf_string(b"a") + struct.pack("<IIQ", 9, 8, 1 << 40)),
    "nested": gguf_file(0, 1, gguf_string(b"a") + struct.pack("<I", 9) + NESTED),
    "kind": gguf_file(0, 1, gguf_string(b"a") + struct.pack("<I", 99)),
    "shape": gguf_file(1, 0, gguf_string(b"t") + struct.pack("<IQQIQ", 2, 1 << 31, 1 << 31, 0, 0)),
    "dimensions": gguf_file(1, 0, gguf_string(b"t") + struct.pack("<IQQ", 1 << 30, 1, 1)),
    "precision": gguf_file(1, 0, gguf_string(b"t") + struct.pack("<IQIQ", 1, 1, 12345, 0)),
    "alignment": gguf_file(0, 1, gguf_string(b"general.alignment") + struct.pack("<II", 4, 0)),
    "version": b"GGUF" + struct.pack("<IQQ", 9, 0, 0),
    "cut": b"GGUF\3\0\0",
}


@pytest.mark.parametrize("name", GGUFS)
def test_a_gguf_file_that_announces_more_than_it_has_is_refused_at_once(tmp_path: Path, name: str, capsys) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUFS[name])
    line = fails(capsys, "import", tmp_path / "a.gguf", "--out", tmp_path / "out")
    assert "GGUF" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changes", [
    {"num_hidden_layers": 10**9}, {"hidden_size": 10**9}, {"vocab_size": 10**15}, {"rope_theta": 1e999},
    {"rms_norm_eps": float("nan")}, {"rope_scaling": {"rope_type": ["x"]}}, {"model_type": ["a"]},
    {"architectures": 3, "model_type": "x"}, {"rope_theta": 10**400}, {"num_attention_heads": True},
], ids=str)  # fmt: skip
def test_an_untrusted_config_json_is_validated(tmp_path: Path, changes: dict[str, object]) -> None:
    write_folder(tmp_path / "hf", model())
    stored = json.loads((tmp_path / "hf" / "config.json").read_text())
    (tmp_path / "hf" / "config.json").write_text(json.dumps({**stored, **changes}))
    with pytest.raises(UserError):
        read_folder(tmp_path / "hf")


def test_generation_settings_that_are_no_finite_numbers_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "hf", model())
    for wrong in ({"do_sample": True, "temperature": float("nan")}, {"eos_token_id": ["x"]}, {"eos_token_id": 10**400}):
        (tmp_path / "hf" / "generation_config.json").write_text(json.dumps(wrong))
        if wrong.get("eos_token_id") != 10**400:
            with pytest.raises(UserError):
                read_folder(tmp_path / "hf")


def test_a_classification_head_has_the_size_of_its_labels() -> None:
    with pytest.raises(UserError, match=r"temperature is nan.*must name each once.*must be one of the labels"):
        Classes(("a", "a"), temperature=float("nan"), positive="b")


def test_tensors_of_another_shape_are_refused_before_the_model_is_filled(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["embedding.weight"] = torch.zeros(2, 2)
    save_file(tensors, folder / "other.safetensors")
    with pytest.raises(UserError, match=r"embedding\.weight is \(2, 2\)"):
        load_model(rehashed(folder, "model.safetensors", (folder / "other.safetensors").read_bytes()))
    assert outline(toy_config("default")).embedding.weight.is_meta
