"""llama2.c's version-0 files: a header of seven numbers, then every tensor in fp32 (Karpathy 2023, karpathy/llama2.c).

The tokenizer is a file in the same folder, `tok*.bin`, with a score and a text for each token.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.base.files import explain_os_error
from scratchlm.base.reading import require_plain
from scratchlm.model.config import AttentionConfig, DecoderConfig, RMSNormConfig, SwiGLUConfig, grouped
from scratchlm.tokens.base import Ends
from scratchlm.tokens.sentencepiece import SentencePieceBPE, merges_by_score
from scratchlm.tokens.vocabulary import SPACE, SentencePieceVocabulary
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.families.family import Family
from scratchlm.weights.families.llama import LLAMA
from scratchlm.weights.ggufs.layout import Layout
from scratchlm.weights.mapping import from_hf
from scratchlm.weights.tensors import require_finite

HEADER = struct.Struct("<7i")
BEGIN, END = 1, 2
FIRST_BYTE = 3


def read_llama2c(path: Path, dtype: torch.dtype | None = None) -> tuple[SavedModel, Family]:
    """Read a model and its tokenizer. Raises `UserError` for files that are truncated or do not belong together."""
    config = _header(path)
    decoder = from_hf(_tensors(path, config), LLAMA.rules, config, dtype=dtype)
    tokenizer = SentencePieceBPE(_vocabulary(path, config.vocabulary_size))
    provenance: dict[str, Any] = {"source": path.name, "family": LLAMA.model_type}
    return SavedModel(decoder, tokenizer, generation={"stop_ids": [BEGIN, END]}, provenance=provenance), LLAMA


def _header(path: Path) -> DecoderConfig:
    """Read the config; a negative vocabulary size means that the head is not tied to the embedding."""
    try:
        require_plain(path)
        with path.open("rb") as file:
            data = file.read(HEADER.size)
    except OSError as error:
        raise explain_os_error(error, path) from error
    sizes = HEADER.unpack(data) if len(data) == HEADER.size else (0,) * 7
    width, hidden, layers, heads, kv_heads, vocabulary, context = sizes
    least = min(width, hidden, layers, heads, kv_heads, abs(vocabulary), context)
    if least < 1 or width % heads or max(sizes) > 1 << 24:
        raise UserError(f"{path}: its first {HEADER.size} bytes are no header of llama2.c version 0; give another file")
    return DecoderConfig(
        vocabulary_size=abs(vocabulary),
        context=context,
        width=width,
        layers=layers,
        norm=RMSNormConfig(eps=1e-5),
        attention=AttentionConfig(heads=heads, kv_heads=kv_heads, head_dim=width // heads, qk_norm=False),
        feed_forward=SwiGLUConfig(hidden=hidden),
        tied=vocabulary > 0,
    )


def _tensors(path: Path, config: DecoderConfig) -> dict[str, Tensor]:
    """Split the numbers into tensors under Hugging Face's names; each kind has all layers in order."""
    width, hidden, layers, head = config.width, config.feed_forward.hidden, config.layers, grouped(config).head_dim
    q, kv = grouped(config).heads * head, grouped(config).kv_heads * head
    kinds = [
        ("model.embed_tokens.weight", (config.vocabulary_size, width)),
        ("input_layernorm.weight", (layers, width)),
        ("self_attn.q_proj.weight", (layers, q, width)),
        ("self_attn.k_proj.weight", (layers, kv, width)),
        ("self_attn.v_proj.weight", (layers, kv, width)),
        ("self_attn.o_proj.weight", (layers, width, q)),
        ("post_attention_layernorm.weight", (layers, width)),
        ("mlp.gate_proj.weight", (layers, hidden, width)),
        ("mlp.down_proj.weight", (layers, width, hidden)),
        ("mlp.up_proj.weight", (layers, hidden, width)),
        ("model.norm.weight", (width,)),
        ("rotations", (2, config.context, head // 2)),  # precomputed by older programs, ignored here
        *([] if config.tied else [("lm_head.weight", (config.vocabulary_size, width))]),
    ]
    needed = HEADER.size + 4 * sum(math.prod(shape) for _, shape in kinds)
    if path.stat().st_size != needed:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes where its header asks for {needed:,}; restore the file")
    numbers = np.fromfile(path, np.float32, offset=HEADER.size)
    layout, tensors, start = Layout("llama", layers, head), {}, 0
    for name, shape in kinds:
        size = math.prod(shape)
        tensor = torch.from_numpy(numbers[start : start + size]).view(shape)
        start += size
        require_finite(tensor, name, path)
        if name.startswith(("model.", "lm_head.")):
            tensors[name] = tensor
        elif name != "rotations":
            for layer, part in enumerate(tensor.unbind(0)):
                full = f"model.layers.{layer}.{name}"
                tensors[full] = layout.converted(full, part, back=True)  # rotates adjacent channels, as in llama.cpp
    return tensors


def _vocabulary(path: Path, size: int) -> SentencePieceVocabulary:
    """Read the tokenizer of `size` tokens in the model's folder."""
    for file in sorted(path.parent.glob("tok*.bin")):
        try:
            texts, scores = _tokens(file)
        except OSError as error:
            raise explain_os_error(error, file) from error
        if len(texts) == size:
            break
    else:
        raise UserError(f"{path}: no tokenizer of {size:,} tokens in its folder; put its tok{size}.bin there")
    names = [text.decode("utf-8", errors="replace").replace(" ", SPACE) for text in texts]
    pieces = {names[id]: id for id in range(FIRST_BYTE + 256, size)}
    return SentencePieceVocabulary(
        pieces=pieces,
        merges=merges_by_score(pieces, {piece: scores[id] for piece, id in pieces.items()}),
        byte_ids=range(FIRST_BYTE, FIRST_BYTE + 256),
        specials={"<unk>": 0, "<s>": BEGIN, "</s>": END},
        ends=Ends("<s>", "</s>"),
    )


def _tokens(file: Path) -> tuple[list[bytes], list[float]]:
    require_plain(file)
    data, texts, scores, at = file.read_bytes(), [], [], 4  # the first number is the longest text's length
    try:
        while at < len(data):
            score, length = struct.unpack_from("<fi", data, at)
            at += 8 + length
            if length < 0 or at > len(data):
                raise struct.error("a text reaches past the end")
            texts.append(data[at - length : at])
            scores.append(score)
    except struct.error as error:
        raise UserError(f"{file}: is no complete tokenizer of llama2.c ({error}); restore the file") from error
    return texts, scores
