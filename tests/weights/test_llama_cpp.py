"""llama.cpp computes the same logits for an exported model, in every architecture that both support."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from families import IN_GGUF, LENGTH
from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.ggufs.writing import write_gguf
from scripts import SCRIPTS
from toys import random_decoder, random_ids

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
