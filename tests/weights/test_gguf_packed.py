"""Matrices of a GGUF file that are kept in whole numbers stand for what llama.cpp's library dequantizes."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from commands import fails, run
from scratchlm.model.quantized import QuantizedWeight, unpack
from scratchlm.weights.checkpoint import load_model
from scratchlm.weights.ggufs.packed import KEPT, laid_out, split_blocks
from scratchlm.weights.ggufs.reading import read_gguf
from scratchlm.weights.ggufs.writing import write_gguf
from toys import random_ids
from weights.test_gguf import model


@pytest.mark.parametrize("precision", KEPT)
def test_codes_scales_and_minima_are_those_of_the_library(precision: str) -> None:
    which = gguf.GGMLQuantizationType[precision]
    block, size = gguf.GGML_QUANT_SIZES[which]
    draw, columns = np.random.default_rng(0), 512
    weights = draw.normal(size=(20, columns)).astype(np.float32)
    if precision == "Q4_K":  # the library does not write it; any bytes are some numbers, small ones finite
        data = draw.integers(0, 60, size=(20, columns // block * size), dtype=np.uint8)
    else:
        data = gguf.quants.quantize(weights, which)
    expected = torch.from_numpy(gguf.quants.dequantize(data, which))
    parts = [
        torch.from_numpy(each.astype(np.float32)).view(20, -1)
        for each in split_blocks(data.reshape(-1, size), precision)
    ]
    read = laid_out(torch.cat(parts, 1), columns).unpacked()
    if precision == "Q4_K":
        torch.testing.assert_close(read, expected, rtol=2e-3, atol=2e-3 * float(expected.abs().max()))
    else:
        assert torch.equal(read, expected)


@pytest.mark.parametrize(("precision", "to"), [("q8_0", "int8"), ("q4_0", "int4"), ("q4_1", "int4")])
def test_a_model_keeps_its_codes(precision: str, to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_gguf(tmp_path / "model.gguf", model(width=64), precision)  # type: ignore[arg-type]
    plain, _ = read_gguf(tmp_path / "model.gguf", torch.float32)
    run(capsys, "import", tmp_path / "model.gguf", "--out", tmp_path / "kept", "--dtype", "quantized")
    kept = load_model(tmp_path / "kept")
    assert kept.quantization is not None
    assert (kept.quantization.to, kept.quantization.method) == (to, "stored")
    inside = [
        part for name, part in kept.decoder.named_modules() if isinstance(part, QuantizedWeight) and "blocks" in name
    ]
    assert inside
    assert all((part.minima is not None) == (to == "int4") for part in inside)
    logits = kept.decoder(random_ids(1, 12)).detach()
    unpack(kept.decoder)
    for name, weight in kept.decoder.named_parameters():
        if name.startswith("blocks."):
            assert torch.equal(weight, plain.decoder.get_parameter(name)), name
    expected = plain.decoder(random_ids(1, 12)).detach()
    assert float((logits - expected).norm()) < 0.05 * float(expected.norm())


def test_only_a_gguf_file_can_be_kept_in_whole_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    said = fails(capsys, "import", tmp_path / "folder", "--out", tmp_path / "out", "--dtype", "quantized")
    assert "is no .gguf file; import it as stored, then quantize it" in said
