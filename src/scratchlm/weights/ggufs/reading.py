"""Reading a model from a GGUF file: config, weights, tokenizer, chat template."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.base.reading import intact
from scratchlm.model.config import grouped
from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.pretrained import tokenizer_of
from scratchlm.weights.checkpoint import SavedModel
from scratchlm.weights.families.family import Family
from scratchlm.weights.ggufs.file import GGUFFile
from scratchlm.weights.ggufs.layout import Described, Layout, shape_of
from scratchlm.weights.ggufs.packed import PackedGGUF, read_packed
from scratchlm.weights.ggufs.tokens import read_vocabulary
from scratchlm.weights.mapping import expand, from_hf, shapes
from scratchlm.weights.tensors import StoredTensors

EMBEDDING, FACTORS = "token_embd.weight", "rope_freqs.weight"


class AsTheirs(StoredTensors):
    """The tensors of a GGUF file under Hugging Face's names and in its layout."""

    def __init__(self, file: GGUFFile, layout: Layout, wanted: list[str]) -> None:
        self._file, self._layout = file, layout
        stored = {name: place for name, place in layout.names(wanted).items() if place[0] in file}
        used = {place[0] for place in stored.values()} | {FACTORS}
        self._stack = ("", torch.empty(0))
        places = {**stored, **{name: (name, None) for name in file if name not in used}}
        sizes = {name: file.shapes[at] if each is None else file.shapes[at][1:] for name, (at, each) in places.items()}
        turned = {name: torch.Size(reversed(size)) if layout.turned(name) else size for name, size in sizes.items()}
        super().__init__(places, turned)

    def __getitem__(self, name: str) -> Tensor:
        stored, expert = self._places[name]
        if expert is not None and self._stack[0] != stored:
            self._stack = (stored, self._file[stored])  # cached, because its experts are read one after the other
        tensor = self._file[stored] if expert is None else self._stack[1]
        return self._layout.converted(name, tensor if expert is None else tensor[expert], back=True)


def read_gguf(path: Path, dtype: torch.dtype | None = None, packed: bool = False) -> tuple[SavedModel, Family]:
    """Read a model from a GGUF file, dequantized to `dtype`, or to the dtype of each tensor's precision.

    With `packed`, matrices stay in int8 or int4.

    Raises `UserError` for a file that is truncated or no GGUF, an unsupported architecture, precision or tokenizer, and
    tensors that do not fit, all together.
    """
    file = PackedGGUF(path) if packed else GGUFFile(path)
    if EMBEDDING not in file:
        raise UserError(f"{path}: {EMBEDDING}: missing; restore the file")
    before = f"{file.architecture}."
    with intact(path, "GGUF file"):
        described = Described(
            file.architecture,
            rows=file.shapes[EMBEDDING][0],
            tied="output.weight" not in file,
            values={key.removeprefix(before): value for key, value in file.metadata.items() if key.startswith(before)},
            factors=file.get(FACTORS),
        )
        family, config = shape_of(described, str(path))
    expected = shapes(config)
    wanted = [name for each in expand(family.rules, config, expected) for name in each.theirs]
    layout = Layout(file.architecture, config.layers, grouped(config).head_dim)
    theirs, quantization = AsTheirs(file, layout, wanted), None
    if packed:
        decoder, quantization = read_packed(theirs, family.rules, config, family.ignored, str(path))
    else:
        decoder = from_hf(theirs, family.rules, config, family.ignored, dtype)
    with intact(path, "GGUF file"):
        tokenizer = tokenizer_of(read_vocabulary(file.metadata, str(path)))
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise UserError(
            f"{path}: {tokenizer.vocabulary_size:,} tokens for {config.vocabulary_size:,} rows; fetch it anew"
        )
    template, licence = (file.metadata.get(name) for name in ("tokenizer.chat_template", "general.license"))
    ends = [file.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    strange = [each for each in (template, licence) if not isinstance(each, str | None)]
    strange += [id for id in ends if not isinstance(id, int | None)]
    if strange:
        raise UserError(f"{path}: holds {str(strange[0])[:80]!r} where a text or an id is expected; restore the file")
    model = SavedModel(
        decoder,
        tokenizer,
        template=ChatTemplate(tokenizer, template) if template else None,
        generation={"stop_ids": sorted({int(id) for id in ends if id is not None})},
        provenance={"source": path.name, "family": family.model_type, "licence": licence},
        quantization=quantization,
    )
    return model, family
