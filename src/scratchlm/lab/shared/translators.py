"""Networks that translate, with equally many weights, and the optimizer that a grid finds best for each.

The grid trains each network on some of the training pairs and measures its loss on others, so no test sentence chooses
an optimizer. All kinds try the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from scratchlm.classic.translator import RecurrentTranslator, build_translator, write_recurrent
from scratchlm.data.batches import Batch
from scratchlm.data.pairs import source_target_batch
from scratchlm.generation.batch import greedy_batch
from scratchlm.generation.writing import search_targets, write_targets
from scratchlm.lab.shared.grids import at_edge
from scratchlm.lab.shared.networks import PLAIN, fit_pairs
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.encoderdecoder import EncoderDecoder, build_encoder_decoder
from scratchlm.model.network import SequenceModel
from scratchlm.model.presets import qwen3_shaped
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.tokens.base import PAD
from scratchlm.tokens.fast import FastBPE
from scratchlm.training.config import OptimizerConfig
from scratchlm.training.loss import Loss, next_token_loss

Pair = tuple[str, str]
Write = Callable[[Sequence[Sequence[int]]], list[list[int]]]
"""Function of sources as ids that returns their translations as ids."""
LONGEST = 24
"""Most tokens of a generated translation."""
ROWS = 64
"""Pairs of a batch."""
TUNED_KINDS = {"recurrent": "recurrent", "attention": "attention", "transformer": "transformer",
               "decoder": "transformer"}  # fmt: skip
"""Each kind of network, and the kind whose optimizer it takes: the decoder has the blocks of the transformer."""
RATES = {"AdamW": (0.001, 0.003, 0.01, 0.03), "Muon": (0.01, 0.02, 0.04, 0.08)}
"""Peak learning rates that the grid tries."""
HELD_OUT = 500
"""Training pairs on which the grid measures, at most; a fifth if there are few."""


@dataclass(frozen=True)
class Ids:
    """Training pairs as ids, and their tokenizer."""

    tokenizer: FastBPE
    rows: list[tuple[list[int], list[int]]]

    @property
    def end(self) -> int:
        """The token that starts and ends a target."""
        assert self.tokenizer.end_of_text is not None
        return self.tokenizer.end_of_text


def ids_of(pairs: Sequence[Pair], vocabulary_size: int) -> Ids:
    """Train a tokenizer on both sides of pairs, and encode them; pairs with an empty source are left out."""
    tokenizer = FastBPE.train([text for pair in pairs for text in pair], vocabulary_size)
    sides = [[ids.tolist() for ids in tokenizer.encode_batch([pair[side] for pair in pairs])] for side in (0, 1)]
    return Ids(tokenizer, [(source, target) for source, target in zip(*sides, strict=True) if source])


def build(kind: str, vocabulary_size: int, width: int, seed: int) -> SequenceModel:
    """Build a network of a kind: recurrent, attention, transformer or decoder."""
    shape = qwen3_shaped(vocabulary_size, width=width, layers=2, context=128)
    shape = replace(shape, dropout=0.1, init_std=0.05, zero_init_outputs=False)
    makers: Mapping[str, Callable[[DecoderConfig, int], SequenceModel]] = {
        "transformer": build_encoder_decoder,
        "decoder": build_decoder,
        "recurrent": lambda shape, seed: build_translator(shape, attention=False, seed=seed),
        "attention": lambda shape, seed: build_translator(shape, attention=True, seed=seed),
    }
    return makers[kind](shape, seed)


def width_of(kind: str, vocabulary_size: int, width: int) -> int:
    """Return the least width, a multiple of 4, at which a kind has as many weights as the transformer of `width`."""
    if kind == "transformer":
        return width
    weights = build("transformer", vocabulary_size, width, 0).parameter_count()
    tried = 4
    while build(kind, vocabulary_size, tried, 0).parameter_count() < weights:
        tried += 4
    return tried


def optimizers() -> dict[str, OptimizerConfig]:
    """Return what the grid tries for each kind of network, by name."""
    made: dict[str, OptimizerConfig] = {"AdamW": PLAIN, "Muon": load_recipe("default").training.optimizer}
    return {
        f"{name} {rate:g}": replace(optimizer, learning_rate=rate)
        for name, optimizer in made.items()
        for rate in RATES[name]
    }


def tune(pairs: Sequence[Pair], vocabulary_size: int, width: int, most: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the held-out loss in nats per token of each kind of network with each optimizer.

    The last pairs are held out; each network sees at most `most` of the others, once. Pairs that share a sentence are
    neighbours, so nearly none of them is on both sides.
    """
    known = ids_of(pairs, vocabulary_size)
    held_out = min(HELD_OUT, max(1, len(known.rows) // 5))
    learned, tested = replace(known, rows=known.rows[:-held_out][:most]), known.rows[-held_out:]
    scores: dict[str, dict[str, float]] = {}
    for kind in dict.fromkeys(TUNED_KINDS.values()):
        scores[kind] = {}
        for name, optimizer in optimizers().items():
            model = train(kind, learned, width, optimizer, 1.0, seed)
            scores[kind][name] = held_out_loss(model, tested, learned)
    return scores


def best_of(losses: Mapping[str, Mapping[str, float]], kind: str) -> str:
    """Return the name of the optimizer with the lowest loss for a kind of network."""
    tried = losses[TUNED_KINDS[kind]]
    return min(tried, key=lambda name: tried[name])


def rate_at_edge(name: str) -> bool:
    """Return whether an optimizer has the lowest or the highest rate that was tried, so one beyond might be better."""
    kind, rate = name.split()
    return at_edge(float(rate), RATES[kind])


def train(kind: str, learned: Ids, width: int, optimizer: OptimizerConfig, epochs: float, seed: int) -> SequenceModel:
    """Train a network with as many weights as the transformer of `width`."""
    size = learned.tokenizer.vocabulary_size
    model = build(kind, size, width_of(kind, size, width), seed)
    fit_pairs(model, learned.rows, learned.tokenizer, ROWS, epochs, seed, optimizer=optimizer, loss=_loss(kind))
    return model


@torch.no_grad()
def held_out_loss(model: SequenceModel, rows: Sequence[tuple[list[int], list[int]]], learned: Ids) -> float:
    """Return the mean loss of target tokens, in nats."""
    model.eval()
    loss = _loss("decoder" if isinstance(model, Decoder) else "transformer")
    total, count = 0.0, 0
    for start in range(0, len(rows), ROWS):
        batch = source_target_batch(rows[start : start + ROWS], learned.end, learned.tokenizer.specials[PAD])
        total, count = total + float(loss(model, batch)), count + batch.target_count
    return total / count


def writer(model: SequenceModel, learned: Ids, beam: int = 1) -> Write:
    """Return the function that translates with a network: greedily, or an encoder-decoder with a beam."""
    end = learned.end
    if isinstance(model, EncoderDecoder):
        if beam > 1:
            return partial(search_targets, model, end=end, max_tokens=LONGEST, beam=beam)
        return partial(write_targets, model, end=end, max_tokens=LONGEST)
    assert beam == 1, "only encoder-decoders search with a beam"
    if isinstance(model, RecurrentTranslator):
        return partial(write_recurrent, model, end=end, max_tokens=LONGEST)
    assert isinstance(model, Decoder)
    decoder = model
    return lambda sources: greedy_batch(decoder, [[*source, end] for source in sources], LONGEST, frozenset({end}))


def _loss(kind: str) -> Loss:
    return _as_text if kind == "decoder" else next_token_loss


def _as_text(decoder: Decoder, batch: Batch) -> Any:
    """Return the loss of a decoder that reads source and target as one text, padded on the right."""
    return next_token_loss(decoder, Batch(batch.ids, batch.targets))
