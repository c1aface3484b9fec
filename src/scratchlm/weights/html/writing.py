"""Writing a model as one HTML file: its weights in 8 bits, its tokenizer, and a readable forward pass."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, quants
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.model.config import DecoderConfig, RMSNormConfig, RopeConfig, grouped
from scratchlm.model.lora import adapted
from scratchlm.model.positions import rope_frequencies
from scratchlm.model.quantized import QuantizedWeight
from scratchlm.reports.page import STYLE
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.patterns import QWEN2
from scratchlm.tokens.vocabulary import BytePairVocabulary
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.families.family import for_inference
from scratchlm.weights.families.llama import LLAMA
from scratchlm.weights.families.qwen import QWEN3

HERE = "scratchlm.weights.html"
SCRIPTS = ("tokenizer.js", "forward.js", "generating.js", "inspecting.js", "page.js")
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

SAMPLING = {
    "max_tokens": 200, "temperature": 0.8, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0,
}  # fmt: skip
"""How a page chooses tokens where the model's folder says nothing: the defaults of `SamplingConfig`."""
QUESTIONS = ("Who are you?", "What can you do?", "Tell me a story.")
"""Sample questions of a model that brings none of its own."""
BEGINNINGS = ("Once upon a time", "One morning", "The")
"""Sample beginnings of a text."""

FOLDED = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UNFOLDED = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"


def write_page(model: SavedModel) -> str:
    """Return the page. Raises `UserError` for models and tokenizers that the page's script does not support."""
    config = model.decoder.config
    title = str(model.provenance.get("name") or "A language model in a page")
    parameters, shape = model.decoder.parameter_count(), grouped(config)
    stored = {
        **model_for_scripts(model),
        "sampling": {name: model.generation.get(name, usual) for name, usual in SAMPLING.items()},
        "samples": {"questions": _questions(model), "beginnings": BEGINNINGS},
        "lead": f"A language model of {parameters:,} parameters. It runs in this page: nothing you type leaves it.",
        "facts": f"A decoder of {parameters:,} parameters: {config.layers} layers of width {config.width} with "
        f"{shape.heads} heads, a vocabulary of {config.vocabulary_size:,} tokens, a context of {config.context:,}.",
    }
    script = "\n".join(file_of(HERE, name) for name in SCRIPTS)
    return filled(file_of(HERE, "page.html"), title, file_of(HERE, "page.css"), script, stored)


def model_for_scripts(model: SavedModel) -> dict[str, Any]:
    """Return what the scripts run a model with: its shape, its weights in 8 bits, its tokenizer.

    Raises `UserError` for models and tokenizers that they do not support.
    """
    config = for_inference(model.decoder.config)
    _check(model, config)
    tokenizer, tensors = model.tokenizer, dict(model.decoder.named_parameters())
    tensors.pop("mtp_head.weight", None)
    return {
        "config": _shape(config),
        "tensors": {name: _stored(tensor.detach().float().cpu()) for name, tensor in tensors.items()},
        "tokenizer": _tokenizer(tokenizer),
        "stop_ids": model.end_ids,
        "begin": [] if tokenizer.begin_of_text is None else [tokenizer.begin_of_text],
        "end_of_text": tokenizer.end_of_text,
        "conversation": None if model.template is None else _around(model.template),
    }


def filled(page: str, title: str, style: str, script: str, data: Mapping[str, Any]) -> str:
    """Return a page with its parts in it; `data` is JSON that cannot end the script element."""
    written = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    style = STYLE.read_text(encoding="utf-8") + style
    parts = {"@TITLE@": html.escape(title), "@STYLE@": style, "@SCRIPT@": script, "@MODEL@": written}
    return re.sub("|".join(parts), lambda match: parts[match[0]], page)  # one pass: no nested replacing


def file_of(package: str, name: str) -> str:
    """Return the text of a file that comes with the package."""
    return (resources.files(package) / name).read_text(encoding="utf-8")


