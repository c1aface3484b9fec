"""Writing a model as one HTML file: its weights in 8 bits, its tokenizer, and a readable forward pass."""

from __future__ import annotations

import base64
import html
import json
import re
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, quants
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.model.config import DecoderConfig, RMSNormConfig, RopeConfig
from scratchlm.model.positions import rope_frequencies
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.patterns import QWEN2
from scratchlm.tokens.vocabulary import BytePairVocabulary
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.families.family import for_inference
from scratchlm.weights.families.llama import LLAMA
from scratchlm.weights.families.qwen import QWEN3

SCRIPTS = ("tokenizer.js", "forward.js", "generating.js", "page.js")
BLOCK = 32
SPACES = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CLASSES = (
    (r"[^\s\p{L}\p{N}]", rf"[^{SPACES}\p{{L}}\p{{N}}]"),
    (r"[^\s\p{N}]", rf"[^{SPACES}\p{{N}}]"),
    (r"\s", f"[{SPACES}]"),
    (r"\S", f"[^{SPACES}]"),
)
"""Unicode's White_Space, which tokenizers use; JavaScript's \\s differs from it."""
LARGEST = 100_000_000
"""Most parameters of a page; more would take gigabytes of memory."""

FOLDED = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UNFOLDED = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"


def write_page(model: SavedModel) -> str:
    """Return the page. Raises `UserError` for models and tokenizers that the page's script does not support."""
    config = for_inference(model.decoder.config)
    _check(model, config)
    title = str(model.provenance.get("name") or "A language model in a page")
    told = {
        "config": _shape(config),
        "tensors": {name: _stored(tensor) for name, tensor in _tensors(model)},
        "tokenizer": _tokenizer(model),
        "stop_ids": sorted(_stops(model)),
        "begin": [first for first in [model.tokenizer.begin_of_text] if first is not None],
        "end_of_text": model.tokenizer.end_of_text,
        "conversation": None if model.template is None else _around(model.template),
        "facts": f"{model.decoder.parameter_count():,} parameters, {config.layers} layers of {config.width}",
    }
    data = json.dumps(told, separators=(",", ":")).replace("<", "\\u003c")  # so that it cannot end the script element
    script = "\n".join(_file(name) for name in SCRIPTS)
    parts = {"@TITLE@": html.escape(title), "@SCRIPT@": script, "@MODEL@": data}
    return re.sub("|".join(parts), lambda found: parts[found[0]], _file("page.html"))  # one pass: no nested replacing


def _file(name: str) -> str:
    return (resources.files("scratchlm.weights.html") / name).read_text(encoding="utf-8")


def _check(model: SavedModel, config: DecoderConfig) -> None:
    attention, parameters = config.attention, model.decoder.parameter_count()
    if parameters > LARGEST:
        raise UserError(f"{parameters:,} parameters: a page holds at most {LARGEST:,}; export it to gguf")
    fits = not (QWEN3.differences(config) and LLAMA.differences(config))
    if not fits or attention.bias or attention.window or getattr(config.feed_forward, "bias", False):
        raise UserError(
            "a page holds models shaped as Qwen3 or Llama, without biases and windows; export this one to hf or gguf"
        )
    vocabulary = getattr(model.tokenizer, "vocabulary", None)
    if not isinstance(vocabulary, BytePairVocabulary) or vocabulary.added or vocabulary.normalization:
        raise UserError("a page holds plain byte-level BPE tokenizers alone; export this model to hf or gguf")


def _shape(config: DecoderConfig) -> dict[str, Any]:
    """Return the config fields that the script needs."""
    attention, rope = config.attention, config.positions
    assert isinstance(rope, RopeConfig)
    assert isinstance(config.norm, RMSNormConfig)
    return {
        "layers": config.layers,
        "context": config.context,
        "heads": attention.heads,
        "kv_heads": attention.kv_heads,
        "head_dim": attention.head_dim,
        "qk_norm": attention.qk_norm,
        "eps": config.norm.eps,
        "logit_softcap": config.logit_softcap,
        "frequencies": rope_frequencies(attention.head_dim, rope.theta, rope.scaling).tolist(),
    }


def _tensors(model: SavedModel) -> list[tuple[str, Tensor]]:
    named = model.decoder.named_parameters()
    return [(name, tensor.detach().float().cpu()) for name, tensor in named if name != "mtp_head.weight"]


def _stored(tensor: Tensor) -> dict[str, Any]:
    """Return a matrix in 8 bits with a half-precision scale for each 32 weights (llama.cpp's Q8_0); vectors whole."""
    numbers = np.ascontiguousarray(tensor.numpy())
    if numbers.ndim < 2:
        return {"shape": list(numbers.shape), "numbers": _base64(numbers.astype("<f4"))}
    if numbers.shape[-1] % BLOCK:
        raise UserError(f"rows of {numbers.shape[-1]}: a page packs {BLOCK} weights together; use a width of 32 n")
    packed = quants.quantize(numbers, GGMLQuantizationType.Q8_0).reshape(-1, 2 + BLOCK)
    return {
        "shape": list(numbers.shape),
        "scales": _base64(np.ascontiguousarray(packed[:, :2])),
        "values": _base64(np.ascontiguousarray(packed[:, 2:])),
    }


def _base64(numbers: npt.NDArray[Any]) -> str:
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _tokenizer(model: SavedModel) -> dict[str, Any]:
    """Return the bytes of every id, one character a byte, and the split pattern in JavaScript's syntax."""
    tokenizer = model.tokenizer
    vocabulary: BytePairVocabulary = tokenizer.vocabulary  # type: ignore[attr-defined]  # checked before
    table = vocabulary.table()
    tokens = [None if token is None else token.decode("latin-1") for token in table]
    tokens += [None] * (tokenizer.vocabulary_size - len(tokens))
    for text, id in tokenizer.specials.items():
        tokens[id] = text.encode("utf-8").decode("latin-1")
    pattern = vocabulary.pattern.replace(FOLDED, UNFOLDED)
    for there, here in CLASSES:
        pattern = pattern.replace(there, here)
    if "(?i" in pattern:
        raise UserError(f"the tokenizer's split pattern cannot be written in JavaScript; train with {QWEN2!r}")
    return {"tokens": tokens, "specials": dict(tokenizer.specials), "pattern": pattern}


def _stops(model: SavedModel) -> set[int]:
    turn = set() if model.template is None else set(model.template.stop_ids)
    end = model.tokenizer.end_of_text
    return turn | set(model.generation.get("stop_ids", [])) | (set() if end is None else {end})


def _around(template: ChatTemplate) -> dict[str, list[int]]:
    """Return the ids before and after a user's message."""
    said = "x"
    rendered = template.render([{"role": "user", "content": said}], reply=True).ids
    inside = template.tokenizer.encode(said)
    at = next(
        i for i in range(len(rendered)) if rendered[i : i + len(inside)] == inside and _alone(rendered, i, template)
    )
    return {"before": rendered[:at], "after": rendered[at + len(inside) :]}


def _alone(ids: list[int], at: int, template: ChatTemplate) -> bool:
    """Return whether position `at` is the message alone, by comparing with another message."""
    other = template.render([{"role": "user", "content": "y"}], reply=True).ids
    return ids[:at] == other[:at] and ids[at] != other[at]
