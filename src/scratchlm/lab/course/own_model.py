"""`scratchlm learn train`: a learner's GPT is trained by its own functions, and its weights become a model folder."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scratchlm import storyworld
from scratchlm.base.errors import UserError
from scratchlm.base.outputs import output_folder
from scratchlm.base.reading import read_plain_text, require_plain
from scratchlm.base.result import Result
from scratchlm.lab.course.answering import module_of, said
from scratchlm.lab.course.config import TrainOwnConfig
from scratchlm.model.config import AttentionConfig, DecoderConfig, LayerNormConfig, LearnedPositionsConfig, MLPConfig
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.vocabulary import BytePairVocabulary
from scratchlm.weights.checkpoint import MODEL_KIND, SavedModel, save_model

TOKENS, CONTEXT, ROWS, TEXT_BYTES = 512, 64, 16, 200_000
"""Vocabulary, context and batch of the model, as in `minimal.py`, and the bytes of stories that it reads."""
LARGEST_GAP = 1e-3
"""How far logits may lie apart that are calculated in another order."""
NAMES = {
    "query": "attention.query", "key": "attention.key", "value": "attention.value", "output": "attention.output",
    "up": "feed_forward.up", "down": "feed_forward.down",
}  # fmt: skip
"""Parts of a block as the package calls them."""


@dataclass(repr=False)
class TrainedOwn(Result):
    """A learner's trained model."""

    out: str
    parameters: int
    first_loss: float
    last_loss: float
    """Nats per token, of the first and the last batch."""
    gap: float
    """Largest difference between a logit of the learner's GPT and of the package, with the same weights."""

    def __rich__(self) -> str:
        return (
            f"{self.out}: your GPT of {self.parameters:,} parameters; loss {self.first_loss:.2f}, then "
            f"{self.last_loss:.2f} nats per token\nthe package calculates the same logits with its weights "
            f'(largest difference {self.gap:.1g})\nnext: scratchlm generate {self.out} "One morning"'
        )


def train_own(config: TrainOwnConfig) -> TrainedOwn:
    """Train the GPT of a learner's file by that file's functions, and save it as a model folder.

    Raises `UserError` for a file with an exercise that is not written or fails, and for a GPT or tokenizer that
    calculates something else than the package does with the same weights.
    """
    if not config.file.is_file():
        raise UserError(f"{config.file}: is not there; name your file, or run scratchlm learn start 2 first")
    require_plain(config.file)
    text = read_plain_text(config.text, "utf-8") if config.text else "\n".join(storyworld.stories(TEXT_BYTES))
    with output_folder(config.out, MODEL_KIND, force=config.force, whole=True):
        try:
            mine = module_of(config.file.resolve())
            model, tokenizer, losses = _trained(mine, text, config.steps, config.seed)
            decoder = decoder_of(model)
            ids = torch.tensor([tokenizer.encode(text[:2000])[:CONTEXT]])
            with torch.no_grad():
                gap = (model(ids) - decoder(ids)).abs().max().item()
            vocabulary = BytePairVocabulary({each: id for id, each in enumerate(tokenizer.bytes)}, mine.PATTERN, {})
            theirs = FastBPE(vocabulary)
            same = tokenizer.encode(text[:2000]) == theirs.encode(text[:2000])
        except UserError:
            raise
        except Exception as error:
            raise UserError(_explained(error, config.file)) from error
        if gap > LARGEST_GAP or not same:
            what = f"logits, by up to {gap:.2g}" if gap > LARGEST_GAP else "token ids"
            chapter = 4 if gap > LARGEST_GAP else 2
            raise UserError(
                f"{config.file}: the package gets other {what}; scratchlm learn check {chapter} finds the exercise"
            )
        provenance = {"trained by": config.file.name, "steps": config.steps, "loss": losses[-1]}
        save_model(config.out, SavedModel(decoder, theirs, provenance=provenance))
    return TrainedOwn(str(config.out), decoder.parameter_count(), losses[0], losses[-1], gap)


def _trained(mine: types.ModuleType, text: str, steps: int, seed: int) -> tuple[Any, Any, list[float]]:
    """Run the training of `minimal.main` with the learner's functions; return model, tokenizer and losses."""
    torch.manual_seed(seed)
    tokenizer = mine.Tokenizer(text, TOKENS)
    ids = torch.tensor(tokenizer.encode(text))
    if len(ids) <= CONTEXT + 1:
        raise UserError(f"--text: has {len(ids)} tokens; a row needs {CONTEXT + 1}, so give a longer text")
    model = mine.GPT(len(tokenizer.bytes), CONTEXT)
    states = [(weight, torch.zeros_like(weight), torch.zeros_like(weight)) for weight in model.parameters()]
    losses = []
    for step in range(1, steps + 1):
        rows = mine.windows(ids, torch.randint(len(ids) - CONTEXT, (ROWS,)), CONTEXT)
        loss = mine.loss_of(model, rows)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        for state, gradient in zip(states, gradients, strict=True):
            mine.adamw(*state, gradient, step, mine.learning_rate(step, steps))
        losses.append(loss.item())
        if step % 50 == 0 or step == 1:
            print(f"step {step}/{steps}: loss {losses[-1]:.3f}", file=sys.stderr, flush=True)
    return model, tokenizer, losses


def decoder_of(model: Any) -> Decoder:
    """Return the package's decoder with the weights of a `minimal.GPT`, or of a learner's class of the same form."""
    vocabulary, width = model.embedding.weight.shape
    heads = model.blocks[0].heads
    config = DecoderConfig(
        vocabulary_size=vocabulary,
        context=model.position_embedding.num_embeddings,
        width=width,
        layers=len(model.blocks),
        norm=LayerNormConfig(),
        positions=LearnedPositionsConfig(),
        attention=AttentionConfig(heads, heads, width // heads, qk_norm=False, bias=True, output_bias=True),
        feed_forward=MLPConfig(hidden=4 * width, bias=True),
    )
    decoder = Decoder(config)
    weights: dict[str, Tensor] = {
        ".".join(NAMES.get(part, part) for part in name.split(".")): weight.detach().clone()
        for name, weight in model.state_dict().items()
    }
    decoder.load_state_dict(weights)
    return decoder


def _explained(error: Exception, file: Path) -> str:
    """Return what went wrong in a learner's file, with the line."""
    what = said(error, str(file.resolve()))
    place = f", line {what['line']} ({what['code']})" if "line" in what else ""
    if what["kind"] == "NotImplementedError":
        return f"{file}{place}: is not written yet; scratchlm learn says which exercise is next"
    return f"{file}{place}: {what['kind']}: {what['says']}; scratchlm learn check finds the mistake"