def _check(model: SavedModel, config: DecoderConfig) -> None:
    attention, parameters = grouped(config), model.decoder.parameter_count()
    if adapted(model.decoder) or any(isinstance(part, QuantizedWeight) for part in model.decoder.modules()):
        raise UserError("a page holds plain weights, without an adapter and not quantized; merge or export this model")
    if parameters > LARGEST:
        raise UserError(f"{parameters:,} parameters: a page holds at most {LARGEST:,}; export it to gguf")
    fits = not (QWEN3.differences(config) and LLAMA.differences(config))
    if not fits or attention.bias or attention.window or getattr(config.feed_forward, "bias", False):
        raise UserError(
            "a page holds models shaped as Qwen3 or Llama, without biases and windows; export this one to hf or gguf"
        )
    vocabulary = model.tokenizer.vocabulary
    if not isinstance(vocabulary, BytePairVocabulary) or vocabulary.added or vocabulary.normalization:
        raise UserError("a page holds plain byte-level BPE tokenizers alone; export this model to hf or gguf")


def _shape(config: DecoderConfig) -> dict[str, Any]:
    """Return the config fields that the script needs."""
    attention, rope = grouped(config), config.positions
    assert isinstance(rope, RopeConfig)
    assert isinstance(config.norm, RMSNormConfig)
    return {
        "layers": config.layers,
        "context": config.context,
        **{name: getattr(attention, name) for name in ("heads", "kv_heads", "head_dim", "qk_norm")},
        "eps": config.norm.eps,
        "logit_softcap": config.logit_softcap,
        "frequencies": rope_frequencies(attention.head_dim, rope.theta, rope.scaling).tolist(),
    }


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


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the bytes of every id, one character a byte, and the split pattern in JavaScript's syntax."""
    assert isinstance(tokenizer.vocabulary, BytePairVocabulary)
    pattern = tokenizer.vocabulary.pattern.replace(FOLDED, UNFOLDED)
    for there, here in CLASSES:
        pattern = pattern.replace(there, here)
    if "(?i" in pattern:
        raise UserError(f"the tokenizer's split pattern cannot be written in JavaScript; train with {QWEN2!r}")
    tokens = [None if token is None else token.decode("latin-1") for token in tokenizer.table]
    return {"tokens": tokens, "specials": tokenizer.specials, "pattern": pattern}


def _questions(model: SavedModel) -> list[str]:
    """Return three questions to begin with: of those that the model brings, else general ones."""
    own = model.provenance.get("questions")
    own = [text for text in own if isinstance(text, str)] if isinstance(own, list) else []
    return own[:3] or list(QUESTIONS)


def _around(template: ChatTemplate) -> dict[str, list[int] | None]:
    """Return the ids before and after a user's message, and those between an answer and the next message.

    A user's message begins where two differ. `between` is None where the template does not write a longer conversation
    as a shorter one with more behind it; a page then takes each message alone.
    """
    one, other = (template.render([_turn("user", text)], reply=True).ids for text in "xy")
    at = next((place for place, (id, another) in enumerate(zip(one, other, strict=False)) if id != another), None)
    if at is None:
        raise UserError("the chat template does not write what a user says; a page cannot use it")
    encode = template.tokenizer.encode
    before, after = one[:at], one[at + len(encode("x")) :]
    between: list[int] | None = None
    for asked, answered, then in (("x", "x", "y"), ("who?", "A fox.", "And now?")):
        turns = [_turn("user", asked), _turn("assistant", answered), _turn("user", then)]
        begun = [*before, *encode(asked), *after, *encode(answered)]
        ended, ids = [*encode(then), *after], template.render(turns, reply=True).ids
        middle = ids[len(begun) : len(ids) - len(ended)]
        if ids != [*begun, *middle, *ended] or between not in (None, middle):
            return {"before": before, "after": after, "between": None}
        between = middle
    return {"before": before, "after": after, "between": between}


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
