"""A toy model with all that an export takes along."""

from __future__ import annotations

import dataclasses

from scratchlm.tokens.chat import ChatTemplate
from scratchlm.tokens.fast import FastBPE
from scratchlm.weights.checkpoint import SavedModel
from scripts import SCRIPTS
from toys import random_decoder, toy_config


def tokenizer() -> FastBPE:
    return FastBPE.train(SCRIPTS.values(), 400)


def model() -> SavedModel:
    """Return a model of the default's shape, with a context of 96."""
    found = tokenizer()
    config = dataclasses.replace(toy_config("default", vocabulary_size=found.vocabulary_size), context=96)
    sources = [{"name": "storyworld", "licence": "Apache-2.0"}]
    return SavedModel(
        random_decoder(config),
        found,
        template=ChatTemplate(found),
        generation={"temperature": 0.5, "top_k": 40},
        provenance={"recipe": "default", "steps": 7, "sources": sources},
    )
