"""The model of a quickstart in the place of one that an experiment trains: what it reads and answers is known."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.generation.language_model import LanguageModel
from scratchlm.lab.harness.settings import MODEL, ExperimentConfig
from scratchlm.runs.quickstart.text import Corpus, storyworld_corpus
from scratchlm.tokens.chat import TEMPLATE_FILE
from scratchlm.weights.checkpoint import find_model, load_model
from scratchlm.weights.stored import read_stored

HERE = Path("quickstart") / "model"
"""Where `scratchlm quickstart` writes its model."""
LARGEST = 60_000_000
"""Bytes of stories of a quickstart, at most."""
REMEDY = "make one with: scratchlm quickstart"


def with_quickstart(config: ExperimentConfig) -> ExperimentConfig:
    """Return the settings of a small run with the quickstart's model of this folder, if both can be."""
    takes_one = any(each.name == MODEL for each in fields(config))
    if not (takes_one and config.small and config.replay is None) or getattr(config, MODEL) is not None:
        return config
    try:
        return replace(config, **{MODEL: HERE}) if _stories(HERE) else config
    except UserError:  # none, or another text's
        return config


def quickstart_model(folder: Path) -> tuple[LanguageModel, Corpus]:
    """Load a quickstart's model, and tell the stories that it has read again.

    Raises `UserError` for a model that was not made by a quickstart on the embedded stories.
    """
    if (made_by := _stories(folder)) is None:
        raise UserError(f"--model {folder}: no model that answers, of a quickstart on the built-in stories; {REMEDY}")
    return LanguageModel(load_model(find_model(folder))), storyworld_corpus(**made_by)


def _stories(folder: Path) -> dict[str, Any] | None:
    """Return the arguments of `storyworld_corpus` in the folder of a model that answers, if they are ones."""
    place = find_model(folder)
    match read_stored(place).provenance.get("stories"):
        case _ if not (place / TEMPLATE_FILE).exists():  # it has learned no conversations
            return None
        case {"size": int(size), "seed": int(seed), "fraction": float(fraction)}:
            known = 0 < size <= LARGEST and 0 <= fraction < 1
            return {"size": size, "seed": seed, "fraction": fraction} if known else None
    return None
