"""Settings of import and export. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from scratchlm.config.settings import Folder, ModelFolder, Positional


@functools.cache
def published_shapes() -> dict[str, dict[str, Any]]:
    """Return the config.json fields of each published architecture in the package, by name."""
    return json.loads((resources.files("scratchlm.weights.families") / "published.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class ImportConfig:
    """Import a published model: its weights, tokenizer and chat template, as a model folder."""

    source: Positional[str]
    """A folder in Hugging Face's format, a .gguf file, a .bin file of llama2.c with its tok*.bin in the same folder, an
    adapter of PEFT (with --base), or a name such as smollm2-135m or a Hugging Face repository owner/name."""
    out: Folder
    """Model folder to write."""
    base: Folder | None = None
    """Base model of the adapter, where `source` is a folder of PEFT; or the new path of the base model of a run or
    model folder."""
    dtype: Literal["stored", "fp32", "bf16", "fp16", "quantized"] = "stored"
    """Precision of the weights in the folder; stored: that of each tensor, dequantized; quantized: the matrices of a
    .gguf file in int8 or int4, with the codes of Q8_0, Q4_0, Q4_1 and Q4_K; others are rounded to that."""
    force: bool = False
    """Replace an existing model in the folder."""
    json: bool = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class ExportConfig:
    """Export a model for other programs."""

    model: ModelFolder
    """Model folder or run folder."""
    out: Folder
    """Folder to write."""
    to: Literal["hf", "gguf", "html", "peft"] = "hf"
    """hf: for transformers and vLLM. gguf: for llama.cpp and Ollama, with a Modelfile. html: one file that runs the
    model in a browser, from disk. These merge an adapter into the weights; peft: the adapter alone, for PEFT."""
    precision: Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"] = "f16"
    """Precision of the matrices in a GGUF file; q8_0, q4_0 and q4_1 take 8.5, 4.5 and 5 bits a weight."""
    force: bool = False
    """Replace an existing export in the folder."""
    json: bool = False
    """Print the result as JSON."""
