"""Several model folders as one network: those in a folder that is no model itself."""

from __future__ import annotations

from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.base.files import sha256_of, sha256_of_files
from scratchlm.model.ensemble import Ensemble
from scratchlm.model.network import CausalLM
from scratchlm.tokens.base import Tokenizer
from scratchlm.weights.checkpoint import HASHES_FILE, find_model, load_model


def find_models(place: Path) -> list[Path]:
    """Return the model folder at `place`, or, where there is none, all in the folders within it, by name.

    Raises `UserError` where there is no model at all.
    """
    try:
        return [find_model(place)]
    except UserError:
        within = sorted(each for each in place.iterdir() if each.is_dir()) if place.is_dir() else []
        models = [model for each in within if (model := _model_or_none(each)) is not None]
        if not models:
            raise
        return models


def load_network(place: Path) -> tuple[CausalLM, Tokenizer, list[Path]]:
    """Load the model at `place`, or the ensemble of the models within it; return its tokenizer and their folders.

    Raises `UserError` where their tokenizers or the sizes of their vocabularies differ.
    """
    models = [(folder, load_model(folder)) for folder in find_models(place)]
    (first, saved), *others = models
    for folder, other in others:
        if other.tokenizer.fingerprint != saved.tokenizer.fingerprint:
            raise UserError(f"{place}: the tokenizers of {first} and {folder} differ; an ensemble needs one for all")
        sizes = [each.decoder.config.vocabulary_size for each in (saved, other)]
        if sizes[0] != sizes[1]:
            raise UserError(
                f"{place}: {first} scores {sizes[0]:,} ids and {folder} {sizes[1]:,}; an ensemble needs as many of all"
            )
    network = saved.decoder if not others else Ensemble([each.decoder for _, each in models])
    return network, saved.tokenizer, [folder for folder, _ in models]


def digest_of_models(place: Path) -> str:
    """Return a hash of the model or the models at `place`, from their verified files."""
    models = find_models(place)
    if len(models) == 1:
        return sha256_of(models[0] / HASHES_FILE)
    return sha256_of_files({folder / HASHES_FILE: folder.relative_to(place).as_posix() for folder in models})


def _model_or_none(place: Path) -> Path | None:
    try:
        return find_model(place)
    except UserError:
        return None
