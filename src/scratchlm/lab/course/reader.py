"""The small model that has read stories, with which the notebooks on fine-tuning begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from scratchlm import storyworld
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.tokens.fast import FastBPE
from scratchlm.training.config import TrainingConfig
from scratchlm.training.loop import BatchSource, Loop
from scratchlm.training.loss import Loss, next_token_loss

TEXT_BYTES, VOCABULARY = 400_000, 1024
"""Of the stories, and of the tokenizer that is trained on them."""
LAYERS, CONTEXT = 3, 96
STEPS, ROWS, LENGTH = 600, 16, 64
"""Of pretraining."""


@dataclass(frozen=True)
class StoryReader:
    """A model that has read stories, its tokenizer, and how it was trained."""

    model: Decoder
    tokenizer: FastBPE
    text: str
    plan: TrainingConfig
    loss: float
    """Of its last batch, in nats per token."""

    def copy(self, seed: int = 0, *, read: bool = True) -> Decoder:
        """Return a new model of the same shape, with the same weights, or with random ones of a seed."""
        model = build_decoder(self.model.config, seed)
        if read:
            model.load_state_dict(self.model.state_dict())
        return model

    def tuned(
        self,
        model: Decoder,
        batches: BatchSource,
        steps: int,
        rate: float,
        loss: Loss = next_token_loss,
        look: Callable[[int, Decoder], object] | None = None,
    ) -> Decoder:
        """Train a model of this shape further, at `rate` times the learning rates of pretraining; return it.

        `look` is called after each step with its number and the model, which is ready to be asked.
        """
        plan = replace(self.plan, steps=steps, optimizer=self.plan.optimizer.times(rate))
        for record in Loop(model, batches, plan, loss=loss).steps():
            if look is not None:
                look(record.step, model.eval())
                model.train()
        return model.eval()


def read_stories(steps: int = STEPS, seed: int = 0) -> StoryReader:
    """Train a tokenizer on stories, and a model of half a million parameters by the default recipe; about 30 s."""
    text = "\n".join(storyworld.stories(TEXT_BYTES, seed=2))
    tokenizer = FastBPE.train([text], VOCABULARY)
    recipe = load_recipe("default", LAYERS)
    shape = replace(recipe.model, vocabulary_size=tokenizer.vocabulary_size, context=CONTEXT)
    plan = replace(recipe.training, steps=steps, batch_size=ROWS, sequence_length=LENGTH)
    model, tokens = build_decoder(shape, seed), ArrayTokens(torch.tensor(tokenizer.encode(text)).numpy())
    for record in Loop(model, WindowBatches(tokens, ROWS, LENGTH, seed=seed), plan).steps():
        loss = record.loss
    return StoryReader(model.eval(), tokenizer, text, plan, loss)
