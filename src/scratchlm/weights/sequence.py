"""Classifiers in Hugging Face's format (sequence classification).

Its models use the hidden state of a text's last token, as ours do. The exported tokenizer appends the same end token as
training, so that a `text-classification` pipeline gives the same probabilities.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json, write_text
from scratchlm.model.config import ClassesConfig, NoClassesConfig
from scratchlm.tokens.base import PAD, Tokenizer
from scratchlm.tokens.format import ENDS_FILE, FILE_NAME, template_processing
from scratchlm.weights.card import model_card, one_line
from scratchlm.weights.checkpoint import Classes, SavedModel
from scratchlm.weights.families.family import Family
from scratchlm.weights.families.known import family_of
from scratchlm.weights.huggingface import CARD_FILE, tensors_and_fields, tokenizer_fields, write_tensors


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
    architecture = family.architecture.replace("LMHeadModel", "ForCausalLM").replace(
        "CausalLM", "SequenceClassification"
    )
    tensors, fields = tensors_and_fields(decoder, family)
    tensors.pop("lm_head.weight", None)
    tensors["score.weight"] = decoder.classifier.weight.detach().cpu() / classes.temperature
    pad = _pad(model.tokenizer)
    told: dict[str, Any] = {
        **fields,
        "architectures": [architecture],
        "num_labels": len(classes.labels),
        "id2label": {str(index): label for index, label in enumerate(classes.labels)},
        "label2id": {label: index for index, label in enumerate(classes.labels)},
        "bos_token_id": model.tokenizer.begin_of_text,
        "eos_token_id": model.tokenizer.end_of_text,
        "pad_token_id": None if pad is None else model.tokenizer.specials[pad],
    }
    write_tensors(folder, tensors, told)
    model.tokenizer.save(folder)
    _end_each_text(folder / FILE_NAME, model.tokenizer)
    write_json(folder / ENDS_FILE, {**tokenizer_fields(model.tokenizer, model), **({"pad_token": pad} if pad else {})})
    write_text(folder / CARD_FILE, _card(model, classes, architecture))
    return replace(family, architecture=architecture)


def _card(model: SavedModel, classes: Classes, architecture: str) -> str:
    """Return the model card, with the labels and the decision threshold."""
    card = model_card(model, architecture)
    card = card.replace("pipeline_tag: text-generation", "pipeline_tag: text-classification", 1)
    use = f"It puts texts into classes: {', '.join(map(one_line, classes.labels))}."
    if classes.positive is not None:
        use += f" Say {classes.positive!r} from a probability of {classes.threshold:.3f} on."
    if classes.long != "head":
        use += f" Its own program reads long texts by {classes.long}; transformers reads their beginning alone."
    before, _, _ = card.partition("## Use")
    return f"{before}## Use\n\n{use} It is small, and as good as the texts that it learned from.\n"


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
