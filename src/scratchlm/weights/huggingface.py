"""Models in Hugging Face's format, the folder that transformers, vLLM and llama.cpp's converter load: read and written.

config.json, model.safetensors (or shards and their index), tokenizer.json, tokenizer_config.json,
chat_template.jinja, generation_config.json

Classifiers (sequence classification) use the hidden state of a text's last token there as here. Their tokenizer appends
the same end token as training, so that a `text-classification` pipeline gives the same probabilities.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.files import read_json, write_json, write_text
from scratchlm.base.reading import intact, require_table
from scratchlm.model.config import ClassesConfig, DecoderConfig, NoClassesConfig
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.base import PAD, Tokenizer
from scratchlm.tokens.chat import TEMPLATE_FILE, ChatTemplate, load_template
from scratchlm.tokens.format import ENDS_FILE, FILE_NAME, ends_to_json, template_processing
from scratchlm.tokens.pretrained import load_tokenizer
from scratchlm.weights.card import model_card
from scratchlm.weights.checkpoint import SavedModel, save_tensors
from scratchlm.weights.families.family import Family, for_inference
from scratchlm.weights.families.known import family_of, read_shape
from scratchlm.weights.mapping import from_hf, to_theirs
from scratchlm.weights.tensors import SafetensorsFiles

CONFIG, GENERATION, CARD_FILE = "config.json", "generation_config.json", "README.md"
DTYPE_NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


@dataclass(frozen=True)
class ImportedDecoder:
    """An imported decoder."""

    decoder: Decoder
    family: Family
    fields: Mapping[str, Any]
    """Its config.json."""


def read_weights(folder: Path, dtype: torch.dtype | None = None) -> ImportedDecoder:
    """Read config and weights of a folder in Hugging Face's format, as stored or in `dtype`, one tensor at a time.

    Raises `UserError` for an unknown architecture, for fields and tensors that do not fit (all together), and for files
    that are missing, truncated or pickled.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; check the spelling")
    fields = require_table(read_json(folder / CONFIG), str(folder / CONFIG))
    with intact(folder / CONFIG, "config.json"):
        family, config = read_shape(fields, str(folder / CONFIG))
    tensors = SafetensorsFiles(folder, prefix=family.prefix)
    return ImportedDecoder(from_hf(tensors, family.rules, config, family.ignored, dtype), family, fields)


def read_folder(folder: Path, dtype: torch.dtype | None = None) -> tuple[SavedModel, Family]:
    """Read a whole model: weights, tokenizer, chat template and generation settings.

    Raises `UserError` as `read_weights` does, and where the tokenizer has more ids than the model.
    """
    weights = read_weights(folder, dtype)
    tokenizer = load_tokenizer(folder)
    vocabulary = weights.decoder.config.vocabulary_size
    if tokenizer.vocabulary_size > vocabulary:
        raise UserError(
            f"{folder}: its tokenizer has {tokenizer.vocabulary_size:,} ids and its embedding {vocabulary:,} rows; "
            "they do not belong together, fetch both from one place"
        )
    model = SavedModel(
        weights.decoder,
        tokenizer,
        template=_template(folder, tokenizer),
        generation=_generation(folder, weights.fields),
        provenance={"source": folder.name, "family": weights.family.model_type},
    )
    return model, weights.family


