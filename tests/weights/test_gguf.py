"""GGUF: every architecture and precision round-trips, and unreadable files are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.generation.language_model import load
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.patterns import PATTERNS
from scratchlm.weights.checkpoint import SavedModel, load_model, save_model
from scratchlm.weights.families.family import for_inference
from scratchlm.weights.ggufs.file import READ, GGUFFile
from scratchlm.weights.ggufs.reading import read_gguf
from scratchlm.weights.ggufs.writing import modelfile, write_gguf
from scripts import SCRIPTS
from toys import random_decoder, toy_config
from weights.families import BEYOND_GGUF, FAMILIES, IN_GGUF


def model(name: str = "default", pattern: str = "qwen2", **changes: object) -> SavedModel:
    tokenizer = FastBPE.train(SCRIPTS.values(), 400, PATTERNS[pattern])
    config = toy_config(name, vocabulary_size=tokenizer.vocabulary_size, **changes)
    config = dataclasses.replace(config, context=96)
    return SavedModel(random_decoder(config), tokenizer, template=ChatTemplate(tokenizer))


@pytest.mark.parametrize("name", IN_GGUF)
def test_every_architecture_round_trips(name: str, tmp_path: Path) -> None:
    tokenizer = FastBPE.train([], 256)
    config = dataclasses.replace(IN_GGUF[name], vocabulary_size=tokenizer.vocabulary_size)
    decoder = random_decoder(config)
    write_gguf(tmp_path / "model.gguf", SavedModel(decoder, tokenizer), "f32")
    again, _ = read_gguf(tmp_path / "model.gguf")
    assert for_inference(again.decoder.config) == for_inference(config)
    for (which, one), other in zip(decoder.named_parameters(), again.decoder.parameters(), strict=True):
        offset = name == "gemma3" and "norm" in which  # stored with one added, which rounds
        assert torch.allclose(one, other, rtol=0, atol=1e-6 if offset else 0), which


@pytest.mark.parametrize("name", [*BEYOND_GGUF, "qwen2", "olmo2", "phi3"])
def test_a_config_that_gguf_cannot_represent_is_refused(name: str, tmp_path: Path) -> None:
    tokenizer = FastBPE.train([], 256)
    config = dataclasses.replace(FAMILIES[name][1], vocabulary_size=tokenizer.vocabulary_size)
    with pytest.raises(UserError, match="cannot represent"):
        write_gguf(tmp_path / "model.gguf", SavedModel(random_decoder(config), tokenizer), "f32")


@pytest.mark.parametrize("pattern", ["qwen2", "gpt2", "smollm", "cl100k"])
def test_tokenizer_and_template_round_trip(pattern: str, tmp_path: Path) -> None:
    left = model(pattern=pattern)
    write_gguf(tmp_path / "model.gguf", left, "f32")
    again, _ = read_gguf(tmp_path / "model.gguf")
    assert again.tokenizer.fingerprint == left.tokenizer.fingerprint
    assert left.template is not None
    assert again.template is not None
    assert again.template.source == left.template.source


@pytest.mark.parametrize(
    ("precision", "error"), [("f16", 2e-3), ("bf16", 2e-2), ("q8_0", 2e-2), ("q4_0", 0.3), ("q4_1", 0.3)]
)
def test_precisions_are_as_close_as_their_bits(precision: str, error: float, tmp_path: Path) -> None:
    left = model(width=64)
    write_gguf(tmp_path / "model.gguf", left, precision)  # type: ignore[arg-type]
    again, _ = read_gguf(tmp_path / "model.gguf", torch.float32)
    for (name, one), other in zip(left.decoder.named_parameters(), again.decoder.named_parameters(), strict=True):
        assert (one - other[1]).abs().max() <= error * one.abs().max(), name
    kinds = {tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert precision.upper() in kinds


def test_rows_that_blocks_do_not_fill_stay_f16(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", model(width=40), "q8_0")
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert kinds["token_embd.weight"] == "F16"
    assert kinds["output_norm.weight"] == "F32"


@pytest.mark.parametrize("kind", READ)
def test_every_supported_precision_is_dequantized_as_in_the_library(kind: str, tmp_path: Path) -> None:
    which = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[which]
    rows, columns = 3, 2 * max(block, 32)
    if kind in ("F32", "F16"):
        data = np.random.default_rng(0).normal(size=(rows, columns)).astype(kind.lower().replace("f", "float"))
    else:  # any bytes are some numbers; small ones, that scales stay finite
        data = np.random.default_rng(0).integers(0, 60, size=(rows, columns // block * size), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "qwen3")
    writer.add_tensor("x", data, raw_dtype=which)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = GGUFFile(tmp_path / "x.gguf")["x"]
    assert read.shape == (rows, columns)
    assert np.array_equal(read.float().numpy(), gguf.quants.dequantize(data, which).astype(np.float32), equal_nan=True)


def test_the_commands_export_and_import_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(tmp_path / "model", model())
    code, out, _ = run(
        capsys, "export", tmp_path / "model", "--to", "gguf", "--precision", "f32", "--out", tmp_path / "out", "--json"
    )
    assert code == 0
    assert json.loads(out)["architecture"] == "Qwen3ForCausalLM"
    assert run(capsys, "import", tmp_path / "out" / "model.gguf", "--out", tmp_path / "back")[0] == 0
    for one, other in zip(
        load_model(tmp_path / "model").decoder.parameters(),
        load_model(tmp_path / "back").decoder.parameters(),
        strict=True,
    ):
        assert torch.equal(one, other)
    asked = [{"role": "user", "content": "Where is the ship?"}]
    first, second = (load(tmp_path / name).reply(asked, temperature=0.0, max_tokens=8) for name in ("model", "back"))
    assert first == second
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert text.startswith("FROM ./model.gguf\n")
    assert 'PARAMETER stop "<|im_end|>"' in text
    assert "TEMPLATE" in modelfile(model(), "x.gguf")


def test_a_truncated_file_and_one_of_another_format_are_refused(tmp_path: Path, capsys) -> None:
    write_gguf(tmp_path / "whole.gguf", model(), "f32")
    data = (tmp_path / "whole.gguf").read_bytes()
    for number, end in enumerate((10, 200, len(data) // 2, len(data) - 40)):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(data[:end])
        assert "GGUF" in fails(capsys, "import", path, "--out", tmp_path / "back")
    (tmp_path / "text.gguf").write_text("This is a letter, and no model at all.")
    assert "cannot be read as GGUF" in fails(capsys, "import", tmp_path / "text.gguf", "--out", tmp_path / "back")
    assert "no such file" in fails(capsys, "import", tmp_path / "none.gguf", "--out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_an_unsupported_precision_is_named(tmp_path: Path, capsys) -> None:
    which = gguf.GGMLQuantizationType.IQ4_NL
    _, size = gguf.GGML_QUANT_SIZES[which]
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "qwen3")
    writer.add_tensor("token_embd.weight", np.zeros((4, size), np.uint8), raw_dtype=which)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "stored as IQ4_NL" in fails(capsys, "import", tmp_path / "x.gguf", "--out", tmp_path / "back")


def test_an_embedding_without_rows_is_a_broken_file(tmp_path: Path, capsys) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "qwen3")
    writer.add_tensor("token_embd.weight", np.zeros((), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "not a whole GGUF file" in fails(capsys, "import", tmp_path / "x.gguf", "--out", tmp_path / "back")


def test_an_unknown_architecture_is_named_with_the_known_ones(tmp_path: Path, capsys) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "mamba")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    line = fails(capsys, "import", tmp_path / "x.gguf", "--out", tmp_path / "back")
    assert "'mamba' is not known" in line
    assert "qwen3moe" in line


def test_a_model_that_llama_cpp_does_not_support_is_not_written(tmp_path: Path, capsys) -> None:
    kind, config = FAMILIES["nanochat"]
    tokenizer = FastBPE.train([], 256)
    config = dataclasses.replace(config, vocabulary_size=tokenizer.vocabulary_size)
    save_model(tmp_path / "model", SavedModel(random_decoder(config), tokenizer))
    line = fails(capsys, "export", tmp_path / "model", "--to", "gguf", "--out", tmp_path / "out")
    assert f"{kind}: llama.cpp has no such architecture" in line
    assert not (tmp_path / "out").exists()
