"""Settings of import and export. Imports no torch, so commands answer `--help` without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from scratchlm.base.files import read_json
from scratchlm.base.flags import ModelFolder


def published_shapes() -> dict[str, dict[str, Any]]:
    """Return the fields of a config.json of each published shape that the package carries, by name."""
    with resources.as_file(resources.files("scratchlm.weights.families") / "published.json") as path:
        found: dict[str, dict[str, Any]] = read_json(path)
    return found


@dataclass(frozen=True)
class ImportConfig:
    """Take a published model over: its weights, tokenizer and chat template, as a model folder of ours."""

    source: Positional[Annotated[str, arg(metavar="SOURCE")]]
    """A folder in Hugging Face's layout, a .gguf file, a .bin file of llama2.c with its tok*.bin beside it, an adapter
    that PEFT wrote (with --base), or a name: smollm2-135m and the like, or a Hugging Face repository as owner/name."""
    out: Path
    """Model folder to write."""
    base: Path | None = None
    """Model folder below the adapter, where `source` is a folder that PEFT wrote; or where the model lies now
    that a run or model folder of ours stands on."""
    dtype: Literal["stored", "fp32", "bf16", "fp16"] = "stored"
    """Precision of the weights in the folder; stored keeps each as it is."""
    force: bool = False
    """Replace the folder where it holds a model already."""
    json: bool = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class ExportConfig:
    """Write a model for other programs."""

    model: ModelFolder
    """Model folder or run folder."""
    out: Path
    """Folder to write."""
    to: Literal["hf", "gguf", "html", "peft"] = "hf"
    """hf: what transformers and vLLM load. gguf: what llama.cpp and Ollama run, with a Modelfile. html: one file that
    runs the model in a browser, from disk. An adapter is merged into each; peft: the adapter alone, for PEFT."""
    precision: Literal["f32", "f16", "bf16", "q8_0", "q4_0"] = "f16"
    """Of the matrices in a GGUF file; q8_0 and q4_0 take 8.5 and 4.5 bits a weight."""
    force: bool = False
    """Replace the folder where it holds an export already."""
    json: bool = False
    """Print the result as JSON."""