def _template(folder: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
    """Return the chat template: a file of its own, or a field of tokenizer_config.json."""
    if template := load_template(folder, tokenizer):
        return template
    stored = _table_in(folder / ENDS_FILE).get("chat_template")
    return ChatTemplate(tokenizer, stored) if isinstance(stored, str) else None


def _table_in(path: Path) -> dict[str, Any]:
    """Return the table in a JSON file; an empty one where the file is missing or holds none."""
    table = read_json(path) if path.exists() else None
    return table if isinstance(table, dict) else {}


def _generation(folder: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of generation_config.json that are known here, and the stop ids."""
    path = folder / GENERATION
    stored = _table_in(path)
    ends = stored.get("eos_token_id", fields.get("eos_token_id"))
    listed = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(isinstance(id, int) and not isinstance(id, bool) and id >= 0 for id in listed):
        raise UserError(f"{folder}: eos_token_id is {str(ends)[:80]!r}, no ids of tokens; restore its JSON files")
    settings: dict[str, Any] = {"stop_ids": listed}
    if stored.get("do_sample"):
        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
        settings |= {name: stored[name] for name in names if isinstance(stored.get(name), int | float)}
        strange = [f"{name} {settings[name]}" for name in names if not math.isfinite(settings.get(name, 0))]
        raise_all([f"{path}: {each}: must be a finite number; correct it" for each in strange])
    return settings


def write_folder(folder: Path, model: SavedModel) -> Family:
    """Write a model in Hugging Face's format. Raises as `write_weights` does."""
    tokenizer, template, ends = model.tokenizer, model.template, model.end_ids
    special = {
        "bos_token_id": tokenizer.begin_of_text,
        "eos_token_id": ends if len(ends) > 1 else next(iter(ends), None),  # some readers expect no list of one
        "pad_token_id": tokenizer.specials.get(PAD),
    }
    family = write_weights(folder, model.decoder, special)
    tokenizer.save(folder)
    write_json(folder / ENDS_FILE, tokenizer_fields(tokenizer, model))
    if template is not None:
        write_text(folder / TEMPLATE_FILE, template.source)
    sampling = {name: value for name, value in model.generation.items() if name in ("temperature", "top_k", "top_p")}
    samples = sampling.get("temperature") != 0
    write_json(folder / GENERATION, {**special, "do_sample": samples, **(sampling if samples else {})})
    write_text(folder / CARD_FILE, model_card(model, family.architecture))
    return family


def tokenizer_fields(tokenizer: Tokenizer, model: SavedModel) -> dict[str, Any]:
    """Return the fields of tokenizer_config.json."""
    pad = {"pad_token": PAD} if PAD in tokenizer.specials else {}
    return {**ends_to_json(tokenizer.ends), **pad, "model_max_length": model.decoder.config.context}


def write_weights(folder: Path, decoder: Decoder, special: Mapping[str, Any]) -> Family:
    """Write config.json and model.safetensors; `special` are further fields, such as the ids of special tokens.

    Raises `UserError` where no family can represent the model.
    """
    family = family_of(decoder.config)
    tensors, fields = tensors_and_fields(decoder, family)
    write_tensors(folder, tensors, {**fields, **special})
    return family


def tensors_and_fields(decoder: Decoder, family: Family) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a decoder under a family's names, without a classification head, and its config.json."""
    left = ("mtp_head.weight", "classifier.weight")
    ours = {name: tensor.detach().to("cpu") for name, tensor in decoder.named_parameters() if name not in left}
    config: DecoderConfig = for_inference(replace(decoder.config, classes=NoClassesConfig()))
    return dict(to_theirs(ours, family.rules, config)), family.fields(config)


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], fields: Mapping[str, Any]) -> None:
    """Write config.json and model.safetensors."""
    dtype = DTYPE_NAMES[next(iter(tensors.values())).dtype]
    write_json(folder / CONFIG, {**fields, "torch_dtype": dtype})
    save_tensors(folder / "model.safetensors", tensors, {"format": "pt"})


def write_classifier(folder: Path, model: SavedModel) -> Family:
    """Write a classifier in Hugging Face's format; its temperature is folded into the head.

    The format has no threshold, so one other than 0.5 is in the model card only. Raises `UserError` where no family can
    represent the model, and for mean pooling, a prompt around the text, and a reward model, which transformers does not
    have.
    """
    decoder, classes = model.decoder, model.classes
    assert classes is not None
    assert decoder.classifier is not None
    if len(classes.labels) < 2:
        raise UserError("export: this is a reward model, which scores the end of a turn; transformers has no such head")
    if classes.prompt != "{text}":
        raise UserError(f"export: its texts are inside the prompt {classes.prompt!r}; transformers reads plain texts")
    if isinstance(decoder.config.classes, ClassesConfig) and decoder.config.classes.pooling != "last":
        raise UserError("--pooling mean: transformers has classifiers on the last token only; train with last")
    family = family_of(replace(decoder.config, classes=NoClassesConfig()))
    architecture = re.sub("LMHeadModel|ForCausalLM", "ForSequenceClassification", family.architecture)
    tensors, fields = tensors_and_fields(decoder, family)
    tensors.pop("lm_head.weight", None)
    tensors["score.weight"] = decoder.classifier.weight.detach().cpu() / classes.temperature
    pad = _pad(model.tokenizer)
    values: dict[str, Any] = {
        **fields,
        "architectures": [architecture],
        "num_labels": len(classes.labels),
        "id2label": {str(index): label for index, label in enumerate(classes.labels)},
        "label2id": {label: index for index, label in enumerate(classes.labels)},
        "bos_token_id": model.tokenizer.begin_of_text,
        "eos_token_id": model.tokenizer.end_of_text,
        "pad_token_id": None if pad is None else model.tokenizer.specials[pad],
    }
    write_tensors(folder, tensors, values)
    model.tokenizer.save(folder)
    _end_each_text(folder / FILE_NAME, model.tokenizer)
    write_json(folder / ENDS_FILE, {**tokenizer_fields(model.tokenizer, model), **({"pad_token": pad} if pad else {})})
    write_text(folder / CARD_FILE, model_card(model, architecture))
    return replace(family, architecture=architecture)


def _pad(tokenizer: Tokenizer) -> str | None:
    """Return a padding token; transformers takes the last token that differs from it as the text's last."""
    ends = {tokenizer.end_of_text, tokenizer.begin_of_text}
    free = [name for name, id in tokenizer.specials.items() if id not in ends]
    return PAD if PAD in free else free[0] if free else None


def _end_each_text(path: Path, tokenizer: Tokenizer) -> None:
    """Set the post-processor of a tokenizer.json, which adds the tokens at the beginning and end of a text."""
    names = {id: name for name, id in tokenizer.specials.items()}
    begin, end = ([] if id is None else [names[id]] for id in (tokenizer.begin_of_text, tokenizer.end_of_text))
    write_json(path, {**read_json(path), "post_processor": template_processing(tokenizer.specials, begin, end, end)})
