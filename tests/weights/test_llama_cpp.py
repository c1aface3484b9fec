"""llama.cpp computes the same logits for an exported model, and its own quantizer writes the same bytes."""

from __future__ import annotations

import ctypes
import dataclasses
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from scratchlm.model.config import SwiGLUConfig
from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.ggufs.writing import Precision, write_gguf
from scripts import SCRIPTS
from toys import random_decoder, random_ids, toy_config
from weights.families import IN_GGUF, LENGTH

F32 = 0
"""GGML's number for fp32, the precision asked of the cache."""


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_GGUF)
@torch.no_grad()
def test_its_logits_are_ours(name: str, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp comes with the extra `interop`")
    tokenizer = FastBPE.train(SCRIPTS.values(), 400)
    decoder = random_decoder(dataclasses.replace(IN_GGUF[name], vocabulary_size=tokenizer.vocabulary_size))
    path = tmp_path / "model.gguf"
    write_gguf(path, SavedModel(decoder, tokenizer), "f32")
    ids = random_ids(1, LENGTH, 400)
    told = {"n_ctx": LENGTH, "logits_all": True, "flash_attn": False, "type_k": F32, "type_v": F32}
    theirs = llama_cpp.Llama(str(path), verbose=False, **told)
    theirs.eval(ids[0].tolist())
    logits = torch.from_numpy(np.array(theirs.scores[:LENGTH]))
    theirs.close()
    assert decoder(ids).std() > 1
    tolerance = 0.1 if name in ("gpt2", "gemma3") else 1e-3  # llama.cpp looks GELU up in a table of half precision
    assert (logits - decoder(ids)[0]).abs().max() < tolerance


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["q8_0", "q4_0", "q4_1"])
def test_its_quantizer_writes_the_same_bytes(precision: Precision, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp comes with the extra `interop`")
    tokenizer = FastBPE.train(SCRIPTS.values(), 400)
    config = toy_config("default", vocabulary_size=400, width=64, feed_forward=SwiGLUConfig(hidden=96))
    model = SavedModel(
        random_decoder(dataclasses.replace(config, vocabulary_size=tokenizer.vocabulary_size)), tokenizer
    )
    whole, ours, theirs = (tmp_path / f"{name}.gguf" for name in ("whole", "ours", "theirs"))
    write_gguf(whole, model, "f32")
    write_gguf(ours, model, precision)
    asked = llama_cpp.llama_model_quantize_default_params()
    asked.ftype, asked.pure = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{precision.upper()}"), True
    assert llama_cpp.llama_model_quantize(bytes(whole), bytes(theirs), ctypes.byref(asked)) == 0
    written, expected = ({each.name: each for each in gguf.GGUFReader(file).tensors} for file in (ours, theirs))
    assert written.keys() == expected.keys()
    assert {each.tensor_type.name for each in written.values()} == {"F32", precision.upper()}
    for name, tensor in written.items():
        assert tensor.tensor_type == expected[name].tensor_type, name
        assert np.array_equal(tensor.data, expected[name].data), name
