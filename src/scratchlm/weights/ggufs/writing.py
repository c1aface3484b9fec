"""Writing a model as a GGUF file for llama.cpp and Ollama, with a Modelfile for Ollama."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scratchlm.model.config import grouped
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.base import PAD, TURN_END
from scratchlm.tokens.chat import CHATML
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.families.family import Family, for_inference
from scratchlm.weights.families.known import family_of
from scratchlm.weights.ggufs.layout import Described, Layout, describe
from scratchlm.weights.ggufs.tokens import write_tokenizer
from scratchlm.weights.huggingface import tensors_and_fields

Precision = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"]
ALWAYS_FP32 = ("position_embd.weight", "ffn_gate_inp.weight")
"""Small tensors that llama.cpp needs in fp32."""
Array = npt.NDArray[Any]


def write_gguf(path: Path, model: SavedModel, precision: Precision) -> Family:
    """Write a model to `path`. Vectors stay in fp32, and matrices whose rows are no multiple of 32 in F16.

    Raises `UserError` where llama.cpp has no such architecture or no such tokenizer.
    """
    config = for_inference(model.decoder.config)
    family = family_of(config)
    described = describe(family, config)
    writer = gguf.GGUFWriter(path, described.architecture)
    _describe(writer, model, precision)
    _shape(writer, described)
    write_tokenizer(writer, model.tokenizer, config.vocabulary_size)
    _ends(writer, model)
    for name, tensor in _tensors(model.decoder, family, described):
        data, kind = _packed(name, tensor, precision)
        writer.add_tensor(name, data, raw_dtype=kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except OSError as error:  # numpy reports a short write without a reason; it means a full disk
        raise OSError(error.errno or errno.ENOSPC, str(error)) from error
    finally:
        writer.close()
    return family


def _describe(writer: gguf.GGUFWriter, model: SavedModel, precision: Precision) -> None:
    writer.add_name(model.provenance.get("name") or "scratchlm model")
    licences = {source.get("licence") for source in model.provenance.get("sources") or []}
    if len(licences) == 1 and (licence := next(iter(licences))):
        writer.add_license(licence)
    writer.add_file_type(gguf.LlamaFileType[f"{'ALL' if precision == 'f32' else 'MOSTLY'}_{precision.upper()}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _shape(writer: gguf.GGUFWriter, described: Described) -> None:
    """Write the fields of a config, each with its type of number."""
    writer.add_vocab_size(described.rows)
    for key, value in described.values.items():
        number = writer.add_uint32 if isinstance(value, int) else writer.add_float32
        (writer.add_string if isinstance(value, str) else number)(f"{described.architecture}.{key}", value)


def _ends(writer: gguf.GGUFWriter, model: SavedModel) -> None:
    tokenizer = model.tokenizer
    if tokenizer.begin_of_text is not None:
        writer.add_bos_token_id(tokenizer.begin_of_text)
    writer.add_add_bos_token(tokenizer.begin_of_text is not None)
    ends_turn = tokenizer.specials.get(TURN_END) if model.template is not None else None
    end = tokenizer.end_of_text if ends_turn is None else ends_turn
    if end is not None:
        writer.add_eos_token_id(end)
    if PAD in tokenizer.specials:
        writer.add_pad_token_id(tokenizer.specials[PAD])
    if model.template is not None:
        writer.add_chat_template(model.template.source)


def _tensors(decoder: Decoder, family: Family, described: Described) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor under its GGUF name; the experts of a layer are stacked."""
    layout = Layout(described.architecture, decoder.config.layers, grouped(decoder.config).head_dim)
    theirs, _ = tensors_and_fields(decoder, family)
    experts: dict[str, list[Tensor]] = {}
    for name, (stored, expert) in layout.names(list(theirs)).items():
        tensor = layout.converted(name, theirs[name])
        if expert is None:
            yield stored, tensor
        else:
            experts.setdefault(stored, []).append(tensor)
    for stored, parts in experts.items():
        yield stored, torch.stack(parts)
    if described.factors is not None:
        yield "rope_freqs.weight", described.factors


def _packed(name: str, tensor: Tensor, precision: Precision) -> tuple[Array, gguf.GGMLQuantizationType]:
    """Return a tensor quantized to a precision, and the actual precision."""
    kinds = gguf.GGMLQuantizationType
    numbers = np.ascontiguousarray(tensor.float().numpy())
    if numbers.ndim < 2 or name.endswith(ALWAYS_FP32) or precision == "f32":
        return numbers, kinds.F32
    kind = kinds[precision.upper()]
    if precision.startswith("q") and numbers.shape[-1] % 32:
        kind = kinds.F16
    return gguf.quants.quantize(numbers, kind), kind


def modelfile(model: SavedModel, file: str) -> str:
    """Return the Modelfile for `ollama create`, for a GGUF file in the same folder."""
    lines = [f"FROM ./{file}"]
    if model.template is not None and model.template.source == CHATML:
        lines.append(
            'TEMPLATE """{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}'
            '<|im_start|>assistant\n"""'
        )
    stops = [text for text, id in model.tokenizer.specials.items() if id in model.stop_ids]
    lines += [f'PARAMETER stop "{text}"' for text in stops if text.isprintable() and not set(text) & {'"', "\\"}]
    settings = {name: value for name, value in model.generation.items() if name in ("temperature", "top_k", "top_p")}
    lines += [f"PARAMETER {name} {value}" for name, value in settings.items()]
    lines.append(f"PARAMETER num_ctx {model.decoder.config.context}")
    return "\n".join(lines) + "\n"
